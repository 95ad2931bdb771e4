"""A mixture in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mixlearn.core.plan import MixPlan


def sentence(plan: MixPlan, i: int, names: Sequence[str] | None = None) -> str:
    """Mixture i of a plan in one sentence; see `MixPlan.describe`."""
    if not -len(plan) <= i < len(plan):
        raise IndexError(f"i must lie in 0…{len(plan) - 1} for {len(plan)} mixtures, got {i}")
    if names is not None and len(names) != len(plan):
        raise ValueError(f"names must hold one name for each of {len(plan)} images, got {len(names)}")
    shares: dict[str, float] = {}
    for source, weight in zip(plan.sources[:, i].tolist(), plan.weights[:, i].tolist(), strict=True):
        name = f"image {source}" if names is None else str(names[source])
        shares[name] = shares.get(name, 0.0) + weight
    said = " + ".join(f"{round(100 * share)} % {name}" for name, share in shares.items())
    if plan.boxes is not None:
        x0, y0, x1, y1 = plan.boxes[i].tolist()
        said += f", box x {x0}–{x1}, y {y0}–{y1}"
    return said
