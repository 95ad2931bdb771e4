"""Object boxes of mixed images: checked, brought to corners in pixels, and cut to what is still seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mixlearn.core.boxes import box_area
from mixlearn.core.checks import check_range
from mixlearn.core.each import EachPlan
from mixlearn.core.plan import BoxPlan, MixPlan, PatchPlan
from mixlearn.methods.comixup import CellPlan
from mixlearn.methods.cutout import ErasePlan
from mixlearn.methods.puzzlemix import PuzzlePlan

CONVERT = 'boxes as (x, y, width, height) are converted by torchvision.ops.box_convert(boxes, "xywh", "xyxy")'
IN_PLACE = (MixPlan, BoxPlan, PatchPlan, CellPlan, ErasePlan)  # plans that leave each pixel where it was


class Objects(NamedTuple):
    """The objects of one image: `boxes` (n, 4) in pixels, `labels` (n,), and how much is `visible` (n,).

    Object k was row `row[k]` of the image `source[k]` of the batch, both (n,) int64, so that its mask or
    crowd flag can be looked up. A mask also loses what `plan.masks` covers.
    """

    boxes: Tensor
    labels: Tensor
    visible: Tensor
    source: Tensor
    row: Tensor


def mix_objects(
    plan: MixPlan, boxes: Sequence[Tensor], labels: Sequence[Tensor], *, least: float = 0.1
) -> list[Objects]:
    """Object boxes and classes of mixed images, for training detectors.

    `visible` is the mean, over an object's box, of the masks that show its image: under CutMix the share of
    the box that is seen, under Mixup λ for the image's own objects and 1 − λ for its partner's. A detector's
    loss may take it as a weight. Rows and columns at the edge of a box that show nothing are cut off.

    Args:
        plan: of any method that leaves pixels in place, also that of a `RandomMix` batch that was not mixed.
        boxes: for each image of the batch its objects as (n, 4): x0, y0, x1, y1 in pixels, half-open, of any
            integer or float type. `tv_tensors.BoundingBoxes` in another format are converted. Float boxes
            up to half a pixel outside the image are clipped.
        labels: for each image the classes of its objects, (n,).
        least: drop an object of which less than this share is visible, in [0, 1].

    Returns:
        For each image `Objects`: its own remaining objects, then those of the images mixed into it. Integer
        boxes come back as int64, half precision as float32, in which areas cannot overflow.

    Raises:
        TypeError: a plan that moves pixels (ResizeMix, SnapMix, AlignMix, PuzzleMix with transport).
        ValueError: boxes that are reversed, outside the image, normalised, rotated, or made for another size.
            Boxes as x, y, width, height in a plain tensor are noticed only where they cannot be corners.

    >>> import mixlearn as ml
    >>> plan = ml.cutmix(torch.zeros(2, 1, 8, 8), boxes=[4, 0, 8, 8], partner=[1, 0]).plan
    >>> objects = mix_objects(plan, [torch.tensor([[2, 2, 6, 4]]), torch.tensor([[5, 5, 7, 7]])],
    ...                       [torch.tensor([0]), torch.tensor([1])])
    >>> objects[0].boxes.tolist(), objects[0].labels.tolist(), objects[0].visible.tolist()
    ([[2, 2, 4, 4], [5, 5, 7, 7]], [0, 1], [0.5, 1.0])
    """
    for one in plan.plans if isinstance(plan, EachPlan) else (plan,):
        if type(one) not in IN_PLACE and not (isinstance(one, PuzzlePlan) and one.order is None):
            raise TypeError(
                f"plan must leave pixels in place, as those of mixup, cutmix and mask methods do, got "
                f"{type(one).__name__}, which moves or resizes them (puzzlemix: take move=None)"
            )
    check_range("[0, 1]", least=least)
    height, width = plan.size if isinstance(plan, BoxPlan) else plan.masks.shape[-2:]
    size = None if height == width == 1 else (height, width)  # Mixup's plans fit any size
    boxes, labels = _checked(boxes, labels, len(plan), size)
    mixed = []
    for i, sources in enumerate(plan.sources.T.tolist()):
        seen: dict[int, tuple[Tensor, Tensor]] = {}  # of each source: its boxes (n, 4), how visible (n,)
        for j in dict.fromkeys(sources):
            if isinstance(plan, BoxPlan):
                hole = plan.boxes[i].to(boxes[j].device) if sources[1] != i else boxes[j].new_zeros(4)
                seen[j] = _outside(boxes[j], hole) if j == i else _inside(boxes[j], hole)
            else:
                same = [k for k, other in enumerate(sources) if other == j]
                seen[j] = _under(boxes[j], plan.masks[same, i, 0].sum(0).to(boxes[j].device))
        corners, visible = (torch.cat(each) for each in zip(*seen.values(), strict=True))
        device = labels[i].device
        source = torch.cat([torch.full((len(boxes[j]),), j, device=device) for j in seen])
        row = torch.cat([torch.arange(len(boxes[j]), device=device) for j in seen])
        classes = torch.cat([labels[j] for j in seen])
        kept = (visible >= least) & (visible > 0)
        mixed.append(Objects(corners[kept], classes[kept], visible[kept], source[kept], row[kept]))
    return mixed


# ----------------------------------------------------------------------------------------- what is still seen
def _inside(boxes: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
    """The part of each box (n, 4) in the hole (4,), and its share of the box."""
    low = torch.maximum(boxes[:, :2], hole[:2])
    seen = torch.cat([low, torch.minimum(boxes[:, 2:], hole[2:]).maximum(low)], dim=1)
    return seen, _share(box_area(seen), boxes)


def _outside(boxes: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
    """The tight box around what the hole leaves of each box, and its share."""
    covered, share = _inside(boxes, hole)
    same, left = covered == boxes, boxes.clone()
    for low, high, across in ((0, 2, same[:, 1::2]), (1, 3, same[:, 0::2])):
        full = across.all(1) & (share > 0)  # the hole reaches across, so whole columns (rows) are gone
        starts, ends = same[:, low], same[:, high]
        left[:, low] = torch.where(full & starts & ~ends, covered[:, high], left[:, low])
        left[:, high] = torch.where(full & ends & ~starts, covered[:, low], left[:, high])
    return left, 1 - share


def _share(area: Tensor, boxes: Tensor) -> Tensor:
    whole = box_area(boxes)
    return torch.where(whole > 0, area / torch.where(whole > 0, whole, 1), 0.0)


def _under(boxes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The tight box around what a mask (H, W) shows of each box (n, 4), and the mean of the mask over it."""
    low, high = torch.aminmax(mask)
    if low == high:  # the same all over
        return boxes, mask.flatten()[:1].expand(len(boxes))
    dtype = torch.promote_types(boxes.dtype, mask.dtype)
    mask, corners = mask.to(dtype), boxes.to(dtype)
    height, width = mask.shape
    across, down = _covered(corners[:, 0::2], width), _covered(corners[:, 1::2], height)
    columns, rows = across * (down @ mask), down * (across @ mask.T)  # (n, W), (n, H)
    seen = boxes.clone()
    for axis, shown in ((0, columns), (1, rows)):
        any_, size = (shown > 0).to(torch.uint8), shown.shape[1]
        first, last = any_.argmax(1), size - any_.flip(1).argmax(1)
        seen[:, axis] = torch.maximum(boxes[:, axis], first.to(boxes))
        seen[:, axis + 2] = torch.minimum(boxes[:, axis + 2], last.to(boxes))
    return seen, _share(columns.sum(1), corners).clamp(max=1)


