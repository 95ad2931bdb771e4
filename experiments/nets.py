"""Networks of published recipes, pre-activated, wide, pyramids; and pixels as a control."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import as_count, is_count
from mixlearn.nets.drops import Drop
from mixlearn.nets.resnet import COUNTS, ResNet, Staged, Stem, chained, cifar_stem, convolution
from mixlearn.nets.taps import Tap, initialise, pass_on, quiet_draws


class PreActivation(nn.Module):
    """Normalise and rectify before each convolution, so that the shortcut is a clean sum."""

    def __init__(self, inside: int, width: int, stride: int, drop: nn.Module | None = None) -> None:
        super().__init__()
        self.outside = width
        self.first_norm, self.first = nn.BatchNorm2d(inside), convolution(inside, width, 3, stride)
        self.second_norm, self.second = nn.BatchNorm2d(width), convolution(width, width)
        same = stride == 1 and inside == width
        self.shortcut: nn.Module = nn.Identity() if same else convolution(inside, width, 1, stride)
        self.drop = drop or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        ready = F.relu(self.first_norm(x))
        kept = x if isinstance(self.shortcut, nn.Identity) else self.shortcut(ready)
        total: Tensor = self.drop(self.second(F.relu(self.second_norm(self.first(ready))))) + kept
        return total


class PyramidBlock(nn.Module):
    """Normalised before, between and after its convolutions, with a rectifier between them only.

    The shortcut has no weights: 2×2 averages where the stride is 2, then channels of zeros.
    """

    def __init__(
        self, inside: int, width: int, stride: int, drop: nn.Module | None = None, bottleneck: bool = True
    ) -> None:
        super().__init__()
        self.outside = 4 * width if bottleneck else width
        if bottleneck:
            shapes = [(inside, width, 1, 1), (width, width, 3, stride), (width, self.outside, 1, 1)]
        else:
            shapes = [(inside, width, 3, stride), (width, width, 3, 1)]
        self.layers = nn.ModuleList(convolution(*shape) for shape in shapes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in (*(shape[0] for shape in shapes), self.outside))
        self.stride, self.extra = stride, self.outside - inside
        self.drop = drop or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.layers[0](self.norms[0](x))
        for layer, norm in zip(self.layers[1:], self.norms[1:], strict=False):
            hidden = layer(F.relu(norm(hidden)))
        hidden = self.drop(self.norms[-1](hidden))
        kept = F.avg_pool2d(x, 2, ceil_mode=True) if self.stride == 2 else x  # as the convolution rounds
        total: Tensor = hidden + F.pad(kept, (0, 0, 0, 0, 0, self.extra))
        return total


def preact_resnet(
    depth: int = 18,
    num_classes: int = 10,
    *,
    width: int | None = None,
    channels: int = 3,
    stem: Stem = cifar_stem,
    drop: Drop | None = None,
    drop_survival: float = 0.5,
    generator: torch.Generator | None = None,
) -> ResNet:
    """A pre-activation residual network of depth 18 or 34: the network of the Mixup paper on CIFAR.

    Its blocks normalise their input, so of the stem the convolution alone is taken.

    Source: He, Zhang, Ren & Sun, *Identity Mappings in Deep Residual Networks*, ECCV 2016.
    """
    if depth not in (18, 34):
        raise ValueError(f"depth must be 18 or 34, got {depth!r}")

    def bare(channels: int, width: int) -> nn.Module:
        first = stem(channels, width)
        return first[0] if isinstance(first, nn.Sequential) else first

    options: dict[str, Any] = {"drop": drop, "drop_survival": drop_survival, "generator": generator}
    options |= {"width": 64 if width is None else width, "channels": channels, "stem": bare, "last": True}
    return ResNet(PreActivation, COUNTS[depth], num_classes, **options)


class PyramidNet(Staged):
    """Three stages of `blocks` blocks that widen step by step; other arguments as for `pyramidnet`.

    The width of block k of all 3 · `blocks` is 16 + k · α / (3 · `blocks`), rounded when it is used.
    """

    def __init__(
        self,
        blocks: int,
        num_classes: int,
        *,
        alpha: float,
        bottleneck: bool,
        channels: int = 3,
        drop: Drop | None = None,
        drop_survival: float = 0.5,
        generator: torch.Generator | None = None,
    ) -> None:
        widths = [round(16 + alpha * (k + 1) / (3 * blocks)) for k in range(3 * blocks)]
        block = partial(PyramidBlock, bottleneck=bottleneck)
        with quiet_draws():
            stem = nn.Sequential(convolution(as_count(channels, "channels", 1), 16), nn.BatchNorm2d(16))
            parts = [widths[i : i + blocks] for i in range(0, 3 * blocks, blocks)]
            stages = chained(block, 16, parts, drop, drop_survival)
            super().__init__(stem, stages, stages[-1][-1].outside, num_classes, True)
        initialise(self, generator)
        # The published network keeps torch's own first weights of the last layer.
        for values in (self.head.weight, self.head.bias):
            nn.init.uniform_(values, -(self.features**-0.5), self.features**-0.5, generator=generator)


def pyramidnet(
    depth: int = 200,
    num_classes: int = 100,
    *,
    alpha: float = 240,
    bottleneck: bool = True,
    channels: int = 3,
    drop: Drop | None = None,
    drop_survival: float = 0.5,
    generator: torch.Generator | None = None,
) -> PyramidNet:
    """A PyramidNet for small images; by default PyramidNet-200 with α = 240, the large network of CutMix.

    Args:
        depth: layers with weights, 9n + 2 with bottlenecks (200: n = 22 blocks a stage), else 6n + 2
            (110: n = 18).
        alpha: by how many channels the blocks widen from the first to the last, in all; at least 0.
        bottleneck: 1×1, 3×3 and 1×1 convolutions in place of two 3×3; the output is four times the width.
        num_classes, channels, drop, drop_survival, generator: as for `resnet`.

    Source: Han, Kim & Kim, *Deep Pyramidal Residual Networks*, CVPR 2017, section 4, eq. 3 and figure 6d;
    Yun et al., *CutMix*, ICCV 2019, section 4.2.

    >>> net = pyramidnet(11, 10, alpha=6)
    >>> net(torch.zeros(2, 3, 32, 32)).shape, net.features
    (torch.Size([2, 10]), 88)
    """
    layers = 9 if bottleneck else 6
    if not is_count(depth, layers + 2) or (depth - 2) % layers:
        family = f"{layers}n + 2 {'with' if bottleneck else 'without'} bottlenecks"
        raise ValueError(f"depth must be {family} ({layers + 2}, {2 * layers + 2}, …), got {depth!r}")
    options: dict[str, Any] = {"drop": drop, "drop_survival": drop_survival, "generator": generator}
    shape: dict[str, Any] = {"alpha": alpha, "bottleneck": bottleneck, "channels": channels}
    return PyramidNet((depth - 2) // layers, num_classes, **shape, **options)


class Pixels(nn.Module):
    """The control of every learned representation: features that are the pixels themselves."""

    stages = ("pool",)

    def __init__(self, count: int, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(count, num_classes)

    def forward(self, images: Tensor, tap: Tap = pass_on) -> Tensor:
        logits: Tensor = self.head(tap("pool", images.flatten(1)))
        return logits
