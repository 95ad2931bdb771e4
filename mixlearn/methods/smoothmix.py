"""SmoothMix: a soft round spot of the partner, so that no edge tells where it was pasted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import check_pixels
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.plan import Mixed, MixPlan, apply_plan


def smoothmix(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    spread: tuple[float, float] = (0.25, 0.5),
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    inverted: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Blend the partner in under a Gaussian spot at a random place; λ is the mean of what is left.

    Args:
        images, labels, num_classes, partner, per_image, generator: as for `mixup`, on (B, …, H, W).
        spread: the spot's standard deviation is drawn uniformly between these shares of each side.
        inverted: give each label the other's share, as a widely used implementation does. For study.

    Source: Lee et al., *SmoothMix: a Simple Yet Effective Data Augmentation to Train Robust Classifiers*,
    CVPR Workshops 2020.

    >>> mixed = smoothmix(torch.zeros(2, 1, 9, 9), generator=torch.Generator().manual_seed(0))
    >>> bool((mixed.plan.masks[0].mean((1, 2, 3)) == mixed.plan.lam).all())
    True
    """
    height, width = check_pixels(images)
    batch = images.shape[0]
    least, most = spread
    if not 0 < least <= most:
        raise ValueError(f"spread must satisfy 0 < least ≤ most, got {spread}")
    partner, _ = given_or_drawn(1.0, partner, batch, 1.0, per_image, generator)
    n = batch if per_image else 1
    sigma = least + (most - least) * torch.rand(n, 1, generator=generator)
    centre = torch.rand(2, n, 1, generator=generator)
    down, across = (
        torch.exp(-0.5 * ((torch.arange(size) - centre[k] * (size - 1)) / (sigma * size)).square())
        for k, size in enumerate((height, width))
    )  # (n, H) and (n, W): a Gaussian is a product of two
    masks = (1 - down[:, :, None] * across[:, None, :])[:, None]
    plan = MixPlan.masked(partner, masks)
    if inverted:
        plan = MixPlan(plan.sources, plan.masks, plan.weights.flip(0), None, plan.lam)
    return apply_plan(plan, images, labels, num_classes)
