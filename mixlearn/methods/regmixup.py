"""RegMixup: the loss on mixtures added to the loss on clean images."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from mixlearn.core.checks import check_alpha, check_range
from mixlearn.core.labels import cross_entropy
from mixlearn.methods.learner import Draws, Mixing, Terms, dealt, interleaved
from mixlearn.methods.mixup import mixup
from mixlearn.nets.taps import logits_of


class RegMixup(Mixing):
    """Cross-entropy on the images as they are, and soft cross-entropy on the same images under Mixup.

    Its terms are "labels" and "mixed_labels". Both batches pass through the network as one.

    Args:
        num_classes, smoothing: as for `Mixing`. weight: η of the second term.
        alpha: of Mixup. The paper takes 10 and 20, with which λ is close to ½.

    Source: Pinto et al., *RegMixup: Mixup as a Regularizer Can Surprisingly Improve Accuracy and Out
    Distribution Robustness*, NeurIPS 2022. The authors' code takes the mean of both terms, half the sum.

    >>> import torch, mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4, channels=1)
    >>> list(RegMixup(num_classes=4)(net, torch.rand(2, 1, 8, 8), torch.tensor([0, 3])))
    ['labels', 'mixed_labels']
    """

    term_names = ("labels", "mixed_labels")

    def __init__(
        self, num_classes: int | None = None, alpha: float = 10.0, weight: float = 1.0, smoothing: float = 0.0
    ) -> None:
        super().__init__(partial(mixup, alpha=check_alpha(alpha)), num_classes, smoothing)
        check_range("[0, inf)", weight=weight)
        self.alpha, self.weight = alpha, weight

    def __call__(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        mixed, targets = self.mixed(self.mix, images, labels, generator)
        clean, both = dealt(logits_of(model(interleaved(images, mixed.images))), 2)
        loss = self.weight * self.loss(both, self.smoothed(targets))
        return {"labels": cross_entropy(clean, labels, self.smoothing), "mixed_labels": loss}

    def __repr__(self) -> str:
        return self._in_words(f"alpha={self.alpha}", *([] if self.weight == 1 else [f"weight={self.weight}"]))
