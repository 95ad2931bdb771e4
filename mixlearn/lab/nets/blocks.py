"""What residual networks are made of: the stems, the three kinds of block, taps and first weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Tap = Callable[[str, Tensor], Tensor]


def pass_on(name: str, features: Tensor) -> Tensor:
    """The tap of a network called without one."""
    return features


@contextmanager
def quiet_draws() -> Iterator[None]:
    """Build layers without moving torch's default generator; their weights are drawn afterwards."""
    with torch.random.fork_rng(devices=[]):
        yield


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
