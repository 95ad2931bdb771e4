"""HMix: a box of the partner in a blend of both, between Mixup and CutMix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import check_pixels, check_range
from mixlearn.core.draw import boxes_for, given_or_drawn
from mixlearn.core.fast import inside_boxes
from mixlearn.core.plan import Mixed, MixPlan, apply_plan


def hmix(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    alpha: float = 1.0,
    ratio: float = 0.5,
    lam: float | Sequence[float] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Paste a box of the partner, and blend outside it so that the image keeps a share λ of the whole.

    Args:
        images, labels, num_classes, alpha, lam, partner, per_image, generator: as for `mixup`, on (…, H, W).
        ratio: r in [0, 1]; the box has the share r (1 − λ), less where it is clipped; then the rest
            is blended, so that λ is kept. 0 is Mixup; 1 is CutMix where the box is whole.

    Returns `Mixed(images, targets, plan)`. Source: Park, Yun & Chun, *A Unified Analysis of Mixed Sample Data
    Augmentation: A Loss Function Perspective*, NeurIPS 2022; clipped boxes as in the authors' code.

    >>> images = torch.tensor([0., 8.]).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    >>> mixed = hmix(images, lam=0.5, partner=[1, 0], generator=torch.Generator().manual_seed(0))
    >>> mixed.images[0].unique(), mixed.plan.lam[0]                 # the blend and the box; λ is kept
    (tensor([2.6667, 8.0000]), tensor(0.5000))
    """
    size = check_pixels(images)
    check_range("[0, 1]", ratio=ratio)
    partner, share = given_or_drawn(lam, partner, len(images), alpha, per_image, generator)
    share = share.cpu()  # where boxes are made, so a λ given on an accelerator is read once
    outside = 1 - inside_boxes(boxes_for(1 - ratio * (1 - share), *size, generator), *size).float()
    blend = share / outside.mean((1, 2)).clamp_min(1e-9)
    masks = outside[:, None] * blend.clamp(max=1).float().view(-1, 1, 1, 1)  # (n, 1, H, W)
    return apply_plan(MixPlan.masked(partner, masks, share), images, labels, num_classes)
