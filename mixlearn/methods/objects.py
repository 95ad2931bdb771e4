"""Objects of mixed images: boxes, masks and keypoints move with their pixels and are cut to what is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mixlearn.core.boxes import box_area, masks_to_boxes
from mixlearn.core.checks import check_range
from mixlearn.core.each import EachPlan
from mixlearn.core.fast import inside_boxes
from mixlearn.core.plan import BoxPlan, MixPlan, PatchPlan
from mixlearn.methods.comixup import CellPlan
from mixlearn.methods.cutout import ErasePlan
from mixlearn.methods.puzzlemix import PuzzlePlan
from mixlearn.methods.resizemix import ResizePlan
from mixlearn.methods.ricap import CropPlan
from mixlearn.methods.snapmix import SnapPlan

CONVERT = 'boxes as (x, y, width, height) are converted by torchvision.ops.box_convert(boxes, "xywh", "xyxy")'
IN_PLACE = (MixPlan, BoxPlan, PatchPlan, CellPlan, ErasePlan)  # plans that leave each pixel where it was
MOVING = (ResizePlan, SnapPlan, CropPlan, PuzzlePlan)


class Objects(NamedTuple):
    """The objects of one image: `boxes` (n, 4) in pixels, `labels` (n,), and how much is `visible` (n,).

    Object k was row `row[k]` of the image `source[k]` of the batch, both (n,) int64. Where they were given,
    `masks` (n, H, W) hold what is seen of each object, `keypoints` (n, P, 2 or 3) are moved with the pixels,
    and `shown` (n, P) says which can be seen; of others with three columns all three are 0, as in COCO.
    """

    boxes: Tensor
    labels: Tensor
    visible: Tensor
    source: Tensor
    row: Tensor
    masks: Tensor | None = None
    keypoints: Tensor | None = None
    shown: Tensor | None = None


def mix_objects(
    plan: MixPlan,
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    *,
    masks: Sequence[Tensor] | None = None,
    keypoints: Sequence[Tensor] | None = None,
    least: float = 0.1,
) -> list[Objects]:
    """Object boxes, classes, instance masks and keypoints of mixed images, for training detectors.

    `visible` is the mean, over an object's mask or else its box, of the plan's masks that show its image:
    under CutMix the share of the object that is seen, under Mixup λ for the image's own objects and 1 − λ for
    its partner's. A detector's loss may take it as a weight. Boxes are tight around what is seen: of the
    instance mask; without masks of the box, whose edge rows and columns that show nothing are cut off.

    Args:
        plan: of any method but AlignMix and MoEx, also that of a `RandomMix` batch. Where pixels move, as in
            Mosaic, RICAP and ResizeMix, an image that is its own partner can show an object twice.
        boxes: for each image of the batch its objects as (n, 4): x0, y0, x1, y1 in pixels, half-open, of any
            integer or float type. `tv_tensors.BoundingBoxes` in another format are converted. Float boxes
            up to half a pixel outside the image are clipped.
        labels: for each image the classes of its objects, (n,).
        masks: for each image the pixels of its objects, (n, H, W), not 0 where the object is.
        keypoints: for each image P points of each object, (n, P, 2) as x, y in pixels, or (n, P, 3) with a
            third column that is 0 where a point is not labelled or not to be seen.
        least: drop an object of which less than this share is visible, in [0, 1]. Ultralytics drops a box
            below 0.1 (`area_thr`; 0.01 with segments), Albumentations below `min_visibility`, by default 0;
            torchvision's `SanitizeBoundingBoxes` looks at sides and areas in pixels alone.

    Returns:
        For each image `Objects`: its own remaining objects, then those of the images mixed into it. Integer
        boxes come back as int64, half precision as float32, in which areas cannot overflow; tv_tensors as
        such, boxes as XYXY. Keep plans and objects on the CPU: of lists an accelerator has to be waited for.

    Raises:
        TypeError: a plan of which no pixel tells where its object went (AlignMix, MoEx).
        ValueError: boxes that are reversed, outside the image, normalised, rotated, or made for another size;
            lists, masks or keypoints of other lengths or shapes. Boxes as x, y, width, height in a plain
            tensor are noticed only where they cannot be corners.

    >>> import mixlearn as ml
    >>> plan = ml.cutmix(torch.zeros(2, 1, 8, 8), boxes=[4, 0, 8, 8], partner=[1, 0]).plan
    >>> objects = mix_objects(plan, [torch.tensor([[2, 2, 6, 4]]), torch.tensor([[5, 5, 7, 7]])],
    ...                       [torch.tensor([0]), torch.tensor([1])])
    >>> objects[0].boxes.tolist(), objects[0].labels.tolist(), objects[0].visible.tolist()
    ([[2, 2, 4, 4], [5, 5, 7, 7]], [0, 1], [0.5, 1.0])
    """
    plans = plan.plans if isinstance(plan, EachPlan) else (plan,)
    if wrong := [type(one).__name__ for one in plans if type(one) not in IN_PLACE + MOVING]:
        known = "as those of mixup, cutmix and mosaic do; train on its soft labels instead"
        raise TypeError(f"plan must say which pixel each pixel shows, got {wrong[0]}, {known}")
    check_range("[0, 1]", least=least)
    height, width = plan.size if isinstance(plan, BoxPlan) else plan.masks.shape[-2:]
    size = None if height == width == 1 else (height, width)  # Mixup's plans fit any size
    corners, classes = _checked(boxes, labels, len(plan), size)
    pixels, points = _given("masks", masks, corners, size), _given("keypoints", keypoints, corners, size)
    origins = [_origin(one) if pixels or _torn(one) else None for one in plans]
    mixed = []
    for i in range(len(plan)):
        way = int(plan.chosen[i]) if isinstance(plan, EachPlan) else 0
        one, parts = plans[way], []
        for j, ks in _sources(one, i):
            part = _Part(one, i, ks, origins[way])
            seen, visible, shown = part.look(corners[j], pixels[j] if pixels else None)
            row = torch.arange(len(seen), device=classes[j].device)
            moved = part.points(points[j]) if points else (None, None)
            parts.append((seen, classes[j], visible, torch.full_like(row, j), row, shown, *moved))
        columns = zip(*parts, strict=True)
        found = Objects(*(None if each[0] is None else torch.cat(each) for each in columns))  # type: ignore
        kept = (found.visible >= least) & (found.visible > 0)
        found = Objects(*(None if each is None else each[kept] for each in found))  # type: ignore[arg-type]
        as_given = {"boxes": boxes, "masks": masks, "keypoints": keypoints}
        wrapped = {name: _like(given[i], getattr(found, name)) for name, given in as_given.items() if given}
        mixed.append(found._replace(**wrapped))
    return mixed


# ----------------------------------------------------------------------------- what a plan shows of an image
def _torn(plan: MixPlan) -> bool:
    """Whether blocks of the images move by themselves, so that boxes have to be followed pixel by pixel."""
    return isinstance(plan, PuzzlePlan) and plan.order is not None


def _moves(plan: MixPlan) -> bool:
    return _torn(plan) or isinstance(plan, (ResizePlan, CropPlan))


def _sources(plan: MixPlan, i: int) -> list[tuple[int, list[int]]]:
    """Whose objects mixture i may show, and in which parts: an image in two that move is there twice."""
    sources = plan.sources[:, i].tolist()
    if _moves(plan):
        return [(j, [k]) for k, j in enumerate(sources)]
    return [(j, [k for k, other in enumerate(sources) if other == j]) for j in dict.fromkeys(sources)]


def _origin(plan: MixPlan) -> Tensor | None:
    """(K or 1, B, H, W): which pixel of its source each one shows, counted row by row; None: the same."""
    if not _moves(plan):
        return None
    size = plan.masks.shape[-2:]
    pixels = torch.arange(size.numel(), device=plan.device).view(size).expand(len(plan), *size)
    return plan.parts(pixels) if isinstance(plan, PuzzlePlan) else plan.mix(pixels)[None]


class _Part:
    """What mixture i shows of one source: parts `ks` of a plan that leaves pixels in place, else one part."""

    def __init__(self, plan: MixPlan, i: int, ks: list[int], origin: Tensor | None) -> None:
        self.plan, self.i, self.ks, self.inner = plan, i, ks, ks == [1]
        self.origin = None if origin is None else origin[min(ks[0], len(origin) - 1), i]  # (H, W)
        self.move: tuple[Tensor, Tensor] | None = None  # what lay in the first box (4,) lies in the second
        self.hole: Tensor | None = None  # the box of a `BoxPlan`
        if isinstance(plan, BoxPlan):
            taken = plan.taken.expand(len(plan), 4)[i] if isinstance(plan, ResizePlan) else plan.boxes[i]
            empty = len(ks) == 2 or not box_area(taken)  # nothing else is seen, or nothing is pasted
            self.hole = plan.boxes[i] * (not empty)
            self.move = (taken, self.hole) if isinstance(plan, ResizePlan) and self.inner else None
        elif isinstance(plan, CropPlan):
            whole = torch.tensor([0, 0, *plan.masks.shape[:-3:-1]])
            self.move = (whole, plan.places[ks[0], i].to(whole))

    def share(self) -> Tensor:
        """(H, W) or (1, 1): how much of the source each pixel shows."""
        if self.hole is None:
            return self.plan.masks[self.ks, self.i, 0].sum(0)
        inside = inside_boxes(self.hole[None], *self.plan.size)[0]  # type: ignore[attr-defined]
        return (inside if self.inner else ~inside).float()

    def look(self, boxes: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Boxes (n, 4) around what is seen, how visible each object is (n,), and the masks (n, H, W)."""
        if masks is not None or _torn(self.plan):
            return self._pixel_by_pixel(boxes, masks)
        placed = boxes if self.move is None else _placed(boxes, *self.move)
        if self.hole is not None:
            cut = _inside if self.inner else _outside
            seen, visible = cut(placed, self.hole.to(boxes.device))
        else:
            seen, visible = _under(placed, self.share().to(boxes.device))
        if seen.dtype != boxes.dtype:  # of whole pixels, which show the nearest ones
            seen = seen.ceil().to(boxes.dtype)
            visible = torch.where(box_area(seen) > 0, visible.float(), 0.0)
        return seen, visible, None

    def _pixel_by_pixel(self, boxes: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        share, device = self.share().to(boxes.device), boxes.device
        if masks is None:  # the boxes' own pixels, by how much of each they cover
            wide = boxes.to(torch.promote_types(boxes.dtype, torch.float32))
            across, down = _covered(wide[:, 0::2], share.shape[1]), _covered(wide[:, 1::2], share.shape[0])
            pixels = down[:, :, None] * across[:, None]  # (n, H, W)
        else:
            pixels = (masks != 0).float()
        whole = pixels.sum((1, 2))
        if self.origin is not None:
            pixels = pixels.flatten(1)[:, self.origin.to(device)]
        if self.move is not None:
            taken, into = self.move
            whole = whole * (box_area(into) / box_area(taken).clamp_min(1)).to(device)
        weights = pixels * share
        visible = torch.where(whole > 0, weights.sum((1, 2)) / whole.clamp_min(1e-9), 0.0).clamp(max=1)
        found = weights > 0
        seen = masks_to_boxes(found[:, None]).to(boxes.dtype)
        return seen, visible, None if masks is None else found.to(masks.dtype)

    def points(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints (n, P, 2 or 3) where they are now, and which can be seen, (n, P)."""
        points = points if points.is_floating_point() else points.float()
        share, xy = self.share().to(points.device), points[..., :2]
        known = (xy >= 0).all(-1) & (points[..., 2:] > 0).all(-1)
        if _torn(self.plan) and self.origin is not None:
            here = self.origin.flatten().to(points.device) == _index(xy, share)[..., None]  # (n, P, H W)
            at, width = here.int().argmax(-1), share.shape[1]
            known, xy = known & here.any(-1), torch.stack([at % width, at // width], -1) + xy.frac()
        elif self.move is not None:
            known, xy = known & (xy <= self.move[0][2:].to(xy)).all(-1), _placed(xy, *self.move)
        size = torch.tensor(share.shape[::-1], device=xy.device)
        inside = (share.numel() == 1) | ((xy >= 0) & (xy <= size)).all(-1)
        shown = known & inside & (share.flatten()[_index(xy, share)] > 0)
        moved = torch.cat([xy, points[..., 2:]], -1)
        return moved if points.shape[-1] == 2 else torch.where(shown[..., None], moved, 0.0), shown


def _index(xy: Tensor, share: Tensor) -> Tensor:
    """The pixel that each point lies in, counted row by row; at the far border the last one."""
    height, width = share.shape
    column, row = (xy[..., d].long().clamp(0, side - 1) for d, side in enumerate((width, height)))
    return row * width + column


def _placed(places: Tensor, taken: Tensor, into: Tensor) -> Tensor:
    """Boxes (n, 4) or points (n, P, 2) of one box, as they lie in another; whole numbers as float64."""
    wide = places if places.is_floating_point() else places.double()
    taken, into, pairs = taken.to(wide), into.to(wide), wide.reshape(-1, 2)
    before, after = (taken[2:] - taken[:2]).clamp_min(1), into[2:] - into[:2]
    return ((pairs - taken[:2]) * after / before + into[:2]).view(places.shape)


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
        corners.append(plain)
        classes.append(ids)
    ends = [float(one.max()) for one in corners if one.numel() and one.is_floating_point()]
    shares = bool(ends) and 0 < max(ends) <= 1  # in one image alone, tiny objects near a corner may do so
    corners = [_inside_image(one, i, size, shares) for i, one in enumerate(corners)]
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


def _inside_image(boxes: Tensor, i: int, size: tuple[int, int] | None, shares: bool) -> Tensor:
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
    if shares and max(size) > 1:
        refuse(
            boxes.amax(1) > 0,
            f"expected pixels of an image of {height} × {width} (H × W), but no corner of any box "
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


def _given(
    name: str, given: Sequence[Tensor] | None, boxes: list[Tensor], size: tuple[int, int] | None
) -> list[Tensor] | None:
    """Masks (n, H, W) or keypoints (n, P, 2 or 3), as plain tensors, after a check of their shapes."""
    if given is None:
        return None
    if len(given) != len(boxes) or not all(isinstance(one, Tensor) for one in given):
        kinds = sorted({type(one).__name__ for one in given})
        expected = f"one tensor for each of {len(boxes)} images"
        raise ValueError(f"{name} must hold {expected}, got {len(given)} of {', '.join(kinds) or 'none'}")
    plain = [one.as_subclass(Tensor) for one in given]
    fullest = max((one for one in plain if one.dim() == 3), key=len, default=torch.empty(0, 1, 3))
    known = tuple(fullest.shape[1:])
    if name == "masks":
        known, words = size or known, f"(n, H, W) = (n, {', '.join(map(str, size or known))})"
    else:
        words = "(n, P, 2) or (n, P, 3), P the same for all images,"
    for i, (one, own) in enumerate(zip(plain, boxes, strict=True)):
        fits = one.dim() == 3 and one.shape[1:] == known and (name == "masks" or known[1] in (2, 3))
        if len(one) != len(own) or not (fits or not len(one)):
            raise ValueError(
                f"image {i}: {name} must have shape {words} for n = {len(own)} boxes, got {tuple(one.shape)}"
            )
    return _alike([one if len(one) else one.reshape(0, *known) for one in plain])


def _like(given: Tensor, value: Tensor) -> Tensor:
    """The value as the tv_tensor that was given, if it was one."""
    if not type(given).__module__.startswith("torchvision."):
        return value
    options = {"canvas_size": given.canvas_size} if hasattr(given, "canvas_size") else {}
    return type(given)(value, **options, **({"format": "XYXY"} if hasattr(given, "format") else {}))
