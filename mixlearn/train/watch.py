"""Watching the numbers of a run: which loss terms count, their means, and the first that is not a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mixlearn.train.feeds import Batch

_RESERVED = (
    *("epoch", "loss", "rate", "seconds", "accuracy", "nll", "ece", "gap"),
    *("mean_average_precision", "subset_accuracy", "f1"),  # of several classes at once
)


class Diverged(FloatingPointError):
    """The loss is NaN or infinite."""


def total_loss(terms: dict[str, Tensor], ablate: Sequence[str]) -> Tensor:
    """The sum of the terms that are not ablated.

    Raises:
        TypeError: a learner that returns no dict of scalar tensors.
        ValueError: an ablated term that the learner does not have, no term left, or a name of the log's own.
    """
    if not isinstance(terms, dict) or not all(isinstance(t, Tensor) and t.dim() == 0 for t in terms.values()):
        raise TypeError("a learner must return a dict of scalar tensors, one a loss term")
    taken = [name for name in terms if name in _RESERVED and not (name == "loss" and len(terms) == 1)]
    if taken:
        raise ValueError(f"a loss term must not be called {taken[0]!r}: the log keeps that name for itself")
    unknown = [name for name in ablate if name not in terms]
    if unknown:
        raise ValueError(f"ablate names {unknown}, but the learner's terms are {list(terms)}")
    kept = [value for name, value in terms.items() if name not in ablate]
    if not kept:
        raise ValueError(f"at least one loss term must be left, got ablate={tuple(ablate)}")
    return torch.stack([value.float() for value in kept]).sum()


def finite(images: Tensor) -> Tensor:
    """(B,) whether each image holds neither NaN nor infinity; on the images' device, without a wait."""
    return torch.isfinite(images).flatten(1).all(1)


def check_images(good: Tensor, ids: Tensor | None, where: str) -> None:
    """Raise where an image is not finite, naming the batch and the images."""
    if bool(good.all()):
        return
    bad = (~good).nonzero().flatten().tolist()
    names = bad if ids is None else ids[bad].tolist()
    kind = "batch" if ids is None else "data set"
    shown = ", ".join(str(name) for name in names[:8]) + (" …" if len(names) > 8 else "")
    raise ValueError(f"images must be finite, got NaN or infinity in {where}: image {shown} of the {kind}")


class _Step(NamedTuple):
    where: str
    ids: Tensor | None
    good: Tensor
    terms: dict[str, Tensor]


class Watch:
    """Sums each term over the epoch and looks for NaN: at each step on a CPU, now and then elsewhere,
    so that an accelerator need not wait at every step.

    Args:
        every: steps between two looks.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.sums: dict[str, Tensor] = {}
        self.images = 0
        self._unseen: list[_Step] = []

    def add(self, where: str, batch: Batch, good: Tensor, terms: dict[str, Tensor]) -> None:
        """Note the terms of one step, and which of its images are finite."""
        noted = {name: value.detach().float() for name, value in terms.items()}
        count = len(batch.images)
        for name, value in noted.items():
            self.sums[name] = self.sums[name] + value * count if name in self.sums else value * count
        self.images += count
        self._unseen.append(_Step(where, batch.ids, good, noted))
        if len(self._unseen) >= self.every:
            self.look()

    def look(self) -> None:
        """Raise at the first step whose images or terms are not all finite."""
        unseen, self._unseen = self._unseen, []
        if not unseen:
            return
        table = torch.stack([torch.stack(list(step.terms.values())).sum() for step in unseen])
        if bool(torch.isfinite(table).all()):
            return
        for step in unseen:
            if not all(bool(torch.isfinite(value)) for value in step.terms.values()):
                check_images(step.good.cpu(), step.ids, step.where)
                shown = ", ".join(f"{name} = {float(value):.4g}" for name, value in step.terms.items())
                raise Diverged(f"the loss is not finite in {step.where}: {shown}")

    def means(self) -> dict[str, float]:
        """The mean of each term over the images of the epoch so far."""
        return {name: float(value) / max(1, self.images) for name, value in self.sums.items()}

    def state(self) -> dict[str, object]:
        return {"sums": {name: value.cpu() for name, value in self.sums.items()}, "images": self.images}

    def restore(self, state: dict[str, object], device: torch.device) -> None:
        sums, images = state["sums"], state["images"]
        assert isinstance(sums, dict) and isinstance(images, int)
        self.sums = {name: value.to(device) for name, value in sums.items()}
        self.images = images
