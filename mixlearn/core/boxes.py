"""Boxes, masks and patches: where a pixel comes from. No randomness here."""

from __future__ import annotations

import torch
from torch import Tensor

from mixlearn.core.checks import check_patch
from mixlearn.core.fast import inside_boxes


def box_area(boxes: Tensor) -> Tensor:
    """Number of pixels in each half-open box; boxes (n, 4) → (n,).

    >>> box_area(torch.tensor([[8, 4, 20, 16]]))
    tensor([144])
    """
    x0, y0, x1, y1 = boxes.unbind(-1)
    return (x1 - x0) * (y1 - y0)


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
    on = masks[:, 0] != 0  # (n, H, W)
    corners = []
    for along in (on.any(1), on.any(2)):  # columns (n, W), rows (n, H)
        first = along.long().argmax(1)
        last = along.shape[1] - along.flip(1).long().argmax(1)
        corners.append((first * along.any(1), last * along.any(1)))
    (x0, x1), (y0, y1) = corners
    return torch.stack([x0, y0, x1, y1], dim=1)  # (n, 4)


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut images into square patches, row by row; (B, C, H, W) → (B, N, C, patch, patch), N = HW / patch².

    Raises:
        ValueError: patch does not divide H and W.

    >>> patchify(torch.arange(16.).view(1, 1, 4, 4), 2)[0, 1, 0]
    tensor([[2., 3.],
            [6., 7.]])
    """
    rows, columns = check_patch(patch, *images.shape[2:])
    cut = images.unflatten(3, (columns, patch)).unflatten(2, (rows, patch))  # (B, C, rows, p, columns, p)
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (B, N, C, p, p)


def unpatchify(patches: Tensor, height: int, width: int) -> Tensor:
    """Put patches back; (B, N, C, patch, patch) → (B, C, height, width). The inverse of `patchify`.

    >>> images = torch.arange(32.).view(2, 1, 4, 4)
    >>> unpatchify(patchify(images, 2), 4, 4).equal(images)
    True
    """
    count, patch = patches.shape[1], patches.shape[3]
    rows, columns = height // patch, width // patch
    if rows * columns != count or rows * patch != height or columns * patch != width:
        image = f"an image of {height} × {width} pixels"
        raise ValueError(f"{count} patches of {patch} pixels do not make {image}")
    grid = patches.unflatten(1, (rows, columns)).permute(0, 3, 1, 4, 2, 5)  # (B, C, rows, p, columns, p)
    return grid.flatten(4, 5).flatten(2, 3)  # (B, C, H, W)
