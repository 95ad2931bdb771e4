"""What the soft losses ask of their targets, and what class weights and ignored classes make of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import readable


def check_same(logits: Tensor, targets: Tensor) -> None:
    """Whether logits and soft targets have one shape, (B, C) or (B, C, …)."""
    if logits.dim() >= 2 and logits.shape == targets.shape:
        return
    way = "class ids become targets by plan.soften(labels, num_classes)"
    if logits.dim() > 2 and targets.dim() == logits.dim() - 1:
        way = "maps of class ids become targets by ml.one_hot(maps, num_classes), then plan.mix"
    raise ValueError(
        f"logits and targets must both have shape (B, C), or (B, C, H, W) for maps, got "
        f"{tuple(logits.shape)} and {tuple(targets.shape)}; {way}"
    )


def warn_of_multi_hot(targets: Tensor) -> None:
    """Warn where rows name several classes in full: a softmax shares one unit of probability among all.

    The sum of a row alone does not tell. The two weights of SnapMix may sum to more than 1 too; but of its
    two classes neither has all of the label beside the other, and there are only two.
    """
    if not readable(targets):
        return
    over = targets.detach().sum(1) > 1.01
    if not bool(over.any()):
        return
    rows = targets.detach().movedim(1, -1)[over]
    least = rows.amin(1, keepdim=True)
    rows = rows - least * (least < 0.5 / rows.shape[1])  # without what smoothing gives to all
    several = (rows > 1e-3).sum(1)
    if bool(((several > 2) | ((several == 2) & (rows.amax(1) > 0.999))).any()):
        most = float(targets.detach().sum(1).max())
        warnings.warn(
            f"targets of a softmax loss should sum to 1 in each row, got up to {most:g}, as labels of "
            "several classes do; use soft_bce, in a learner Mixing(mix, loss=ml.soft_bce), or divide "
            "each row by its sum",
            stacklevel=3,
        )


def class_weights(
    weight: Tensor | Sequence[float] | None, ignore_index: int | None, logits: Tensor
) -> Tensor:
    """How much each class counts, (C,) shaped to multiply logits (B, C, …); 0 for a class that is ignored."""
    classes, device = logits.shape[1], logits.device
    if weight is None:
        each = torch.ones(classes, dtype=logits.dtype, device=device)
    else:
        each = torch.as_tensor(weight).to(device, logits.dtype)
        if tuple(each.shape) != (classes,):
            raise ValueError(
                f"weight must hold one number for each of {classes} classes, got shape {tuple(each.shape)}"
            )
        if readable(each) and not bool(((each >= 0) & each.isfinite()).all()):
            raise ValueError(f"weight must be finite and at least 0, got {each.tolist()[:8]}")
    if ignore_index is not None and 0 <= ignore_index < classes:
        each = each.index_fill(0, torch.tensor(ignore_index, device=device), 0)
    return each.view(-1, *(1,) * (logits.dim() - 2))
