"""What a trained network is worth on composed scenes: to detection, segmentation and localisation."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from math import ceil
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.boxes import boxes_to_masks
from mixlearn.core.checks import is_count, takes
from mixlearn.core.extras import need
from mixlearn.data.scenes import Scenes
from mixlearn.measure.localize import activations, localization
from mixlearn.methods.cutmix_seg import segmentation_consistency
from mixlearn.methods.learner import Twin
from mixlearn.methods.objects import mix_objects
from mixlearn.nets.taps import stage_channels, staged
from mixlearn.train.checkpoint import own_randomness, seed_rng
from mixlearn.train.schedules import one_cycle

Self = TypeVar("Self", bound="Backbone")
Targets = list[dict[str, Tensor]]
LEVELS = 3
REACH = 2  # pixels: the first level finds what reaches at most eight times this, each further one twice that
RATES = (2, 4)  # of the segmenter's dilated convolutions, in pixels of the features


# ------------------------------------------------------------------------------------------------ models
class Backbone(nn.Module):
    """A network whose features at one of its taps other layers read.

    The network's batch normalisation keeps its running means, in training too, as is usual in detection,
    where a batch holds few scenes; its scales and shifts are weights like others.
    """

    def __init__(self, net: nn.Module, stage: str) -> None:
        super().__init__()
        self.net, self.stage = net, stage

    def train(self: Self, mode: bool = True) -> Self:
        """Training mode for the new layers alone."""
        super().train(mode)
        self.net.eval()
        return self


class Pyramid(Backbone):
    """A network's features at three sizes: those of one stage, then twice halved by max-pooling."""

    def __init__(self, net: nn.Module, stage: str = "stage3", channels: int = 64) -> None:
        super().__init__(net, stage)
        self.out_channels = channels
        self.narrow = nn.Conv2d(stage_channels(net, stage, 64), channels, 1)
        self.each = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(LEVELS))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.narrow(staged(self.net, images, self.stage))  # (B, channels, h, w)
        levels = {}
        for level, layer in enumerate(self.each):
            levels[str(level)] = layer(features)
            features = F.max_pool2d(features, 2)
        return levels


class Segmenter(Backbone):
    """A network's features of one stage, a head that reads them, and its logits at the image's size."""

    def __init__(self, net: nn.Module, head: nn.Module, stage: str) -> None:
        super().__init__(net, stage)
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        logits = self.head(staged(self.net, images, self.stage))  # (B, K, h, w)
        return F.interpolate(logits, images.shape[-2:], mode="bilinear")  # (B, K, H, W)


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
    """torchvision's FCOS on a copy of a network, for scenes of `size` × `size` pixels.

    Source: Tian et al., *FCOS: Fully Convolutional One-Stage Object Detection*, ICCV 2019.
    """
    if channels < 32 or channels % 32:  # the heads normalise in 32 groups
        raise ValueError(f"channels must be a multiple of 32, got {channels}")
    models = need("torchvision.models.detection", "detection")
    heads = need("torchvision.models.detection.fcos", "detection")
    anchors = need("torchvision.models.detection.anchor_utils", "detection")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        backbone = Pyramid(deepcopy(net).requires_grad_(not frozen), stage, channels)
        head = heads.FCOSHead(channels, 1, classes, num_convs=1)
    sizes = tuple((REACH * 2**level,) for level in range(LEVELS))
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
    ).to(next(net.parameters()).device)


def segmenter(
    net: nn.Module,
    classes: int,
    *,
    frozen: bool = False,
    stage: str = "stage3",
    channels: int = 32,
    seed: int = 0,
) -> Segmenter:
    """DeepLabV3's head, made small, on a copy of a network; `classes` counts the background.

    Source: Chen et al., *Rethinking Atrous Convolution for Semantic Image Segmentation*, 2017.
    """
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
    model = Segmenter(deepcopy(net).requires_grad_(not frozen), head, stage)
    return model.to(next(net.parameters()).device)


