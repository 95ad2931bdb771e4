"""GMix: a Gaussian spot whose size follows λ."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import check_pixels
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.plan import Mixed, MixPlan, apply_plan


def gmix(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    alpha: float = 1.0,
    lam: float | Sequence[float] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Show the image with the smaller share s under a Gaussian spot, exp(−π d² / s), the other around it.

    d is the distance from a random pixel, in units of the image's sides, so that the mean of the spot is s
    where all of it fits into the image. SmoothMix draws the width of its spot without regard to λ.

    Args:
        images, labels, num_classes, alpha, lam, partner, per_image, generator: as for `mixup`, on (…, H, W).

    Returns `Mixed(images, targets, plan)`; λ is the mean of the mask. Source: Park, Yun & Chun, *A Unified
    Analysis of Mixed Sample Data Augmentation*, NeurIPS 2022; whose the spot is, from the authors' code.

    >>> plan = gmix(torch.rand(2, 1, 9, 9), lam=0.7, generator=torch.Generator().manual_seed(0)).plan
    >>> plan.masks[0, 0].min(), bool(plan.lam[0] >= 0.7)                # the spot is cut off at the border
    (tensor(0.), True)
    """
    size = check_pixels(images)
    partner, share = given_or_drawn(lam, partner, len(images), alpha, per_image, generator)
    share = share.cpu()  # where masks are made, so a λ given on an accelerator is read once
    small = torch.minimum(share, 1 - share).float().view(-1, 1, 1)
    (y, x), rows, columns = torch.rand(2, len(share), 1, generator=generator), *map(torch.arange, size)
    down = ((rows - (y * size[0]).floor()) / size[0]).square()  # (n, H)
    across = ((columns - (x * size[1]).floor()) / size[1]).square()
    spot = torch.exp(-math.pi * (down[:, :, None] + across[:, None, :]) / small.clamp_min(1e-9))
    spot = spot * (small > 0)  # (n, H, W)
    masks = torch.where(share.view(-1, 1, 1) < 0.5, spot, 1 - spot)[:, None]
    return apply_plan(MixPlan.masked(partner, masks, share), images, labels, num_classes)
