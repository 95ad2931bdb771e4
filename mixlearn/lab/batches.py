"""Mixing inside a loop or a loader: choose a method for each batch, now and then none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

from mixlearn.core.checks import check_generator, check_images, check_labels
from mixlearn.core.mixed import Mixed
from mixlearn.core.plan import MixPlan
from mixlearn.lab.words import in_words

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
        generator: torch.Generator | None = None,
    ) -> Mixed:
        """Mix a batch: images (B, C, H, W) and labels (B,) or (B, classes) → `Mixed`.

        `num_classes` need not be given again; where it is, it takes the place of the one known.
        """
        num_classes = self.num_classes if num_classes is None else num_classes
        check_images(images)
        check_generator(generator)
        if labels is not None:
            check_labels(labels, images.shape[0], num_classes)
        if torch.rand((), generator=generator).item() >= self.probability():
            untouched = MixPlan.identity(images.shape[0]).to(images.device)
            targets = None if labels is None else untouched.soften(labels, num_classes)
            return Mixed(images, targets, untouched)
        chosen = int(torch.multinomial(torch.tensor(self.odds), 1, generator=generator))
        known = {} if labels is None or labels.dim() == 2 else {"num_classes": num_classes}
        return self.methods[chosen](images, labels, generator=generator, **known)

    def __repr__(self) -> str:
        methods = ", ".join(in_words(method) for method in self.methods)
        odds = "" if len(set(self.odds)) == 1 else f", odds={self.odds}"
        return f"RandomMix([{methods}]{odds}, p={in_words(self.p) if callable(self.p) else self.p})"


class MixCollate:
    """A `collate_fn` that mixes each batch as the loader makes it.

    Each process draws from a generator of its own: the main one starts from `seed`, a worker from `seed`
    and the seed that the loader gives it for the epoch (`DataLoader(generator=…)` fixes that). So a run
    with the same seeds and workers repeats itself, and no two workers or epochs draw alike.

    Args:
        mix: a `RandomMix` whose p is a number, or any function (images, labels, *, generator) → `Mixed`.
        seed: where the draws start.
        collate: turns a list of samples into (images, labels); None is torch's default_collate.

    Returns:
        Called on a list of samples: the pair (mixed images, soft targets).

    Raises:
        TypeError: the collated batch is not a pair of images and labels.
        ValueError: a mix whose p is a schedule.

    >>> import torch, mixlearn as ml
    >>> collate = MixCollate(RandomMix([ml.mixup], num_classes=2), seed=0)
    >>> images, targets = collate([(torch.zeros(3, 4, 4), 0), (torch.ones(3, 4, 4), 1)])
    >>> images.shape, targets.shape
    (torch.Size([2, 3, 4, 4]), torch.Size([2, 2]))
    """

    def __init__(self, mix: Mix, seed: int = 0, collate: Callable[[list[Any]], Any] | None = None) -> None:
        if callable(getattr(mix, "p", None)):
            raise ValueError(
                "p must be a number in a MixCollate, got a schedule: the workers of a loader hold copies of "
                "the mix and cannot know how far training has come; mix in the loop instead: fit with "
                "ml.learners.Mixing(mix), ml.lightning.MixBatches(mix), or a call of mix(images, labels)"
            )
        self.mix, self.seed, self.collate = mix, int(seed), collate or default_collate
        self.generator: torch.Generator | None = None

    def __call__(self, samples: list[Any]) -> tuple[Tensor, Tensor | None]:
        batch = self.collate(samples)
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            kind = (
                f"{type(batch).__name__} of {len(batch)}"
                if hasattr(batch, "__len__")
                else type(batch).__name__
            )
            raise TypeError(
                f"MixCollate expects batches (images, labels), got {kind}; pass collate= to make them"
            )
        images, labels = batch
        mixed = self.mix(images, labels, generator=self._generator())
        return mixed.images, mixed.targets

    def _generator(self) -> torch.Generator:
        """One generator a process: in a worker it starts from the seed of that worker and epoch."""
        worker = get_worker_info()
        if worker is None:
            if self.generator is None:
                self.generator = torch.Generator().manual_seed(self.seed)
            return self.generator
        if self.generator is None or getattr(self, "_worker_seed", None) != worker.seed:
            self._worker_seed = worker.seed
            self.generator = torch.Generator().manual_seed(
                (self.seed * 1_000_003 + worker.seed) & (2**63 - 1)
            )
        return self.generator

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "generator": None}  # generators cannot travel to a worker that is spawned
