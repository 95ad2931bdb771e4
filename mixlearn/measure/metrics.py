"""Quality of predictions: calibration, multi-label measures, and how confident mistakes are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mixlearn.core.checks import as_count, check_predictions, is_integer


@dataclass(frozen=True, eq=False)
class Calibration:
    """The result of `calibration`; fractions are in [0, 1].

    Args:
        ece: expected calibration error, Σ_b (n_b / n) · |accuracy_b − confidence_b|.
        gap: mean confidence minus accuracy.
        confidence, accuracy: (bins,), the mean of each in a bin; NaN where a bin is empty.
        count: (bins,) int64, the predictions in each bin.
    """

    ece: float
    gap: float
    confidence: Tensor
    accuracy: Tensor
    count: Tensor


def calibration(logits: Tensor, labels: Tensor, bins: int = 15) -> Calibration:
    """Sort predictions into bins of equal width by confidence, and compare it with accuracy in each.

    Bin b holds the confidences in (b/bins, (b+1)/bins], and is weighed by its count.

    Args:
        logits: (N, C), before the softmax.
        labels: (N,) integer class ids.
        bins: how many, at least 1.

    Raises:
        TypeError, ValueError: no predictions, logits that are not finite, labels that are not ids in 0…C−1.

    Source: Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017, equation 3.

    >>> found = calibration(torch.tensor([[0.0, 9.0], [9.0, 0.0]]), torch.tensor([1, 1]))
    >>> f"{found.ece:.3f} {found.gap:+.3f}"          # sure of itself, right once in two
    '0.500 +0.500'
    """
    check_predictions(logits, labels)
    bins = as_count(bins, "bins", 1)
    sure, named = logits.double().softmax(1).max(1)  # (N,)
    right = (named == labels).double()
    edges = torch.arange(1, bins, dtype=torch.float64, device=sure.device) / bins
    which = torch.bucketize(sure, edges)  # right edge belongs to the bin
    count = torch.bincount(which, minlength=bins)  # (bins,)
    confidence, accuracy = (torch.bincount(which, value, minlength=bins) / count for value in (sure, right))
    share = count.double() / count.sum()
    ece = (share * (accuracy - confidence).abs()).nan_to_num(0.0).sum()
    gap = sure.mean() - right.mean()
    return Calibration(float(ece), float(gap), confidence.float(), accuracy.float(), count)


class Multilabel(NamedTuple):
    """The result of `multilabel`, in [0, 1].

    Args:
        mean_average_precision: mean of `average_precision` over the classes that some image has.
        subset_accuracy: share of images of which every class is named right, the absent ones too.
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
        logits: (N, C), before the sigmoid, finite.
        targets: (N, C), 1 for each class that an image shows and 0 for the others, of any type.
        threshold: probability from which a class counts as named, in (0, 1).

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
    each = torch.stack([_average_precision(*pair) for pair in zip(logits.T, truth.T, strict=True)])  # (C,)
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


class Quality(NamedTuple):
    """The result of `prediction_quality`. Without a mistake all but `true` and `mistakes` are NaN.

    Args:
        true: mean probability of the true class, over all images.
        said: mean probability of the class that was named, over the mistakes.
        missed: mean probability of the true class, over the mistakes.
        log_said, log_missed: the same means of log-probabilities, in nats.
        mistakes: how many images the four means are over.
    """

    true: float
    said: float
    missed: float
    log_said: float
    log_missed: float
    mistakes: int


def prediction_quality(logits: Tensor, labels: Tensor, among: Tensor | None = None) -> Quality:
    """The probability of the true class, and the confidence of a network where it is wrong.

    The network with fewer mistakes is left with the harder images. To compare networks, look at the images
    that all of them get wrong: `common_mistakes`.

    Args:
        logits, labels: as for `calibration`.
        among: (M,) indices of misclassified images, the only ones whose mistakes count; None takes all that
            this network gets wrong.

    Raises:
        TypeError, ValueError: as for `calibration`; indices of images that the network gets right.

    Source: Yun et al., *Regularizing Class-wise Predictions via Self-knowledge Distillation*, CVPR 2020,
    and Yang et al., *MixSKD*, ECCV 2022, which draw these log-probabilities.

    >>> logits = torch.tensor([[0.8, 0.2], [0.6, 0.4]]).log()
    >>> found = prediction_quality(logits, torch.tensor([0, 1]))
    >>> f"{found.true:.2f}, {found.said:.2f} against {found.missed:.2f} in {found.mistakes} mistake"
    '0.60, 0.60 against 0.40 in 1 mistake'
    """
    check_predictions(logits, labels)
    logits, labels = logits.detach().cpu().double(), labels.detach().cpu().long()
    log_p = logits.log_softmax(1)
    named = logits.argmax(1)
    of_true, of_named = (log_p.gather(1, ids[:, None])[:, 0] for ids in (labels, named))
    wrong = named != labels
    if among is not None and not is_integer(among):
        raise TypeError(f"among must hold integer indices, got {among.dtype}")
    which = wrong.nonzero()[:, 0] if among is None else among.cpu().long()
    if right := which[~wrong[which]].tolist():
        raise ValueError(
            f"among must be images that the network gets wrong, got {len(right)} that it gets right, such as "
            f"{right[0]}"
        )
    log_said, log_missed = of_named[which], of_true[which]  # without a mistake their means are NaN
    return Quality(
        true=float(of_true.exp().mean()),
        said=float(log_said.exp().mean()),
        missed=float(log_missed.exp().mean()),
        log_said=float(log_said.mean()),
        log_missed=float(log_missed.mean()),
        mistakes=len(which),
    )


def common_mistakes(logits: Sequence[Tensor], labels: Tensor) -> Tensor:
    """The images that every one of several networks gets wrong.

    Args:
        logits: of each network, (N, C), over the same images in the same order.
        labels: (N,) integer class ids.

    Returns:
        (M,) int64 indices in rising order, on the CPU.

    >>> one = torch.tensor([[1., 0.], [1., 0.], [0., 1.]])
    >>> other = torch.tensor([[0., 1.], [1., 0.], [1., 0.]])
    >>> common_mistakes([one, other], torch.tensor([0, 1, 1]))
    tensor([1])
    """
    if isinstance(logits, Tensor) or not len(logits):
        given = f"one tensor {tuple(logits.shape)}" if isinstance(logits, Tensor) else "none"
        raise ValueError(f"logits must hold (N, C) for each of several networks, got {given}")
    for one in logits:
        check_predictions(one, labels)
    wrong = torch.stack([one.detach().cpu().argmax(1) != labels.cpu() for one in logits]).all(0)
    return wrong.nonzero()[:, 0]
