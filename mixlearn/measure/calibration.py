"""Calibration: does a network that says 80 % turn out right in 80 % of the cases?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mixlearn.core.checks import check_predictions
from mixlearn.core.scalars import as_count


@dataclass(frozen=True, eq=False)
class Calibration:
    """What `calibration` found. Fractions are in [0, 1].

    Args:
        ece: expected calibration error, Σ_b (n_b / n) · |accuracy_b − confidence_b|.
        gap: mean confidence minus accuracy. Positive: the network promises more than it keeps.
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

    Bin b holds the confidences in (b/bins, (b+1)/bins]. Every bin is weighed by its own count, so neither
    their order nor an empty one matters.

    Args:
        logits: (N, C), before the softmax.
        labels: (N,) integer class ids.
        bins: how many, at least 1.

    Returns:
        A `Calibration`.

    Raises:
        TypeError: labels that are no integers.
        ValueError: shapes that disagree, no predictions, logits that are not finite, labels outside 0…C−1,
            bins < 1.

    Source: Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017, equation 3.

    >>> found = calibration(torch.tensor([[0.0, 9.0], [9.0, 0.0]]), torch.tensor([1, 1]))
    >>> f"{found.ece:.3f} {found.gap:+.3f}"          # sure of itself, right once in two
    '0.500 +0.500'
    """
    check_predictions(logits, labels)
    bins = as_count(bins, "bins", 1)
    sure, said = logits.double().softmax(1).max(1)
    right = (said == labels).double()
    inner = torch.arange(1, bins, dtype=torch.float64, device=sure.device) / bins
    which = torch.bucketize(sure, inner)  # right edge belongs to the bin
    count = torch.bincount(which, minlength=bins)
    size = count.double()
    confidence = torch.bincount(which, sure, minlength=bins) / size
    accuracy = torch.bincount(which, right, minlength=bins) / size
    share = size / size.sum()
    ece = (share * (accuracy - confidence).abs()).nan_to_num(0.0).sum()
    gap = sure.mean() - right.mean()
    return Calibration(float(ece), float(gap), confidence.float(), accuracy.float(), count)
