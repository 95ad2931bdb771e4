"""A batch in which each image is mixed by a plan of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.fast import Fill
from mixlearn.core.plan import MixPlan


class EachPlan(MixPlan):
    """A plan in which image i is mixed by `plans[chosen[i]]`, plans of any kind for the whole batch."""

    plans: tuple[MixPlan, ...]
    chosen: Tensor
    _stay: ClassVar[tuple[str, ...]] = ("chosen",)

    def __init__(self, plans: Sequence[MixPlan], chosen: Tensor) -> None:
        if not plans or any(len(plan) != len(chosen) for plan in plans):
            sizes = [len(plan) for plan in plans]
            raise ValueError(f"plans must be one or more for {len(chosen)} images, got {sizes}")
        self._set(plans=tuple(plans), chosen=chosen)

    def to(self, device: torch.device | str) -> EachPlan:
        """The same plan on another device."""
        return super().to(device)._set(plans=tuple(plan.to(device) for plan in self.plans))

    def __len__(self) -> int:
        return len(self.chosen)

    @cached_property
    def sources(self) -> Tensor:
        """(K, B), K the most parts of any plan; an image with fewer has itself in the rest, with share 0."""
        own = torch.arange(len(self), device=self.plans[0].device).expand(self._parts, -1)
        padded = [torch.cat([plan.sources, own[len(plan.sources) :]]) for plan in self.plans]
        return each(padded, self.chosen, 1)

    @cached_property
    def weights(self) -> Tensor:
        """(K, B): the shares of the labels."""
        return each([self._padded(plan.weights) for plan in self.plans], self.chosen, 1)

    @cached_property
    def masks(self) -> Tensor:
        """(K, B, 1, H, W), or (K, B, 1, 1, 1) where all plans have constant masks."""
        height, width = (max(plan.masks.shape[k] for plan in self.plans) for k in (-2, -1))
        shape = (self._parts, len(self), 1, height, width)
        return each([self._padded(plan.masks).expand(shape) for plan in self.plans], self.chosen, 1)

    @cached_property
    def lam_drawn(self) -> Tensor:
        """(B,): the λ that was drawn for each image."""
        drawn = [plan.lam if plan.lam_drawn is None else plan.lam_drawn for plan in self.plans]
        return each(drawn, self.chosen)

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """Each image mixed by its own plan; (B, …, H, W) of what all plans can mix."""
        return each([plan.mix(images, fill=fill) for plan in self.plans], self.chosen)

    def describe(self, i: int, names: Sequence[str] | None = None) -> str:
        """Mixture i in one sentence, as its own plan puts it."""
        plan = self.plans[int(self.chosen[i])] if -len(self) <= i < len(self) else self.plans[0]
        return plan.changed(weights=self.weights[: len(plan.sources)]).describe(i, names)

    @property
    def _parts(self) -> int:
        return max(len(plan.sources) for plan in self.plans)

    def _padded(self, values: Tensor) -> Tensor:
        """values (k, …) with zeros up to (K, …)."""
        return F.pad(values, (0, 0) * (values.dim() - 1) + (0, self._parts - len(values)))


def each(values: Sequence[Tensor], chosen: Tensor, dim: int = 0) -> Tensor:
    """From several tensors of one shape, for each place i along a dimension that of `values[chosen[i]]`."""
    out = values[0]
    for k, other in enumerate(values[1:], 1):
        here = (chosen == k).to(other.device, non_blocking=True)
        out = torch.where(here.view(*(1,) * dim, -1, *(1,) * (other.dim() - dim - 1)), other, out)
    return out
