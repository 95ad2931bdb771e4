"""What a learner is, the two simplest, and what other methods share: a slow twin, batches side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mixlearn.core.checks import as_count, check_range, in_words
from mixlearn.core.labels import cross_entropy, smooth, soft_cross_entropy
from mixlearn.core.plan import Mixed
from mixlearn.nets.taps import logits_of

Draws = torch.Generator | None  # the source of all that is drawn, on the CPU; None is torch's default one
Terms = dict[str, Tensor]  # scalars by name
Mix = Callable[..., Mixed]
Loss = Callable[[Tensor, Tensor], Tensor]
Momentum = float | Callable[[float], float]
Buffers = Literal["averaged", "own"]


class Learner:
    """How a batch becomes named loss terms, which `fit` adds up, and what else `fit` asks of a learner.

    To write one, inherit from `Learner` and write `__call__`; the other hooks have defaults. A learner with
    weights of its own inherits from `nn.Module` first and writes `forward`: `fit` trains and saves its
    weights too. In each step `fit` calls `advance`, then the learner, and after the optimiser's step
    `after_step`. After training, `deployed` says which network predicts.

    Attributes:
        term_names: the names of all terms, so that `fit` checks `ablate` before it trains; None where they
            are not known in advance.
        reads_labels: False if the learner ignores labels.
        compares: True where images of a batch are compared, so that a last batch of one image is refused.

    >>> class Halves(Learner):
    ...     def __call__(self, model, images, labels, *, generator=None):
    ...         return {"left": model(images[..., :2]).mean(), "right": model(images[..., 2:]).mean()}
    >>> {name: term.item() for name, term in Halves()(lambda x: x, torch.arange(4.0), None).items()}
    {'left': 0.5, 'right': 2.5}
    """

    term_names: tuple[str, ...] | None = None
    reads_labels: ClassVar[bool] = True
    compares: bool = False
    #: While `fit` runs, the context for the learner's own passes, in the precision of the run.
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext

    def __call__(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws) -> Terms:
        """The loss terms of a batch, already weighted.

        Args:
            model: the network, perhaps wrapped. images: (B, C, H, W). labels: (B,) class ids, or (B, C).
            generator: source of all that the learner draws.
        """
        raise NotImplementedError

    def in_parts(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None
    ) -> Iterator[Terms]:
        """The same terms part by part: in one process `fit` takes the gradient of each part before it asks
        for the next. Where a subclass has rewritten the call alone, `fit` takes that."""
        yield self(model, images, labels, generator=generator)

    def advance(self, progress: float) -> None:
        """Before each step: how far training has come, from 0 up to, but not including, 1."""
        return None

    def after_step(self, model: Any) -> None:
        """After each step of the optimiser, such as for a twin that follows the network."""
        return None

    def deployed(self, model: Any) -> Any:
        """The network that predicts after training, given the one that was trained.

        Where this is a `Twin`'s, it is frozen: its weights need no gradient, and its running means do not
        move. `mixlearn.train.finetune.with_new_head` makes a copy that trains. To keep the head, copy the
        network, call `requires_grad_()` and set the momentum of its batch normalisation back to 0.1.
        """
        return model

    def unused(self, model: Any) -> list[nn.Module]:
        """Parts of the network that get no gradient, which `fit` keeps out of training."""
        return []


def check_callable(name: str, function: Any, arguments: str) -> None:
    """Refuse what cannot be called, by the name of the argument and what it would be called with."""
    if not callable(function):
        raise TypeError(f"{name} must be a function ({arguments}), got {type(function).__name__}")


def set_progress(mix: Any, progress: float) -> None:
    """Set `progress` of a mix that has it, of each in a mapping, of the mix in a `partial`."""
    inner = mix.values() if isinstance(mix, Mapping) else [mix.func] if isinstance(mix, partial) else []
    for one in inner:
        set_progress(one, progress)
    if hasattr(mix, "progress"):
        mix.progress = progress


class Plain(Learner):
    """Cross-entropy on the images as they are. Its term is "labels".

    Labels are class ids (B,) of any integer type, or soft labels (B, C).

    Args:
        num_classes: classes of the data; not needed, kept so that `Plain` and `Mixing` are called alike.
        smoothing: share of each label spread over all classes, in [0, 1).
        loss: `loss(logits, labels)` → a scalar, in place of cross-entropy, such as `ml.soft_bce` for labels
            of several classes at once, (B, C) of zeros and ones. Smoothing is then applied to the labels.

    >>> Plain()(lambda x: x, torch.zeros(2, 4), torch.tensor([0, 3]))
    {'labels': tensor(1.3863)}
    """

    term_names: tuple[str, ...] | None = ("labels",)
    smooths: ClassVar[bool] = True  # whether its labels can be smoothed
    shown: ClassVar[tuple[str, ...]] = ()  # its settings, for records

    def __init__(
        self, num_classes: int | None = None, smoothing: float = 0.0, loss: Loss | None = None
    ) -> None:
        check_range("[0, 1)", smoothing=smoothing)
        if loss is not None:
            check_callable("loss", loss, "logits, targets")
        self.num_classes = None if num_classes is None else as_count(num_classes, "num_classes", 1)
        self.smoothing, self.loss = smoothing, loss

    def __call__(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        logits = logits_of(model(images))
        if self.loss is None:
            return {"labels": cross_entropy(logits, labels, self.smoothing)}
        return {"labels": self.loss(logits, self.smoothed(labels))}

    def smoothed(self, targets: Tensor) -> Tensor:
        """Soft labels (B, C) with the learner's share of each spread over all classes."""
        return smooth(targets, self.smoothing) if self.smoothing else targets

    def __repr__(self) -> str:
        names = (*self.shown, *(name for name in ("smoothing", "loss") if getattr(self, name)))
        return in_words(partial(type(self), **{name: getattr(self, name) for name in names}))


