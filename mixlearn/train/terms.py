"""What a learner brings to a loop: its hooks, its loss terms, and a watch over their values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_RESERVED: tuple[str, ...] = ("epoch", "loss", "rate", "seconds", "accuracy", "nll", "ece", "gap")
_RESERVED += ("mean_average_precision", "subset_accuracy", "f1")  # of several classes at once


class Hooks:
    """What a learner may have beside its call (see `Learner`); where it has none, what stands in for it."""

    def __init__(self, learner: Any) -> None:
        self.reads_labels: bool = getattr(learner, "reads_labels", True)
        self.compares: bool = getattr(learner, "compares", False)
        self.in_parts: Callable[..., Any] | None = current(learner, "in_parts")
        self.term_names: tuple[str, ...] | None = current(learner, "term_names")
        self.advance: Callable[[float], object] = getattr(learner, "advance", _nothing)
        self.after_step: Callable[[Any], object] = getattr(learner, "after_step", _nothing)
        self.unused: Callable[[Any], list[nn.Module]] = getattr(learner, "unused", _nothing)


def _nothing(given: Any) -> list[Any]:
    return []


def current(learner: Any, name: str) -> Any:
    """What a learner has under a name, unless a subclass has rewritten its call since."""
    for kind in type(learner).__mro__:
        if name in vars(kind):
            return getattr(learner, name)
        if not {"__call__", "forward", "in_parts", "terms"}.isdisjoint(vars(kind)):
            return None
    return getattr(learner, name, None)


def checked_terms(terms: Any) -> dict[str, Tensor]:
    """What a learner returned, which must be scalars by name."""
    if not isinstance(terms, dict):
        raise TypeError(
            f"a learner must return a dict of scalar tensors, one a loss term, got {type(terms).__name__}"
        )
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.dim():
            what = f"shape {tuple(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
            raise TypeError(f"a learner's terms must be scalar tensors, got {what} for {name!r}")
    return terms


def total_loss(terms: Any, ablate: Sequence[str]) -> Tensor:
    """The sum of the terms that are not ablated."""
    terms = checked_terms(terms)
    taken = [name for name in terms if name in _RESERVED and not (name == "loss" and len(terms) == 1)]
    if taken:
        raise ValueError(f"a loss term must not be called {taken[0]!r}: the log keeps that name for itself")
    check_ablate(ablate, terms)
    return torch.stack([value.float() for name, value in terms.items() if name not in ablate]).sum()


def check_ablate(ablate: Sequence[str], names: Collection[str]) -> None:
    """Refuse to leave out terms that a learner does not have, and to leave out all."""
    unknown = [name for name in ablate if name not in names]
    if unknown:
        raise ValueError(f"ablate names {unknown}, but the learner's terms are {list(names)}")
    if set(names) <= set(ablate):
        raise ValueError(f"at least one loss term must be left, got ablate={tuple(ablate)}")


class _Step(NamedTuple):
    where: str
    ids: Tensor | None
    good: Tensor  # (B,) whether each image is finite
    terms: dict[str, Tensor]


class Watch:
    """Means of the terms over an epoch. Looks for NaN every so many batches: it makes an accelerator wait."""

    def __init__(self, device: torch.device) -> None:
        self.every = 1 if device.type == "cpu" else 16
        self.sums: dict[str, Tensor] = {}
        self.images = 0
        self._unseen: list[_Step] = []

    def add(self, where: str, ids: Tensor | None, good: Tensor, terms: dict[str, Tensor]) -> None:
        """Note the terms of a batch, and which of its images are finite."""
        values = {name: value.detach().float() for name, value in terms.items()}
        for name, value in values.items():
            weighted = value * len(good)
            self.sums[name] = self.sums[name] + weighted if name in self.sums else weighted
        self.images += len(good)
        self._unseen.append(_Step(where, ids, good, values))
        if len(self._unseen) >= self.every:
            self.look()

    def look(self) -> None:
        """Raise at the first batch whose images or terms are not all finite."""
        unseen, self._unseen = self._unseen, []
        if not unseen:
            return
        sums = torch.stack([torch.stack(list(step.terms.values())).sum() for step in unseen])
        if bool(torch.isfinite(sums).all()):
            return
        for step in unseen:
            if not all(bool(torch.isfinite(value)) for value in step.terms.values()):
                check_images(step.good.cpu(), step.ids, step.where)
                shown = ", ".join(f"{name} = {float(value):.4g}" for name, value in step.terms.items())
                raise FloatingPointError(f"the loss is not finite in {step.where}: {shown}")

    def means(self) -> dict[str, float]:
        """The mean of each term over the images of the epoch so far."""
        return {name: float(value) / max(1, self.images) for name, value in self.sums.items()}


def finite(images: Tensor) -> Tensor:
    """(B,) whether each image holds neither NaN nor infinity; without a wait for an accelerator."""
    return torch.isfinite(images).flatten(1).all(1)


def check_images(good: Tensor, ids: Tensor | None, where: str) -> None:
    """Raise where an image is not finite, naming the batch and the images."""
    if bool(good.all()):
        return
    bad = (~good).nonzero().flatten().tolist()
    names = bad if ids is None else ids[bad].tolist()
    shown = ", ".join(str(name) for name in names[:8]) + (" …" if len(names) > 8 else "")
    raise ValueError(
        f"images must be finite, got NaN or infinity in {where}: image {shown} "
        f"of the {'batch' if ids is None else 'data set'}"
    )
