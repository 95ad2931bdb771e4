"""Remix: where classes are uneven, the label of a mixture may go to the rarer class whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mixlearn.core.checks import check_range
from mixlearn.core.plan import Mixed
from mixlearn.methods.learner import Mix
from mixlearn.methods.mixup import mixup
from mixlearn.methods.unimix import Counts, counts_of


def remix(
    images: Tensor,
    labels: Tensor,
    *,
    counts: Counts,
    num_classes: int | None = None,
    mix: Mix = mixup,
    kappa: float = 3.0,
    tau: float = 0.5,
    generator: torch.Generator | None = None,
    **options: Any,
) -> Mixed:
    """Mix by any method of two parts; the rarer class gets all of the label where it is much rarer.

    With nᵢ and nⱼ training images of the two classes and λ the image's own share, the label's share is

        0 if nᵢ ≥ κ nⱼ and λ < τ,        1 if nⱼ ≥ κ nᵢ and 1 − λ < τ,        else λ

    Args:
        images: (B, …), as `mix` takes them. labels: (B,) class ids.
        counts: (C,) images of each class in the training set. num_classes: C, not needed.
        mix: `mix(images, generator=…, **options)` → `Mixed`, such as `ml.cutmix`.
        kappa: κ, at least 1. tau: τ in [0, 1]; 0 changes no label. The paper takes 3 and 0.5.

    Returns `Mixed(images, targets, plan)`; `plan.lam` is the label's share, `plan.masks` the images'.
    Source: Chou et al., *Remix: Rebalanced Mixup*, ECCV 2020 workshops.
    Raises ValueError for κ below 1, τ outside [0, 1], counts that do not fit, or a mixture of more than two.

    >>> images, labels = torch.rand(2, 3, 4, 4), torch.tensor([0, 1])
    >>> remix(images, labels, counts=[90, 10], lam=[0.4, 0.6], partner=[1, 0]).targets
    tensor([[0., 1.],
            [0., 1.]])
    """
    check_range("[1, inf)", kappa=kappa)
    check_range("[0, 1]", tau=tau)
    size, classes = counts_of(labels, counts, num_classes)
    mixed = mix(images, generator=generator, **options)
    plan = mixed.plan
    if len(plan.sources) != 2:
        raise ValueError(f"mix must make plans of two parts, got {len(plan.sources)}")
    own, other = size[plan.sources]  # (B,) each
    gives, takes = (own >= kappa * other) & (plan.lam < tau), (other >= kappa * own) & (1 - plan.lam < tau)
    weights = plan.weights.masked_fill(torch.stack([gives, takes]), 0)
    plan = plan.changed(weights=weights.masked_fill(torch.stack([takes, gives]), 1))
    return Mixed(mixed.images, plan.soften(labels, classes), plan)
