"""Checks of what a caller passes. Errors name what was received, what was expected, and the way out."""

from __future__ import annotations

import inspect
import math
import operator
import warnings
from collections.abc import Sequence
from functools import partial
from numbers import Real
from typing import Any

import torch
from torch import Tensor


def as_number(value: Any, name: str) -> float:
    """A real number of any kind as a float: Python's, NumPy's, or a tensor or array without dimensions.

    >>> as_number(torch.tensor(0.5), "alpha")
    0.5
    """
    if type(value) is float:
        return value
    scalar = isinstance(value, Real) or (getattr(value, "ndim", None) == 0 and not isinstance(value, str))
    if not scalar or _is_boolean(value):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    return float(value)


def as_count(value: Any, name: str, least: int | None = None) -> int:
    """A whole number of any type, at least `least`, as an int; one on an accelerator is waited for."""
    if type(value) is not int:
        try:
            if _is_boolean(value) or getattr(value, "ndim", None):
                raise TypeError
            value = operator.index(value)
        except TypeError:
            raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def is_count(value: Any, least: int | None = 1) -> bool:
    """Whether `as_count` takes a value."""
    try:
        as_count(value, "value", least)
    except (TypeError, ValueError):
        return False
    return True


def check_range(interval: str, **numbers: Any) -> None:
    """Refuse numbers outside an interval, such as "[0, 1)" or "(0, inf)".

    >>> check_range("[0, 1)", smoothing=0.1)
    """
    low, high = (float(end) for end in interval[1:-1].split(","))
    for name, value in numbers.items():
        number = as_number(value, name)
        above = number > low if interval[0] == "(" else number >= low
        below = number < high if interval[-1] == ")" else number <= high
        if not (above and below):
            raise ValueError(f"{name} must lie in {interval}, got {value}")


def check_positive(**numbers: Any) -> None:
    """Whether sizes, such as a network's `width` and `channels`, are positive integers."""
    for name, value in numbers.items():
        if not is_count(value):
            raise ValueError(f"{name} must be a positive integer, got {value!r}")


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")


def is_integer(values: Tensor) -> bool:
    """Whether values are whole numbers by their type, which True and False are not."""
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)


def _outside(ids: Tensor, count: int) -> int | None:
    """A value of integers that does not lie in 0…count−1, or None; on an accelerator nothing is read."""
    if not readable(ids) or not ids.numel():
        return None
    low, high = (int(value) for value in torch.aminmax(ids.long()))
    return low if low < 0 else high if high >= count else None


def in_words(function: Any) -> str:
    """A function, or one with options set by `partial`, as one would write it.

    >>> in_words(partial(map, func=partial(sum, start=0.1), mean=(0.123456789, 0.5)))
    'map(func=sum(start=0.1), mean=(0.1235, 0.5))'
    """
    if isinstance(function, partial):
        options = ", ".join(f"{name}={_value(value)}" for name, value in function.keywords.items())
        return f"{in_words(function.func)}({options})"
    return str(getattr(function, "__name__", None) or repr(function))


def _value(value: Any) -> str:
    if callable(value):
        return in_words(value)
    if isinstance(value, tuple) and all(isinstance(number, float) for number in value):
        return f"({', '.join(f'{number:.4g}' for number in value)})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name!r}: {_value(part)}' for name, part in value.items())}}}"
    if hasattr(value, "train") and hasattr(value, "name"):  # a loaded data set
        return repr(value.name)
    return repr(value)


def takes(function: Any, name: str) -> bool:
    """Whether a function may be called with the keyword `name`; True for one without a signature."""
    try:
        known = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    return name in known or any(one.kind is one.VAR_KEYWORD for one in known.values())


