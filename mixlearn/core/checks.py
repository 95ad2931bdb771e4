"""Checks of what a caller hands in. Each error names what was received and what was expected.

Values are read only where they lie in the computer's own memory. Reading one value of a tensor on an
accelerator makes the host wait for it, so there only shapes and types are checked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.layout import check_layout, to_stack
from mixlearn.core.scalars import as_count, as_number


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
