"""ResizeMix: the whole partner, made small, pasted into the image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import check_pixels, readable
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.fast import Fill, laid_out_as, sent, spans
from mixlearn.core.plan import BoxPlan, Mixed, apply_plan
from mixlearn.methods.cutmix import as_boxes


class ResizePlan(BoxPlan):
    """A plan whose boxes hold the whole partner, resized to the box by nearest neighbour."""

    @property
    def scales(self) -> Tensor:
        """(2, B): the area of each part over what it was; the partner shrinks to its box."""
        return torch.stack([torch.ones_like(self.lam), 1 - self.lam])

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """The images with their partners, made small, in their boxes; (B, …, H, W) of any type."""
        self._check_pixels(images)
        out = images.clone()
        if self.corners is not None:
            x0, y0, x1, y1 = self.corners
            out[..., y0:y1, x0:x1] = shrunk(images, y1 - y0, x1 - x0).index_select(0, self.partner)
            return out
        if not (readable(self.partner) and readable(self.boxes)):
            whole = torch.tensor([[0, 0, images.shape[-1], images.shape[-2]]])
            return paste_resized(images, self.partner, self.boxes, whole)
        rows = zip(self.partner.tolist(), self.boxes.tolist(), strict=True)
        for i, (source, (x0, y0, x1, y1)) in enumerate(rows):
            out[i, ..., y0:y1, x0:x1] = shrunk(images[source], y1 - y0, x1 - x0)
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

    A box cut from a photograph may show nothing but sky. The shrunken photograph always shows its object,
    and no part of the box is ever clipped: λ = 1 − τ², up to whole pixels.

    Args:
        images: (B, C, H, W), or any float tensor (B, …, H, W); in any units. Not changed.
        labels: (B,) integer class ids or (B, C) soft labels; None mixes images alone.
        num_classes: C, needed with class ids.
        scale: τ is drawn uniformly between these two, in (0, 1].
        boxes: (x0, y0, x1, y1) to paste into, instead of a draw: one for the batch or (B, 4).
        partner: (B,) indices into the batch, instead of a random permutation.
        per_image: draw τ and the place for each image rather than once for the batch.
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        `Mixed(images, targets, plan)`; `plan.mix` shrinks whatever it is given, class ids too.

    Raises:
        TypeError: integer images, float class ids, boxes or partners that are no integers.
        ValueError: a scale that is reversed or outside (0, 1], a box outside the image, shapes that disagree.

    Source: Qin et al., *ResizeMix: Mixing Data with Preserved Object Information and True Labels*, 2020.

    >>> images = torch.arange(32.).view(2, 1, 4, 4)
    >>> resizemix(images, boxes=[2, 2, 4, 4], partner=[1, 0]).images[0, 0]
    tensor([[ 0.,  1.,  2.,  3.],
            [ 4.,  5.,  6.,  7.],
            [ 8.,  9., 16., 18.],
            [12., 13., 24., 26.]])
    """
    height, width = check_pixels(images)
    batch = images.shape[0]
    partner, _ = given_or_drawn(1.0, partner, batch, 1.0, per_image, generator)
    if boxes is None:
        found = _sample(batch if per_image else 1, scale, height, width, generator)
    else:
        found = as_boxes(boxes, batch, height, width)
    return apply_plan(
        ResizePlan(sent(partner, images.device), found, (height, width)), images, labels, num_classes
    )


def _sample(
    n: int, scale: tuple[float, float], height: int, width: int, generator: torch.Generator | None
) -> Tensor:
    """n boxes of the image's shape, τ times as large, anywhere inside it."""
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


def shrunk(images: Tensor, height: int, width: int) -> Tensor:
    """Each new pixel shows the old one at its place: nearest neighbour, for any type."""
    rows, columns = (
        torch.arange(new, device=images.device) * old // max(new, 1)
        for new, old in ((height, images.shape[-2]), (width, images.shape[-1]))
    )
    return images[..., rows[:, None], columns]


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
    shown = flat[
        partner[:, None, None, None],
        channels,
        rows.clamp(0, height - 1)[:, None, :, None],
        columns.clamp(0, width - 1)[:, None, None, :],
    ]
    return laid_out_as(images, torch.where(inside[:, None], shown, flat).view(images.shape))
