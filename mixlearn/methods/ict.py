"""ICT: a mixture of images should be answered by the mixture of a slow twin's answers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.core.checks import check_labels, check_range, in_words
from mixlearn.core.fast import sent
from mixlearn.core.labels import one_hot
from mixlearn.methods.learner import Draws, Learner, Mix, Momentum, Terms, Twin, check_callable
from mixlearn.methods.mixup import mixup
from mixlearn.nets.taps import bare, logits_of

UNKNOWN = -100  # the id of an image without a label, as in torch's losses


def has_label(labels: Tensor) -> Tensor:
    """Which images have a label, (B,) bool: an id other than −100, or a row (B, C) that is not all zeros."""
    return labels != UNKNOWN if labels.dim() == 1 else (labels != 0).any(1)


def as_targets(labels: Tensor, num_classes: int) -> Tensor:
    """Soft labels (B, C) of ids or soft labels; a row of zeros where there is none."""
    check_labels(labels, len(labels), num_classes, UNKNOWN if labels.dim() == 1 else None)
    return labels if labels.dim() == 2 else one_hot(labels, num_classes, ignore_index=UNKNOWN)


def partner_within(groups: Tensor, *, generator: Draws = None) -> Tensor:
    """Partners (B,) drawn as a permutation within each of two groups, given as (B,) bool; without a wait."""
    number = groups.long()
    draws = sent(torch.rand(len(groups), generator=generator), groups.device)  # below 1
    return torch.empty_like(number).scatter_(0, number.argsort(stable=True), (number + draws).argsort())


def known_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Soft cross-entropy in nats, the mean over rows that are not zeros; 0 where all are."""
    return -(targets * logits.log_softmax(1)).sum() / targets.sum().clamp(min=1e-8)


class ICT(nn.Module, Learner):
    """Learns from few labels: the answer to a mixture should be the mixture of the twin's two answers.

    Its terms are "mixed_labels", soft cross-entropy on mixtures of two labelled images, and "consistency",
    the mean over images and classes of (p − p̂)², p the network's answer to a mixture and p̂ the softmax of
    the twin's two mixed logits. Images with a label are mixed among themselves, and those without too; all
    count for consistency, as in the authors' code. Labels are class ids (B,), −100 where there is none, or
    soft labels (B, C), zeros where there is none; a batch may hold any number of them.

    Args:
        net: the network to be trained. The twin is copied from it now, so load its weights before.
        mix: `mix(images, partner=…, generator=…)` → `Mixed`. (The authors draw another λ where labels are.)
        weight: of "consistency", in the authors' commands 100. It rises to this as exp(−5 (1 − t)²), t from
            0 to 1 over the share `ramp` of training.
        momentum: of the twin, which predicts after training; or a function of progress.

    Source: Verma et al., *Interpolation Consistency Training for Semi-Supervised Learning*, IJCAI 2019.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> list(ICT(net)(net, torch.rand(4, 3, 8, 8), torch.tensor([0, -100, 3, -100])))
    ['mixed_labels', 'consistency']
    """

    term_names = ("mixed_labels", "consistency")

    def __init__(
        self,
        net: nn.Module,
        *,
        mix: Mix = mixup,
        weight: float = 100.0,
        ramp: float = 0.25,
        momentum: Momentum = 0.999,
    ) -> None:
        super().__init__()
        check_range("[0, inf)", weight=weight)
        check_range("[0, 1]", ramp=ramp)
        check_callable("mix", mix, "images, *, partner, generator")
        self.mix, self.weight, self.ramp, self.progress = mix, weight, ramp, 0.0
        self.twin = Twin({"net": net}, momentum)

    def advance(self, progress: float) -> None:
        self.progress = progress
        self.twin.advance(progress)

    def after_step(self, model: Any) -> None:
        self.twin.follow({"net": bare(model)})

    def deployed(self, model: Any) -> Any:
        """The twin; see `Learner.deployed` to train it on."""
        return self.twin["net"]

    def extra_repr(self) -> str:
        return f"{in_words(self.mix)}, weight={self.weight}, ramp={self.ramp}"

    def forward(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        partner = partner_within(has_label(labels), generator=generator)
        mixed = self.mix(images, partner=partner, generator=generator)
        twin, shared = self.twin["net"], hasattr(type(model), "alongside")  # by several processes
        twin = model.alongside(twin) if shared else twin
        with torch.no_grad(), self.autocast():
            answers = logits_of(twin(images)).float()  # (B, C)
        logits = logits_of(model(mixed.images)).float()
        targets = mixed.plan.blend(as_targets(labels, logits.shape[1]))
        apart = (logits.softmax(1) - mixed.plan.blend(answers).softmax(1)).square().mean()
        left = max(0.0, 1 - self.progress / self.ramp) if self.ramp else 0.0
        consistency = self.weight * math.exp(-5 * left**2) * apart
        return {"mixed_labels": known_cross_entropy(logits, targets), "consistency": consistency}