class Mixing(Plain):
    """Soft cross-entropy on mixed images. Its term is "mixed_labels".

    Args:
        mix: `mix(images, labels, generator=…)` → `Mixed`: a `RandomMix`, or a method with its options
            set, such as `partial(ml.mixup, alpha=0.2)`.
        num_classes: handed to `mix` where given; a `RandomMix` knows it already.
        smoothing: share of each mixed label spread over all classes, in [0, 1).
        loss: `loss(logits, targets)` → a scalar, of soft labels (B, C); None takes `soft_cross_entropy`. For
            images of several classes at once give labels (B, C) of zeros and ones, as floats, and
            `loss=ml.soft_bce`. Class weights: `partial(ml.soft_cross_entropy, weight=weight)`.

    A mix with an attribute `progress` is told how far training has come; a wrapper must pass it on.

    >>> import mixlearn as ml
    >>> class Rising:
    ...     progress = 0.0
    ...     def __call__(self, x, y, **options):
    ...         return ml.mixup(x, y, alpha=0.2 + 1.8 * self.progress, **options)
    >>> Mixing(Rising(), num_classes=4)(lambda x: x, torch.zeros(2, 4), torch.tensor([0, 3]))
    {'mixed_labels': tensor(1.3863)}
    """

    loss: Loss
    term_names: tuple[str, ...] = ("mixed_labels",)

    def __init__(
        self, mix: Mix, num_classes: int | None = None, smoothing: float = 0.0, loss: Loss | None = None
    ) -> None:
        check_callable("mix", mix, "images, labels, *, generator")
        super().__init__(num_classes, smoothing, soft_cross_entropy if loss is None else loss)
        self.mix = mix

    def advance(self, progress: float) -> None:
        """Set `progress` of a mix that has it, such as a `RandomMix`."""
        set_progress(self.mix, progress)

    def __call__(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        mixed, targets = self.mixed(self.mix, images, labels, generator)
        return {"mixed_labels": self.loss(logits_of(model(mixed.images)), self.smoothed(targets))}

    def mixed(
        self, mix: Mix, images: Tensor, labels: Tensor, generator: Draws, **options: Any
    ) -> tuple[Mixed, Tensor]:
        """The batch mixed by `mix`, which may get further options, and its soft labels (B, C)."""
        if self.num_classes is not None:
            options["num_classes"] = self.num_classes
        mixed = mix(images, labels, generator=generator, **options)
        if mixed.targets is None:
            raise ValueError("mix must return soft labels, got none")
        return mixed, mixed.targets

    def __repr__(self) -> str:
        return self._in_words(in_words(self.mix))

    def _in_words(self, *settings: str) -> str:
        """These settings, then smoothing and loss where they are not the usual ones."""
        smoothing = [f"smoothing={self.smoothing}"] if self.smoothing else []
        loss = [] if self.loss is soft_cross_entropy else [f"loss={in_words(self.loss)}"]
        return f"{type(self).__name__}({', '.join([*settings, *smoothing, *loss])})"


class Twin(nn.Module):
    """Copies of modules, given by name, that follow them: θ′ ← m θ′ + (1 − m) θ after every step.

    The twin's weights need no gradient, but gradients pass through it to its input. In training its batch
    normalisation uses the batch it sees. With `buffers="averaged"` running means follow like weights, for
    which the batch norm's momentum is 0, in copies of the twin too; with "own" the twin's passes update them,
    as in AutoMix's released code. `momentum` is m in [0, 1], or a function of progress.

    >>> layer = nn.Linear(1, 1, bias=False)
    >>> twin = Twin({"layer": layer}, momentum=0.75)
    >>> _ = nn.init.constant_(layer.weight, 5.0), nn.init.constant_(twin["layer"].weight, 1.0)
    >>> twin.follow({"layer": layer})
    >>> twin["layer"].weight.item(), twin["layer"].weight.requires_grad
    (2.0, False)
    """

    def __init__(
        self, modules: dict[str, nn.Module], momentum: Momentum = 0.999, buffers: Buffers = "averaged"
    ) -> None:
        super().__init__()
        self.schedule = momentum if callable(momentum) else None
        self.momentum = momentum(0.0) if callable(momentum) else momentum
        self.buffers_rule = buffers
        check_range("[0, 1]", momentum=self.momentum)
        if buffers not in ("averaged", "own"):
            raise ValueError(f"buffers must be 'averaged' or 'own', got {buffers!r}")
        self.copies = nn.ModuleDict({name: deepcopy(module) for name, module in modules.items()})
        self.copies.requires_grad_(False)
        small = [p.dtype for p in self.copies.parameters() if p.is_floating_point() and p.itemsize < 4]
        if small:
            raise TypeError(f"a twin needs weights of 32 bits to follow in small steps, got {small[0]}")
        for module in self.copies.modules():
            if buffers == "averaged" and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 0.0  # of its running means
        training = [copy for copy in self.copies.values() if copy.training]
        self.frozen = [module for copy in training for module in copy.modules() if not module.training]

    def __getitem__(self, name: str) -> Any:
        return self.copies[name]

    def advance(self, progress: float) -> None:
        """The momentum of this step, and training mode again, in case the twin was evaluated meanwhile."""
        if self.training:
            self.copies.train()
            for module in self.frozen:
                module.training = False
        if self.schedule is not None:
            self.momentum = self.schedule(progress)
            check_range("[0, 1]", momentum=self.momentum)

    @torch.no_grad()
    def follow(self, modules: dict[str, nn.Module]) -> None:
        """One step towards the modules as they are now."""
        for name, copy in self.copies.items():
            pairs = list(zip(copy.parameters(), modules[name].parameters(), strict=True))
            if self.buffers_rule == "averaged":
                pairs += zip(copy.buffers(), modules[name].buffers(), strict=True)  # type: ignore[arg-type]
            for slow, fast in pairs:
                if slow.is_floating_point():
                    slow.lerp_(fast.to(slow), 1 - self.momentum)  # θ′ ← m θ′ + (1 − m) θ
                else:
                    slow.copy_(fast)


def slow_down(progress: float, start: float = 0.999, end: float = 0.999999, hold: float = 0.1) -> float:
    """AutoMix's momentum: constant for the share `hold` of training, then a cosine up to `end`.

    The cosine is that of the whole of training, so m jumps a little where it sets in.

    >>> [round(slow_down(progress), 6) for progress in (0, 0.05, 0.1, 0.5, 1)]
    [0.999, 0.999, 0.999024, 0.999499, 0.999999]
    """
    return start if progress < hold else end - (end - start) * (1 + math.cos(math.pi * progress)) / 2


def interleaved(first: Tensor, *others: Tensor) -> Tensor:
    """Rows of n batches (B, …) in turn, (nB, …): the first of each, the second of each, and so on.

    Processes or devices that each take a slice then see all batches in it.
    """
    shapes = {tuple(one.shape): None for one in (first, *others)}
    if len(shapes) > 1:
        raise ValueError(f"both batches must have one shape, got {' and '.join(map(str, shapes))}")
    return torch.stack([first, *others], 1).flatten(0, 1)


def dealt(whole: Tensor, count: int) -> list[Tensor]:
    """The batches again that were interleaved: (count · B, …) → `count` times (B, …).

    >>> [part.tolist() for part in dealt(interleaved(torch.tensor([1, 2]), torch.tensor([10, 20])), 2)]
    [[1, 2], [10, 20]]
    """
    if count < 1 or len(whole) % count:
        raise ValueError(f"{count} batches of one length cannot have {len(whole)} rows together")
    return [whole[k::count] for k in range(count)]
