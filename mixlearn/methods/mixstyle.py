"""MixStyle: means and deviations of features mixed, so that a network relies less on style."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import check_pixels
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.plan import Mixed, apply_plan
from mixlearn.methods.moex import MomentPlan


def mixstyle(
    features: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    alpha: float = 0.1,
    lam: float | Sequence[float] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Mix moments: (λ σᵢ + (1 − λ) σⱼ) (xᵢ − μᵢ) / σᵢ + λ μᵢ + (1 − λ) μⱼ; labels stay.

    μ and σ are over the places, one of each for every channel. As in `moex` this is not the one formula.

    Args:
        features, labels, num_classes, partner, generator: as for `moex`. The authors mix after two stages,
            each with probability ½; `MixingInside(RandomMix([ml.mixstyle], p=0.5), stages)` draws one stage.
        alpha, lam: each image draws its λ from Beta(α, α), or λ in [0, 1] is given, one or (B,).

    Returns `Mixed(features, targets, plan)`. Gradients take moments as constants. Source: Zhou et al.,
    *Domain Generalization with MixStyle*, ICLR 2021.

    >>> features = torch.tensor([[1., 3.], [11., 51.]]).view(2, 1, 1, 2)
    >>> mixstyle(features, lam=0.5, partner=[1, 0]).images.flatten(1).round()
    tensor([[ 6., 27.],
            [ 6., 27.]])
    """
    if features.dim() != 4 or features[0, 0].numel() < 2:
        raise ValueError(f"features must be (B, C, H, W) with 2 places or more, got {[*features.shape]}")
    check_pixels(features)
    partner, own = given_or_drawn(lam, partner, len(features), alpha, True, generator)
    plan = MomentPlan(partner, torch.ones(len(features)), own, (-2, -1), True)
    return apply_plan(plan, features, labels, num_classes)
