"""MixMatch: guessed labels, made sharper, and Mixup over images with and without labels together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.core.checks import as_count, check_alpha, check_range, in_words, readable
from mixlearn.core.draw import sample_lam
from mixlearn.methods.ict import as_targets, has_label, known_cross_entropy
from mixlearn.methods.learner import Draws, Learner, Terms, check_callable
from mixlearn.methods.mixup import mixup
from mixlearn.nets.taps import logits_of


def sharpened(probabilities: Tensor, temperature: float) -> Tensor:
    """Probabilities (B, C) to the power 1 / T over their sum: T below 1 favours the likeliest class."""
    check_range("(0, inf)", temperature=temperature)
    powers = (probabilities / probabilities.amax(1, keepdim=True)) ** (1 / temperature)
    return powers / powers.sum(1, keepdim=True)


class MixMatch(nn.Module, Learner):
    """Learns from few labels: guesses the others from several views, then mixes all images by Mixup.

    A guess is the mean of the network's probabilities for K views of an image, sharpened. Images with labels
    (one view each) and without (K views) are one batch, each mixed with any other by λ′ = max(λ, 1 − λ), so
    that it remains the larger part. The terms are "mixed_labels", cross-entropy where that part had a label,
    and "guessed", the mean over images and classes of the squared error of probabilities where it had none.
    Labels are as for `ICT`: −100, or a row of zeros, is none.

    Args:
        augment: `augment(images, generator=…)` makes a view. Give it here, and none to `fit`.
        views: K. temperature: T of `sharpened`. alpha: of Mixup.
        weight: of "guessed", which rises to this along a line over the share `ramp` of training: for CIFAR-10
            75 with α = 0.75, and 2²⁰ of 2²⁶ images.
        prior: (C,) counts or shares of the classes; guesses are then multiplied by these over their own mean
            in the last 128 batches, before they are sharpened: the distribution alignment of ReMixMatch.
        labelled: how many images of each batch have a label, wherever they stand. None counts them, for which
            an accelerator is waited for; there a number is believed.

    Guessing passes move the running means of batch normalisation; in the authors' code they do not. They
    predict with averaged weights, `fit(ema=0.999)`.

    Source: Berthelot et al., *MixMatch: A Holistic Approach to Semi-Supervised Learning*, NeurIPS 2019;
    alignment: Berthelot et al., *ReMixMatch*, ICLR 2020, section 3.1, and its code.

    >>> import mixlearn as ml
    >>> net, labels = ml.nets.resnet(8, 4, width=4), torch.tensor([0, -100, 3, -100])
    >>> list(MixMatch(ml.augment.crop_and_flip)(net, torch.rand(4, 3, 8, 8), labels))
    ['mixed_labels', 'guessed']
    """

    term_names = ("mixed_labels", "guessed")
    prior: Tensor | None
    seen: Tensor | None

    def __init__(
        self,
        augment: Callable[..., Tensor],
        *,
        views: int = 2,
        temperature: float = 0.5,
        alpha: float = 0.75,
        weight: float = 75.0,
        ramp: float = 1 / 64,
        prior: Sequence[float] | Tensor | None = None,
        labelled: int | None = None,
    ) -> None:
        super().__init__()
        check_callable("augment", augment, "images, *, generator")
        check_range("(0, inf)", temperature=temperature)
        check_range("[0, inf)", weight=weight)
        check_range("[0, 1]", ramp=ramp)
        self.augment, self.views, self.temperature = augment, as_count(views, "views", 1), temperature
        self.alpha, self.weight, self.ramp, self.progress = check_alpha(alpha), weight, ramp, 0.0
        self.labelled = None if labelled is None else as_count(labelled, "labelled", 0)
        shares = None if prior is None else torch.as_tensor(prior, dtype=torch.float32)
        if shares is not None and not (shares.dim() == 1 and shares.min() >= 0 and shares.sum() > 0):
            raise ValueError(f"prior must be (C,) shares or counts, at least 0, got {shares.tolist()}")
        self.register_buffer("prior", shares if shares is None else shares / shares.sum())
        self.register_buffer("seen", shares if shares is None else torch.ones(128, len(shares)) / len(shares))

    def advance(self, progress: float) -> None:
        self.progress = progress

    def extra_repr(self) -> str:
        names = ("views", "temperature", "alpha", "weight", "ramp", "labelled", "prior")
        return ", ".join([in_words(self.augment), *(f"{name}={getattr(self, name)}" for name in names)])

    def forward(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        known, count = has_label(labels), self.labelled
        if count is None or readable(known):
            count = int(known.sum())
            if self.labelled not in (None, count):
                raise ValueError(
                    f"expected {self.labelled} labels a batch, got {count}; labelled=None counts"
                )
        order = (~known).long().argsort(stable=True)  # images with labels first
        mine, others = order[:count], order[count:]
        views = [self.augment(images, generator=generator) for _ in range(self.views)]
        rest = [view.index_select(0, others) for view in views]  # K × (U, …)
        guesses = [self.guess(model, rest)] * self.views if len(others) else []
        pool = torch.cat([views[0].index_select(0, mine), *rest])  # (L + K U, …)
        lam = sample_lam(len(pool), self.alpha, generator=generator)
        mixed = mixup(pool, lam=torch.maximum(lam, 1 - lam), generator=generator)
        logits = logits_of(model(mixed.images)).float()
        targets = torch.cat([as_targets(labels[mine], logits.shape[1]), *guesses])  # (L + K U, C)
        targets = mixed.plan.blend(targets.to(logits.dtype))
        apart = (logits[count:].softmax(1) - targets[count:]).square()
        weight = self.weight * (min(1.0, self.progress / self.ramp) if self.ramp else 1.0)
        loss = known_cross_entropy(logits[:count], targets[:count])
        return {"mixed_labels": loss, "guessed": weight * apart.sum() / max(1, apart.numel())}

    @torch.no_grad()
    def guess(self, model: Any, views: Sequence[Tensor]) -> Tensor:
        """Sharpened probabilities (U, C), of K views (U, …) without labels."""
        with self.autocast():
            logits = logits_of(model(torch.cat(list(views)))).float()
        mean = logits.softmax(1).unflatten(0, (len(views), -1)).mean(0)  # (U, C)
        if self.prior is None or self.seen is None:
            return sharpened(mean, self.temperature)
        if mean.shape[1] != len(self.prior):
            raise ValueError(f"prior must have {mean.shape[1]} numbers, one a class, got {len(self.prior)}")
        ratio = (1e-6 + self.prior) / (1e-6 + self.seen.mean(0))
        self.seen.copy_(torch.cat([self.seen[1:], mean.mean(0, keepdim=True)]))
        return sharpened(mean * ratio, self.temperature)
