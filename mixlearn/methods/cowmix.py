"""CowMix: spots like those of a cow, from smoothed noise above a threshold."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import as_lam, check_pixels, check_range
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.plan import Mixed, MixPlan, apply_plan


def cowmix(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    share: tuple[float, float] = (0.2, 0.8),
    sigma: tuple[float, float] = (4.0, 16.0),
    lam: float | Sequence[float] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Keep the image where Gaussian noise, smoothed, is low, and take the rest from the partner.

    Args:
        images, labels, num_classes, partner, per_image, generator: as for `mixup`, on (B, …, H, W).
        share: λ is drawn uniformly between these two.
        sigma: the width of the smoothing in pixels is drawn between these two, its logarithm uniformly. The
            authors' code takes 4 to 16 on images of 32 pixels.
        lam: λ in [0, 1], one for the batch or (B,), instead of a draw.

    Returns `Mixed(images, targets, plan)`. The threshold is the λ-quantile of a normal distribution with the
    mean and deviation of the smoothed noise, so the mask keeps about λ of the pixels; `plan.lam` is what it
    keeps, `plan.lam_drawn` is λ. Source: French, Oliver & Salimans, *Milking CowMask for Semi-Supervised
    Image Classification*, 2020; ranges and the border, beyond which noise is 0, from the authors' code.
    Raises ValueError for a share outside [0, 1], a size that is not above 0, or bounds in the wrong order.

    >>> mixed = cowmix(torch.rand(8, 3, 32, 32), lam=0.6, generator=torch.Generator().manual_seed(0))
    >>> mixed.plan.masks[0].unique(), bool((mixed.plan.lam - 0.6).abs().max() < 0.15)
    (tensor([0., 1.]), True)
    """
    size, batch = check_pixels(images), len(images)
    for name, (least, most) in (("share", share), ("sigma", sigma)):
        check_range("[0, 1]" if name == "share" else "(0, inf)", **{name: least})
        check_range(f"[{least}, {1 if name == 'share' else 'inf'}]", **{name: most})
    partner, given = given_or_drawn(1.0 if lam is None else lam, partner, batch, 1.0, per_image, generator)
    n = batch if per_image else len(given)
    low, high = share
    drawn = low + (high - low) * torch.rand(n, generator=generator) if lam is None else as_lam(given, n).cpu()
    width = sigma[0] * (sigma[1] / sigma[0]) ** torch.rand(n, generator=generator)
    field = torch.randn(n, *size, generator=generator)
    steps = (
        (line := torch.arange(side))[:, None] - line for side in size
    )  # from pixel to pixel: (side, side)
    down, across = (
        (-0.5 * (step / width[:, None, None]).square()).exp() for step in steps
    )  # (n, side, side)
    field = down @ field @ across
    deviation, mean = torch.std_mean(field, (1, 2), correction=0)
    threshold = mean + deviation.clamp_min(1e-9) * torch.special.ndtri(drawn.float())
    own = (field <= threshold[:, None, None])[:, None].float()  # (n, 1, H, W)
    return apply_plan(MixPlan.masked(partner, own, drawn), images, labels, num_classes)
