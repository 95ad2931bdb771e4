"""What a pasted box does to object boxes: some stay, some shrink, some are covered, some come along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mixlearn.core.box_plan import BoxPlan
from mixlearn.core.geometry import box_area


class Objects(NamedTuple):
    """The objects of one image: boxes (n, 4) in pixels, labels (n,), and how much of each is seen, (n,)."""

    boxes: Tensor
    labels: Tensor
    visible: Tensor


def mix_objects(
    plan: BoxPlan, boxes: Sequence[Tensor], labels: Sequence[Tensor], *, least: float = 0.1
) -> list[Objects]:
    """The object boxes of images that CutMix has mixed.

    Of the image's own objects the part outside the pasted box is seen: if that part lacks whole rows or
    columns, the object's box shrinks to what remains. Of the partner's objects the part inside comes along.

    Args:
        plan: from `cutmix`, whose box leaves the partner where it was.
        boxes: for each image of the batch its objects as (n, 4): x0, y0, x1, y1 in pixels, half-open, of any
            integer or float type.
        labels: for each image the classes of its objects, (n,).
        least: drop an object of which less than this share of its area is seen.

    Returns:
        For each image `Objects(boxes, labels, visible)`: its own remaining objects, then its partner's. Whole
        pixels come back as int64, half precision as float32, in which areas cannot overflow.

    Raises:
        TypeError: a plan that does not paste boxes in place.
        ValueError: another number of images than the plan's, boxes and labels that disagree, `least`
            outside [0, 1].

    >>> import mixlearn as ml
    >>> plan = ml.cutmix(torch.zeros(2, 1, 8, 8), boxes=[4, 0, 8, 8], partner=[1, 0]).plan
    >>> objects = mix_objects(plan, [torch.tensor([[2, 2, 6, 4]]), torch.tensor([[5, 5, 7, 7]])],
    ...                       [torch.tensor([0]), torch.tensor([1])])
    >>> objects[0].boxes.tolist(), objects[0].labels.tolist(), objects[0].visible.tolist()
    ([[2, 2, 4, 4], [5, 5, 7, 7]], [0, 1], [0.5, 1.0])
    """
    if type(plan) is not BoxPlan:
        raise TypeError(f"plan must be one of cutmix, which pastes boxes in place, got {type(plan).__name__}")
    if not len(boxes) == len(labels) == len(plan):
        raise ValueError(
            f"boxes and labels must hold one tensor for each of {len(plan)} images, "
            f"got {len(boxes)} and {len(labels)}"
        )
    if not 0 <= least <= 1:
        raise ValueError(f"least must lie in [0, 1], got {least}")
    for i, (found, classes) in enumerate(zip(boxes, labels, strict=True)):
        if found.dim() != 2 or found.shape[1] != 4 or classes.shape != found.shape[:1]:
            raise ValueError(
                f"image {i}: expected boxes (n, 4) and labels (n,), "
                f"got {tuple(found.shape)} and {tuple(classes.shape)}"
            )
    boxes = [_roomy(found) for found in boxes]
    mixed = []
    for i, (hole, source) in enumerate(zip(plan.boxes, plan.partner.tolist(), strict=True)):
        if source == i:  # its own partner: as it was
            mixed.append(Objects(boxes[i], labels[i], torch.ones(len(labels[i]), device=labels[i].device)))
            continue
        hole = hole.to(boxes[i].device)
        stay, stay_share = _outside(boxes[i], hole)
        come, come_share = _inside(boxes[source], hole)
        seen, share = torch.cat([stay, come]), torch.cat([stay_share, come_share])
        kept = (share >= least) & (share > 0)
        mixed.append(Objects(seen[kept], torch.cat([labels[i], labels[source]])[kept], share[kept]))
    return mixed


def _roomy(boxes: Tensor) -> Tensor:
    """The boxes in a type that holds their areas."""
    if not boxes.is_floating_point():
        return boxes.long()
    return boxes.float() if boxes.dtype.itemsize < 4 else boxes


def _inside(boxes: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
    """The part of each box in the hole, and its share of the box."""
    seen = torch.cat([torch.maximum(boxes[:, :2], hole[:2]), torch.minimum(boxes[:, 2:], hole[2:])], dim=1)
    seen[:, 2:] = torch.maximum(seen[:, 2:], seen[:, :2])
    return seen, _share(box_area(seen), boxes)


def _outside(boxes: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
    """The tight box around what the hole leaves of each box, and its share."""
    covered, share = _inside(boxes, hole)
    left = boxes.clone()
    for low, high, other_low, other_high in ((0, 2, 1, 3), (1, 3, 0, 2)):
        full = (covered[:, other_low] == boxes[:, other_low]) & (
            covered[:, other_high] == boxes[:, other_high]
        )
        full &= share > 0  # the hole reaches across, so whole columns (rows) are gone
        starts, ends = covered[:, low] == boxes[:, low], covered[:, high] == boxes[:, high]
        left[:, low] = torch.where(full & starts & ~ends, covered[:, high], left[:, low])
        left[:, high] = torch.where(full & ends & ~starts, covered[:, low], left[:, high])
    return left, 1 - share


def _share(area: Tensor, boxes: Tensor) -> Tensor:
    whole = box_area(boxes)
    return torch.where(whole > 0, area / torch.where(whole > 0, whole, 1), 0.0)