def readable(values: Tensor) -> bool:
    """Whether looking at the values costs no wait for an accelerator."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def check_alpha(value: Any) -> float:
    """α of a Beta distribution as a float."""
    alpha = as_number(value, "alpha")
    if not (math.isfinite(alpha) and alpha > 0):
        off = "; to mix nothing, pass lam=1, set p=0 in a RandomMix, or leave the call out"
        raise ValueError(f"alpha must be positive and finite, got {alpha}{'' if alpha else off}")
    return alpha


def check_generator(generator: torch.Generator | None) -> None:
    """Refuse a generator elsewhere than on the CPU: one seed then gives one plan on every device."""
    if generator is None:
        return
    if not hasattr(generator, "device"):
        raise TypeError(f"generator must be a torch.Generator or None, got {type(generator).__name__}")
    if generator.device.type != "cpu":
        raise ValueError(f"generator must live on the CPU: plans are drawn there, got {generator.device}")


def check_images(images: Tensor) -> None:
    """Whether images are a float tensor (B, …) of at least one."""
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a torch.Tensor, got {type(images).__name__}{_to_stack(images)}")
    if images.dim() < 2 or images.shape[0] == 0:
        shape = tuple(images.shape)
        raise ValueError(f"images must have shape (B, …) with B ≥ 1, usually (B, C, H, W), got {shape}")
    if not images.is_floating_point():
        way = "convert first, for example images.float() / 255"
        raise TypeError(f"images must be floating point, got {images.dtype}; {way}")


def _to_stack(images: Any) -> str:
    """The way from a list, or an array, to one tensor."""
    if not isinstance(images, (list, tuple)):
        return "; convert it first, for example with torch.as_tensor(images)"
    sizes = sorted({tuple(image.shape) for image in images if isinstance(image, Tensor)})
    if len(sizes) < 2:
        return "; make one tensor of the list with torch.stack(images)"
    some, way = ", ".join(map(str, sizes[:3])), "resize or crop them to one size, then torch.stack(images)"
    return f" of {len(images)} images of different sizes: {some}; {way}"


def check_pixels(images: Tensor) -> tuple[int, int]:
    """(H, W) of images (B, …, H, W)."""
    check_images(images)
    if images.dim() < 3 or not images.shape[-1] or not images.shape[-2]:
        shape = tuple(images.shape)
        raise ValueError(f"images must have rows and columns, (B, …, H, W) with H, W ≥ 1, got {shape}")
    check_layout(images)
    return images.shape[-2], images.shape[-1]


def check_layout(images: Tensor) -> None:
    """Refuse images (B, H, W, C) where (B, C, H, W) is meant, so that columns are colours.

    Shapes alone cannot prove it. Suspicious are 1, 3 or 4 columns beside at least 16 rows and 16 channels.
    With 3 columns, or as many rows as channels, they are refused, else warned of: features of a network
    hardly ever have such a shape.
    """
    if images.dim() != 4:
        return
    _, first, second, last = images.shape
    if last not in (1, 3, 4) or first < 16 or second < 16:
        return
    looks = f"got {tuple(images.shape)}, which looks like (B, H, W, C); use images.permute(0, 3, 1, 2)"
    if last == 3 or first == second:
        way = f"(or, if they do have {last} columns, images[:, None], which has five dimensions)"
        raise ValueError(f"images must have shape (B, C, H, W), {looks} {way}")
    warnings.warn(f"images should have shape (B, C, H, W), {looks}", stacklevel=4)


def check_unit(name: str, values: Tensor) -> None:
    """Whether shares lie in [0, 1], but for rounding as in 1 − λ; on an accelerator nothing is read."""
    if readable(values) and values.numel():
        low, high = (value.item() for value in torch.aminmax(values.detach()))
        if low < -1e-4 or high > 1.0001 or (low != low and name == "weights"):  # NaN in masks: fit says when
            raise ValueError(f"{name} must lie in [0, 1], got {low:g} to {high:g}")


def check_parts(sources: Tensor, masks: Tensor, weights: Tensor, lam_drawn: Tensor | None) -> None:
    """Whether the parts of a plan belong together; on the CPU also whether their values can be right."""
    parts = tuple(sources.shape)
    if len(parts) != 2:
        raise ValueError(f"sources must have shape (K, B), got {parts}")
    if weights.shape != parts:
        raise ValueError(f"weights must have the shape of sources, {parts}, got {tuple(weights.shape)}")
    if masks.dim() != 5 or masks.shape[:3] != (*parts, 1):
        raise ValueError(f"masks must have shape {(*parts, 1, 'H', 'W')}, got {tuple(masks.shape)}")
    wrong = _outside(sources, parts[1])
    if wrong is not None:
        raise ValueError(f"sources must lie in 0…{parts[1] - 1} for {parts[1]} images, got {wrong}")
    if lam_drawn is not None and tuple(lam_drawn.shape) != parts[1:]:
        raise ValueError(f"lam_drawn must have shape {parts[1:]}, got {tuple(lam_drawn.shape)}")
    check_unit("weights", weights)


def check_batch(values: Tensor, batch: int, name: str) -> None:
    """Whether values (B, …) are as many as a plan is for."""
    if values.dim() == 0 or values.shape[0] != batch:
        raise ValueError(f"{name} must have shape ({batch}, …) as the plan has, got {tuple(values.shape)}")


def check_size(images: Tensor, batch: int, size: Sequence[int], what: str) -> None:
    """Whether images (B, …, H, W) are as many, and as high and wide, as a plan's masks, boxes or patches."""
    check_batch(images, batch, "images")
    if images.dim() < 3 or tuple(images.shape[-2:]) != tuple(size):
        shape = f"({batch}, …, {size[0]}, {size[1]})"
        raise ValueError(f"images must have shape {shape} to go with the {what}, got {tuple(images.shape)}")


