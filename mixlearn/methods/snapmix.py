"""SnapMix: a box of the partner resized into another box, and labels weighed by what the boxes mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from mixlearn.core.checks import check_labels, check_pixels, readable
from mixlearn.core.draw import boxes_for, given_or_drawn, sample_lam
from mixlearn.core.fast import Fill, inside_boxes, sent
from mixlearn.core.plan import BoxPlan, Mixed, apply_plan
from mixlearn.methods.resizemix import paste_resized, shrunk
from mixlearn.methods.saliency import Saliency, saliency_of, spectral_residual


class SnapPlan(BoxPlan):
    """A plan whose boxes hold a box of the partner, resized; its weights need not sum to 1.

    Attributes:
        taken: (B, 4) int64 or (1, 4), the boxes that are cut from the partners.
    """

    taken: Tensor
    _stay: ClassVar[tuple[str, ...]] = (*BoxPlan._stay, "taken")

    @property
    def scales(self) -> Tensor:
        """(2, B): the area of each part over what it was; what was cut fills the box it is put into."""
        pasted, taken = ((b[:, 2:] - b[:, :2]).prod(1) for b in (self.boxes, self.taken))
        scale = (pasted / taken.clamp_min(1)).expand(len(self)).to(self.weights)
        return torch.stack([torch.ones_like(scale), scale])

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """The images with their partners' boxes resized into theirs; (B, …, H, W) of any type."""
        self._check_pixels(images)
        out, pasted, taken = images.clone(), self.boxes, self.taken.expand(len(self), 4)
        in_memory = readable(pasted) and readable(taken)
        if not in_memory or (len(self.taken) > 1 and not readable(self.partner)):
            return paste_resized(images, self.partner, pasted, taken)
        if len(self.taken) == 1:  # the same two boxes for all
            _paste(out, images, self.partner, pasted[0].tolist(), taken[0].tolist())
            return out
        for i, source in enumerate(self.partner.tolist()):
            _paste(out[i], images[source], None, pasted[i].tolist(), taken[i].tolist())
        return out


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

    The label keeps of its own class what the covered box did not hold of the map, and gains of the partner's
    class what the cut box holds of the partner's map. The two need not sum to 1.

    Args:
        images: (B, C, H, W) float, in any units. Not changed.
        labels: (B,) integer class ids or (B, C) soft labels; None mixes images alone.
        num_classes: C, needed with class ids.
        alpha: the shares of both boxes are drawn from Beta(α, α). The paper takes 5.
        saliency: (B, 1, H, W) of the images as they are, each summing to 1, or a function that makes it. The
            paper takes the class activation map of the true class (`feature_attention` with labels).
        lam: λ in [0, 1] that both boxes are asked to leave, one for the batch or (B,), instead of a draw.
        partner: (B,) indices into the batch, instead of a random permutation.
        per_image: draw the boxes for each image rather than once for the batch.
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        `Mixed(images, targets, plan)`; `plan.lam` is the weight of the own label. Where an image and its
        partner share a class, that class has what both weights give together, as the paper's equations say.
        The released code gives such a pair the sum of both weights twice, once for each label, so that it
        counts double in the loss; and it resizes the box bilinearly, where here the nearest pixel is taken.

    Raises:
        TypeError: integer images, float class ids, partners that are no integers.
        ValueError: α not positive, λ outside [0, 1], a saliency of another shape, shapes that disagree.

    Source: Huang, Wang & Tao, *SnapMix: Semantically Proportional Mixing for Augmenting Fine-grained Data*,
    AAAI 2021, eq. 1–4.

    >>> even = torch.full((2, 1, 8, 8), 1 / 64)
    >>> plan = snapmix(torch.rand(2, 1, 8, 8), saliency=even, lam=0.75, partner=[1, 0]).plan
    >>> x0, y0, x1, y1 = plan.boxes[0].tolist()
    >>> plan.lam[0].item() == 1 - (x1 - x0) * (y1 - y0) / 64
    True
    """
    size = check_pixels(images)
    batch = images.shape[0]
    if labels is not None:
        check_labels(labels, batch, num_classes)
    partner, asked = given_or_drawn(lam, partner, batch, alpha, per_image, generator)
    asked = asked.cpu()  # where boxes are made, so a λ given on an accelerator is read once
    second = asked if lam is not None else sample_lam(len(asked), alpha, generator=generator)
    pasted, taken = (boxes_for(share, *size, generator) for share in (asked, second))
    with torch.no_grad():
        maps = saliency_of(saliency, images)[:, 0]
    partner = sent(partner, maps.device)
    covered, gained = (
        (inside_boxes(sent(boxes, maps.device), *size) * whose).sum((1, 2))
        for boxes, whose in ((pasted, maps), (taken, maps[partner]))
    )
    empty = ((pasted[:, 2:] - pasted[:, :2]).prod(1) == 0) | ((taken[:, 2:] - taken[:, :2]).prod(1) == 0)
    nothing = sent(empty, maps.device).expand(batch)  # no pixel is pasted, so no label is
    weights = torch.stack([(1 - covered).masked_fill(nothing, 1), gained.masked_fill(nothing, 0)])
    plan = _plan(partner, pasted, taken, size, weights.float().clamp_(0, 1), asked)
    return apply_plan(plan, images, labels, num_classes)


def _paste(out: Tensor, images: Tensor, partner: Tensor | None, into: list[int], from_: list[int]) -> None:
    """Write a box of the images, or of their partners, resized into a box of `out`."""
    (x0, y0, x1, y1), (u0, v0, u1, v1) = into, from_
    piece = images[..., v0:v1, u0:u1]
    if piece.numel() and x1 > x0 and y1 > y0:
        fitted = shrunk(piece, y1 - y0, x1 - x0)
        out[..., y0:y1, x0:x1] = fitted if partner is None else fitted.index_select(0, partner)


def _plan(
    partner: Tensor, pasted: Tensor, taken: Tensor, size: tuple[int, int], weights: Tensor, asked: Tensor
) -> SnapPlan:
    plan = SnapPlan(partner, pasted, size, None, asked)
    vars(plan).update(weights=weights, taken=taken, corners=None)
    return plan
