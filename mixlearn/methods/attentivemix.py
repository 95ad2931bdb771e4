"""AttentiveMix+: the cells of a coarse grid where the partner is most worth looking."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import as_count, check_pixels
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.fast import sent
from mixlearn.core.plan import Mixed, MixPlan, apply_plan
from mixlearn.methods.saliency import Saliency, saliency_of, spectral_residual


def attentivemix(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    alpha: float = 2.0,
    grid: int = 7,
    saliency: Saliency = spectral_residual,
    lam: float | Sequence[float] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Paste the partner's most salient cells, a share 1 − λ of a grid, at their own places.

    Args:
        images, labels, num_classes, alpha, lam, partner, per_image, generator: as for `mixup`.
        grid: cells along a side. The paper has 7, the last features of a network on 224 pixels.
        saliency: as for `saliencymix`. The paper takes a network's features (`feature_attention`).

    Returns `Mixed(images, targets, plan)`; λ is the mean of the mask. At least one cell is pasted and one
    kept. Source: Walawalkar et al., *Attentive CutMix*, ICASSP 2020, with 6 of 49 cells; a λ drawn anew for
    each batch is OpenMixup's (Li et al., 2022).

    >>> maps = torch.tensor([0., 0., 0., 9.]).view(1, 1, 2, 2).repeat(2, 1, 1, 1)
    >>> mixed = attentivemix(torch.rand(2, 3, 2, 2), grid=2, saliency=maps, lam=0.75, partner=[1, 0])
    >>> mixed.plan.masks[1, 0, 0].tolist()
    [[0.0, 0.0], [0.0, 1.0]]
    """
    height, width = check_pixels(images)
    batch, grid = len(images), as_count(grid, "grid", 1)
    rows, columns = min(grid, height), min(grid, width)
    partner, share = given_or_drawn(lam, partner, batch, alpha, per_image, generator)
    maps = saliency_of(saliency, images)
    partner = sent(partner, maps.device)
    cells = F.adaptive_avg_pool2d(maps.float(), (rows, columns)).flatten(1)[partner]  # (B, rows · columns)
    count = rows * columns
    pasted = ((1 - share) * count).round().clamp(min(1, count - 1), max(count - 1, 1)).expand(batch)
    order = cells.argsort(dim=1, descending=True)
    first = (torch.arange(count, device=maps.device) < sent(pasted, maps.device)[:, None]).float()
    chosen = torch.zeros_like(cells).scatter_(1, order, first).view(batch, 1, rows, columns)
    masks = 1 - F.interpolate(chosen, size=(height, width), mode="nearest")  # (B, 1, H, W)
    plan = MixPlan.masked(partner, masks, sent(share, maps.device))
    return apply_plan(plan, images, labels, num_classes)
