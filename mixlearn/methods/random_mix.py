"""Mixing inside a loop: choose a method for each batch or each image, now and then none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.checks import check_generator, check_images, check_labels, check_range, in_words, takes
from mixlearn.core.each import EachPlan, each
from mixlearn.core.plan import Mixed, MixPlan
from mixlearn.methods.learner import set_progress
from mixlearn.methods.saliency import Saliency

Mix = Callable[..., Mixed]


class RandomMix:
    """Apply one of several mixing methods to a batch, chosen by odds, with probability p.

    Args:
        methods: functions like `ml.mixup`; `functools.partial` fixes their arguments.
        odds: how often each, in any units: [1, 1] is half and half. None means equal odds.
        p: probability that a batch is mixed at all; otherwise it passes with one-hot labels and the
            identity plan. A function of the progress of training, from 0 to 1, makes a schedule:
            `p=lambda t: t` mixes more and more. `fit` with `Mixing`, and `MixBatches`, keep `mix.progress`
            up to date; a `MixCollate` cannot. In a loop of your own set it before each call. Methods with an
            attribute `progress` of their own, such as a schedule of α, get it too.
        num_classes: for integer labels.
        per_image: each image, not the batch, draws whether it is mixed and by which method. Each method that
            was drawn mixes the whole batch once, and one plan holds all.

    >>> import mixlearn as ml
    >>> mix = RandomMix([ml.mixup, ml.cutmix], odds=[1, 3], p=0.5, num_classes=4)
    >>> images, targets, plan = mix(torch.rand(6, 3, 8, 8), torch.arange(6) % 4)
    >>> targets.shape
    torch.Size([6, 4])
    """

    def __init__(
        self,
        methods: Sequence[Mix],
        odds: Sequence[float] | None = None,
        p: float | Callable[[float], float] = 1.0,
        num_classes: int | None = None,
        *,
        per_image: bool = False,
    ) -> None:
        self.methods = list(methods)
        if not self.methods:
            raise ValueError("methods must hold at least one mixing function, got none")
        self.odds = [1.0] * len(self.methods) if odds is None else [float(odd) for odd in odds]
        if len(self.odds) != len(self.methods):
            raise ValueError(
                f"odds must hold one number for each of {len(self.methods)} methods, got {len(self.odds)}"
            )
        if any(not math.isfinite(odd) or odd < 0 for odd in self.odds) or sum(self.odds) == 0:
            raise ValueError(f"odds must be finite, not negative, and not all 0, got {self.odds}")
        if not callable(p):
            check_range("[0, 1]", p=p)
        self.p, self.num_classes, self.per_image, self.progress = p, num_classes, per_image, 0.0

    @property
    def progress(self) -> float:
        """How far training has come, from 0 to 1."""
        return self._progress

    @progress.setter
    def progress(self, progress: float) -> None:
        self._progress = progress
        for method in self.methods:
            set_progress(method, progress)

    def probability(self) -> float:
        """p now: the number, or that of its schedule at the present progress."""
        p = float(self.p(self.progress) if callable(self.p) else self.p)
        if not 0 <= p <= 1:
            raise ValueError(f"p must lie in [0, 1], its schedule gave {p} at progress {self.progress:.3f}")
        return p

    def __call__(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        num_classes: int | None = None,
        saliency: Saliency | None = None,
        generator: torch.Generator | None = None,
    ) -> Mixed:
        """Mix images (B, C, H, W) with labels (B,) or (B, classes). `num_classes` replaces the known one,
        `saliency` goes to those methods that take it."""
        num_classes = self.num_classes if num_classes is None else num_classes
        check_images(images)
        check_generator(generator)
        if labels is not None:
            check_labels(labels, len(images), num_classes)

        def by(way: int) -> Mixed:
            """The batch mixed by one of the methods; −1: as it is."""
            if way < 0:
                plan = MixPlan.identity(len(images)).to(images.device)
                return Mixed(images, None if labels is None else plan.soften(labels, num_classes), plan)
            options: dict[str, Any] = {"generator": generator}
            if labels is not None and labels.dim() == 1:
                options["num_classes"] = num_classes
            if saliency is not None and takes(self.methods[way], "saliency"):
                options["saliency"] = saliency
            return self.methods[way](images, labels, **options)

        count = len(images) if self.per_image else 1
        mixed, odds = torch.rand(count, generator=generator) < self.probability(), torch.tensor(self.odds)
        if not self.per_image and not mixed:
            return by(-1)
        drawn = torch.multinomial(odds, count, replacement=self.per_image, generator=generator)
        used, chosen = torch.where(mixed, drawn, -1).unique(return_inverse=True)
        parts = [by(way) for way in used.tolist()]
        if len(parts) == 1:
            return parts[0]
        targets = None if labels is None else each([t for _, t, _ in parts if t is not None], chosen)
        images_of = each([part.images for part in parts], chosen)
        return Mixed(images_of, targets, EachPlan([part.plan for part in parts], chosen))

    def __repr__(self) -> str:
        methods = ", ".join(in_words(method) for method in self.methods)
        odds = "" if len(set(self.odds)) == 1 else f", odds={self.odds}"
        p = in_words(self.p) if callable(self.p) else self.p
        return f"RandomMix([{methods}]{odds}, p={p}{', per_image=True' if self.per_image else ''})"
