"""What a trained network is worth to other tasks: as a detector's backbone, and as a finder of objects."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from experiments.dense.detector import detector, moved, precision
from experiments.dense.transfer_training import Targets, comparable, learn
from mixlearn.core.boxes import boxes_to_masks
from mixlearn.data.scenes import Scenes
from mixlearn.measure.localize import activations, localization


def detect(
    net: nn.Module,
    *,
    train: Scenes,
    test: Scenes,
    frozen: bool = False,
    epochs: int = 4,
    batch_size: int = 8,
    lr: float = 5e-3,
    stage: str = "stage3",
    channels: int = 64,
    seed: int = 0,
) -> dict[str, float]:
    """How well a detector learns that begins with a trained network.

    AdamW with one cycle of the learning rate; half of the batches are flipped.

    Args:
        net: a network with taps; a copy of it is trained.
        train, test: scenes of the same classes.
        frozen: train only what is new, and leave the network's weights.
        epochs: passes over the training scenes.
        batch_size: scenes in a batch.
        lr: the highest learning rate.
        stage, channels: as for `detector`.
        seed: of the first weights, the order and the flips.

    Returns:
        `map`, the mean average precision over ten overlaps from 0.5 to 0.95, and `map50`, that at 0.5.

    Raises:
        ValueError: scenes of different classes, no epochs, an empty batch, or what `detector` refuses.

    Source: Lin et al., *Microsoft COCO*, ECCV 2014, for the measures.

    >>> import mixlearn as ml
    >>> from mixlearn.data.scenes import emoji_scenes
    >>> scenes = emoji_scenes("train", 2, size=32, generator=torch.Generator().manual_seed(0))
    >>> detect(ml.nets.resnet(8, 10, width=4), train=scenes, test=scenes, epochs=1).keys()
    dict_keys(['map', 'map50'])
    """
    comparable(train, test)
    model = detector(
        net,
        len(train.classes),
        train.images.shape[-1],
        frozen=frozen,
        stage=stage,
        channels=channels,
        seed=seed,
    )

    def loss(images: Tensor, targets: Targets) -> Tensor:
        return torch.stack(list(model(*moved(images, targets, images.device)).values())).sum()

    learn(model, train, loss, epochs=epochs, batch_size=batch_size, lr=lr, seed=seed)
    return precision(model, test)


def localize_scenes(net: nn.Module, scenes: Scenes, *, stage: str = "stage3") -> dict[str, float]:
    """Whether the class activation map of a scene's one object lies on that object.

    Args:
        net: a network with taps, trained on the classes of the scenes.
        scenes: with one object each.
        stage: the network's last.

    Returns:
        `best`, `threshold` and `fixed` as in `localization`, and the control `middle`: the share of objects
        that a box of their mean size in the middle of the scene would find.

    Raises:
        ValueError: a scene with several objects, or none.

    >>> import mixlearn as ml
    >>> from mixlearn.data.scenes import emoji_scenes
    >>> given = {"size": 32, "objects": (1, 1), "generator": torch.Generator().manual_seed(0)}
    >>> sorted(localize_scenes(ml.nets.resnet(8, 10, width=4), emoji_scenes("concepts", 3, **given)))
    ['best', 'fixed', 'middle', 'threshold']
    """
    counts = [len(labels) for labels in scenes.labels]
    if set(counts) != {1}:
        raise ValueError(f"scenes must have one object each, got {min(counts)} to {max(counts)}")
    boxes, labels = torch.cat(scenes.boxes), torch.cat(scenes.labels)
    chunks = torch.arange(len(scenes)).split(256)
    parts = ((scenes.batch(chosen)[0], labels[chosen]) for chosen in chunks)
    told = localization(activations(net, parts, stage), boxes)
    height, width = scenes.images.shape[-2:]
    mean = (boxes[:, 2:] - boxes[:, :2]).double().mean(0)
    start = ((torch.tensor([width, height]) - mean) / 2).round().long()
    middle = torch.cat([start, start + mean.round().long()])[None]
    control = localization(boxes_to_masks(middle, height, width).expand(len(scenes), -1, -1, -1), boxes)
    found = {"best": told.best, "threshold": told.threshold, "fixed": told.fixed}
    return found | {"middle": control.fixed}
