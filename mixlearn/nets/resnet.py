"""What residual networks are made of: the stems, the three kinds of block, taps and first weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import is_count
from mixlearn.nets.drops import Drop, survivals
from mixlearn.nets.taps import Tap, pass_on, quiet_draws


def convolution(inside: int, outside: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, size, stride=stride, padding=size // 2, bias=False)


def cifar_stem(channels: int, width: int) -> nn.Module:
    """3×3 convolution with stride 1 and no pooling: small images keep their size; channels → width."""
    return nn.Sequential(convolution(channels, width), nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def strided_stem(channels: int, width: int) -> nn.Module:
    """3×3 convolution, stride 2, no pooling: half the size, a quarter of the work; channels → width."""
    return nn.Sequential(convolution(channels, width, 3, 2), nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def imagenet_stem(channels: int, width: int) -> nn.Module:
    """7×7 convolution and 3×3 max-pooling, stride 2 each: a quarter of the size; channels → width."""
    return nn.Sequential(
        convolution(channels, width, 7, 2),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
    )


def _shortcut(inside: int, outside: int, stride: int) -> nn.Module:
    if stride == 1 and inside == outside:
        return nn.Identity()
    return nn.Sequential(convolution(inside, outside, 1, stride), nn.BatchNorm2d(outside))


class Basic(nn.Module):
    """Two 3×3 convolutions around a shortcut."""

    expansion = 1

    def __init__(self, inside: int, width: int, stride: int, drop: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.first_norm = convolution(inside, width, 3, stride), nn.BatchNorm2d(width)
        self.second, self.last_norm = convolution(width, width), nn.BatchNorm2d(width)
        self.shortcut = _shortcut(inside, width, stride)
        self.drop = nn.Identity() if drop is None else drop

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.drop(self.last_norm(self.second(hidden))) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions around a shortcut; the stride sits in the 3×3, as in torchvision."""

    expansion = 4

    def __init__(self, inside: int, width: int, stride: int, drop: nn.Module | None = None) -> None:
        super().__init__()
        outside = width * self.expansion
        self.first, self.first_norm = convolution(inside, width, 1), nn.BatchNorm2d(width)
        self.second, self.second_norm = convolution(width, width, 3, stride), nn.BatchNorm2d(width)
        self.third, self.last_norm = convolution(width, outside, 1), nn.BatchNorm2d(outside)
        self.shortcut = _shortcut(inside, outside, stride)
        self.drop = nn.Identity() if drop is None else drop

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.first_norm(self.first(x)))
        hidden = F.relu(self.second_norm(self.second(hidden)))
        return F.relu(self.drop(self.last_norm(self.third(hidden))) + self.shortcut(x))


class PreActivation(nn.Module):
    """Normalise and rectify before each convolution, so that the shortcut is a clean sum."""

    expansion = 1

    def __init__(self, inside: int, width: int, stride: int, drop: nn.Module | None = None) -> None:
        super().__init__()
        self.first_norm, self.first = nn.BatchNorm2d(inside), convolution(inside, width, 3, stride)
        self.second_norm, self.second = nn.BatchNorm2d(width), convolution(width, width)
        same = stride == 1 and inside == width
        self.shortcut: nn.Module = nn.Identity() if same else convolution(inside, width, 1, stride)
        self.drop = nn.Identity() if drop is None else drop

    def forward(self, x: Tensor) -> Tensor:
        ready = F.relu(self.first_norm(x))
        kept = x if isinstance(self.shortcut, nn.Identity) else self.shortcut(ready)
        hidden: Tensor = self.second(F.relu(self.second_norm(self.first(ready))))
        total: Tensor = self.drop(hidden) + kept
        return total


