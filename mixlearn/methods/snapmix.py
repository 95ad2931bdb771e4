"""SnapMix: a box of the partner resized into another box, and labels weighed by what the boxes mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.boxes import box_area
from mixlearn.core.checks import check_labels, check_pixels
from mixlearn.core.draw import boxes_for, given_or_drawn, sample_lam
from mixlearn.core.fast import inside_boxes, sent
from mixlearn.core.plan import Mixed, apply_plan
from mixlearn.methods.resizemix import ResizePlan
from mixlearn.methods.saliency import Saliency, saliency_of, spectral_residual


class SnapPlan(ResizePlan):
    """A plan whose boxes hold a box of the partner, resized; its weights need not sum to 1."""


def snapmix(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    alpha: float = 5.0,
    saliency: Saliency = spectral_residual,
    lam: float | Sequence[float] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Paste a box of the partner, resized, into a box of another place and size; weigh labels by meaning.

    The own class keeps the share of its map that lies outside the covered box, and the partner's class gains
    the share of its map that the cut box holds. The two need not sum to 1.

    Args:
        images, labels, num_classes, partner, per_image, generator: as for `mixup`.
        alpha: the shares of both boxes are drawn from Beta(α, α). The paper takes 5.
        saliency: as for `saliencymix`, each map summing to 1. The paper takes the class activation map of the
            true class (`feature_attention` with labels).
        lam: λ in [0, 1] that both boxes are asked to leave, one for the batch or (B,), instead of a draw.

    Returns `Mixed(images, targets, plan)`; `plan.lam` is the weight of the own label. Where an image and its
    partner share a class, that class has both weights, as the paper's equations say. The released code counts
    such a pair double in the loss, and resizes bilinearly, where here the nearest pixel is taken. Source:
    Huang, Wang & Tao, *SnapMix: Semantically Proportional Mixing for Augmenting Fine-grained Data*, AAAI
    2021, eq. 1–4.

    >>> even = torch.full((2, 1, 8, 8), 1 / 64)
    >>> plan = snapmix(torch.rand(2, 1, 8, 8), saliency=even, lam=0.75, partner=[1, 0]).plan
    >>> x0, y0, x1, y1 = plan.boxes[0].tolist()
    >>> plan.lam[0].item() == 1 - (x1 - x0) * (y1 - y0) / 64
    True
    """
    size = check_pixels(images)
    batch = len(images)
    if labels is not None:
        check_labels(labels, batch, num_classes)
    partner, share = given_or_drawn(lam, partner, batch, alpha, per_image, generator)
    share = share.cpu()  # where boxes are made, so a λ given on an accelerator is read once
    second = share if lam is not None else sample_lam(len(share), alpha, generator=generator)
    pasted, taken = (boxes_for(each, *size, generator) for each in (share, second))
    with torch.no_grad():
        maps = saliency_of(saliency, images)[:, 0]  # (B, H, W)
    partner = sent(partner, maps.device)
    covered, gained = (
        (inside_boxes(sent(boxes, maps.device), *size) * whose).sum((1, 2))
        for boxes, whose in ((pasted, maps), (taken, maps[partner]))
    )
    empty = (box_area(pasted) == 0) | (box_area(taken) == 0)
    nothing = sent(empty, maps.device).expand(batch)  # no pixel is pasted, so no label is
    weights = torch.stack([(1 - covered).masked_fill(nothing, 1), gained.masked_fill(nothing, 0)])
    plan = SnapPlan(partner, pasted, size, taken, share).changed(weights=weights.float().clamp_(0, 1))
    return apply_plan(plan, images, labels, num_classes)
