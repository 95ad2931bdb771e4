"""Numbers that a caller hands in: Python's, NumPy's, and tensors of one value."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor


def as_number(value: Any, name: str) -> float:
    """A real number of any kind as a float: Python's, NumPy's, or a tensor or array without dimensions.

    Args:
        value: what was given.
        name: of the argument, for the error.

    Raises:
        TypeError: something else; True and False are no numbers here.

    >>> import torch
    >>> as_number(torch.tensor(0.5), "alpha"), as_number(2, "alpha")
    (0.5, 2.0)
    """
    if type(value) is float:
        return value
    scalar = isinstance(value, Real) or (getattr(value, "ndim", None) == 0 and not isinstance(value, str))
    if not scalar or _boolean(value):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    return float(value)


def as_count(value: Any, name: str, least: int | None = None) -> int:
    """A whole number of any kind as an int, such as `labels.max() + 1`.

    A tensor on an accelerator is waited for: its value becomes part of a shape.

    Args:
        value: what was given.
        name: of the argument, for the error.
        least: the smallest that is allowed; None allows all.

    Raises:
        TypeError: something else, such as 3.0 or True.
        ValueError: less than `least`.

    >>> import torch
    >>> as_count(torch.tensor([0, 4, 2]).max() + 1, "num_classes")
    5
    """
    if type(value) is not int:
        if _boolean(value) or getattr(value, "ndim", None):
            raise TypeError(f"{name} must be a whole number, got {value!r}")
        try:
            value = operator.index(value)
        except TypeError:
            raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def is_count(value: Any, least: int | None = 1) -> bool:
    """Whether a value is a whole number, of any kind that `as_count` takes, and not below `least`.

    >>> is_count(3), is_count(3.0), is_count(True), is_count(0)
    (True, False, False, False)
    """
    try:
        as_count(value, "value", least)
    except (TypeError, ValueError):
        return False
    return True


def _boolean(value: Any) -> bool:
    return isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")


def to_stack(images: Any) -> str:
    """The way from a list, or an array, to one tensor, in words for an error.

    Args:
        images: what was given in place of a tensor.

    >>> import torch
    >>> to_stack([torch.zeros(3, 8, 8), torch.zeros(3, 9, 9)])
    ' of 2 images of different sizes: (3, 8, 8), (3, 9, 9); resize or crop them to one size, ...
    """
    if not isinstance(images, (list, tuple)):
        return "; convert it first, for example with torch.as_tensor(images)"
    sizes = sorted({tuple(image.shape) for image in images if isinstance(image, Tensor)})
    if len(sizes) < 2:
        return "; make one tensor of the list with torch.stack(images)"
    some = ", ".join(map(str, sizes[:3])) + (", …" if len(sizes) > 3 else "")
    return (
        f" of {len(images)} images of different sizes: {some}; "
        "resize or crop them to one size, then torch.stack(images)"
    )


def check_layout(images: Tensor) -> None:
    """Whether images (B, H, W, C) were given where (B, C, H, W) is meant, so that columns are colours.

    Shapes alone cannot prove it. Read as (B, C, H, W), the images would have 1, 3 or 4 columns, and 16 rows
    and 16 channels or more. With 3 columns, or as many rows as channels, that is refused; features of a
    network hardly ever have such a shape. Otherwise (1 or 4 columns, as in features of audio) a warning is
    given. Fewer rows or channels, and other numbers of dimensions, pass: narrow images, and small features.

    Raises:
        ValueError: as above.

    >>> import torch
    >>> check_layout(torch.zeros(2, 2048, 8, 4))                        # features of a narrow image
    >>> check_layout(torch.zeros(2, 32, 48, 3))
    Traceback (most recent call last):
    ValueError: images must have shape (B, C, H, W), got (2, 32, 48, 3), which looks like (B, H, W, C); ...
    """
    if images.dim() != 4:
        return
    _, first, second, last = images.shape
    if last not in (1, 3, 4) or first < 16 or second < 16:
        return
    looks = f"got {tuple(images.shape)}, which looks like (B, H, W, C); use images.permute(0, 3, 1, 2)"
    if last == 3 or first == second:
        raise ValueError(
            f"images must have shape (B, C, H, W), {looks} (or, if they do have {last} columns, "
            "images[:, None], which has five dimensions)"
        )
    warnings.warn(f"images should have shape (B, C, H, W), {looks}", stacklevel=4)


def readable(values: Tensor) -> bool:
    """Whether looking at the values costs no wait for an accelerator."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def check_alpha(alpha: float) -> float:
    alpha = as_number(alpha, "alpha")
    if not (math.isfinite(alpha) and alpha > 0):
        off = "; to mix nothing, pass lam=1, set p=0 in a RandomMix, or leave the call out"
        raise ValueError(f"alpha must be positive and finite, got {alpha}{'' if alpha else off}")
    return alpha


