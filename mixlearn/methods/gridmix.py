"""GridMix: the same hole in every cell of a grid, so that both images are seen everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import check_pixels
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.plan import Mixed, MixPlan, apply_plan


def gridmix(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    alpha: float = 1.0,
    cells: tuple[int, int] = (2, 6),
    window: tuple[float, float] = (0.5, 1.0),
    lam: float | Sequence[float] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Cut a random window into square cells; in each, a hole of share 1 − λ shows the partner.

    Args:
        images, labels, num_classes, alpha, partner, per_image, generator: as for `mixup`, on (B, …, H, W).
        cells: least and most cells across the window.
        window: least and most share of each of the image's sides that the window takes, in (0, 1].
        lam: λ in [0, 1], the share that each cell keeps, one for the batch or (B,), instead of a draw.

    Returns `Mixed(images, targets, plan)`; λ is the mean of the mask, which the pixels outside the window
    raise. Source: Baek, Bang & Shim, *GridMix: Strong Regularization through Local Context Mapping*, Pattern
    Recognition 109, 2021; the mask in the form that the public code for it uses, without its loss on patches.

    >>> g = torch.Generator().manual_seed(0)
    >>> mixed = gridmix(torch.rand(2, 1, 8, 8), lam=0.75, cells=(2, 2), window=(1, 1), generator=g)
    >>> mixed.plan.masks[1, 0, 0, 1:3].int().tolist()                         # four holes of 2 × 2 pixels
    [[1, 1, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]]
    """
    height, width = check_pixels(images)
    if not 1 <= cells[0] <= cells[1]:
        raise ValueError(f"cells must satisfy 1 ≤ least ≤ most, got {tuple(cells)}")
    if not 0 <= window[0] <= window[1] <= 1 or not window[1]:
        raise ValueError(f"window must satisfy 0 ≤ least ≤ most ≤ 1, most above 0, got {tuple(window)}")
    partner, share = given_or_drawn(lam, partner, len(images), alpha, per_image, generator)
    share = share.cpu()  # where masks are made, so a λ given on an accelerator is read once
    n = len(share)
    count = torch.randint(cells[0], cells[1] + 1, (n,), generator=generator)
    side = window[0] + (window[1] - window[0]) * torch.rand(2, n, generator=generator)
    place = torch.rand(2, n, generator=generator)
    sizes = torch.tensor([[height], [width]])
    length = (side * sizes).round().clamp_(min=1)  # (2, n), of the window
    start = (place * (sizes - length + 1)).floor()
    cell = (length[1] / count).ceil()  # square, as many across as `count` says
    hole = ((1 - share).sqrt() * cell).round()
    down, across = (
        _in_holes(size, start[k], length[k], cell, hole) for k, size in enumerate((height, width))
    )
    masks = 1 - (down[:, :, None] & across[:, None, :]).float()[:, None]  # (n, 1, H, W)
    return apply_plan(MixPlan.masked(partner, masks, share), images, labels, num_classes)


def _in_holes(size: int, start: Tensor, length: Tensor, cell: Tensor, hole: Tensor) -> Tensor:
    """Which of `size` pixels lie in the window and in the first `hole` pixels of their cell: (n, size)."""
    place = torch.arange(size) - start[:, None]
    inside = (place >= 0) & (place < length[:, None])
    return inside & (place % cell[:, None] < hole[:, None])
