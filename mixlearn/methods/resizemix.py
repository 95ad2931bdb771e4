"""ResizeMix: the whole partner, made small, pasted into the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from mixlearn.core.boxes import box_area
from mixlearn.core.checks import check_pixels, check_size, readable
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.fast import Fill, laid_out_as, sent, spans
from mixlearn.core.plan import BoxPlan, Mixed, apply_plan, with_old_name
from mixlearn.methods.cutmix import as_boxes


class ResizePlan(BoxPlan):
    """A plan whose boxes hold boxes of the partners, `taken` (1, 4) or (B, 4), at the nearest pixels."""

    taken: Tensor
    _stay: ClassVar[tuple[str, ...]] = (*BoxPlan._stay, "taken")

    @with_old_name
    def __init__(
        self,
        partner: Tensor,
        boxes: Tensor,
        size: tuple[int, int],
        taken: Tensor | None = None,
        lam_drawn: Tensor | None = None,
    ) -> None:
        super().__init__(partner, boxes, size, None, lam_drawn)
        whole = torch.tensor([[0, 0, size[1], size[0]]])
        self._set(taken=whole if taken is None else taken)

    @property
    def scales(self) -> Tensor:
        """(2, B): the area of each part over what it was; what was cut fills the box it is put into."""
        scale = box_area(self.boxes) / box_area(self.taken).clamp_min(1)
        scale = scale.expand(len(self)).to(self.weights)
        return torch.stack([torch.ones_like(scale), scale])

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """The images with what is taken of their partners in their boxes; (B, …, H, W) of any type."""
        check_size(images, len(self), self.size, "boxes")
        shared = len(self._given) == len(self.taken) == 1  # the same two boxes for all
        if not (readable(self._given) and readable(self.taken) and (shared or readable(self.partner))):
            return paste_resized(images, self.partner, self.boxes, self.taken)
        out = images.clone()
        if shared:
            _paste(out, images, self.partner, self._given[0].tolist(), self.taken[0].tolist())
            return out
        taken = self.taken.expand(len(self), 4).tolist()
        for i, (source, into, from_) in enumerate(
            zip(self.partner.tolist(), self.boxes.tolist(), taken, strict=True)
        ):
            _paste(out[i], images[source], None, into, from_)
        return out


def resizemix(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    scale: tuple[float, float] = (0.1, 0.8),
    boxes: Sequence[Sequence[int]] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Paste the whole partner, shrunk by τ, at a random place; the label's shares are those of the pixels.

    A cut box may show nothing but sky; a shrunken photograph shows its object. No box is clipped: λ = 1 − τ²,
    up to whole pixels.

    Args:
        images, labels, num_classes, partner, per_image, generator: as for `mixup`, on (B, …, H, W).
        scale: τ is drawn uniformly between these two, in (0, 1].
        boxes: (x0, y0, x1, y1) to paste into, instead of a draw: one for the batch or (B, 4).

    Returns `Mixed(images, targets, plan)`; `plan.mix` shrinks whatever it is given, class ids too. Source:
    Qin et al., *ResizeMix: Mixing Data with Preserved Object Information and True Labels*, 2020.

    >>> images = torch.arange(32.).view(2, 1, 4, 4)
    >>> resizemix(images, boxes=[2, 2, 4, 4], partner=[1, 0]).images[0, 0, 2:]
    tensor([[ 8.,  9., 16., 18.],
            [12., 13., 24., 26.]])
    """
    height, width = check_pixels(images)
    batch = len(images)
    partner, _ = given_or_drawn(1.0, partner, batch, 1.0, per_image, generator)
    if boxes is None:
        corners = _sample(batch if per_image else 1, scale, height, width, generator)
    else:
        corners = as_boxes(boxes, batch, height, width)
    plan = ResizePlan(sent(partner, images.device), corners, (height, width))
    return apply_plan(plan, images, labels, num_classes)


def _sample(
    n: int, scale: tuple[float, float], height: int, width: int, generator: torch.Generator | None
) -> Tensor:
    """n boxes of the image's shape, τ times as large, anywhere inside it: (n, 4)."""
    least, most = scale
    if not 0 < least <= most <= 1:
        raise ValueError(f"scale must satisfy 0 < least ≤ most ≤ 1, got {scale}")
    tau = least + (most - least) * torch.rand(n, generator=generator)
    corners = []
    for size in (width, height):
        length = (tau * size).long().clamp_min(1)
        start = (torch.rand(n, generator=generator) * (size - length + 1)).long()
        corners.append((start, start + length))
    (x0, x1), (y0, y1) = corners
    return torch.stack([x0, y0, x1, y1], dim=1)


def _paste(out: Tensor, images: Tensor, partner: Tensor | None, into: list[int], from_: list[int]) -> None:
    """Write the box `from_` of the images, or of their partners, resized into the box `into` of `out`."""
    (x0, y0, x1, y1), (u0, v0, u1, v1) = into, from_
    height, width = y1 - y0, x1 - x0
    if height > 0 and width > 0 and v1 > v0 and u1 > u0:
        rows = v0 + torch.arange(height, device=images.device) * (v1 - v0) // height
        columns = u0 + torch.arange(width, device=images.device) * (u1 - u0) // width
        resized = images[..., rows[:, None], columns]  # the nearest pixel, so that values of any type fit
        out[..., y0:y1, x0:x1] = resized if partner is None else resized.index_select(0, partner)


def paste_resized(images: Tensor, partner: Tensor, into: Tensor, from_: Tensor) -> Tensor:
    """Each partner's box `from_`, resized, in the box `into`; both (B, 4) or (1, 4).

    No value is read, so an accelerator need not wait: each pixel finds the one that it shows by arithmetic.
    """
    height, width = images.shape[-2:]
    into, from_ = sent(into, images.device), sent(from_, images.device)
    down, across = spans(into, height, width)
    x0, y0, x1, y1 = into.T[:, :, None]
    u0, v0, u1, v1 = from_.T[:, :, None]
    inside = (down & (u1 > u0) & (v1 > v0))[:, :, None] & across[:, None, :]
    columns = u0 + (torch.arange(width, device=images.device) - x0) * (u1 - u0) // (x1 - x0).clamp_min(1)
    rows = v0 + (torch.arange(height, device=images.device) - y0) * (v1 - v0) // (y1 - y0).clamp_min(1)
    flat = images.reshape(len(images), -1, height, width)
    channels = torch.arange(flat.shape[1], device=images.device)[:, None, None]
    rows, columns = rows.clamp(0, height - 1)[:, None, :, None], columns.clamp(0, width - 1)[:, None, None, :]
    shown = flat[partner[:, None, None, None], channels, rows, columns]  # (B, C, H, W)
    return laid_out_as(images, torch.where(inside[:, None], shown, flat).view(images.shape))