def initialise(net: nn.Module, generator: torch.Generator | None, zero_init: bool = False) -> None:
    """Draw the first weights; `zero_init` starts every block as the identity."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01, generator=generator)
            nn.init.zeros_(module.bias)
        elif zero_init and isinstance(module, (Basic, Bottleneck)):
            nn.init.zeros_(module.last_norm.weight)


Stem = Callable[[int, int], nn.Module]


Block = type[Basic] | type[Bottleneck] | type[PreActivation]


_PUBLISHED: dict[int, tuple[Block, tuple[int, ...]]] = {
    18: (Basic, (2, 2, 2, 2)),
    34: (Basic, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}


class ResNet(nn.Module):
    """A residual network made of `counts[i]` blocks in stage i, each stage twice as wide as the one before.

    `net(images)` maps (B, channels, H, W) to logits (B, num_classes). `net(images, tap=tap)` calls
    `features = tap(name, features)` for each name in `net.stages`, in that order: return the features
    unchanged to read them, or others of the same shape to replace them (Manifold Mixup does).

    Args:
        block: the kind of residual block.
        counts: blocks in each stage.
        num_classes: length of the logits.
        width: channels of the first stage.
        channels: channels of the images.
        stem: makes the first layers from (channels, width).
        zero_init: start every block as the identity (the last normalisation's scale at zero).
        drop: makes the module at the end of each branch from its survival; None leaves branches alone.
        drop_survival: survival of the last block; that of the others falls to it by `survivals`.
        generator: source of the initial weights; None uses torch's default one.

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
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        chances = iter(survivals(sum(counts), drop_survival))
        with quiet_draws():
            self.stem = stem(channels, width)
            # A pre-activation block normalises its own input, so the stem hands it bare convolutions.
            if block is PreActivation and isinstance(self.stem, nn.Sequential):
                self.stem = self.stem[0]
            groups, inside = [], width
            for i, count in enumerate(counts):
                outside = width * 2**i * block.expansion
                strides = [1 if i == 0 else 2] + [1] * (count - 1)
                blocks = []
                for stride in strides:
                    last = None if drop is None else drop(next(chances))
                    blocks.append(block(inside, width * 2**i, stride, last))
                    inside = outside
                groups.append(nn.Sequential(*blocks))
            self.groups = nn.ModuleList(groups)
            self.last = nn.BatchNorm2d(inside) if block is PreActivation else nn.Identity()
            self.head = nn.Linear(inside, int(num_classes))
        self.features = inside
        self.stages = ("input", "stem", *(f"stage{i + 1}" for i in range(len(counts))), "pool")
        initialise(self, generator, zero_init)

    def forward(self, images: Tensor, tap: Tap | None = None) -> Tensor:
        see = tap or pass_on
        hidden = see("stem", self.stem(see("input", images)))
        for i, group in enumerate(self.groups):
            hidden = see(f"stage{i + 1}", group(hidden))
        if not isinstance(self.last, nn.Identity):
            hidden = F.relu(self.last(hidden))
        pooled: Tensor = see("pool", hidden.mean((2, 3)))
        logits: Tensor = self.head(pooled)
        return logits


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
        channels: channels of the images, 1 for grey and 3 for colour.
        stem: `cifar_stem`, `strided_stem` (3×3, stride 2), `imagenet_stem` (7×7, stride 2, max-pool), or any
            function of (channels, width).
        zero_init: start every block as the identity.
        drop: `StochasticDepth`, `ShakeDrop` or any function from a survival to the module that ends a
            block's branch; None leaves branches alone.
        drop_survival: survival of the last block's branch; from 1 it falls to this linearly with depth.
        generator: source of the initial weights; None uses torch's default one.

    Raises:
        ValueError: a depth of neither family, a width below 1, or a survival outside (0, 1].

    Source: He et al., CVPR 2016, table 1 and section 4.2.

    >>> net = resnet(8, num_classes=10, channels=1)
    >>> net(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    >>> net.stages
    ('input', 'stem', 'stage1', 'stage2', 'stage3', 'pool')
    """
    if depth in _PUBLISHED:
        (block, counts), default = _PUBLISHED[depth], 64
    elif depth >= 8 and (depth - 2) % 6 == 0:
        block, counts, default = Basic, ((depth - 2) // 6,) * 3, 16
    else:
        raise ValueError(f"depth must be 18, 34, 50, 101 or 6n + 2 (8, 14, 20, …), got {depth!r}")
    options = {"zero_init": zero_init, "drop": drop, "drop_survival": drop_survival, "generator": generator}
    return _build(
        block, counts, default if width is None else width, num_classes, channels, stem=stem, **options
    )


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

    Args:
        depth: 18 or 34.
        num_classes, width, channels, stem, drop, drop_survival, generator: as for `resnet`.

    Raises:
        ValueError: another depth, a width below 1, or a survival outside (0, 1].

    Source: He, Zhang, Ren & Sun, *Identity Mappings in Deep Residual Networks*, ECCV 2016.

    >>> preact_resnet(18, 10, width=8)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    if depth not in (18, 34):
        raise ValueError(f"depth must be 18 or 34, got {depth!r}")
    counts = _PUBLISHED[depth][1]
    width = 64 if width is None else width
    options = {"drop": drop, "drop_survival": drop_survival, "generator": generator}
    return _build(PreActivation, counts, width, num_classes, channels, stem=stem, **options)


def parameter_count(net: nn.Module) -> int:
    """How many trainable numbers a network holds.

    >>> parameter_count(nn.Linear(3, 2))
    8
    """
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def _build(
    block: Block, counts: Sequence[int], width: int, num_classes: int, channels: int, **options: Any
) -> ResNet:
    for name, value in (("width", width), ("channels", channels), ("num_classes", num_classes)):
        if not is_count(value):
            raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return ResNet(block, counts, num_classes, width=width, channels=channels, **options)
