"""Accuracy on mixed images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mixlearn.core.checks import check_batch, check_labels
from mixlearn.core.soft_checks import check_same

if TYPE_CHECKING:
    from mixlearn.core.plan import MixPlan


def mixed_accuracy(
    logits: Tensor, labels: Tensor, plan: MixPlan | None = None, *, ignore_index: int = -100
) -> Tensor:
    """Accuracy on mixed images: the share of all labels, by their weight, that equal the prediction.

    Even a perfect network cannot reach 1 here: it names one class, and the other keeps its share.
    Its ceiling is the mean of the largest share.

    Args:
        logits: (B, C), or (B, C, H, W) with soft targets of maps.
        labels: with a plan, (B,) integer ids as they were before mixing; without, the soft targets of the
            mixtures, of the shape of the logits.
        plan: the plan that mixed the batch; None where the targets are mixed already.
        ignore_index: the id of labels that do not count, neither in the sum nor in the denominator.

    Returns:
        A scalar in [0, 1], on the device of the logits; NaN where no label counts.

    Raises:
        TypeError, ValueError: ids without a plan, soft labels with one, labels of another shape or range.

    >>> from mixlearn.core.plan import MixPlan
    >>> plan = MixPlan.pair(torch.tensor([1, 0]), torch.tensor([.75, .5]))
    >>> logits, labels = torch.tensor([[9., 0.], [9., 0.]]), torch.tensor([0, 1])
    >>> mixed_accuracy(logits, labels, plan).item()
    0.625
    >>> mixed_accuracy(logits, plan.soften(labels, 2)).item()
    0.625
    """
    if plan is None:
        if labels.dim() != logits.dim():
            raise ValueError(
                f"labels {tuple(labels.shape)} are class ids, which need the plan that mixed the batch: "
                "mixed_accuracy(logits, labels, plan); expected soft targets of the shape of the logits, "
                f"{tuple(logits.shape)}"
            )
        check_same(logits, labels)
        shares = labels.to(torch.promote_types(labels.dtype, torch.float32))
        return shares.gather(1, logits.argmax(1, keepdim=True)).sum() / shares.sum()
    if labels.dim() > 1 and labels.is_floating_point():
        raise ValueError(
            f"with a plan, labels must be class ids (B,) from before mixing, got {tuple(labels.shape)} "
            f"{labels.dtype}; soft targets that are mixed already go alone: mixed_accuracy(logits, targets)"
        )
    check_batch(logits, len(plan), "logits")
    check_labels(labels, len(plan), logits.shape[1], ignore_index)
    weights = plan.weights * (labels != ignore_index)[plan.sources]  # (K, B)
    return (weights * (labels[plan.sources] == logits.argmax(1))).sum() / weights.sum()
