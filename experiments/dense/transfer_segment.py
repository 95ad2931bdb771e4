"""What a trained network is worth to segmentation: as the backbone of a segmenter of scenes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from experiments.dense.segmenter import pixel_labels, scene_overlap, segmenter
from experiments.dense.transfer_training import Targets, comparable, learn
from mixlearn.data.scenes import Scenes


def segment(
    net: nn.Module,
    *,
    train: Scenes,
    test: Scenes,
    frozen: bool = False,
    epochs: int = 4,
    batch_size: int = 8,
    lr: float = 5e-3,
    stage: str = "stage3",
    channels: int = 32,
    seed: int = 0,
) -> dict[str, float]:
    """How well a segmenter learns that begins with a trained network.

    Trained like the detector of `detect`, on the cross-entropy of each pixel: the class of the object seen
    there, or the background.

    Args:
        net: a network with taps; a copy of it is trained. A transformer must be made for the scenes' size.
        train, test: scenes of the same classes.
        frozen: train only what is new, and leave the network's weights.
        epochs: passes over the training scenes.
        batch_size: scenes in a batch. No batch may hold a single scene, not an epoch's last either: the head
            normalises the mean of each scene's features.
        lr: the highest learning rate.
        stage, channels: as for `segmenter`.
        seed: of the first weights, the order, the flips and the dropout.

    Returns:
        `miou`, the mean intersection over union of all classes and the background, and `accuracy`, the share
        of pixels that are right.

    Raises:
        ValueError: scenes of different classes or of a size that the network does not take, no epochs, a
            batch of one scene, or what `segmenter` refuses.

    >>> import torch, mixlearn as ml
    >>> from mixlearn.data.scenes import emoji_scenes
    >>> scenes = emoji_scenes("train", 2, size=32, generator=torch.Generator().manual_seed(0))
    >>> segment(ml.nets.resnet(8, 10, width=4), train=scenes, test=scenes, epochs=1).keys()
    dict_keys(['miou', 'accuracy'])
    """
    comparable(train, test)
    model = segmenter(net, 1 + len(train.classes), frozen=frozen, stage=stage, channels=channels, seed=seed)

    def loss(images: Tensor, targets: Targets) -> Tensor:
        return F.cross_entropy(model(images), pixel_labels(targets).to(images.device))

    learn(model, train, loss, epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, least=2)
    return scene_overlap(model, test)
