"""CutMix: a box of one image pasted into another, and labels that follow the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from mixlearn.core.checks import check_boxes, check_pixels
from mixlearn.core.draw import boxes_for, given_or_drawn
from mixlearn.core.fast import sent
from mixlearn.core.plan import BoxPlan, Mixed, apply_plan


def cutmix(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    alpha: float = 1.0,
    lam: float | Sequence[float] | Tensor | None = None,
    boxes: Sequence[Sequence[int]] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    label_from: Literal["pixels", "asked"] = "pixels",
    fold: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Paste a box of each image's partner into it; the label's shares are those of the pixels.

    λ is drawn from Beta(α, α), a box of share 1 − λ is drawn at a uniform centre and clipped at the border,
    and λ becomes 1 − box / image: the share of its own pixels that the image keeps.

    Args:
        images, labels, num_classes, alpha, partner, per_image, generator: as for `mixup`, on (B, …, H, W).
        lam: λ in [0, 1] that the box is to leave, one for the batch or (B,), instead of a draw.
        boxes: (x0, y0, x1, y1) in pixels, half-open, inside the image: one for the batch or (B, 4),
            instead of a draw.
        label_from: "pixels" weighs labels by the pixels that are seen; "asked" by the λ drawn or given,
            clipped box or not, as the first published code did. For study.
        fold: use max(λ, 1 − λ) for λ, as some released code does, not the paper. For study.

    Returns `Mixed(images, targets, plan)`. `plan.boxes` holds the boxes, `plan.lam` the label's own share,
    `plan.lam_drawn` the λ before clipping and rounding. Source: Yun et al., *CutMix: Regularization Strategy
    to Train Strong Classifiers with Localizable Features*, ICCV 2019, eq. 1 and 2; sides are rounded, not
    rounded down, see `sample_boxes`.

    >>> images, labels = torch.tensor([0., 8.]).view(2, 1, 1, 1).expand(2, 1, 2, 4), torch.tensor([0, 1])
    >>> mixed = cutmix(images, labels, num_classes=2, boxes=[0, 0, 1, 2], partner=[1, 0])
    >>> mixed.images[0, 0].tolist(), mixed.targets[0].tolist()
    ([[8.0, 0.0, 0.0, 0.0], [8.0, 0.0, 0.0, 0.0]], [0.75, 0.25])
    """
    size = check_pixels(images)
    if label_from not in ("pixels", "asked"):
        raise ValueError(f"label_from must be 'pixels' or 'asked', got {label_from!r}")
    asked = label_from == "asked"
    if lam is not None and boxes is not None and not asked:
        raise ValueError("lam and boxes were both given; labels follow boxes unless label_from='asked'")
    if asked and boxes is not None and lam is None:
        raise ValueError("label_from='asked' with given boxes needs lam=, the share of the label")
    drawn = 1.0 if lam is None and boxes is not None else lam  # given boxes need no λ
    partner, share = given_or_drawn(drawn, partner, len(images), alpha, per_image, generator)
    if fold:
        share = torch.maximum(share, 1 - share)
    corners = boxes_for(share, *size, generator) if boxes is None else as_boxes(boxes, len(images), *size)
    lam_drawn = share if asked or boxes is None else None
    plan = BoxPlan(sent(partner, images.device), corners, size, share if asked else None, lam_drawn)
    return apply_plan(plan, images, labels, num_classes)


def as_boxes(boxes: Sequence[Sequence[int]] | Tensor, batch: int, height: int, width: int) -> Tensor:
    """Boxes as int64 (1, 4) or (batch, 4), checked against the image."""
    corners = torch.as_tensor(boxes)
    corners = check_boxes(corners[None] if corners.dim() == 1 else corners, height, width)
    if len(corners) not in (1, batch):
        raise ValueError(f"boxes must be one box or {batch}, one for each image, got {len(corners)}")
    return corners
