"""Branches of a residual network switched off or shaken at random: stochastic depth and ShakeDrop.

Both are modules put at the end of a block's branch, before the sum with the shortcut. `resnet` and
`pyramidnet` make one for each block from `drop=StochasticDepth` or `drop=ShakeDrop`.

With `generator=None` the draws are made where the features lie, by torch's default generator of that
device, which `fit` seeds. A CPU generator, given on making or set later as the attribute `generator`,
makes them on the CPU; they are then moved to the features, the same on every device.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.core.checks import check_generator, is_count

Drop = Callable[[float], nn.Module]


def survivals(blocks: int, last: float = 0.5) -> list[float]:
    """Probability that each block's branch survives: p_l = 1 − l/L · (1 − p_L), l = 1 … L.

    Args:
        blocks: L, how many residual blocks the network has.
        last: p_L, the probability of the last one.

    Raises:
        ValueError: fewer than one block, or a probability outside (0, 1].

    Source: Huang, Sun, Liu, Sedra & Weinberger, *Deep Networks with Stochastic Depth*, ECCV 2016, eq. 4;
    Yamada et al., *ShakeDrop Regularization for Deep Residual Learning*, 2018, take the same rule.

    >>> survivals(4)
    [0.875, 0.75, 0.625, 0.5]
    """
    if not is_count(blocks):
        raise ValueError(f"blocks must be a positive integer, got {blocks!r}")
    last = _probability("the last survival", last)
    return [1 - (i + 1) / blocks * (1 - last) for i in range(blocks)]


class StochasticDepth(nn.Module):
    """Drop a branch for each image with probability 1 − `survival`; at test, scale it by `survival`.

    This is the published rule: training adds the branch whole or not at all, and the test's factor is
    the share of images that had it. torchvision and timm divide by `survival` in training instead and
    leave the branch as it is at test. The mean is the test's in both; the scale of the weights differs.

    Args:
        survival: probability p in (0, 1] that the branch stays.
        generator: source of the draws, on the CPU; None draws where the features lie.

    Raises:
        ValueError: a survival outside (0, 1], or a generator that is not on the CPU.

    Source: Huang et al., *Deep Networks with Stochastic Depth*, ECCV 2016, eqs. 2 and 5.

    >>> drop = StochasticDepth(0.5, generator=torch.Generator().manual_seed(0))
    >>> drop(torch.ones(6, 1)).flatten()
    tensor([1., 0., 1., 1., 1., 0.])
    >>> drop.eval()(torch.ones(6, 1)).flatten()
    tensor([0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000])
    """

    def __init__(self, survival: float, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        check_generator(generator)
        self.survival, self.generator = _probability("survival", survival), generator

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training:
            return branch * self.survival
        stays = _uniform(branch, len(branch), self.generator) < self.survival
        return branch * stays.to(branch.dtype)

    def extra_repr(self) -> str:
        return f"survival={self.survival:.4g}"


class ShakeDrop(nn.Module):
    """Multiply a branch by b + α − bα in training, and its gradient by b + β − bβ; at test, by `survival`.

    b is 1 with probability `survival`, one draw for the whole batch as in the published code; α is uniform
    on [−1, 1] and β on [0, 1], one draw for each image, independent of each other. So a branch that
    survives (b = 1) is used as it is, and any other goes forward by α and backward by β. The factor at
    test is the mean of b + α − bα, which is `survival`. β is drawn in the forward pass.

    Args:
        survival: probability p in (0, 1] that b is 1.
        generator: source of the draws, on the CPU; None draws where the features lie.

    Raises:
        ValueError: a survival outside (0, 1], or a generator that is not on the CPU.

    Source: Yamada, Iwamura, Akiba & Kise, *ShakeDrop Regularization for Deep Residual Learning*,
    IEEE Access 2019 (arXiv 2018), eq. 6.

    >>> drop = ShakeDrop(0.5, generator=torch.Generator().manual_seed(1))
    >>> branch = torch.ones(2, 1, requires_grad=True)
    >>> shaken = drop(branch)
    >>> shaken.sum().backward()
    >>> shaken.detach().flatten(), branch.grad.flatten()
    (tensor([-0.4414, -0.1939]), tensor([0.7347, 0.0293]))
    >>> drop.eval()(torch.ones(2, 1)).flatten()
    tensor([0.5000, 0.5000])
    """

    def __init__(self, survival: float, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        check_generator(generator)
        self.survival, self.generator = _probability("survival", survival), generator

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training:
            return branch * self.survival
        survives = _uniform(branch, 1, self.generator) < self.survival
        alpha = 2 * _uniform(branch, len(branch), self.generator) - 1
        beta = _uniform(branch, len(branch), self.generator)
        one = torch.ones_like(alpha)
        ahead, back = torch.where(survives, one, alpha), torch.where(survives, one, beta)
        shaken: Tensor = _Scale.apply(branch, ahead.to(branch.dtype), back.to(branch.dtype))
        return shaken

    def extra_repr(self) -> str:
        return f"survival={self.survival:.4g}"


class _Scale(torch.autograd.Function):
    """Multiply by one factor going forward and by another going back."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ahead: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return values * ahead

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return gradients[0] * back, None, None


def _uniform(like: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """`count` draws from [0, 1) in single precision, (count, 1, …) beside features (B, …)."""
    shape = (count,) + (1,) * (like.dim() - 1)
    where = like.device if generator is None else generator.device
    return torch.rand(shape, generator=generator, device=where, dtype=torch.float32).to(like.device)


def _probability(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value <= 1:
        raise ValueError(f"{name} must be a probability in (0, 1], got {value!r}")
    return float(value)
