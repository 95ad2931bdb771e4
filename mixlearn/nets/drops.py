"""Branches of a residual network switched off or shaken at random: stochastic depth and ShakeDrop.

Both are modules put at the end of a block's branch, before the sum with the shortcut. `resnet` makes one for
each block from `drop=StochasticDepth` or `drop=ShakeDrop`.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.core.checks import check_generator

Drop = Callable[[float], nn.Module]


def survivals(blocks: int, last: float = 0.5) -> list[float]:
    """Probability that each block's branch survives: p_l = 1 − l/L · (1 − p_L), l = 1 … L.

    Source: Huang et al., *Deep Networks with Stochastic Depth*, ECCV 2016, eq. 4.

    >>> survivals(4)
    [0.875, 0.75, 0.625, 0.5]
    """
    last = _probability("the last survival", last)
    return [1 - (i + 1) / blocks * (1 - last) for i in range(blocks)]


class StochasticDepth(nn.Module):
    """Drop a branch for each image with probability 1 − `survival`; at test, scale it by `survival`.

    This is the published rule. torchvision and timm divide by `survival` in training instead and leave the
    branch as it is at test, so the scale of the weights differs.

    Args:
        survival: probability p in (0, 1] that the branch stays.
        generator: source of the draws, on the CPU; None draws where the features lie, by torch's default one.
            It may be set later, as an attribute.

    Source: Huang et al., *Deep Networks with Stochastic Depth*, ECCV 2016, eqs. 2 and 5.

    >>> drop = StochasticDepth(0.5, generator=torch.Generator().manual_seed(0))
    >>> drop(torch.ones(6, 1)).flatten(), drop.eval()(torch.ones(1))
    (tensor([1., 0., 1., 1., 1., 0.]), tensor([0.5000]))
    """

    def __init__(self, survival: float, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        check_generator(generator)
        self.survival, self.generator = _probability("survival", survival), generator

    def forward(self, branch: Tensor) -> Tensor:
        return self._drawn(branch) if self.training else branch * self.survival

    def _drawn(self, branch: Tensor) -> Tensor:
        stays = self._uniform(branch, len(branch)) < self.survival  # (B, 1, …)
        return branch * stays.to(branch.dtype)

    def _uniform(self, like: Tensor, count: int) -> Tensor:
        """`count` draws from [0, 1) in single precision, (count, 1, …) beside features (B, …)."""
        shape = (count,) + (1,) * (like.dim() - 1)
        where = like.device if self.generator is None else self.generator.device
        return torch.rand(shape, generator=self.generator, device=where, dtype=torch.float32).to(like.device)

    def extra_repr(self) -> str:
        return f"survival={self.survival:.4g}"


class ShakeDrop(StochasticDepth):
    """Multiply a branch by b + α − bα in training, and its gradient by b + β − bβ; at test, by `survival`.

    b is 1 with probability `survival`, one draw for the whole batch as in the published code; α is uniform
    on [−1, 1] and β on [0, 1], each drawn for each image in the forward pass. A branch that survives, b = 1,
    is used as it is, and any other goes forward by α and backward by β.

    Args:
        survival: probability p in (0, 1] that b is 1.
        generator: as for `StochasticDepth`.

    Source: Yamada, Iwamura, Akiba & Kise, *ShakeDrop Regularization for Deep Residual Learning*,
    IEEE Access 2019 (arXiv 2018), eq. 6.

    >>> ShakeDrop(0.5, generator=torch.Generator().manual_seed(1))(torch.ones(2, 1)).flatten()
    tensor([-0.4414, -0.1939])
    """

    def _drawn(self, branch: Tensor) -> Tensor:
        survives = self._uniform(branch, 1) < self.survival  # (1, 1, …)
        alpha = 2 * self._uniform(branch, len(branch)) - 1  # (B, 1, …)
        beta = self._uniform(branch, len(branch))
        ahead, back = (torch.where(survives, torch.ones_like(one), one) for one in (alpha, beta))
        shaken: Tensor = _Scale.apply(branch, ahead.to(branch.dtype), back.to(branch.dtype))
        return shaken


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


def _probability(name: str, value: float) -> float:
    if not isinstance(value, Real) or not 0 < value <= 1:
        raise ValueError(f"{name} must be a probability in (0, 1], got {value!r}")
    return float(value)
