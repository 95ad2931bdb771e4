"""What a learner is, the two simplest, and what other methods share: a slow twin, batches side by side."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from functools import partial
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from mixlearn.core.checks import in_words
from mixlearn.core.labels import cross_entropy, smooth, soft_cross_entropy
from mixlearn.core.plan import Mixed

Draws = torch.Generator | None  # the source of all that is drawn, on the CPU; None is torch's default one
Terms = dict[str, Tensor]  # scalars by name
Mix = Callable[..., Mixed]
Loss = Callable[[Tensor, Tensor], Tensor]
Momentum = float | Callable[[float], float]
Buffers = Literal["averaged", "own"]


@runtime_checkable
class Learner(Protocol):
    """How a batch becomes named loss terms, which `fit` adds up, and what else `fit` asks of a learner.

    To write one, inherit from `Learner` and write `__call__`; the other hooks have defaults. A learner with
    weights of its own inherits from `nn.Module` first and writes `forward`: `fit` trains and saves its
    weights too. In each step `fit` calls `advance`, then the learner, and after the optimiser's step
    `after_step`. In one process it takes the terms from `in_parts`, in several from the call itself, so a
    learner that has both must give the same terms. After training, `deployed` says which network predicts.

    Attributes:
        reads_labels: False if the learner ignores labels.
        compares: True where images of a batch are compared, so that a batch of one image says nothing.

    >>> class Halves(Learner):
    ...     def __call__(self, model, images, labels, *, generator=None):
    ...         return {"left": model(images[..., :2]).mean(), "right": model(images[..., 2:]).mean()}
    >>> {name: term.item() for name, term in Halves()(lambda x: x, torch.arange(4.0), None).items()}
    {'left': 0.5, 'right': 2.5}
    """

    reads_labels: ClassVar[bool] = True
    compares: ClassVar[bool] = False
    #: While `fit` runs, the context for the learner's own passes, in the precision of the run.
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext

    def __call__(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws) -> Terms:
        """The loss terms of a batch, their weights in.

        Args:
            model: the network, perhaps wrapped. images: (B, C, H, W). labels: (B,) class ids, or (B, C).
            generator: source of all that the learner draws.
        """
        ...

    def in_parts(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None
    ) -> Iterator[Terms]:
        """The same terms part by part; `fit` takes each part's gradient before it asks for the next."""
        yield self(model, images, labels, generator=generator)

    def advance(self, progress: float) -> None:
        """Before each step: how far training has come, from 0 to 1."""
        return None

    def after_step(self, model: Any) -> None:
        """After each step of the optimiser, such as for a twin that follows the network."""
        return None

    def deployed(self, model: Any) -> Any:
        """The network that predicts after training, given the one that was trained."""
        return model

    def unused(self, model: Any) -> list[nn.Module]:
        """Parts of the network that get no gradient, which `fit` keeps out of training."""
        return []


def check_callable(name: str, function: Any, arguments: str) -> None:
    """Refuse what cannot be called, by the name of the argument and what it would be called with."""
    if not callable(function):
        raise TypeError(f"{name} must be a function ({arguments}), got {type(function).__name__}")