# ---------------------------------------------------------------------------------------------- training
def learn(
    model: Any,
    scenes: Scenes,
    loss: Callable[[Tensor, Targets], Tensor],
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    seed: int = 0,
    least: int = 1,
    mix: Any = None,
) -> None:
    """Train a model in place: AdamW, one cycle of the learning rate; half of the batches are flipped.

    `seed` is of the order, the flips and the model's own randomness; each batch needs `least` scenes. Where
    there is a `mix`, half of the batches are mixed by it, see `mixed_scenes`.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if not is_count(value):
            raise ValueError(f"{name} must be a positive integer, got {value!r}")
    smallest = min(batch_size, len(scenes) % batch_size or batch_size)
    if smallest < least:
        raise ValueError(
            f"each batch must hold at least {least} scenes; batch_size={batch_size} leaves one of {smallest} "
            f"of {len(scenes)}"
        )
    learnt = [weight for weight in model.train().parameters() if weight.requires_grad]
    device = learnt[0].device
    optimizer = torch.optim.AdamW(learnt, lr=lr, weight_decay=1e-4)
    total = epochs * ceil(len(scenes) / batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(min(step, total), total))
    generator = torch.Generator().manual_seed(seed)
    with own_randomness(device):
        seed_rng(seed, device)
        for _ in range(epochs):
            for chosen in torch.randperm(len(scenes), generator=generator).split(batch_size):
                images, targets = scenes.batch(chosen)
                if torch.rand((), generator=generator) < 0.5:
                    images, targets = flipped(images, targets)
                if mix is not None and torch.rand((), generator=generator) < 0.5:
                    images, targets = mixed_scenes(images, targets, mix, generator)
                cost = loss(images.to(device), targets)
                optimizer.zero_grad()
                cost.backward()
                nn.utils.clip_grad_norm_(learnt, 5.0)
                optimizer.step()
                schedule.step()


def flipped(images: Tensor, targets: Targets) -> tuple[Tensor, Targets]:
    """A batch seen in a mirror, with its boxes and masks."""
    width = images.shape[-1]
    change, offset = torch.tensor([-1.0, 1, -1, 1]), torch.tensor([width, 0.0, width, 0])
    turned = [
        {
            **target,
            "boxes": target["boxes"][:, [2, 1, 0, 3]] * change + offset,
            "masks": target["masks"].flip(-1),
        }
        for target in targets
    ]
    return images.flip(-1), turned


def mixed_scenes(
    images: Tensor, targets: Targets, mix: Any, generator: torch.Generator
) -> tuple[Tensor, Targets]:
    """A batch mixed with its objects; a `mix` that takes `masks` or `maps` of classes is given them."""
    names = ("boxes", "labels", "masks")
    known: dict[str, Any] = {name: [one[name] for one in targets] for name in names}
    more = {"masks": known["masks"], "maps": pixel_labels(targets)}
    given = {name: value for name, value in more.items() if takes(mix, name)}
    mixed, _, plan = mix(images, generator=generator, **given)
    return mixed, [{name: getattr(one, name) for name in names} for one in mix_objects(plan, **known)]


def _check_classes(train: Scenes, test: Scenes) -> None:
    if train.classes != test.classes:
        raise ValueError(f"train and test must have the same classes, got {train.classes} and {test.classes}")


# --------------------------------------------------------------------------------------------- detection
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
    mix: Any = None,
) -> dict[str, float]:
    """How well a detector learns that begins with a copy of a trained network.

    Args:
        net: a network with taps.
        train, test: scenes of the same classes.
        frozen: train only what is new, and leave the network's weights.
        epochs, batch_size, lr, seed, mix: as for `learn`; the seed is of the first weights too.
        stage, channels: the tap that the detector reads, and the channels of its pyramid and heads.

    Returns:
        `map`, the mean average precision over ten overlaps from 0.5 to 0.95, and `map50`, that at 0.5.

    Source: Lin et al., *Microsoft COCO*, ECCV 2014, for the measures.
    """
    _check_classes(train, test)
    size = train.images.shape[-1]
    model = detector(net, len(train.classes), size, frozen=frozen, stage=stage, channels=channels, seed=seed)

    def loss(images: Tensor, targets: Targets) -> Tensor:
        return torch.stack(list(model(*for_detector(images, targets, images.device)).values())).sum()

    learn(model, train, loss, epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, mix=mix)
    return precision(model, test)


@torch.no_grad()
def precision(model: Any, scenes: Scenes) -> dict[str, float]:
    """Mean average precision of a detector: `map` and `map50` as for `detect`, in [0, 1]."""
    need("pycocotools", "detection")
    metric = need("torchmetrics.detection", "detection").MeanAveragePrecision(backend="pycocotools")
    device = next(model.parameters()).device
    model.eval()
    for chosen in torch.arange(len(scenes)).split(50):
        images, targets = for_detector(*scenes.batch(chosen), device)
        metric.update(model(images), targets)
    result = metric.compute()
    return {"map": float(result["map"]), "map50": float(result["map_50"])}


def for_detector(images: Tensor, targets: Targets, device: torch.device) -> tuple[list[Tensor], Targets]:
    """What a detector takes, on its device: a list of images, and boxes and labels without masks."""
    known = [{key: target[key].to(device) for key in ("boxes", "labels")} for target in targets]
    return list(images.to(device)), known


# ------------------------------------------------------------------------------------------ segmentation
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
    mix: Any = None,
    unlabelled: Scenes | None = None,
) -> dict[str, float]:
    """How well a segmenter learns that begins with a copy of a trained network; arguments as for `detect`.

    Where there are `unlabelled` scenes, `mix` mixes as many of them in each step, and the segmenter learns to
    agree there with the mixed answers of its twin (momentum 0.99). Trained on the cross-entropy of each
    pixel. No batch may hold a single scene, not an epoch's last either: the head normalises the mean of each
    scene's features.

    Returns:
        `miou`, the mean intersection over union of all classes and the background, and `accuracy`, the share
        of pixels that are right.
    """
    _check_classes(train, test)
    model = segmenter(net, 1 + len(train.classes), frozen=frozen, stage=stage, channels=channels, seed=seed)

    generator, twin = torch.Generator().manual_seed(seed), Twin({"model": model}, 0.99)

    def loss(images: Tensor, targets: Targets) -> Tensor:
        known = F.cross_entropy(model(images), pixel_labels(targets).to(images.device))
        if unlabelled is None:
            return known
        twin.follow({"model": model})
        chosen = torch.randint(len(unlabelled), (len(images),), generator=generator)
        others = unlabelled.batch(chosen)[0].to(images.device)
        with torch.no_grad():
            answers = twin["model"].eval()(others)  # (B, K, H, W)
        maps = {"maps": answers.argmax(1)} if takes(mix, "maps") else {}
        mixed = mix(others, generator=generator, **maps)
        return known + segmentation_consistency(model(mixed.images), answers, mixed.plan)

    given: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed}
    learn(model, train, loss, **given, least=2, mix=None if unlabelled else mix)
    return overlap(model, test)


def pixel_labels(targets: Targets) -> Tensor:
    """What each pixel shows: 0 without an object, else 1 + the class of the object seen there, (n, H, W)."""
    return torch.stack([(each["masks"] * (each["labels"] + 1)[:, None, None]).sum(0) for each in targets])


@torch.no_grad()
def overlap(model: Any, scenes: Scenes) -> dict[str, float]:
    """`miou` and `accuracy` of a segmenter; classes that are neither there nor predicted do not count.

    Source: Long, Shelhamer & Darrell, *Fully Convolutional Networks*, CVPR 2015, section 5, for the measures.
    """
    metrics = need("torchmetrics.classification", "segmentation")
    classes, device = 1 + len(scenes.classes), next(model.parameters()).device
    wanted = {
        "miou": metrics.MulticlassJaccardIndex(classes, validate_args=False),
        "accuracy": metrics.MulticlassAccuracy(classes, average="micro", validate_args=False),
    }
    model.eval()
    for chosen in torch.arange(len(scenes)).split(50):
        images, targets = scenes.batch(chosen)
        predicted = model(images.to(device)).argmax(1).cpu()  # (n, H, W)
        for metric in wanted.values():
            metric.update(predicted, pixel_labels(targets))
    return {name: float(metric.compute()) for name, metric in wanted.items()}


# ------------------------------------------------------------------------------------------ localisation
def localize_scenes(net: nn.Module, scenes: Scenes, *, stage: str = "stage3") -> dict[str, float]:
    """Whether the class activation map of a scene's one object, at the network's last stage, lies on it.

    Returns:
        `best`, `threshold` and `fixed` as in `localization`, and the control `middle`: the share of objects
        that a box of their mean size in the middle of the scene would find.
    """
    counts = [len(labels) for labels in scenes.labels]
    if set(counts) != {1}:
        raise ValueError(f"scenes must have one object each, got {min(counts)} to {max(counts)}")
    boxes, labels = torch.cat(scenes.boxes), torch.cat(scenes.labels)
    chunks = torch.arange(len(scenes)).split(256)
    parts = ((scenes.batch(chosen)[0], labels[chosen]) for chosen in chunks)
    found = localization(activations(net, parts, stage), boxes)
    height, width = scenes.images.shape[-2:]
    mean = (boxes[:, 2:] - boxes[:, :2]).double().mean(0)
    start = ((torch.tensor([width, height]) - mean) / 2).round().long()
    middle = torch.cat([start, start + mean.round().long()])[None]
    control = localization(boxes_to_masks(middle, height, width).expand(len(scenes), -1, -1, -1), boxes)
    result = {"best": found.best, "threshold": found.threshold, "fixed": found.fixed}
    return result | {"middle": control.fixed}
