"""Object boxes as users have them: checked, and brought to corners in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

CONVERT = 'boxes as (x, y, width, height) are converted by torchvision.ops.box_convert(boxes, "xywh", "xyxy")'


def checked_objects(
    boxes: Sequence[Tensor], labels: Sequence[Tensor], count: int, size: tuple[int, int] | None
) -> tuple[list[Tensor], list[Tensor]]:
    """The boxes of each image as corners in pixels, in a type that holds their areas, and their labels.

    Args:
        boxes: for each image (n, 4), or `tv_tensors.BoundingBoxes` in any format that is not rotated.
        labels: for each image (n,).
        count: how many images there are.
        size: (H, W) of the images; None where nobody knows it.

    Raises:
        TypeError: boxes or labels of an image that are no tensors.
        ValueError: another number of images, boxes and labels that disagree, and boxes that are reversed, not
            finite, outside the image, normalised, rotated, or made for images of another size.

    >>> boxes, _ = checked_objects([torch.tensor([[1, 2, 5, 4]])], [torch.tensor([0])], 1, (8, 8))
    >>> boxes[0].tolist()
    [[1, 2, 5, 4]]
    """
    if not len(boxes) == len(labels) == count:
        raise ValueError(
            f"boxes and labels must hold one tensor for each of {count} images, "
            f"got {len(boxes)} and {len(labels)}"
        )
    corners, classes = [], []
    for i, (given, whose) in enumerate(zip(boxes, labels, strict=True)):
        if not isinstance(given, Tensor) or not isinstance(whose, Tensor):
            raise TypeError(
                f"image {i}: boxes and labels must be tensors, "
                f"got {type(given).__name__} and {type(whose).__name__}"
            )
        plain = _as_corners(given, i, size)
        if not plain.numel() and not whose.numel():  # an image without objects
            plain, whose = plain.reshape(0, 4), whose.reshape(0)
        if plain.dim() != 2 or plain.shape[1] != 4 or whose.shape != plain.shape[:1]:
            raise ValueError(
                f"image {i}: expected boxes (n, 4) and labels (n,), "
                f"got {tuple(plain.shape)} and {tuple(whose.shape)}"
            )
        corners.append(_inside_image(plain, i, size))
        classes.append(whose)
    return _alike(corners), _alike(classes)


def _as_corners(given: Any, i: int, size: tuple[int, int] | None) -> Tensor:
    """A plain tensor of corners, of boxes that may say their own format and the size of their image."""
    canvas, said = getattr(given, "canvas_size", None), getattr(given, "format", None)
    plain = _roomy(given.as_subclass(Tensor))
    if canvas is not None and size is not None and tuple(canvas) != tuple(size):
        raise ValueError(
            f"image {i}: boxes are for an image of (H, W) = {tuple(canvas)}, the mixed images have "
            f"{tuple(size)}; resize the boxes together with their image"
        )
    style = getattr(said, "name", "XYXY")
    if style == "XYXY":
        return plain
    if style not in ("XYWH", "CXCYWH"):
        raise ValueError(
            f"image {i}: boxes must be upright, XYXY, XYWH or CXCYWH, got {style}; "
            "put upright boxes around them first"
        )
    start, extent = plain[..., :2], plain[..., 2:]
    if style == "XYWH":
        return torch.cat([start, start + extent], dim=-1)
    low = start - (extent / 2 if plain.is_floating_point() else extent // 2)
    return torch.cat([low, low + extent], dim=-1)


def _roomy(boxes: Tensor) -> Tensor:
    """The boxes in a type that holds their areas."""
    if not boxes.is_floating_point():
        return boxes.long()
    return boxes.float() if boxes.dtype.itemsize < 4 else boxes


def _inside_image(boxes: Tensor, i: int, size: tuple[int, int] | None) -> Tensor:
    """The boxes, after a check that they are corners in pixels; of float boxes half a pixel is cut off."""

    def refuse(bad: Tensor, expected: str) -> None:
        if bool(bad.any()):
            k = int(bad.int().argmax())
            raise ValueError(f"image {i}, box {k}: {expected}, got {boxes[k].tolist()}")

    x0, y0, x1, y1 = boxes.unbind(1)
    refuse(~boxes.isfinite().all(1), "corners must be finite")
    refuse((x1 < x0) | (y1 < y0), f"expected (x0, y0, x1, y1) with x0 ≤ x1 and y0 ≤ y1; {CONVERT}")
    spare = 0.5 if boxes.is_floating_point() else 0
    refuse((x0 < -spare) | (y0 < -spare), f"expected corners inside the image, none below 0; {CONVERT}")
    if size is None:
        return boxes
    height, width = size
    if boxes.is_floating_point() and max(size) > 1 and len(boxes) and 0 < float(boxes.max()) <= 1:
        refuse(
            boxes.amax(1) > 0,
            f"expected pixels of an image of {height} × {width} (H × W), but no corner of this image's boxes "
            f"exceeds 1; multiply normalised boxes by (W, H, W, H) = ({width}, {height}, {width}, {height})",
        )
    refuse(
        (x1 > width + spare) | (y1 > height + spare),
        f"expected corners inside the image, x ≤ {width} and y ≤ {height}; {CONVERT}, boxes that reach "
        f"beyond the image are cut by torchvision.ops.clip_boxes_to_image(boxes, ({height}, {width}))",
    )
    if not boxes.is_floating_point():
        return boxes
    return torch.stack([x0.clamp(0, width), y0.clamp(0, height), x1.clamp(0, width), y1.clamp(0, height)], 1)


def _alike(tensors: list[Tensor]) -> list[Tensor]:
    """The tensors, empty ones in the type of the others: torch.tensor([]) is float whatever it stands for."""
    filled = next((one for one in tensors if len(one)), None)
    return tensors if filled is None else [one if len(one) else one.to(filled.dtype) for one in tensors]