def _covered(ends: Tensor, size: int) -> Tensor:
    """How much of each of `size` pixels in a line lies between two ends: (n, 2) → (n, size)."""
    pixel = torch.arange(size, device=ends.device)
    return (torch.minimum(ends[:, 1:], pixel + 1) - torch.maximum(ends[:, :1], pixel)).clamp(min=0)


# ----------------------------------------------------------------------------------- boxes as users have them
def _checked(
    boxes: Sequence[Tensor], labels: Sequence[Tensor], count: int, size: tuple[int, int] | None
) -> tuple[list[Tensor], list[Tensor]]:
    """The boxes of each image as corners in pixels, in a type that holds their areas, and their labels."""
    if not len(boxes) == len(labels) == count:
        raise ValueError(
            f"boxes and labels must hold one tensor for each of {count} images, "
            f"got {len(boxes)} and {len(labels)}"
        )
    corners, classes = [], []
    for i, (given, ids) in enumerate(zip(boxes, labels, strict=True)):
        if not isinstance(given, Tensor) or not isinstance(ids, Tensor):
            raise TypeError(
                f"image {i}: boxes and labels must be tensors, "
                f"got {type(given).__name__} and {type(ids).__name__}"
            )
        plain = _as_corners(given, i, size)
        if not plain.numel() and not ids.numel():  # an image without objects
            plain, ids = plain.reshape(0, 4), ids.reshape(0)
        if plain.dim() != 2 or plain.shape[1] != 4 or ids.shape != plain.shape[:1]:
            raise ValueError(
                f"image {i}: expected boxes (n, 4) and labels (n,), "
                f"got {tuple(plain.shape)} and {tuple(ids.shape)}"
            )
        corners.append(_inside_image(plain, i, size))
        classes.append(ids)
    return _alike(corners), _alike(classes)


def _as_corners(given: Any, i: int, size: tuple[int, int] | None) -> Tensor:
    """A plain tensor of corners, of boxes that may say their own format and the size of their image."""
    canvas = getattr(given, "canvas_size", None)
    style = getattr(getattr(given, "format", None), "name", "XYXY")
    plain = given.as_subclass(Tensor)
    dtype = torch.promote_types(plain.dtype, torch.float32) if plain.is_floating_point() else torch.int64
    plain = plain.to(dtype)  # a type that holds areas
    if canvas is not None and size is not None and tuple(canvas) != tuple(size):
        raise ValueError(
            f"image {i}: boxes are for an image of (H, W) = {tuple(canvas)}, the mixed images have "
            f"{tuple(size)}; resize the boxes together with their image"
        )
    start, extent = plain[..., :2], plain[..., 2:]
    if style == "XYXY":
        return plain
    if style == "XYWH":
        return torch.cat([start, start + extent], dim=-1)
    if style == "CXCYWH":
        low = start - (extent / 2 if plain.is_floating_point() else extent // 2)
        return torch.cat([low, low + extent], dim=-1)
    raise ValueError(
        f"image {i}: boxes must be upright, XYXY, XYWH or CXCYWH, got {style}; "
        "put upright boxes around them first"
    )


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
    limits = boxes.new_tensor([width, height, width, height])
    return boxes.clamp(min=0).minimum(limits) if spare else boxes


def _alike(tensors: list[Tensor]) -> list[Tensor]:
    """The tensors, empty ones in the type of the others: torch.tensor([]) is float whatever it stands for."""
    filled = next((one for one in tensors if len(one)), None)
    return tensors if filled is None else [one if len(one) else one.to(filled.dtype) for one in tensors]