def check_generator(generator: torch.Generator | None) -> None:
    """All draws are made on the CPU, so that one seed gives one plan on every device."""
    if generator is not None and not hasattr(generator, "device"):
        raise TypeError(f"generator must be a torch.Generator or None, got {type(generator).__name__}")
    if generator is not None and generator.device.type != "cpu":
        raise ValueError(
            f"generator must live on the CPU (plans are drawn there, then moved), got {generator.device}"
        )


def check_images(images: Tensor) -> None:
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a torch.Tensor, got {type(images).__name__}{to_stack(images)}")
    if images.dim() < 2 or images.shape[0] == 0:
        raise ValueError(
            f"images must have shape (B, …) with B ≥ 1, usually (B, C, H, W), got {tuple(images.shape)}"
        )
    if not images.is_floating_point():
        raise TypeError(
            f"images must be floating point, got {images.dtype}; "
            "convert first, for example images.float() / 255"
        )


def check_labels(labels: Tensor, batch: int, num_classes: int | None, ignore_index: int | None = None) -> int:
    """Return the number of classes of integer ids (B,) or soft labels (B, C)."""
    if not isinstance(labels, Tensor):
        raise TypeError(
            f"labels must be a torch.Tensor, got {type(labels).__name__}; "
            "convert them first, for example with torch.as_tensor(labels)"
        )
    shape, integer = tuple(labels.shape), not (labels.is_floating_point() or labels.is_complex())
    if len(shape) not in (1, 2) or shape[0] != batch:
        raise ValueError(
            f"labels must have shape ({batch},) or ({batch}, C) to go with {batch} images, got {shape}"
            + ("; maps of labels are mixed like images: plan.mix(maps)" if len(shape) > 2 else "")
        )
    if num_classes is not None:
        num_classes = _classes(num_classes)
    if len(shape) == 2:
        if integer and shape[1] == 1 and num_classes != 1:
            raise ValueError(
                f"class ids must have shape ({batch},), got {shape}; drop the last axis: labels.squeeze(1)"
            )
        if integer:
            raise TypeError(
                f"soft labels (B, C) must be floating point, got {labels.dtype} of shape {shape}; "
                "use labels.float() for one-hot or multi-hot rows, or labels.argmax(1) for class ids"
            )
        if num_classes is not None and num_classes != shape[1]:
            raise ValueError(f"soft labels have {shape[1]} columns but num_classes is {num_classes}")
        return shape[1]
    if not integer or labels.dtype == torch.bool:
        raise TypeError(
            f"labels of shape (B,) must be integer class ids, got {labels.dtype}; "
            "use labels.long() if they are ids; soft labels have shape (B, C)"
        )
    if num_classes is None:
        raise ValueError("num_classes is needed to turn integer class ids into soft labels, got None")
    check_ids(labels, num_classes, ignore_index)
    return num_classes


def _classes(num_classes: int) -> int:
    try:
        return as_count(num_classes, "num_classes", 1)
    except (TypeError, ValueError):
        raise ValueError(f"num_classes must be a positive int, got {num_classes!r}") from None


def check_ids(labels: Tensor, num_classes: int, ignore_index: int | None = None) -> None:
    """Whether integer ids of any shape lie in 0…C−1, but for those that are ignored."""
    if not readable(labels) or not labels.numel():
        return
    ids = labels.long()
    if ignore_index is not None and not 0 <= ignore_index < num_classes:
        ids = ids[ids != ignore_index]
        if not ids.numel():
            return
    low, high = (int(v) for v in torch.aminmax(ids))
    if low < 0 or high >= num_classes:
        wrong = low if low < 0 else high
        leave = "; plan.soften and the losses take ignore_index=, the id of what is not to count"
        raise ValueError(
            f"labels must lie in 0…{num_classes - 1} (num_classes={num_classes}), got {wrong}"
            + (leave if wrong in (-100, -1, 255) and wrong != ignore_index else "")
        )