def check_patch(patch: int, height: int, width: int) -> tuple[int, int]:
    """How many rows and columns of square patches an image has."""
    if patch < 1 or height % patch or width % patch:
        given = f"patch {patch} for {height} × {width} pixels"
        raise ValueError(f"patch must divide height and width, got {given}")
    return height // patch, width // patch


def check_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes as int64 (n, 4); those on the CPU are looked at, whether they lie inside the image."""
    boxes = torch.as_tensor(boxes)
    if not is_integer(boxes):
        raise TypeError(f"boxes must hold whole pixels (x0, y0, x1, y1), got {boxes.dtype}")
    if boxes.dim() != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must have shape (n, 4) as (x0, y0, x1, y1), got {tuple(boxes.shape)}")
    if readable(boxes):
        for x0, y0, x1, y1 in boxes.tolist():
            if not (0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height):
                limits = f"0 ≤ x0 ≤ x1 ≤ {width} and 0 ≤ y0 ≤ y1 ≤ {height}"
                raise ValueError(f"boxes must satisfy {limits}, got {[x0, y0, x1, y1]}")
    return boxes.long()


def check_labels(labels: Tensor, batch: int, num_classes: int | None, ignore_index: int | None = None) -> int:
    """The number of classes of integer ids (B,) or soft labels (B, C)."""
    if not isinstance(labels, Tensor):
        way = "convert them first, for example with torch.as_tensor(labels)"
        raise TypeError(f"labels must be a torch.Tensor, got {type(labels).__name__}; {way}")
    shape, dtype = tuple(labels.shape), labels.dtype
    if len(shape) not in (1, 2) or shape[0] != batch:
        way = "; maps of labels are mixed like images: plan.mix(maps)" if len(shape) > 2 else ""
        expected = f"({batch},) or ({batch}, C) to go with {batch} images"
        raise ValueError(f"labels must have shape {expected}, got {shape}{way}")
    if num_classes is not None and not is_count(num_classes):
        raise ValueError(f"num_classes must be a positive int, got {num_classes!r}")
    if len(shape) == 2:
        if dtype.is_floating_point or dtype.is_complex:
            return _columns(shape[1], num_classes, ignore_index)
        if shape[1] == 1 and num_classes != 1:
            way = "drop the last axis: labels.squeeze(1)"
            raise ValueError(f"class ids must have shape ({batch},), got {shape}; {way}")
        way = "use labels.float() for one-hot or multi-hot rows, or labels.argmax(1) for class ids"
        raise TypeError(f"soft labels (B, C) must be floating point, got {dtype} of {shape}; {way}")
    if not is_integer(labels):
        way = "use labels.long() if they are ids; soft labels have shape (B, C)"
        raise TypeError(f"labels of shape (B,) must be integer class ids, got {dtype}; {way}")
    if num_classes is None:
        raise ValueError("num_classes is needed to turn integer class ids into soft labels, got None")
    check_ids(labels, int(num_classes), ignore_index)
    return int(num_classes)


def _columns(columns: int, num_classes: int | None, ignore_index: int | None) -> int:
    """The number of classes of soft labels, which `num_classes`, if given, must match."""
    if num_classes is not None and num_classes != columns:
        raise ValueError(f"soft labels have {columns} columns but num_classes is {int(num_classes)}")
    if ignore_index is not None:
        way = "give what is to be ignored a row of zeros, or mix class ids (B,)"
        raise ValueError(f"soft labels (B, C) hold no id to ignore, got ignore_index={ignore_index}; {way}")
    return columns


def check_ids(labels: Tensor, num_classes: int, ignore_index: int | None = None) -> None:
    """Whether integer ids of any shape lie in 0…C−1, but for those that are ignored."""
    if not readable(labels):
        return
    ids = labels.long()
    if ignore_index is not None and not 0 <= ignore_index < num_classes:
        ids = ids[ids != ignore_index]
    wrong = _outside(ids, num_classes)
    if wrong is not None:
        leave = "; plan.soften and the losses take ignore_index=, the id of what is not to count"
        way = leave if wrong in (-100, -1, 255) and wrong != ignore_index else ""
        raise ValueError(f"labels must lie in 0…{num_classes - 1} ({num_classes=}), got {wrong}{way}")


def as_ids(labels: Tensor) -> Tensor:
    """Integer labels as int64, the type that torch's losses take; soft ones as they are."""
    return labels if labels.is_floating_point() else labels.long()


