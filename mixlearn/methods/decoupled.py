"""Decoupled Mixup: a second loss that asks for both classes of a mixture, whatever λ is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import check_labels, check_range, in_words
from mixlearn.core.plan import MixPlan
from mixlearn.methods.learner import Draws, Mix, Mixing, Terms
from mixlearn.nets.taps import logits_of


def decoupled_cross_entropy(logits: Tensor, labels: Tensor, plan: MixPlan) -> Tensor:
    """For each class of a mixture, cross-entropy among all classes but the mixture's other one.

    With probabilities p and classes a and b it is −log(p_a / (1 − p_b)) − log(p_b / (1 − p_a)), averaged over
    the batch. So the two classes do not compete with each other, but only with all the others.

    Args:
        logits, labels, plan: (B, C); (B,) class ids; the plan of two parts that mixed the batch.

    Returns a scalar in nats. Mixtures of one class, and of a part without a share, count 0. Source: Liu et
    al., *Harnessing Hard Mixed Samples with Decoupled Regularizer*, NeurIPS 2023.

    >>> plan = MixPlan.pair(torch.tensor([1, 0]), torch.tensor([0.75, 0.5]))
    >>> logits = torch.tensor([[9.0, 9.0, 0.0], [9.0, 9.0, 0.0]])             # both classes, and no third
    >>> f"{decoupled_cross_entropy(logits, torch.tensor([0, 1]), plan):.4f}"
    '0.0002'
    """
    if len(plan.sources) != 2 or labels.dim() != 1:
        given = f"{len(plan.sources)} parts and labels {tuple(labels.shape)}"
        raise ValueError(f"expected a plan of two parts and class ids (B,), got {given}")
    check_labels(labels, len(plan), logits.shape[1])
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    pair = labels.long()[plan.sources]  # (2, B)
    counts = (pair[0] != pair[1]) & (plan.weights > 0).all(0)
    gone = torch.where(counts, -torch.inf, logits.gather(1, pair.T).T)[..., None]  # (2, B, 1)
    left = [logits.scatter(1, pair[k, :, None], gone[k]) for k in (1, 0)]
    both = sum(F.cross_entropy(left[k], pair[k], reduction="none") for k in (0, 1))  # (B,)
    return torch.where(counts, both, 0).mean()


class Decoupled(Mixing):
    """Soft cross-entropy on mixed images, and `decoupled_cross_entropy` as a second term, "decoupled".

    Args:
        mix, num_classes, smoothing: as for `Mixing`, with plans of two parts and labels that are class ids.
        weight: η of the second term, 0.1 in the paper.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4, channels=1)
    >>> list(Decoupled(ml.cutmix, num_classes=4)(net, torch.rand(2, 1, 8, 8), torch.tensor([0, 3])))
    ['mixed_labels', 'decoupled']
    """

    term_names = ("mixed_labels", "decoupled")

    def __init__(
        self, mix: Mix, num_classes: int | None = None, weight: float = 0.1, smoothing: float = 0.0
    ) -> None:
        super().__init__(mix, num_classes, smoothing)
        check_range("[0, inf)", weight=weight)
        self.weight = weight

    def __call__(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        mixed, targets = self.mixed(self.mix, images, labels, generator)
        logits = logits_of(model(mixed.images))
        second = self.weight * decoupled_cross_entropy(logits, labels, mixed.plan)
        return {"mixed_labels": self.loss(logits, self.smoothed(targets)), "decoupled": second}

    def __repr__(self) -> str:
        return self._in_words(in_words(self.mix), f"weight={self.weight}")
