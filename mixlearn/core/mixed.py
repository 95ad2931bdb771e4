"""What every mixing method returns, and the last step of each."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from mixlearn.core.plan import MixPlan


class Mixed(NamedTuple):
    """What a mixing method returns: the mixed images, their soft labels, and the plan that made both."""

    images: Tensor
    targets: Tensor | None
    plan: MixPlan


def apply_plan(plan: MixPlan, images: Tensor, labels: Tensor | None, num_classes: int | None) -> Mixed:
    """Mix and soften: the last step of every method."""
    plan = plan if plan.device == images.device else plan.to(images.device)
    targets = None if labels is None else plan.soften(labels, num_classes)
    return Mixed(plan.mix(images), targets, plan)
