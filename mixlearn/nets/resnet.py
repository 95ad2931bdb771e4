"""Residual networks, with stems for small images and for large ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import as_count
from mixlearn.nets.drops import Drop, survivals
from mixlearn.nets.taps import Tap, initialise, pass_on, quiet_draws

Stem = Callable[[int, int], nn.Module]  # of channels and width
Block = Callable[..., Any]  # of channels in, width, stride, drop; its `outside` is its channels out


def convolution(inside: int, outside: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size, up to its stride, and has no bias."""
    return nn.Conv2d(inside, outside, size, stride=stride, padding=size // 2, bias=False)


def _stem(channels: int, width: int, size: int, stride: int) -> nn.Sequential:
    first = convolution(channels, width, size, stride)
    return nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def cifar_stem(channels: int, width: int) -> nn.Module:
    """3×3 convolution with stride 1 and no pooling: small images keep their size; channels → width."""
    return _stem(channels, width, 3, 1)


def strided_stem(channels: int, width: int) -> nn.Module:
    """3×3 convolution, stride 2, no pooling: half the size, a quarter of the work; channels → width."""
    return _stem(channels, width, 3, 2)


def imagenet_stem(channels: int, width: int) -> nn.Module:
    """7×7 convolution and 3×3 max-pooling, stride 2 each: a quarter of the size; channels → width."""
    return _stem(channels, width, 7, 2).append(nn.MaxPool2d(3, stride=2, padding=1))


def _shortcut(inside: int, outside: int, stride: int) -> nn.Module:
    if stride == 1 and inside == outside:
        return nn.Identity()
    return nn.Sequential(convolution(inside, outside, 1, stride), nn.BatchNorm2d(outside))


class Basic(nn.Module):
    """Two 3×3 convolutions around a shortcut."""

    def __init__(self, inside: int, width: int, stride: int, drop: nn.Module | None = None) -> None:
        super().__init__()
        self.outside = width
        self.first, self.first_norm = convolution(inside, width, 3, stride), nn.BatchNorm2d(width)
        self.second, self.last_norm = convolution(width, width), nn.BatchNorm2d(width)
        self.shortcut = _shortcut(inside, width, stride)
        self.drop = drop or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.drop(self.last_norm(self.second(hidden))) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions around a shortcut; the stride sits in the 3×3, as in torchvision."""

    def __init__(self, inside: int, width: int, stride: int, drop: nn.Module | None = None) -> None:
        super().__init__()
        self.outside = 4 * width
        self.first, self.first_norm = convolution(inside, width, 1), nn.BatchNorm2d(width)
        self.second, self.second_norm = convolution(width, width, 3, stride), nn.BatchNorm2d(width)
        self.third, self.last_norm = convolution(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.shortcut = _shortcut(inside, 4 * width, stride)
        self.drop = drop or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.first_norm(self.first(x)))
        hidden = F.relu(self.second_norm(self.second(hidden)))
        return F.relu(self.drop(self.last_norm(self.third(hidden))) + self.shortcut(x))


def chained(
    block: Block, inside: int, widths: Sequence[Sequence[int]], drop: Drop | None, drop_survival: float
) -> list[list[Any]]:
    """Blocks of these widths in each stage; the first block of each later stage halves height and width."""
    chances = iter(survivals(sum(map(len, widths)), drop_survival))
    stages: list[list[Any]] = []
    for i, stage in enumerate(widths):
        stages.append([])
        for j, width in enumerate(stage):
            end = None if drop is None else drop(next(chances))
            stages[i].append(block(inside, width, 2 if i and not j else 1, end))
            inside = stages[i][-1].outside
    return stages


class Staged(nn.Module):
    """A stem, stages of blocks, perhaps a last normalisation, and a linear head.

    `net(images)` maps (B, channels, H, W) to logits (B, num_classes). `net(images, tap=tap)` calls
    `features = tap(name, features)` for each name in `net.stages`, in that order: return the features
    unchanged to read them, or others of the same shape to replace them (Manifold Mixup does).

    Args:
        stem: the first layers.
        stages: the blocks of each stage, in order.
        features: channels of the last stage.
        num_classes: length of the logits.
        last: normalise and rectify after the last stage, as blocks need that begin with both.
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: Sequence[Sequence[nn.Module]],
        features: int,
        num_classes: int,
        last: bool = False,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.groups = nn.ModuleList(nn.Sequential(*blocks) for blocks in stages)
        self.last = nn.BatchNorm2d(features) if last else nn.Identity()
        self.head = nn.Linear(features, as_count(num_classes, "num_classes", 1))
        self.features = features
        self.stages = ("input", "stem", *(f"stage{i + 1}" for i in range(len(stages))), "pool")

    def forward(self, images: Tensor, tap: Tap | None = None) -> Tensor:
        tap = tap or pass_on
        hidden = tap("stem", self.stem(tap("input", images)))  # (B, width, H, W)
        for i, group in enumerate(self.groups):
            hidden = tap(f"stage{i + 1}", group(hidden))
        if not isinstance(self.last, nn.Identity):
            hidden = F.relu(self.last(hidden))
        logits: Tensor = self.head(tap("pool", hidden.mean((2, 3))))  # (B, features) → (B, classes)
        return logits


COUNTS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class ResNet(Staged):
    """A residual network made of `counts[i]` blocks in stage i, each stage twice as wide as the one before.

    Args:
        block: what makes one residual block.
        counts: blocks in each stage.
        last: normalise and rectify after the last stage too, as pre-activation blocks need.
        num_classes, width, channels, stem, zero_init, drop, drop_survival, generator: as for `resnet`.

    Source: He, Zhang, Ren & Sun, *Deep Residual Learning for Image Recognition*, CVPR 2016.
    """

    def __init__(
        self,
        block: Block,
        counts: Sequence[int],
        num_classes: int,
        *,
        width: int = 64,
        channels: int = 3,
        stem: Stem = cifar_stem,
        zero_init: bool = False,
        drop: Drop | None = None,
        drop_survival: float = 0.5,
        last: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        widths = [[as_count(width, "width", 1) * 2**i] * count for i, count in enumerate(counts)]
        with quiet_draws():
            first = stem(as_count(channels, "channels", 1), width)
            stages = chained(block, width, widths, drop, drop_survival)
            super().__init__(first, stages, stages[-1][-1].outside, num_classes, last)
        initialise(self, generator, zero_init)


def resnet(
    depth: int = 18,
    num_classes: int = 10,
    *,
    width: int | None = None,
    channels: int = 3,
    stem: Stem = cifar_stem,
    zero_init: bool = False,
    drop: Drop | None = None,
    drop_survival: float = 0.5,
    generator: torch.Generator | None = None,
) -> ResNet:
    """A residual network by its depth, with the stem for small images (3×3, stride 1, no pooling).

    Depth 18, 34, 50 and 101 are the published four-stage networks (64-128-256-512 channels). Depth 6n + 2
    (8, 14, 20, 32, 44, 56, 110 …) is the three-stage CIFAR family (16-32-64 channels), here with
    projections where a shortcut changes size.

    Args:
        depth: layers with weights.
        num_classes: length of the logits.
        width: channels of the first stage; None takes 64 for 18, 34, 50 and 101, otherwise 16.
        channels: channels of the images.
        stem: `cifar_stem`, `strided_stem` (3×3, stride 2), `imagenet_stem` (7×7, stride 2, max-pool), or any
            function of (channels, width).
        zero_init: start every block as the identity.
        drop: `StochasticDepth`, `ShakeDrop` or any function from a survival to the module that ends a
            block's branch; None leaves branches alone.
        drop_survival: survival of the last block's branch; from 1 it falls to this linearly with depth.
        generator: source of the initial weights; None uses torch's default one.

    Source: He et al., CVPR 2016, table 1 and section 4.2.

    >>> net = resnet(8, num_classes=10, channels=1)
    >>> net(torch.zeros(2, 1, 28, 28)).shape, net.stages
    (torch.Size([2, 10]), ('input', 'stem', 'stage1', 'stage2', 'stage3', 'pool'))
    """
    counts: tuple[int, ...]
    if depth in COUNTS:
        block, counts, default = Bottleneck if depth >= 50 else Basic, COUNTS[depth], 64
    elif depth >= 8 and (depth - 2) % 6 == 0:
        block, counts, default = Basic, ((depth - 2) // 6,) * 3, 16
    else:
        raise ValueError(f"depth must be 18, 34, 50, 101 or 6n + 2 (8, 14, 20, …), got {depth!r}")
    options: dict[str, Any] = {"drop": drop, "drop_survival": drop_survival, "generator": generator}
    options |= {"width": default if width is None else width, "channels": channels, "stem": stem}
    return ResNet(block, counts, num_classes, zero_init=zero_init, **options)


def parameter_count(net: nn.Module) -> int:
    """The number of trainable parameters of a network.

    >>> parameter_count(nn.Linear(3, 2))
    8
    """
    return sum(p.numel() for p in net.parameters() if p.requires_grad)
