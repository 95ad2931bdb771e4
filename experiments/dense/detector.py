"""A small object detector around a network with taps, and how precise it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.dense.backbone import Backbone, borrowed
from mixlearn.core.extras import need
from mixlearn.data.scenes import Scenes
from mixlearn.nets.taps import stage_channels

LEVELS = 3
REACH = 2  # pixels: the first level finds what reaches at most eight times this, each further one twice that


class Pyramid(Backbone):
    """A network's features at three sizes: those of one stage, then twice halved by max-pooling.

    Args:
        net: a network with taps.
        stage: the tap to read.
        channels: of each level.

    >>> import mixlearn as ml
    >>> pyramid = Pyramid(ml.nets.resnet(8, 10, width=4), channels=8)
    >>> [tuple(level.shape) for level in pyramid(torch.zeros(2, 3, 32, 32)).values()]
    [(2, 8, 8, 8), (2, 8, 4, 4), (2, 8, 2, 2)]
    """

    def __init__(self, net: nn.Module, stage: str = "stage3", channels: int = 64) -> None:
        super().__init__(net, stage)
        self.out_channels = channels
        self.narrow = nn.Conv2d(stage_channels(net, stage, 64), channels, 1)
        self.each = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(LEVELS))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.narrow(self.features(images))
        found = {}
        for level, layer in enumerate(self.each):
            found[str(level)] = layer(features)
            features = F.max_pool2d(features, 2)
        return found


def detector(
    net: nn.Module,
    classes: int,
    size: int,
    *,
    frozen: bool = False,
    stage: str = "stage3",
    channels: int = 64,
    seed: int = 0,
) -> Any:
    """An FCOS detector around a copy of a network.

    Args:
        net: a network with taps; it is left as it is.
        classes: how many.
        size: of a scene's side in pixels.
        frozen: the network's weights are not to be trained.
        stage: the tap that the detector sees.
        channels: of the pyramid and the heads, a multiple of 32.
        seed: of the new layers' first weights.

    Returns:
        torchvision's `FCOS`. In training mode it takes a list of images (3, S, S) and one of targets, and
        gives a dict of losses; in evaluation mode it takes images and gives boxes, labels and scores.

    Raises:
        ValueError: a stage that the network lacks, or channels that are no multiple of 32.

    Source: Tian et al., *FCOS: Fully Convolutional One-Stage Object Detection*, ICCV 2019.

    >>> import mixlearn as ml
    >>> model = detector(ml.nets.resnet(8, 10, width=4), classes=10, size=32).eval()
    >>> sorted(model([torch.zeros(3, 32, 32)])[0])
    ['boxes', 'labels', 'scores']
    """
    if channels < 32 or channels % 32:  # the heads normalise in 32 groups
        raise ValueError(f"channels must be a multiple of 32, got {channels}")
    models = need("torchvision.models.detection", "detection")
    heads = need("torchvision.models.detection.fcos", "detection")
    anchors = need("torchvision.models.detection.anchor_utils", "detection")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        backbone = Pyramid(borrowed(net, frozen), stage, channels)
        head = heads.FCOSHead(channels, 1, classes, num_convs=1)
    sizes = tuple((REACH * 2**level,) for level in range(LEVELS))
    device = next(net.parameters()).device
    return models.FCOS(
        backbone,
        classes,
        min_size=size,
        max_size=size,
        _skip_resize=True,  # in training, where torchvision would draw a size by torch's default generator
        image_mean=[0.0] * 3,  # scenes come normalised
        image_std=[1.0] * 3,
        anchor_generator=anchors.AnchorGenerator(sizes, ((1.0,),) * LEVELS),
        head=head,
        center_sampling_radius=3.0,
        score_thresh=0.05,
        topk_candidates=200,
        detections_per_img=50,
    ).to(device)


def precision(model: Any, scenes: Scenes) -> dict[str, float]:
    """Mean average precision of a detector: `map` and `map50` as for `detect`, in [0, 1].

    Args:
        model: images → a dict of boxes, labels and scores each; it is put into evaluation mode.
        scenes: what it is measured on.

    >>> import mixlearn as ml
    >>> from mixlearn.data.scenes import emoji_scenes
    >>> scenes = emoji_scenes("train", 2, size=32, generator=torch.Generator().manual_seed(0))
    >>> precision(detector(ml.nets.resnet(8, 10, width=4), 10, size=32), scenes)["map50"] < 0.5
    True
    """
    device = next(model.parameters()).device
    chunks = torch.arange(len(scenes)).split(50)
    return average_precision(model, (moved(*scenes.batch(chosen), device) for chosen in chunks))


@torch.no_grad()
def average_precision(
    model: Any, batches: Iterable[tuple[list[Tensor], list[dict[str, Tensor]]]]
) -> dict[str, float]:
    """Mean average precision of a detector on any pictures: `map` and `map50` as for `detect`.

    Args:
        model: images → a dict of boxes, labels and scores each; it is put into evaluation mode.
        batches: lists of images (3, H, W), and of targets as `moved` gives them, where `iscrowd` (k,) may
            mark objects that are to be neither found nor missed.

    >>> found = {"boxes": torch.tensor([[0.0, 0, 4, 4]]), "labels": torch.tensor([1])}
    >>> class Model(nn.Module):
    ...     def forward(self, images):
    ...         return [{**found, "scores": torch.ones(1)} for _ in images]
    >>> average_precision(Model(), [([torch.zeros(3, 8, 8)], [found])])
    {'map': 1.0, 'map50': 1.0}
    """
    need("pycocotools", "detection")
    metric = need("torchmetrics.detection", "detection").MeanAveragePrecision(backend="pycocotools")
    model.eval()
    for images, targets in batches:
        metric.update(model(images), targets)
    found = metric.compute()
    return {"map": float(found["map"]), "map50": float(found["map_50"])}


def moved(
    images: Tensor, targets: list[dict[str, Tensor]], device: torch.device
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """What a detector takes, on its device: a list of images, and boxes and labels without masks.

    Args:
        images: (n, 3, S, S). targets: of each image, as `Scenes.batch` gives them. device: the detector's.

    >>> known = {"boxes": torch.zeros(1, 4), "labels": torch.zeros(1), "masks": torch.zeros(1, 8, 8)}
    >>> images, targets = moved(torch.zeros(1, 3, 8, 8), [known], torch.device("cpu"))
    >>> len(images), list(targets[0])
    (1, ['boxes', 'labels'])
    """
    known = [{key: target[key].to(device) for key in ("boxes", "labels")} for target in targets]
    return list(images.to(device)), known
