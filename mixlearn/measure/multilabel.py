"""Images of several classes at once: average precision, and how often the whole set is right."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Multilabel(NamedTuple):
    """What `multilabel` found; all in [0, 1].

    Args:
        mean_average_precision: mean of `average_precision` over the classes that some image has.
        subset_accuracy: share of images of which every class is told right, the absent ones too.
        f1: harmonic mean of precision and recall over all images and classes together (micro F1).
        average_precision: (C,) float64, the area under the precision-recall steps of each class; NaN for a
            class that no image has.
    """

    mean_average_precision: float
    subset_accuracy: float
    f1: float
    average_precision: Tensor


def multilabel(logits: Tensor, targets: Tensor, *, threshold: float = 0.5) -> Multilabel:
    """How well one sigmoid a class finds the classes of images that show several.

    Average precision ranks images by their logit and needs no threshold: Σ (R_k − R_{k−1}) · P_k over the
    distinct logits of a class, with recall R and precision P of all images at or above.

    Args:
        logits: (N, C), before the sigmoid.
        targets: (N, C), 1 for each class that an image shows and 0 for the others, of any type.
        threshold: probability from which a class counts as named, in (0, 1).

    Returns:
        A `Multilabel`.

    Raises:
        ValueError: shapes that differ, no predictions, logits that are not finite, targets but 0 and 1.

    >>> logits = torch.tensor([[3., -1.], [-2., 2.], [1., -3.]])
    >>> found = multilabel(logits, torch.tensor([[1, 0], [0, 1], [0, 0]]))
    >>> found.mean_average_precision, round(found.subset_accuracy, 3), found.f1
    (1.0, 0.667, 0.8)
    """
    if logits.dim() != 2 or logits.shape != targets.shape or not logits.numel():
        raise ValueError(
            "logits and targets must both have shape (N, C), N ≥ 1, got "
            f"{tuple(logits.shape)} and {tuple(targets.shape)}"
        )
    if not bool(logits.isfinite().all()):
        raise ValueError("logits must be finite, got NaN or infinity")
    truth = targets == 1
    if not bool((truth | (targets == 0)).all()):
        raise ValueError(
            f"targets must be 0 or 1, got {float(targets.min()):g} to {float(targets.max()):g}; "
            "measure on images that are not mixed"
        )
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must lie in (0, 1), got {threshold}")
    logits = logits.detach().double()
    named = logits.sigmoid() >= threshold
    each = torch.stack([_average_precision(*pair) for pair in zip(logits.T, truth.T, strict=True)])
    hits = int((named & truth).sum())
    return Multilabel(
        float(each.nanmean()),
        float((named == truth).all(1).double().mean()),
        2 * hits / max(int(named.sum() + truth.sum()), 1),
        each.cpu(),
    )


def _average_precision(scores: Tensor, truth: Tensor) -> Tensor:
    """Of one class: scores (N,) and truth (N,)."""
    scores, order = scores.sort(descending=True)
    last = torch.ones_like(truth)
    last[:-1] = scores[1:] != scores[:-1]  # equal scores are one step
    right = truth[order].double().cumsum(0)[last]
    seen = torch.arange(1, len(scores) + 1, device=scores.device)[last]
    gained = torch.diff(right, prepend=right.new_zeros(1))
    return (gained * right / seen).sum() / right[-1]  # 0 / 0 where no image has the class