def as_ids(labels: Tensor) -> Tensor:
    """Integer labels as int64, the type that torch's losses take; soft ones as they are."""
    return labels if labels.is_floating_point() else labels.long()


def check_predictions(logits: Tensor, labels: Tensor) -> None:
    """Whether logits (N, C) and class ids (N,) belong together, as measures need them."""
    if logits.dim() != 2 or labels.dim() != 1 or logits.shape[0] != labels.shape[0]:
        raise ValueError(
            f"expected logits (N, C) and labels (N,), got {tuple(logits.shape)} and {tuple(labels.shape)}"
            + ("; drop the last axis: labels.squeeze(1)" if tuple(labels.shape[1:]) == (1,) else "")
        )
    if logits.shape[0] == 0:
        raise ValueError("expected at least one prediction, got none")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"labels must be integer class ids, got {labels.dtype}")
    if not bool(logits.isfinite().all()):
        raise ValueError("logits must be finite, got NaN or infinity")
    low, high = (int(v) for v in torch.aminmax(labels.long()))
    if low < 0 or high >= logits.shape[1]:
        wrong = f"{low} to {high}; leave out images without a label first: keep = labels >= 0"
        raise ValueError(f"labels must lie in 0…{logits.shape[1] - 1}, got {wrong}")


def as_lam(lam: float | Sequence[float] | Tensor, batch: int) -> Tensor:
    """λ for each image, shape (B,), from one number or B numbers in [0, 1]."""
    values = torch.as_tensor(lam)
    if not values.is_floating_point():
        values = values.to(torch.float32)
    if values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    if values.dim() > 1 or (values.dim() == 1 and values.shape[0] not in (1, batch)):
        raise ValueError(
            f"lam must be one number or {batch} numbers for {batch} images, got shape {tuple(values.shape)}"
        )
    if readable(values):
        inside = (values >= 0) & (values <= 1)
        if not bool(inside.all()):
            raise ValueError(f"lam must lie in [0, 1], got {values[~inside].flatten()[0].item()}")
    return values.expand(batch)


def as_partner(partner: Sequence[int] | Tensor, batch: int) -> Tensor:
    """The partner of each image as int64 indices (B,) into the batch."""
    index = torch.as_tensor(partner)
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise TypeError(f"partner must hold integer indices into the batch, got {index.dtype}")
    if index.shape != (batch,):
        raise ValueError(f"partner must have shape ({batch},) for {batch} images, got {tuple(index.shape)}")
    if readable(index):
        low, high = (int(v) for v in torch.aminmax(index))
        if low < 0 or high >= batch:
            wrong = low if low < 0 else high
            raise ValueError(f"partner must lie in 0…{batch - 1} for {batch} images, got {wrong}")
    return index.long()


def check_pixels(images: Tensor) -> tuple[int, int]:
    """Return (H, W) of images (B, …, H, W) after the checks of `check_images`."""
    check_images(images)
    if images.dim() < 3 or not images.shape[-1] or not images.shape[-2]:
        raise ValueError(
            f"images must have rows and columns, (B, …, H, W) with H, W ≥ 1, got {tuple(images.shape)}"
        )
    check_layout(images)
    return images.shape[-2], images.shape[-1]


def check_batch(values: Tensor, batch: int, name: str) -> None:
    """Whether values (B, …) are as many as a plan is for."""
    if values.dim() == 0 or values.shape[0] != batch:
        raise ValueError(
            f"{name} must have shape ({batch}, …) to go with the plan, got {tuple(values.shape)}"
        )


def check_size(images: Tensor, batch: int, size: Sequence[int], what: str) -> None:
    """Whether images (B, …, H, W) are as many, and as high and wide, as a plan's masks, boxes or patches."""
    check_batch(images, batch, "images")
    if images.dim() < 3 or tuple(images.shape[-2:]) != tuple(size):
        raise ValueError(
            f"images must have shape ({batch}, …, {size[0]}, {size[1]}) to go with the {what}, "
            f"got {tuple(images.shape)}"
        )
