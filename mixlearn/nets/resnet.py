"""Residual networks for small images: ResNet, pre-activation ResNet, PyramidNet; and torchvision's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import as_count, check_positive, is_count
from mixlearn.core.extras import need
from mixlearn.nets.drops import Drop, survivals
from mixlearn.nets.taps import Tap, Tapped, initialise, pass_on, quiet_draws

Stem = Callable[[int, int], nn.Module]


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

    expansion = 1

    def __init__(self, inside: int, width: int, stride: int, drop: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.first_norm = convolution(inside, width, 3, stride), nn.BatchNorm2d(width)
        self.second, self.last_norm = convolution(width, width), nn.BatchNorm2d(width)
        self.shortcut = _shortcut(inside, width, stride)
        self.drop = drop or nn.Identity()

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
        self.drop = drop or nn.Identity()

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
        self, inside: int, width: int, stride: int, bottleneck: bool, drop: nn.Module | None = None
    ) -> None:
        super().__init__()
        outside = 4 * width if bottleneck else width
        if bottleneck:
            shapes = [(inside, width, 1, 1), (width, width, 3, stride), (width, outside, 1, 1)]
        else:
            shapes = [(inside, width, 3, stride), (width, width, 3, 1)]
        self.layers = nn.ModuleList(convolution(*shape) for shape in shapes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in (*(shape[0] for shape in shapes), outside))
        self.stride, self.extra = stride, outside - inside
        self.drop = drop or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.layers[0](self.norms[0](x))
        for layer, norm in zip(self.layers[1:], self.norms[1:], strict=False):
            hidden = layer(F.relu(norm(hidden)))
        hidden = self.drop(self.norms[-1](hidden))
        # An odd size is rounded up, as by the convolution.
        kept = F.avg_pool2d(x, 2, ceil_mode=True) if self.stride == 2 else x
        total: Tensor = hidden + F.pad(kept, (0, 0, 0, 0, 0, self.extra))
        return total


class Residual(nn.Module):
    """A stem, groups of blocks, perhaps a last normalisation, and a linear head.

    `net(images)` maps (B, channels, H, W) to logits (B, num_classes). `net(images, tap=tap)` calls
    `features = tap(name, features)` for each name in `net.stages`, in that order: return the features
    unchanged to read them, or others of the same shape to replace them (Manifold Mixup does).
    """

    def __init__(
        self,
        stem: nn.Module,
        groups: Sequence[Sequence[nn.Module]],
        last: bool,
        features: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.groups = nn.ModuleList(nn.Sequential(*blocks) for blocks in groups)
        self.last = nn.BatchNorm2d(features) if last else nn.Identity()
        self.head = nn.Linear(features, int(num_classes))
        self.features = features
        self.stages = ("input", "stem", *(f"stage{i + 1}" for i in range(len(groups))), "pool")

    def forward(self, images: Tensor, tap: Tap | None = None) -> Tensor:
        tap = tap or pass_on
        hidden = tap("stem", self.stem(tap("input", images)))  # (B, width, H, W)
        for i, group in enumerate(self.groups):
            hidden = tap(f"stage{i + 1}", group(hidden))
        if not isinstance(self.last, nn.Identity):
            hidden = F.relu(self.last(hidden))
        logits: Tensor = self.head(tap("pool", hidden.mean((2, 3))))  # (B, features) → (B, classes)
        return logits


Block = type[Basic] | type[Bottleneck] | type[PreActivation]
_PUBLISHED: dict[int, tuple[Block, tuple[int, ...]]] = {
    18: (Basic, (2, 2, 2, 2)),
    34: (Basic, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}


class ResNet(Residual):
    """A residual network made of `counts[i]` blocks in stage i, each stage twice as wide as the one before.

    Args:
        block: the kind of residual block.
        counts: blocks in each stage.
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
        generator: torch.Generator | None = None,
    ) -> None:
        check_positive(width=width, channels=channels, num_classes=num_classes)
        chances = iter(survivals(sum(counts), drop_survival))
        with quiet_draws():
            first, bare = stem(channels, width), block is PreActivation
            if bare and isinstance(first, nn.Sequential):  # such a block normalises its own input
                first = first[0]
            groups: list[list[nn.Module]] = []
            inside = width
            for i, count in enumerate(counts):
                groups.append([])
                for j in range(count):
                    end = None if drop is None else drop(next(chances))
                    groups[i].append(block(inside, width * 2**i, 2 if i and not j else 1, end))
                    inside = width * 2**i * block.expansion
            super().__init__(first, groups, bare, inside, num_classes)
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
    if depth in _PUBLISHED:
        (block, counts), default = _PUBLISHED[depth], 64
    elif depth >= 8 and (depth - 2) % 6 == 0:
        block, counts, default = Basic, ((depth - 2) // 6,) * 3, 16
    else:
        raise ValueError(f"depth must be 18, 34, 50, 101 or 6n + 2 (8, 14, 20, …), got {depth!r}")
    options: dict[str, Any] = {"drop": drop, "drop_survival": drop_survival, "generator": generator}
    options |= {"width": default if width is None else width, "channels": channels, "stem": stem}
    return ResNet(block, counts, num_classes, zero_init=zero_init, **options)


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

    Source: He, Zhang, Ren & Sun, *Identity Mappings in Deep Residual Networks*, ECCV 2016.

    >>> preact_resnet(18, 10, width=8)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    if depth not in (18, 34):
        raise ValueError(f"depth must be 18 or 34, got {depth!r}")
    options: dict[str, Any] = {"drop": drop, "drop_survival": drop_survival, "generator": generator}
    options |= {"width": 64 if width is None else width, "channels": channels, "stem": stem}
    return ResNet(PreActivation, _PUBLISHED[depth][1], num_classes, **options)


class PyramidNet(Residual):
    """Three stages of `blocks` blocks that widen step by step; other arguments as for `pyramidnet`.

    The width of block k of all 3 · `blocks` is 16 + k · α / (3 · `blocks`), rounded when it is used.

    Source: Han, Kim & Kim, *Deep Pyramidal Residual Networks*, CVPR 2017, eq. 3 and figure 6d.
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
        check_positive(blocks=blocks, channels=channels, num_classes=num_classes)
        chances, count, inside = survivals(3 * blocks, drop_survival), 3 * blocks, 16
        with quiet_draws():
            stem = nn.Sequential(convolution(channels, inside), nn.BatchNorm2d(inside))
            groups: list[list[nn.Module]] = [[], [], []]
            for k in range(count):
                width = round(16 + alpha * (k + 1) / count)
                end = None if drop is None else drop(chances[k])
                block = PyramidBlock(inside, width, 2 if k in (blocks, 2 * blocks) else 1, bottleneck, end)
                groups[k // blocks].append(block)
                inside = 4 * width if bottleneck else width
            super().__init__(stem, groups, True, inside, num_classes)
        initialise(self, generator)
        # The published network keeps torch's own first weights of the last layer.
        for values in (self.head.weight, self.head.bias):
            nn.init.uniform_(values, -(inside**-0.5), inside**-0.5, generator=generator)


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
        alpha: by how many channels the blocks widen from the first to the last, in all.
        bottleneck: 1×1, 3×3 and 1×1 convolutions in place of two 3×3; the output is four times the width.
        num_classes, channels, drop, drop_survival, generator: as for `resnet`.

    Source: Han, Kim & Kim, *Deep Pyramidal Residual Networks*, CVPR 2017, section 4; Yun et al., *CutMix*,
    ICCV 2019, section 4.2.

    >>> net = pyramidnet(11, 10, alpha=6)
    >>> net(torch.zeros(2, 3, 32, 32)).shape, net.features
    (torch.Size([2, 10]), 88)
    """
    layers = 9 if bottleneck else 6
    if not is_count(depth, layers + 2) or (depth - 2) % layers:
        family = f"{layers}n + 2 {'with' if bottleneck else 'without'} bottlenecks"
        raise ValueError(f"depth must be {family} ({layers + 2}, {2 * layers + 2}, …), got {depth!r}")
    if isinstance(alpha, bool) or not isinstance(alpha, Real) or not 0 <= alpha < float("inf"):
        raise ValueError(f"alpha must be a finite number of at least 0, got {alpha!r}")
    options: dict[str, Any] = {"drop": drop, "drop_survival": drop_survival, "generator": generator}
    shape: dict[str, Any] = {"alpha": alpha, "bottleneck": bottleneck, "channels": channels}
    return PyramidNet((depth - 2) // layers, num_classes, **shape, **options)


def torchvision_resnet(
    name: str = "resnet18",
    num_classes: int = 1000,
    *,
    weights: str | None = "IMAGENET1K_V1",
    generator: torch.Generator | None = None,
) -> Tapped:
    """One of torchvision's residual networks, trained on ImageNet, with a new head and with taps.

    Args:
        name: torchvision's, such as "resnet50", "resnext50_32x4d" or "wide_resnet50_2".
        num_classes: length of the logits.
        weights: torchvision's name of the weights, which are downloaded once; None starts anew.
        generator: source of the new weights; None uses torch's default one.

    Raises:
        ValueError: a name or weights that torchvision does not know, or a network of another kind.
        ConnectionError: the weights could not be downloaded; the message says where they belong.

    >>> net = torchvision_resnet("resnet18", 5, weights=None)
    >>> net(torch.zeros(2, 3, 32, 32)).shape, net.features
    (torch.Size([2, 5]), 512)
    """
    models = need("torchvision.models", "a network of torchvision")
    seed = int(torch.randint(2**62, (), generator=generator))
    with quiet_draws():
        torch.manual_seed(seed)
        try:
            net = models.get_model(name, weights=weights)
        except KeyError as unknown:
            raise ValueError(f"{name} has no weights {weights!r}") from unknown
        except OSError as problem:
            raise ConnectionError(
                f"the weights {weights!r} of {name} could not be had ({problem}); put their file into "
                f"{torch.hub.get_dir()}/checkpoints, or start anew with weights=None"
            ) from problem
        if not isinstance(net, models.ResNet):
            raise ValueError(f"name must be one of torchvision's residual networks, got {name!r}")
        net.fc = nn.Linear(net.fc.in_features, as_count(num_classes, "num_classes", 1))
    initialise(net.fc, generator)
    return Tapped(net)


def parameter_count(net: nn.Module) -> int:
    """How many trainable numbers a network holds.

    >>> parameter_count(nn.Linear(3, 2))
    8
    """
    return sum(p.numel() for p in net.parameters() if p.requires_grad)
