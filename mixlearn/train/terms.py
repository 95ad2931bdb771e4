"""What a loop needs of a learner and a network: hooks, loss terms, what is not trained, an average."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

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
        self.advance: Callable[[float], object] = getattr(learner, "advance", lambda progress: None)
        self.after_step: Callable[[Any], object] = getattr(learner, "after_step", lambda model: None)
        self.deployed: Callable[[Any], Any] = getattr(learner, "deployed", lambda model: model)
        self.unused: Callable[[Any], list[nn.Module]] = getattr(learner, "unused", lambda model: [])


def current(learner: Any, name: str) -> Any:
    """What a learner has under a name, unless a subclass has rewritten its call since."""
    for kind in type(learner).__mro__:
        if name in vars(kind):
            return getattr(learner, name)
        if not {"__call__", "forward", "in_parts", "terms"}.isdisjoint(vars(kind)):
            return None
    return getattr(learner, name, None)


def checked_terms(terms: Any) -> dict[str, Tensor]:
    """The terms that a learner returned, which must be scalars by name."""
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


def check_ablate(ablate: Sequence[str], names: Collection[str] | None) -> None:
    """Refuse to leave out terms that a learner does not have, and all of them; None: they are not known."""
    if names is None:
        return
    unknown = [name for name in ablate if name not in names]
    if unknown:
        raise ValueError(f"ablate names {unknown}, but the learner's terms are {list(names)}")
    if set(names) <= set(ablate):
        raise ValueError(f"at least one loss term must be left, got ablate={tuple(ablate)}")


class Watch:
    """Means of the terms over an epoch. Looks for NaN every so many batches: it makes an accelerator wait."""

    def __init__(self, device: torch.device) -> None:
        self.every = 1 if device.type == "cpu" else 16
        self.sums: dict[str, Tensor] = {}
        self.images = 0
        self._unseen: list[tuple[str, Tensor | None, Tensor, dict[str, Tensor]]] = []

    def add(self, where: str, ids: Tensor | None, good: Tensor, terms: dict[str, Tensor]) -> None:
        """Note the terms of a batch, and (B,) which of its images are finite."""
        values = {name: value.detach().float() for name, value in terms.items()}
        for name, value in values.items():
            weighted = value * len(good)
            self.sums[name] = self.sums[name] + weighted if name in self.sums else weighted
        self.images += len(good)
        self._unseen.append((where, ids, good, values))
        if len(self._unseen) >= self.every:
            self.look()

    def look(self) -> None:
        """Raise at the first batch whose images or terms are not all finite."""
        unseen, self._unseen = self._unseen, []
        values = [value for _, _, _, terms in unseen for value in terms.values()]
        if not values or bool(torch.stack(values).isfinite().all()):
            return
        for where, ids, good, terms in unseen:
            if not all(bool(value.isfinite()) for value in terms.values()):
                check_images(good.cpu(), ids, where)
                shown = ", ".join(f"{name} = {float(value):.4g}" for name, value in terms.items())
                raise FloatingPointError(f"the loss is not finite in {where}: {shown}")

    def means(self) -> dict[str, float]:
        """The mean of each term over the images of the epoch so far."""
        return {name: float(value) / max(1, self.images) for name, value in self.sums.items()}


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


@contextmanager
def unused_apart(learner: Any, model: nn.Module) -> Iterator[None]:
    """Within, parts that the learner does not use, such as a head without labels, need no gradient.

    Then no optimiser has them, weight decay leaves them alone, and no process waits for their gradients.
    """
    modules = Hooks(learner).unused(model)
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


@contextmanager
def adapted(learner: Any, autocast: Callable[[], Any], hooks: list[Any]) -> Iterator[None]:
    """Within, the learner's own passes run in the precision of `autocast`. Then all hooks are removed."""
    before = getattr(learner, "autocast", None)
    if before is not None:
        learner.autocast = autocast
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        if before is not None:
            learner.autocast = before


def frozen(whole: nn.Module) -> list[nn.Module]:
    """Modules in evaluation mode within one in training mode, or without a weight to train."""
    frozen: list[nn.Module] = []
    for module in whole.modules():
        weights = [weight.requires_grad for weight in module.parameters()]
        if not module.training and (whole.training or (weights and not any(weights))):
            frozen += [part for part in module.modules() if not part.training]
    return frozen


@torch.no_grad()
def takes_one_image(model: nn.Module, image: Tensor) -> bool:
    """Whether batch norm lets a network in training mode have one image; its buffers stay as they were."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        model(image)
    except (RuntimeError, TypeError, ValueError) as error:
        return "more than 1 value per channel" not in str(error)
    finally:
        for buffer, value in buffers:
            buffer.copy_(value)
    return True


class WeightAverage:
    """After each step, average ← d · average + (1 − d) · weights, starting from the first weights.

    d is `decay`, but at most (1 + n) / (10 + n) in step n, so that the first weights are soon forgotten.
    Buffers of floating point (running statistics) are averaged too, counters copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ema must be a decay in [0, 1), got {decay}")
        self.decay = decay
        self.weights: dict[str, Tensor] = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards the model's weights after step 1, 2, …"""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - decay)
            else:
                self.weights[name].copy_(value)
