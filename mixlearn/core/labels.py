"""Labels and the losses that take them soft."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from mixlearn.core.plan import MixPlan


def one_hot(labels: Tensor, num_classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Class ids (B,) as rows (B, C) with a single 1.

    Args:
        labels: (B,) integer ids in 0…C−1.
        num_classes: C.
        dtype: of the result.

    >>> one_hot(torch.tensor([2, 0]), 3)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    rows = torch.zeros(labels.shape[0], num_classes, dtype=dtype, device=labels.device)
    return rows.scatter_(1, labels.long()[:, None], 1.0)


def smooth(targets: Tensor, epsilon: float) -> Tensor:
    """Label smoothing: give every class ε/C and shrink the rest to 1 − ε.

    Args:
        targets: (B, C) rows that sum to 1.
        epsilon: ε in [0, 1], the mass that is spread evenly.

    Raises:
        ValueError: ε outside [0, 1], or targets not of shape (B, C).

    Source: Szegedy et al., *Rethinking the Inception Architecture*, CVPR 2016, section 7.

    >>> smooth(torch.tensor([[1., 0., 0., 0.]]), 0.1)
    tensor([[0.9250, 0.0250, 0.0250, 0.0250]])
    """
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon must lie in [0, 1], got {epsilon}")
    if targets.dim() != 2:
        raise ValueError(f"targets must have shape (B, C), got {tuple(targets.shape)}")
    return targets * (1 - epsilon) + epsilon / targets.shape[1]


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy against soft labels, −Σ_c ỹ_c log softmax(z)_c, averaged over the batch.

    Args:
        logits: (B, C), before the softmax, any float type; the sum is made in float32 at least.
        targets: (B, C), each row summing to 1.

    Returns:
        A scalar in nats.

    Raises:
        ValueError: shapes that differ.

    >>> loss = soft_cross_entropy(torch.zeros(1, 4), torch.tensor([[.5, .5, 0., 0.]]))
    >>> f"{loss:.4f}"                                    # log 4
    '1.3863'
    """
    _check_same(logits, targets)
    kind = torch.promote_types(torch.promote_types(logits.dtype, targets.dtype), torch.float32)
    return F.cross_entropy(logits.to(kind), targets.to(kind))


def soft_bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy with one sigmoid a class, averaged over images and classes.

    The form that takes several labels at once. It is linear in the target too, so it may be mixed. Some
    recipes binarise first, `(targets > 0.2).float()`, so that each class with some share counts as present.

    Args:
        logits: (B, C), before the sigmoid.
        targets: (B, C) in [0, 1].

    Raises:
        ValueError: shapes that differ, as class ids (B,) would.

    >>> f"{soft_bce(torch.zeros(2, 3), torch.full((2, 3), .5)):.4f}"     # log 2
    '0.6931'
    """
    _check_same(logits, targets)
    kind = torch.promote_types(torch.promote_types(logits.dtype, targets.dtype), torch.float32)
    return F.binary_cross_entropy_with_logits(logits.to(kind), targets.to(kind))


def pair_cross_entropy(logits: Tensor, labels: Tensor, plan: MixPlan) -> Tensor:
    """The same loss without soft labels: Σₖ wₖ · CE(z, y[sₖ]), averaged over the batch.

    Equal to `soft_cross_entropy(logits, plan.soften(labels))`, since cross-entropy is linear in its target.

    Args:
        logits: (B, C). labels: (B,) integer ids. plan: the plan that mixed the batch.

    >>> from mixlearn.core.plan import MixPlan
    >>> plan = MixPlan.pair(torch.tensor([1, 0]), torch.tensor([.75, .5]))
    >>> logits, labels = torch.tensor([[2., 0., 1.], [0., 1., 0.]]), torch.tensor([0, 2])
    >>> two = pair_cross_entropy(logits, labels, plan)
    >>> torch.allclose(two, soft_cross_entropy(logits, plan.soften(labels, 3)))
    True
    """
    if logits.dim() != 2 or labels.dim() != 1 or logits.shape[0] != labels.shape[0]:
        raise ValueError(
            f"expected logits (B, C) and labels (B,), got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses = [
        weight * F.cross_entropy(logits, labels[source], reduction="none")
        for source, weight in zip(plan.sources, plan.weights, strict=True)
    ]
    return torch.stack(losses).sum(0).mean()


def mixed_accuracy(logits: Tensor, labels: Tensor, plan: MixPlan) -> Tensor:
    """Accuracy on mixed images: the weight of the labels that equal the prediction, averaged.

    Even a perfect network cannot reach 1 here: it names one class, and the other keeps its share.
    Its ceiling is the mean of the largest share.

    Args:
        logits: (B, C). labels: (B,) integer ids. plan: the plan that mixed the batch.

    Returns:
        A scalar in [0, 1].

    >>> from mixlearn.core.plan import MixPlan
    >>> plan = MixPlan.pair(torch.tensor([1, 0]), torch.tensor([.75, .5]))
    >>> mixed_accuracy(torch.tensor([[9., 0.], [9., 0.]]), torch.tensor([0, 1]), plan).item()
    0.625
    """
    said = logits.argmax(1)
    right = (labels[plan.sources] == said).to(plan.weights.dtype)  # (K, B)
    return (plan.weights * right).sum(0).mean()


def _check_same(logits: Tensor, targets: Tensor) -> None:
    if logits.dim() != 2 or logits.shape != targets.shape:
        raise ValueError(
            f"logits and targets must both have shape (B, C), got {tuple(logits.shape)} and "
            f"{tuple(targets.shape)}; class ids become targets by plan.soften(labels, num_classes)"
        )
