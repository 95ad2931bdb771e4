"""Boxes, masks and patches: where a pixel comes from. No randomness here."""

from __future__ import annotations

import torch
from torch import Tensor

from mixlearn.core.checks import readable


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


def spans(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Which rows (n, height) and which columns (n, width) each box covers, as bool; boxes (n, 4).

    >>> down, across = spans(torch.tensor([[1, 0, 3, 1]]), 2, 4)
    >>> down.tolist(), across.tolist()
    ([[True, False]], [[False, True, True, False]])
    """
    x0, y0, x1, y1 = boxes.T[:, :, None]
    columns = torch.arange(width, device=boxes.device)
    rows = columns if height == width else torch.arange(height, device=boxes.device)
    return (rows >= y0) & (rows < y1), (columns >= x0) & (columns < x1)


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


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut images into square patches, row by row; (B, C, H, W) → (B, N, C, patch, patch), N = HW / patch².

    Raises:
        ValueError: patch does not divide H and W.

    >>> patchify(torch.arange(16.).view(1, 1, 4, 4), 2)[0, 1, 0]
    tensor([[2., 3.],
            [6., 7.]])
    """
    batch, channels, height, width = images.shape
    if patch < 1 or height % patch or width % patch:
        raise ValueError(
            f"patch must divide height and width, got patch {patch} for {height} × {width} pixels"
        )
    rows, columns = height // patch, width // patch
    cut = images.reshape(batch, channels, rows, patch, columns, patch)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, channels, patch, patch)


def unpatchify(patches: Tensor, height: int, width: int) -> Tensor:
    """Put patches back; (B, N, C, patch, patch) → (B, C, height, width). The inverse of `patchify`.

    >>> images = torch.arange(32.).view(2, 1, 4, 4)
    >>> unpatchify(patchify(images, 2), 4, 4).equal(images)
    True
    """
    batch, count, channels, patch, _ = patches.shape
    rows, columns = height // patch, width // patch
    if rows * columns != count or rows * patch != height or columns * patch != width:
        raise ValueError(
            f"{count} patches of {patch} pixels do not make an image of {height} × {width} pixels"
        )
    grid = patches.reshape(batch, rows, columns, channels, patch, patch)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, height, width)
