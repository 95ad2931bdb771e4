"""PyramidNet: a residual network whose width grows a little with every block."""

from __future__ import annotations

from numbers import Real

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import is_count
from mixlearn.nets.drops import Drop, survivals
from mixlearn.nets.resnet import convolution, initialise
from mixlearn.nets.taps import Tap, pass_on, quiet_draws

_STEM = 16


class PyramidBlock(nn.Module):
    """Normalised before, between and after its convolutions, with a rectifier between them only.

    The shortcut has no weights: 2×2 averages where the stride is 2, then channels of zeros.
    """

    def __init__(
        self, inside: int, width: int, stride: int, bottleneck: bool, drop: nn.Module | None = None
    ) -> None:
        super().__init__()
        if bottleneck:
            outside = 4 * width
            layers = [convolution(inside, width, 1), convolution(width, width, 3, stride)]
            layers.append(convolution(width, outside, 1))
        else:
            outside = width
            layers = [convolution(inside, width, 3, stride), convolution(width, width)]
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(
            [nn.BatchNorm2d(n) for n in (inside, *[width] * (len(layers) - 1), outside)]
        )
        self.stride, self.extra = stride, outside - inside
        self.drop = nn.Identity() if drop is None else drop

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.layers[0](self.norms[0](x))
        for layer, norm in zip(self.layers[1:], self.norms[1:], strict=False):
            hidden = layer(F.relu(norm(hidden)))
        hidden = self.drop(self.norms[-1](hidden))
        # An odd size is rounded up, as by the convolution.
        kept = F.avg_pool2d(x, 2, ceil_mode=True) if self.stride == 2 else x
        total: Tensor = hidden + F.pad(kept, (0, 0, 0, 0, 0, self.extra))
        return total


class PyramidNet(nn.Module):
    """Three stages of `blocks` blocks; see `pyramidnet`. Its taps are those of `ResNet`.

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
        super().__init__()
        chances = survivals(3 * blocks, drop_survival)
        with quiet_draws():
            self.stem = nn.Sequential(convolution(channels, _STEM), nn.BatchNorm2d(_STEM))
            made, inside = [], _STEM
            for k in range(3 * blocks):
                width = round(_STEM + alpha * (k + 1) / (3 * blocks))
                stride = 2 if k in (blocks, 2 * blocks) else 1
                last = None if drop is None else drop(chances[k])
                made.append(PyramidBlock(inside, width, stride, bottleneck, last))
                inside = 4 * width if bottleneck else width
            self.groups = nn.ModuleList(
                [nn.Sequential(*made[i * blocks : (i + 1) * blocks]) for i in range(3)]
            )
            self.last = nn.BatchNorm2d(inside)
            self.head = nn.Linear(inside, int(num_classes))
        self.features = inside
        self.stages = ("input", "stem", "stage1", "stage2", "stage3", "pool")
        initialise(self, generator)
        # The published network keeps torch's own first weights of the last layer.
        for values in (self.head.weight, self.head.bias):
            nn.init.uniform_(values, -(inside**-0.5), inside**-0.5, generator=generator)

    def forward(self, images: Tensor, tap: Tap | None = None) -> Tensor:
        see = tap or pass_on
        hidden = see("stem", self.stem(see("input", images)))
        for i, group in enumerate(self.groups):
            hidden = see(f"stage{i + 1}", group(hidden))
        pooled: Tensor = see("pool", F.relu(self.last(hidden)).mean((2, 3)))
        logits: Tensor = self.head(pooled)
        return logits


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
        num_classes: length of the logits.
        alpha: by how many channels the blocks widen from the first to the last, in all.
        bottleneck: 1×1, 3×3 and 1×1 convolutions in place of two 3×3; the output is four times the width.
        channels: channels of the images, 1 for grey and 3 for colour.
        drop: `StochasticDepth`, `ShakeDrop` or any function from a survival to the module that ends a
            block's branch; None leaves branches alone.
        drop_survival: survival of the last block's branch; from 1 it falls to this linearly with depth.
        generator: source of the initial weights; None uses torch's default one.

    Raises:
        ValueError: a depth not of the family, a negative α, or a survival outside (0, 1].

    Source: Han, Kim & Kim, *Deep Pyramidal Residual Networks*, CVPR 2017, section 4; Yun et al., *CutMix*,
    ICCV 2019, section 4.2.

    >>> net = pyramidnet(11, 10, alpha=6)
    >>> net(torch.zeros(2, 3, 32, 32)).shape, net.features
    (torch.Size([2, 10]), 88)
    >>> [round(sum(p.numel() for p in group.parameters()) / 1000) for group in net.groups]
    [5, 7, 8]
    """
    layers = 9 if bottleneck else 6
    if not is_count(depth, layers + 2) or (depth - 2) % layers:
        kind = "with bottlenecks" if bottleneck else "without bottlenecks"
        raise ValueError(
            f"depth must be {layers}n + 2 {kind} ({layers + 2}, {2 * layers + 2}, …), got {depth!r}"
        )
    if isinstance(alpha, bool) or not isinstance(alpha, Real) or not 0 <= alpha < float("inf"):
        raise ValueError(f"alpha must be a finite number of at least 0, got {alpha!r}")
    for name, value in (("channels", channels), ("num_classes", num_classes)):
        if not is_count(value):
            raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return PyramidNet(
        (depth - 2) // layers,
        num_classes,
        alpha=alpha,
        bottleneck=bottleneck,
        channels=channels,
        drop=drop,
        drop_survival=drop_survival,
        generator=generator,
    )
