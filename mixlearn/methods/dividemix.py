"""DivideMix's split: which labels are probably right, by the losses, and what becomes of the others."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mixlearn.core.checks import check_labels, check_range
from mixlearn.core.fast import fetched, sent
from mixlearn.core.labels import one_hot
from mixlearn.methods.mixmatch import sharpened


def clean_probability(losses: Tensor) -> Tensor:
    """How probably each label is right: that its loss belongs to the lower of two Gaussians, (N,) in [0, 1].

    Networks learn right labels sooner than wrong ones: after some epochs of plain training the losses of the
    training images, each against its own label, fall into a low and a high group. They are scaled to [0, 1],
    and expectation maximisation starts from the split of least squares (the authors' from k-means, with a
    random start). As in their code it ends when the mean log-likelihood moves by less than 0.01, or after ten
    steps, and 0.0005 is added to both variances.

    Args:
        losses: (N,) float, one an image, in any unit. From an accelerator they are fetched, once.

    Raises ValueError where losses are not finite or all the same. Source: Li, Socher & Hoi, *DivideMix:
    Learning with Noisy Labels as Semi-supervised Learning*, ICLR 2020, section 3.1.

    >>> clean_probability(torch.tensor([0.1, 0.2, 0.1, 2.0, 2.2])).round()
    tensor([1., 1., 1., 0., 0.])
    """
    if losses.dim() != 1 or not losses.is_floating_point():
        given = f"{tuple(losses.shape)} {losses.dtype}; F.cross_entropy(…, reduction='none') has them"
        raise ValueError(f"losses must be (N,) float, got {given}")
    (values,) = fetched(losses.detach())
    low, high = (float(end) for end in torch.aminmax(values)) if len(values) else (0.0, 0.0)
    if not 0 < high - low < math.inf:
        raise ValueError(f"losses must be finite and differ, got {low:g} to {high:g}: train on, then split")
    values = (values.double() - low) / (high - low)
    ordered, first = values.sort().values, torch.arange(1, len(values))
    sums, total = ordered.cumsum(0)[:-1], ordered.sum()
    between = sums**2 / first + (total - sums) ** 2 / (len(values) - first)  # largest at the best split
    upper = values > ordered[between.argmax()]
    shares, bound, ends = torch.stack([~upper, upper]).double(), -math.inf, False  # (2, N)
    for _ in range(11):
        size = shares.sum(1, keepdim=True) + 1e-14
        mean = shares @ values[:, None] / size  # (2, 1)
        variance = (shares * (values - mean) ** 2).sum(1, keepdim=True) / size + 5e-4
        density = (size / len(values)).log() - variance.log() / 2 - (values - mean) ** 2 / (2 * variance)
        shares, before, bound = density.softmax(0), bound, float(density.logsumexp(0).mean())
        if ends:
            break
        ends = abs(bound - before) < 0.01
    return sent(shares[mean.flatten().argmin()].to(losses.dtype), losses.device)


def refine_labels(
    labels: Tensor, clean: Tensor, probabilities: Tensor, *, threshold: float = 0.5, temperature: float = 0.5
) -> Tensor:
    """Soft labels from labels that may be wrong: w y + (1 − w) p, sharpened; zeros where w is low.

    Rows of zeros are no label: `learners.MixMatch` guesses one in each step. DivideMix in its plain form is:
    train by `learners.Plain` for some epochs; then for each further epoch find the losses, w by
    `clean_probability` and these labels, and train by `MixMatch`. (In the paper two networks do so together.)

    Args:
        labels: (N,) class ids or (N, C) soft labels. clean: w, (N,) in [0, 1].
        probabilities: p, (N, C), the network's, such as their mean over two views.
        threshold: an image keeps its label where w exceeds this. temperature: of the sharpening.

    Returns (N, C). Raises ValueError for other shapes. Source: as `clean_probability`, equations 3 and 4.

    >>> p = torch.tensor([[0.5, 0.5], [0.9, 0.1]])
    >>> refine_labels(torch.tensor([0, 1]), torch.tensor([0.6, 0.1]), p)
    tensor([[0.9412, 0.0588],
            [0.0000, 0.0000]])
    """
    if probabilities.dim() != 2 or clean.shape != probabilities.shape[:1]:
        shapes = f"{tuple(clean.shape)} and {tuple(probabilities.shape)}"
        raise ValueError(f"clean and probabilities must be (N,) and (N, C), got {shapes}")
    check_range("[0, 1]", threshold=threshold)
    classes = check_labels(labels, len(clean), probabilities.shape[1])
    rows = labels if labels.dim() == 2 else one_hot(labels, classes, probabilities.dtype)
    right = clean[:, None]
    return sharpened(right * rows + (1 - right) * probabilities, temperature) * (right > threshold)
