"""A small segmenter around a network with taps, and how well it tells what each pixel shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.dense.backbone import Backbone, borrowed
from experiments.dense.sets import IGNORE
from mixlearn.core.checks import is_count
from mixlearn.core.extras import need
from mixlearn.data.scenes import Scenes
from mixlearn.nets.taps import stage_channels

RATES = (2, 4)  # of the dilated convolutions, in pixels of the features


class Segmenter(Backbone):
    """A network's features of one stage, a head that reads them, and its logits at the image's size.

    Args:
        net: a network with taps.
        head: features (B, C, h, w) → logits (B, K, h, w).
        stage: the tap to read.

    >>> import mixlearn as ml
    >>> model = Segmenter(ml.nets.resnet(8, 10, width=4), nn.Conv2d(16, 3, 1), "stage3")
    >>> model(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 3, 32, 32])
    """

    def __init__(self, net: nn.Module, head: nn.Module, stage: str) -> None:
        super().__init__(net, stage)
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        return F.interpolate(self.head(self.features(images)), images.shape[-2:], mode="bilinear")


def segmenter(
    net: nn.Module,
    classes: int,
    *,
    frozen: bool = False,
    stage: str = "stage3",
    channels: int = 32,
    seed: int = 0,
) -> Segmenter:
    """DeepLabV3's head, made small, on a copy of a network.

    Convolutions with dilations 1, 2 and 4 and the mean of all features are read side by side, then mixed.

    Args:
        net: a network with taps; it is left as it is. A transformer, as `vit` makes it, takes images of its
            own size alone.
        classes: how many, the background among them.
        frozen: the network's weights are not to be trained.
        stage: the tap that the head reads.
        channels: of the head.
        seed: of the head's first weights.

    Returns:
        Images (B, 3, H, W) → logits (B, classes, H, W).

    Raises:
        ValueError: fewer than two classes, no channels, or a stage that the network lacks.

    Source: Chen et al., *Rethinking Atrous Convolution for Semantic Image Segmentation*, 2017.

    >>> import mixlearn as ml
    >>> model = segmenter(ml.nets.resnet(8, 10, width=4), classes=11)
    >>> model(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 11, 32, 32])
    """
    for name, value, least in (("classes", classes, 2), ("channels", channels, 1)):
        if not is_count(value, least):
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    parts = need("torchvision.models.segmentation.deeplabv3", "segmentation")
    size: Any = getattr(net, "size", 64)  # a transformer takes images of its own size alone
    inside = stage_channels(net, stage, size)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        head = nn.Sequential(
            parts.ASPP(inside, RATES, channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, classes, 1),
        )
    return Segmenter(borrowed(net, frozen), head, stage).to(next(net.parameters()).device)


def pixel_labels(targets: Iterable[dict[str, Tensor]]) -> Tensor:
    """What each pixel shows: 0 where there is no object, else 1 + the class of the object seen there.

    Args:
        targets: of each of n images `labels` (k,) and `masks` (k, H, W) bool, of which no two overlap, as
            `Scenes.batch` gives them.

    Returns:
        (n, H, W) int64.

    >>> masks = torch.tensor([[[True, False, False]], [[False, False, True]]])
    >>> pixel_labels([{"labels": torch.tensor([0, 4]), "masks": masks}]).tolist()
    [[[1, 0, 5]]]
    """
    return torch.stack([(each["masks"] * (each["labels"] + 1)[:, None, None]).sum(0) for each in targets])


@torch.no_grad()
def overlap(model: Any, batches: Iterable[tuple[Tensor, Tensor]], classes: int) -> dict[str, float]:
    """How well a model tells what each pixel shows.

    Args:
        model: images → logits (n, classes, h, w); it is put into evaluation mode, and its logits are brought
            to the size of the labels.
        batches: images (n, 3, H, W) and labels (n, H, W), where `IGNORE` marks pixels that do not count.
        classes: how many, the background among them.

    Returns:
        `miou`, the mean over classes of intersection over union of all pixels together, without classes that
        are neither there nor predicted, and `accuracy`, the share of pixels that are right; both in [0, 1].

    Source: Long, Shelhamer & Darrell, *Fully Convolutional Networks*, CVPR 2015, section 5, for the measures.

    >>> logits = torch.tensor([[[[3.0, 0, 0, 0]], [[0.0, 1, 1, 1]]]])
    >>> overlap(nn.Identity(), [(logits, torch.tensor([[[0, 0, 1, 255]]]))], classes=2)
    {'miou': 0.5, 'accuracy': 0.666...}
    """
    metrics = need("torchmetrics.classification", "segmentation")
    kept: dict[str, Any] = {"ignore_index": IGNORE, "validate_args": False}
    wanted = {
        "miou": metrics.MulticlassJaccardIndex(classes, **kept),
        "accuracy": metrics.MulticlassAccuracy(classes, average="micro", **kept),
    }
    model.eval()
    for images, labels in batches:
        logits = model(images)
        if logits.shape[-2:] != labels.shape[-2:]:
            logits = F.interpolate(logits, labels.shape[-2:], mode="bilinear")
        predicted = logits.argmax(1).cpu()
        for metric in wanted.values():
            metric.update(predicted, labels.cpu())
    return {name: float(metric.compute()) for name, metric in wanted.items()}


def scene_overlap(model: Any, scenes: Scenes) -> dict[str, float]:
    """`overlap` on scenes: their objects' classes and the background.

    Args:
        model: images (n, 3, S, S) → logits (n, 1 + classes, S, S); it is put into evaluation mode.
        scenes: what it is measured on.

    >>> import mixlearn as ml
    >>> from mixlearn.data.scenes import emoji_scenes
    >>> scenes = emoji_scenes("train", 2, size=32, generator=torch.Generator().manual_seed(0))
    >>> scene_overlap(segmenter(ml.nets.resnet(8, 10, width=4), 11), scenes)["miou"] < 0.5
    True
    """
    device = next(model.parameters()).device

    def batches() -> Iterable[tuple[Tensor, Tensor]]:
        for chosen in torch.arange(len(scenes)).split(50):
            images, targets = scenes.batch(chosen)
            yield images.to(device), pixel_labels(targets)

    return overlap(model, batches(), 1 + len(scenes.classes))
