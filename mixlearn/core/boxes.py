"""Boxes, masks and patches: where a pixel comes from. No randomness here."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from mixlearn.core.checks import check_size, readable
from mixlearn.core.fast import Fill, paste, sent, spans
from mixlearn.core.plan import MixPlan


def check_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """Return boxes as int64 (n, 4) after checking that they lie inside the image, if they are on the CPU.

    Raises:
        TypeError: not integers.
        ValueError: wrong shape, reversed corners, or a corner outside the image.

    >>> check_boxes(torch.tensor([[0, 0, 2, 3]]), 4, 4).shape
    torch.Size([1, 4])
    """
    boxes = torch.as_tensor(boxes)
    if boxes.is_floating_point() or boxes.is_complex() or boxes.dtype == torch.bool:
        raise TypeError(f"boxes must hold whole pixels (x0, y0, x1, y1), got {boxes.dtype}")
    if boxes.dim() != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must have shape (n, 4) as (x0, y0, x1, y1), got {tuple(boxes.shape)}")
    if not readable(boxes):
        return boxes.long()
    x0, y0, x1, y1 = boxes.unbind(1)
    bad = (x0 < 0) | (y0 < 0) | (x1 > width) | (y1 > height) | (x1 < x0) | (y1 < y0)
    if bool(bad.any()):
        raise ValueError(
            f"boxes must satisfy 0 ≤ x0 ≤ x1 ≤ {width} and 0 ≤ y0 ≤ y1 ≤ {height}, "
            f"got {boxes[bad][0].tolist()}"
        )
    return boxes.long()


def box_area(boxes: Tensor) -> Tensor:
    """Number of pixels in each half-open box; boxes (n, 4) → (n,).

    >>> box_area(torch.tensor([[8, 4, 20, 16]]))
    tensor([144])
    """
    x0, y0, x1, y1 = boxes.unbind(-1)
    return (x1 - x0) * (y1 - y0)


def inside_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """Which pixels lie in each box; boxes (n, 4) → bool (n, height, width).

    Two comparisons with the pixel indices, so nothing loops and an accelerator need not wait.
    """
    down, across = spans(boxes, height, width)
    return down[:, :, None] & across[:, None, :]


def boxes_to_masks(boxes: Tensor, height: int, width: int) -> Tensor:
    """Masks that are 1 inside the boxes and 0 outside; boxes (n, 4) → float32 (n, 1, height, width).

    >>> boxes_to_masks(torch.tensor([[1, 0, 3, 1]]), 2, 4)[0, 0]
    tensor([[0., 1., 1., 0.],
            [0., 0., 0., 0.]])
    """
    return inside_boxes(boxes, height, width)[:, None].float()


def masks_to_boxes(masks: Tensor) -> Tensor:
    """The tight box around the non-zero pixels; masks (n, 1, H, W) → int64 (n, 4), all 0 where empty.

    >>> masks_to_boxes(torch.tensor([[[[0., 1., 1., 0.], [0., 0., 0., 0.]]]]))
    tensor([[1, 0, 3, 1]])
    """
    if masks.dim() != 4 or masks.shape[1] != 1:
        raise ValueError(f"masks must have shape (n, 1, H, W), got {tuple(masks.shape)}")
    on = masks[:, 0] != 0
    corners = []
    for along in (on.any(1), on.any(2)):  # columns (n, W), rows (n, H)
        size = along.shape[1]
        first = along.long().argmax(1)
        last = size - along.flip(1).long().argmax(1)
        filled = along.any(1)
        corners.append((first * filled, last * filled))
    (x0, x1), (y0, y1) = corners
    return torch.stack([x0, y0, x1, y1], dim=1)


class BoxPlan(MixPlan):
    """A plan of two parts whose masks are a box: the partner inside it, the image itself outside.

    A box is four numbers, its mask H × W of them, so the box is what is kept. `mix` copies the images and
    then pastes the box alone.

    Args:
        partner: (B,) int64, whom each image takes its box from.
        boxes: (B, 4) int64 as (x0, y0, x1, y1), half-open, inside the image; (1, 4) is one for all. They
            stay on the device where they are.
        size: (H, W) of the images, in pixels.
        lam: (B,), each image's own share of the label; None is the share of its own pixels.
        lam_asked: (B,), the λ that was drawn or given; None is `lam`.

    Raises:
        TypeError: boxes that are no integers.
        ValueError: boxes outside the image, reversed, or of a wrong count.

    >>> plan = BoxPlan(torch.tensor([1, 0]), torch.tensor([[0, 0, 1, 2]]), (2, 4))
    >>> plan.lam
    tensor([0.7500, 0.7500])
    >>> plan.mix(torch.tensor([0, 8]).view(2, 1, 1, 1).expand(2, 1, 2, 4))[0, 0]
    tensor([[8, 0, 0, 0],
            [8, 0, 0, 0]])
    """

    size: tuple[int, int]
    corners: tuple[int, int, int, int] | None  # of the box that all images share
    _partner: Tensor
    _given: Tensor  # the boxes; of λ, where it was given, `_lam` and `_asked`
    _lam: Tensor | None
    _asked: Tensor | None
    _stay: ClassVar[tuple[str, ...]] = ("boxes", "_given")

    def __init__(
        self,
        partner: Tensor,
        boxes: Tensor,
        size: tuple[int, int],
        lam: Tensor | None = None,
        lam_asked: Tensor | None = None,
    ) -> None:
        if len(boxes) not in (1, len(partner)):
            raise ValueError(f"boxes must be one or {len(partner)}, one for each image, got {len(boxes)}")
        corners = tuple(boxes.tolist()[0]) if len(boxes) == 1 and boxes.device.type == "cpu" else None
        if corners is None or boxes.dtype != torch.int64 or not _fits(corners, *size):
            boxes = check_boxes(boxes, *size) if readable(boxes) else boxes
        known = {"_partner": partner, "_given": boxes, "_lam": lam, "_asked": lam_asked}
        vars(self).update(known, size=size, corners=corners)  # the class is frozen

    # What follows is made at its first use: on small images a plan would else cost more than mixing.

    @property
    def partner(self) -> Tensor:
        """(B,): whom each image takes its box from."""
        return self._partner

    @cached_property
    def boxes(self) -> Tensor:
        """(B, 4) int64 as (x0, y0, x1, y1) in pixels, half-open."""
        return self._given.expand(len(self), 4)

    @cached_property
    def sources(self) -> Tensor:
        """(2, B): each image and its partner."""
        return torch.stack([torch.arange(len(self), device=self.partner.device), self.partner])

    @cached_property
    def weights(self) -> Tensor:
        """(2, B): the shares of the labels, those of the pixels unless others were given."""
        boxes, lam = self._given, self._lam
        pixels, device = self.size[0] * self.size[1], self.partner.device
        if lam is None and self.corners is not None:
            x0, y0, x1, y1 = self.corners
            own = 1 - (x1 - x0) * (y1 - y0) / pixels
            return sent(torch.tensor([[own], [1 - own]]), device).expand(2, len(self))
        share = 1 - box_area(boxes) / pixels if lam is None else lam
        share = sent(share, device)
        return torch.stack([share, 1 - share]).expand(2, len(self))

    @cached_property
    def lam_asked(self) -> Tensor:
        """(B,): the λ that was drawn or given, before clipping and rounding."""
        return self.lam if self._asked is None else sent(self._asked, self.partner.device).expand(len(self))

    @cached_property
    def masks(self) -> Tensor:
        """(2, B, 1, H, W): 1 where the image itself, 1 where its partner is seen."""
        inside = boxes_to_masks(sent(self.boxes, self.partner.device), *self.size)
        return torch.stack([1 - inside, inside])

    def __len__(self) -> int:
        return self.partner.shape[0]

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """The images with their boxes pasted; (B, …, H, W) of any type: images, class ids, depth maps.

        Returns:
            A new tensor of the same shape, type and memory format. `images` is left as it was.

        Raises:
            ValueError: batch or pixels differ from the plan's.
        """
        self._check_pixels(images)
        return paste(images, self.partner, self.boxes, self.corners)

    def _check_pixels(self, images: Tensor) -> None:
        check_size(images, len(self), self.size, "boxes")


def _fits(corners: tuple[int, ...], height: int, width: int) -> bool:
    """Whether one box lies in the image: as `check_boxes`, of numbers, which is quicker."""
    if len(corners) != 4:
        return False
    x0, y0, x1, y1 = corners
    return 0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height
