"""Residual networks that grow in width: wide ones, and ones of many groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import is_count
from mixlearn.nets.resnet import Bottleneck, PreActivation, cifar_stem, convolution
from mixlearn.nets.taps import Tap, initialise, pass_on, quiet_draws

_COUNTS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class Grouped(Bottleneck):
    """A bottleneck whose 3×3 convolution is split into groups that do not see each other."""

    def __init__(self, inside: int, width: int, stride: int, groups: int, inner: int) -> None:
        super().__init__(inside, width, stride)
        self.first, self.first_norm = convolution(inside, inner, 1), nn.BatchNorm2d(inner)
        self.second = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, groups=groups, bias=False)
        self.second_norm = nn.BatchNorm2d(inner)
        self.third = convolution(inner, width * self.expansion, 1)


class Staged(nn.Module):
    """A stem, stages of blocks and a linear head, with the taps of `ResNet`; see `wide_resnet` and `resnext`.

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
        self.head = nn.Linear(features, int(num_classes))
        self.features = features
        self.stages = ("input", "stem", *(f"stage{i + 1}" for i in range(len(stages))), "pool")

    def forward(self, images: Tensor, tap: Tap | None = None) -> Tensor:
        see = tap or pass_on
        hidden = see("stem", self.stem(see("input", images)))
        for i, group in enumerate(self.groups):
            hidden = see(f"stage{i + 1}", group(hidden))  # (B, C, H, W), halved from stage to stage
        if isinstance(self.last, nn.BatchNorm2d):
            hidden = F.relu(self.last(hidden))
        logits: Tensor = self.head(see("pool", hidden.mean((2, 3))))  # (B, num_classes)
        return logits


def wide_resnet(
    depth: int = 28,
    num_classes: int = 100,
    *,
    width: int = 8,
    channels: int = 3,
    generator: torch.Generator | None = None,
) -> Staged:
    """A wide residual network for small images: three stages of blocks with 16-32-64 channels × width.

    The blocks normalise and rectify before each convolution, without dropout; the stem has 16 channels.

    Args:
        depth: layers with weights, 6n + 4 (10, 16, 22, 28, 40 …).
        num_classes: length of the logits.
        width: how many times wider than the thinnest, 8 for WRN-28-8.
        channels: of the images.
        generator: source of the initial weights; None uses torch's default one.

    Source: Zagoruyko & Komodakis, *Wide Residual Networks*, BMVC 2016, table 1.

    >>> net = wide_resnet(10, 10, width=2)
    >>> net(torch.zeros(2, 3, 32, 32)).shape, net.features
    (torch.Size([2, 10]), 128)
    """
    if not is_count(depth, 10) or (depth - 4) % 6:
        raise ValueError(f"depth must be 6n + 4 (10, 16, 22, 28, …), got {depth!r}")
    _positive(width=width, channels=channels, num_classes=num_classes)
    blocks = (depth - 4) // 6
    with quiet_draws():
        stages = _stages(PreActivation, 16, [16 * width * 2**i for i in range(3)], [blocks] * 3, 1)
        net = Staged(convolution(channels, 16), stages, 64 * width, num_classes, last=True)
    initialise(net, generator)
    return net


def resnext(
    depth: int = 50,
    num_classes: int = 100,
    *,
    groups: int = 32,
    group_width: int = 4,
    width: int = 64,
    channels: int = 3,
    stem: Callable[[int, int], nn.Module] = cifar_stem,
    zero_init: bool = False,
    generator: torch.Generator | None = None,
) -> Staged:
    """A residual network of grouped bottlenecks, by default ResNeXt-50 32×4d with the stem for small images.

    Args:
        depth: layers with weights, 50 or 101.
        groups: into how many groups each 3×3 convolution is split.
        group_width: channels of one group in the first stage; they double from stage to stage.
        width: channels of the stem; the stages put out 4, 8, 16 and 32 times as many.
        stem: `cifar_stem`, `imagenet_stem` or any function of (channels, width).
        zero_init: start every block as the identity.
        num_classes, channels, generator: as for `wide_resnet`.

    Source: Xie, Girshick, Dollár, Tu & He, *Aggregated Residual Transformations for Deep Neural Networks*,
    CVPR 2017, table 1.
    """
    if depth not in _COUNTS:
        raise ValueError(f"depth must be 50 or 101, got {depth!r}")
    _positive(groups=groups, group_width=group_width, width=width, channels=channels, num_classes=num_classes)
    inner = groups * group_width

    def grouped(inside: int, outside: int, stride: int) -> nn.Module:
        return Grouped(inside, outside, stride, groups, inner * outside // width)

    with quiet_draws():
        widths = [width * 2**i for i in range(4)]
        stages = _stages(grouped, width, widths, _COUNTS[depth], Grouped.expansion)
        net = Staged(stem(channels, width), stages, Grouped.expansion * widths[-1], num_classes)
    initialise(net, generator, zero_init)
    return net


def _stages(
    block: Callable[[int, int, int], nn.Module],
    inside: int,
    widths: Sequence[int],
    counts: Sequence[int],
    expansion: int,
) -> list[list[nn.Module]]:
    """The blocks of each stage; the first of every stage but the first halves height and width."""
    made = []
    for stage, (width, count) in enumerate(zip(widths, counts, strict=True)):
        blocks = []
        for k in range(count):
            blocks.append(block(inside, width, 2 if stage and not k else 1))
            inside = expansion * width
        made.append(blocks)
    return made


def _positive(**numbers: int) -> None:
    for name, value in numbers.items():
        if not is_count(value):
            raise ValueError(f"{name} must be a positive integer, got {value!r}")


class Pixels(nn.Module):
    """The control of every learned representation: features that are the pixels themselves."""

    stages = ("pool",)

    def __init__(self, count: int, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(count, num_classes)

    def forward(self, images: Tensor, tap: Tap = pass_on) -> Tensor:
        return self.head(tap("pool", images.flatten(1)))
