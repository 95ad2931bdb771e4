"""Networks whose inner features can be read or changed: residual networks here, a ViT and an MLP beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.scalars import is_count
from mixlearn.lab.nets.blocks import (
    Basic,
    Bottleneck,
    PreActivation,
    Tap,
    cifar_stem,
    imagenet_stem,
    initialise,
    pass_on,
    quiet_draws,
    strided_stem,
)
from mixlearn.lab.nets.drops import Drop, ShakeDrop, StochasticDepth, survivals
from mixlearn.lab.nets.plane import MLP, mlp
from mixlearn.lab.nets.pyramid import PyramidNet, pyramidnet
from mixlearn.lab.nets.tapped import Tapped, torchvision_resnet
from mixlearn.lab.nets.transformer import ViT, vit
from mixlearn.lab.nets.wide import Staged, resnext, wide_resnet

__all__ = [
    "MLP",
    "PyramidNet",
    "ResNet",
    "ShakeDrop",
    "Staged",
    "StochasticDepth",
    "Tap",
    "Tapped",
    "ViT",
    "cifar_stem",
    "imagenet_stem",
    "mlp",
    "parameter_count",
    "preact_resnet",
    "pyramidnet",
    "resnet",
    "resnext",
    "strided_stem",
    "torchvision_resnet",
    "vit",
    "wide_resnet",
]

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