def check_predictions(logits: Tensor, labels: Tensor) -> None:
    """Whether logits (N, C) and class ids (N,) belong together, as measures need them."""
    if logits.dim() != 2 or labels.dim() != 1 or logits.shape[0] != labels.shape[0]:
        way = "; drop the last axis: labels.squeeze(1)" if tuple(labels.shape[1:]) == (1,) else ""
        shapes = f"{tuple(logits.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"expected logits (N, C) and labels (N,), got {shapes}{way}")
    if logits.shape[0] == 0:
        raise ValueError("expected at least one prediction, got none")
    if not is_integer(labels):
        raise TypeError(f"labels must be integer class ids, got {labels.dtype}")
    if not bool(logits.isfinite().all()):
        raise ValueError("logits must be finite, got NaN or infinity")
    low, high = (int(label) for label in torch.aminmax(labels.long()))
    if low < 0 or high >= logits.shape[1]:
        way = "leave out images without a label first: keep = labels >= 0"
        raise ValueError(f"labels must lie in 0…{logits.shape[1] - 1}, got {low} to {high}; {way}")


def as_lam(lam: float | Sequence[float] | Tensor, batch: int, name: str = "lam") -> Tensor:
    """λ for each image, shape (B,), from one number or B numbers in [0, 1]."""
    values = torch.as_tensor(lam)
    if values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    if values.dim() > 1 or (values.dim() == 1 and values.shape[0] not in (1, batch)):
        expected = f"one number or {batch} numbers for {batch} images"
        raise ValueError(f"{name} must be {expected}, got shape {tuple(values.shape)}")
    if readable(values):
        inside = (values >= 0) & (values <= 1)
        if not bool(inside.all()):
            raise ValueError(f"{name} must lie in [0, 1], got {values[~inside].flatten()[0].item()}")
    return values.expand(batch)


def as_partner(partner: Sequence[int] | Tensor, batch: int) -> Tensor:
    """The partner of each image as int64 indices (B,) into the batch."""
    index = torch.as_tensor(partner)
    if not is_integer(index):
        raise TypeError(f"partner must hold integer indices into the batch, got {index.dtype}")
    if index.shape != (batch,):
        raise ValueError(f"partner must have shape ({batch},) for {batch} images, got {tuple(index.shape)}")
    wrong = _outside(index, batch)
    if wrong is not None:
        raise ValueError(f"partner must lie in 0…{batch - 1} for {batch} images, got {wrong}")
    return index.long()