def tell(mix: Any, progress: float) -> None:
    """Set `progress`, from 0 to 1, of a mix that has it, of each in a mapping, of the mix in a `partial`."""
    inner = mix.values() if isinstance(mix, Mapping) else [mix.func] if isinstance(mix, partial) else []
    for one in inner:
        tell(one, progress)
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

    smooths: ClassVar[bool] = True  # whether its labels can be smoothed
    shown: ClassVar[tuple[str, ...]] = ()  # its settings, for records

    def __init__(
        self, num_classes: int | None = None, smoothing: float = 0.0, loss: Loss | None = None
    ) -> None:
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must lie in [0, 1), got {smoothing}")
        if loss is not None:
            check_callable("loss", loss, "logits, targets")
        self.num_classes, self.smoothing, self.loss = num_classes, smoothing, loss

    def __call__(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        if self.loss is None:
            return {"labels": cross_entropy(model(images), labels, self.smoothing)}
        return {"labels": self.loss(model(images), self.smoothed(labels))}

    def smoothed(self, targets: Tensor) -> Tensor:
        """Soft labels (B, C) with the learner's share of each spread over all classes."""
        return smooth(targets, self.smoothing) if self.smoothing else targets

    def __repr__(self) -> str:
        names = (*self.shown, *(name for name in ("smoothing", "loss") if getattr(self, name)))
        given = {name: getattr(self, name) for name in names}
        return in_words(partial(type(self), **given)) if given else f"{type(self).__name__}()"


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

    >>> import mixlearn as ml
    >>> Mixing(ml.mixup, num_classes=4)(lambda x: x, torch.zeros(2, 4), torch.tensor([0, 3]))
    {'mixed_labels': tensor(1.3863)}
    """

    loss: Loss

    def __init__(
        self, mix: Mix, num_classes: int | None = None, smoothing: float = 0.0, loss: Loss | None = None
    ) -> None:
        check_callable("mix", mix, "images, labels, *, generator")
        super().__init__(num_classes, smoothing, soft_cross_entropy if loss is None else loss)
        self.mix = mix

    def advance(self, progress: float) -> None:
        """Tell a mix with an attribute `progress`, such as a `RandomMix`, how far training has come."""
        tell(self.mix, progress)

    def __call__(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        mixed, targets = self.mixed(self.mix, images, labels, generator)
        return {"mixed_labels": self.loss(model(mixed.images), self.smoothed(targets))}

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
        loss = "" if self.loss is soft_cross_entropy else f", loss={in_words(self.loss)}"
        return f"{type(self).__name__}({in_words(self.mix)}{loss})"


class Unlabelled(nn.Module, Learner):
    """A learner that never reads a label; a subclass says by `terms` what it asks of a batch.

    It needs a network with `features`, a `head` and a tap "pool", and `augment(images, generator=…)`, which
    makes a view.
    """

    reads_labels = False

    def __init__(self, net: Any, augment: Callable[..., Tensor], smoothing: float) -> None:
        super().__init__()
        name = type(self).__name__
        if not hasattr(net, "features") or "pool" not in getattr(net, "stages", ()):
            raise TypeError(
                f"{name} needs a network with `features` and a tap 'pool', got {type(net).__name__}; "
                "networks made elsewhere get them by ml.nets.Tapped(net)"
            )
        check_callable("augment", augment, "images, *, generator")
        if smoothing:
            raise ValueError(f"{name} reads no labels; smoothing must be 0, got {smoothing}")
        self.augment = augment

    def forward(self, model: Any, images: Tensor, labels: Any = None, *, generator: Draws = None) -> Terms:
        """The terms of a batch, whatever its labels."""
        return self.terms(model, images, generator)

    @abstractmethod
    def terms(self, model: Any, images: Tensor, generator: Draws) -> Terms:
        """What a learner of this kind asks of a batch."""

    def unused(self, model: Any) -> list[nn.Module]:
        """The network's head."""
        return [getattr(model, "module", model).head]


class Twin(nn.Module):
    """Copies of modules, given by name, that follow them: θ′ ← m θ′ + (1 − m) θ after every step.

    The twin's weights need no gradient, but gradients pass through it to its input. In training its batch
    normalisation uses the batch it sees, as that of the originals does. With `buffers="averaged"` running
    means and the like follow as the weights do, and the twin's own passes leave them alone; "own" leaves them
    to those passes, as AutoMix's released code does. `momentum` is m, or a function of progress.

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
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum must lie in [0, 1], got {self.momentum}")
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
        wholes = [copy for copy in self.copies.values() if copy.training]
        self.still = tuple(
            part for whole in wholes for part in whole.modules() if not part.training
        )  # frozen

    def __getitem__(self, name: str) -> Any:
        return self.copies[name]

    def advance(self, progress: float) -> None:
        """Take the momentum of this moment of training; whoever evaluated the twin may have left it so."""
        if self.training:
            self.copies.train()
            for part in self.still:
                part.training = False
        if self.schedule is not None:
            self.momentum = self.schedule(progress)

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
    """AutoMix's momentum: constant for the first share of training, then it rises to its end as a cosine.

    The cosine is that of the whole of training, so that m jumps a little where it sets in.

    >>> [round(slow_down(progress), 6) for progress in (0, 0.05, 0.1, 0.5, 1)]
    [0.999, 0.999, 0.999024, 0.999499, 0.999999]
    """
    return start if progress < hold else end - (end - start) * (1 + math.cos(math.pi * progress)) / 2


def interleaved(first: Tensor, *others: Tensor) -> Tensor:
    """Rows of n batches (B, …) in turn, (nB, …): the first of each, the second of each, and so on.

    Batch normalisation in several processes, or on several devices, then sees all in each share.
    """
    for other in others:
        if first.shape != other.shape:
            raise ValueError(
                f"both batches must have one shape, got {tuple(first.shape)} and {tuple(other.shape)}"
            )
    return torch.stack([first, *others], 1).flatten(0, 1)


def dealt(whole: Tensor, count: int) -> list[Tensor]:
    """The batches again that were interleaved: (count · B, …) → `count` times (B, …).

    >>> [part.tolist() for part in dealt(interleaved(torch.tensor([1, 2]), torch.tensor([10, 20])), 2)]
    [[1, 2], [10, 20]]
    """
    if count < 1 or len(whole) % count:
        raise ValueError(f"{count} batches of one length cannot have {len(whole)} rows together")
    return [whole[k::count] for k in range(count)]
