"""Mixing inside a loop: choose a method for each batch or each image, now and then none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.checks import check_generator, check_images, check_labels, in_words, takes
from mixlearn.core.plan import EachPlan, Mixed, MixPlan, each
from mixlearn.methods.saliency import Saliency

Mix = Callable[..., Mixed]


class RandomMix:
    """Apply one of several mixing methods to a batch, chosen by odds, with probability p.

    Args:
        methods: functions like `ml.mixup`; `functools.partial` fixes their arguments.
        odds: how often each, in any units: [1, 1] is half and half. None means equal odds.
        p: probability that a batch is mixed at all; otherwise it passes with one-hot labels and the
            identity plan, so that the loss need not know. A function of the progress of training, from 0
            to 1, makes a schedule: `p=lambda t: t` mixes more and more. `fit` with `Mixing`, and
            `MixBatches`, keep `mix.progress` up to date; a `MixCollate` cannot. In a loop of your own set it
            before each call.
        num_classes: for integer labels.
        per_image: each image draws whether it is mixed and by which method, instead of the batch. Each method
            that some image drew mixes the whole batch once. The plan is one plan for all.

    Raises:
        ValueError: no methods; odds of another length, negative, not finite or all 0; p outside [0, 1].

    >>> from functools import partial
    >>> import torch, mixlearn as ml
    >>> mix = RandomMix([partial(ml.mixup, alpha=0.2), partial(ml.mixup, alpha=1.0)], odds=[1, 3], p=0.5,
    ...                 num_classes=4)
    >>> g = torch.Generator().manual_seed(0)
    >>> images, targets, plan = mix(torch.rand(6, 3, 8, 8), torch.arange(6) % 4, generator=g)
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
        methods = list(methods)
        if not methods:
            raise ValueError("methods must hold at least one mixing function, got none")
        chances = [1.0] * len(methods) if odds is None else [float(odd) for odd in odds]
        if len(chances) != len(methods):
            raise ValueError(
                f"odds must hold one number for each of {len(methods)} methods, got {len(chances)}"
            )
        if any(not math.isfinite(odd) or odd < 0 for odd in chances) or sum(chances) == 0:
            raise ValueError(f"odds must be finite, not negative, and not all 0, got {chances}")
        if not callable(p) and not 0 <= p <= 1:
            raise ValueError(f"p must lie in [0, 1], got {p}")
        self.methods, self.odds, self.p, self.num_classes = methods, chances, p, num_classes
        self.per_image = per_image
        self.progress = 0.0

    def probability(self) -> float:
        """p now: the number, or what its schedule says at the present progress."""
        if not callable(self.p):
            return float(self.p)
        p = float(self.p(self.progress))
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
        """Mix a batch: images (B, C, H, W) and labels (B,) or (B, classes) → `Mixed`.

        `num_classes` need not be given again; where it is, it takes the place of the one known. `saliency`
        goes to those methods that take it.
        """
        num_classes = self.num_classes if num_classes is None else num_classes
        check_images(images)
        check_generator(generator)
        if labels is not None:
            check_labels(labels, images.shape[0], num_classes)
        known: dict[str, Any] = {"num_classes": num_classes, "generator": generator}
        if self.per_image:
            return self._each(images, labels, saliency, known)
        if torch.rand((), generator=generator).item() >= self.probability():
            return _untouched(images, labels, num_classes)
        chosen = int(torch.multinomial(torch.tensor(self.odds), 1, generator=generator))
        return self._by(chosen, images, labels, saliency, known)

    def _each(
        self, images: Tensor, labels: Tensor | None, saliency: Saliency | None, known: dict[str, Any]
    ) -> Mixed:
        """Each image by a method of its own, or as it is."""
        batch, generator = len(images), known["generator"]
        mixed = torch.rand(batch, generator=generator) < self.probability()
        drawn = torch.multinomial(torch.tensor(self.odds), batch, replacement=True, generator=generator)
        ways = torch.where(mixed, drawn, -1)  # −1: as it is
        used, chosen = ways.unique(return_inverse=True)
        parts = [
            _untouched(images, labels, known["num_classes"])
            if way < 0
            else self._by(way, images, labels, saliency, known)
            for way in used.tolist()
        ]
        if len(parts) == 1:
            return parts[0]
        targets = None if labels is None else each([t for _, t, _ in parts if t is not None], chosen)
        images = each([part.images for part in parts], chosen)
        return Mixed(images, targets, EachPlan([part.plan for part in parts], chosen))

    def _by(
        self,
        chosen: int,
        images: Tensor,
        labels: Tensor | None,
        saliency: Saliency | None,
        known: dict[str, Any],
    ) -> Mixed:
        """The batch mixed by one of the methods."""
        method, options = self.methods[chosen], {"generator": known["generator"]}
        if labels is not None and labels.dim() == 1:
            options["num_classes"] = known["num_classes"]
        if saliency is not None and takes(method, "saliency"):
            options["saliency"] = saliency
        return method(images, labels, **options)

    def __repr__(self) -> str:
        methods = ", ".join(in_words(method) for method in self.methods)
        odds = "" if len(set(self.odds)) == 1 else f", odds={self.odds}"
        per_image = ", per_image=True" if self.per_image else ""
        return (
            f"RandomMix([{methods}]{odds}, p={in_words(self.p) if callable(self.p) else self.p}{per_image})"
        )


def _untouched(images: Tensor, labels: Tensor | None, num_classes: int | None) -> Mixed:
    """The batch as it is, with one-hot labels and the identity plan."""
    plan = MixPlan.identity(images.shape[0]).to(images.device)
    return Mixed(images, None if labels is None else plan.soften(labels, num_classes), plan)
