"""UniMix: Mixup for uneven classes, by balanced partners and a λ that favours the rarer class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import as_partner, check_generator, check_images, check_labels, check_range
from mixlearn.core.draw import sample_lam
from mixlearn.core.fast import sent
from mixlearn.core.plan import Mixed
from mixlearn.methods.learner import Draws
from mixlearn.methods.mixup import mixup

Counts = Sequence[float] | Tensor


def counts_of(labels: Tensor, counts: Counts, num_classes: int | None = None) -> tuple[Tensor, int]:
    """How many training images the class of each image has, (B,) float32, and the number of classes."""
    each = torch.as_tensor(counts, dtype=torch.float32)
    if each.dim() != 1 or labels.dim() != 1 or num_classes not in (None, len(each)):
        given = f"{tuple(labels.shape)} and {tuple(each.shape)}; labels.bincount() of all counts them"
        raise ValueError(f"expected class ids (B,) and counts ({num_classes or 'C'},), got {given}")
    check_labels(labels, len(labels), len(each))
    return sent(each, labels.device)[labels.long()], len(each)


def balanced_partner(
    labels: Tensor, *, counts: Counts | None = None, power: float = 1.0, generator: Draws = None
) -> Tensor:
    """Draw the partner of each image from the batch, with odds (images of its class)^−power, (B,) int64.

    With power 1 all classes of the batch are alike, with 0 as frequent as they are. Draws are with
    replacement: several images may have one partner, or themselves. Methods take it as `partner=`.

    Args:
        labels: (B,) class ids, on any device.
        counts: (C,) images of each class in the training set; None counts those of the batch.
        power: at least 0. UniMix's τ is −power.
        generator: source of randomness on the CPU; None uses torch's default one.

    Source: Xu, Chai & Yuan, *Towards Calibrated Model for Long-Tailed Visual Recognition from Prior
    Perspective*, NeurIPS 2021, and the code.
    Raises ValueError for labels or counts that do not fit each other, or a power below 0.

    >>> labels = torch.tensor([0] * 99 + [1])
    >>> partner = balanced_partner(labels, generator=torch.Generator().manual_seed(0))
    >>> 0.3 < labels[partner].float().mean().item() < 0.7
    True
    """
    check_range("[0, inf)", power=power)
    check_generator(generator)
    size = (labels[:, None] == labels).sum(1) if counts is None else counts_of(labels, counts)[0]  # (B,)
    edges = size.float().clamp(min=1).pow(-power).cumsum(0)
    draws = sent(torch.rand(len(labels), generator=generator), labels.device)
    return torch.searchsorted(edges, draws * edges[-1:], right=True).clamp(max=len(labels) - 1)


def unimix(
    images: Tensor,
    labels: Tensor,
    *,
    counts: Counts,
    num_classes: int | None = None,
    alpha: float = 0.8,
    power: float = 0.5,
    lam: float | Sequence[float] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Mixup with a `balanced_partner` and λ = b + nⱼ / (nᵢ + nⱼ), less 1 where it exceeds 1.

    b is drawn from Beta(α, α) for each image; nᵢ images have the class of image i, nⱼ that of its partner.
    With α below 1 b is often near 0 or 1, so λ is often near nⱼ / (nᵢ + nⱼ), the larger the rarer i is.

    Args:
        images, partner, generator: as for `mixup`. labels: (B,) class ids.
        counts: (C,) images of each class in the training set. num_classes: C, not needed.
        alpha, power: as in the authors' code, which writes τ for −power.
        lam: λ in [0, 1] as it is, one or (B,), in place of the draw.

    Returns `Mixed(images, targets, plan)`. Source: as `balanced_partner`.
    Raises ValueError for labels or counts that do not fit each other.

    >>> labels = torch.tensor([0, 1])
    >>> unimix(torch.rand(2, 3, 4, 4), labels, counts=[90, 10], lam=0.9, partner=[1, 0]).targets
    tensor([[0.9000, 0.1000],
            [0.1000, 0.9000]])
    """
    check_images(images)
    own, classes = counts_of(labels, counts, num_classes)
    if partner is None:
        partner = balanced_partner(labels, counts=counts, power=power, generator=generator)
    partner = sent(as_partner(partner, len(images)), labels.device)
    if lam is None:
        draws = sent(sample_lam(len(images), alpha, generator=generator), labels.device)
        shifted = draws + own[partner] / (own + own[partner])
        lam = shifted - (shifted > 1).to(shifted.dtype)
    return mixup(images, labels, num_classes=classes, lam=lam, partner=partner, generator=generator)
