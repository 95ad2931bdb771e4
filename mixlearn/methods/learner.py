"""What a learner is, and the two simplest: images as they are, and mixed images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from mixlearn.core.checks import in_words
from mixlearn.core.labels import cross_entropy, smooth, soft_cross_entropy
from mixlearn.core.plan import Mixed

Loss = Callable[[Tensor, Tensor], Tensor]


class Learner(Protocol):
    """What `fit` calls on each batch."""

    def __call__(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None
    ) -> dict[str, Tensor]: ...


class Plain:
    """Cross-entropy on the images as they are. Its term is "labels".

    Labels are class ids (B,) of any integer type, or soft labels (B, C).

    Args:
        num_classes: classes of the data; not needed, kept so that `Plain` and `Mixing` are called alike.
        smoothing: share of each label spread over all classes, in [0, 1).
        loss: `loss(logits, labels)` → a scalar, in place of cross-entropy, such as `ml.soft_bce` for labels
            of several classes at once, (B, C) of zeros and ones. Smoothing is then applied to the labels.

    Raises:
        TypeError: a loss that cannot be called.
        ValueError: smoothing outside [0, 1).

    Source: Szegedy et al., *Rethinking the Inception Architecture*, CVPR 2016, section 7, for the smoothing.

    >>> terms = Plain()(lambda x: x, torch.zeros(2, 4), torch.tensor([0, 3]), generator=None)
    >>> {name: round(float(value), 4) for name, value in terms.items()}
    {'labels': 1.3863}
    """

    smooths: ClassVar[bool] = True  # whether its labels can be smoothed
    shown: ClassVar[tuple[str, ...]] = ()  # its settings, for records

    def __init__(
        self, num_classes: int | None = None, smoothing: float = 0.0, loss: Loss | None = None
    ) -> None:
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must lie in [0, 1), got {smoothing}")
        self.num_classes, self.smoothing, self.loss = num_classes, smoothing, _checked(loss)

    def __call__(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        if self.loss is None:
            return {"labels": cross_entropy(model(images), labels, self.smoothing)}
        targets = smooth(labels, self.smoothing) if self.smoothing else labels
        return {"labels": self.loss(model(images), targets)}

    def __repr__(self) -> str:
        names = (*self.shown, *(name for name in ("smoothing", "loss") if getattr(self, name)))
        given = {name: getattr(self, name) for name in names}
        return in_words(partial(type(self), **given)) if given else f"{type(self).__name__}()"


class Mixing:
    """Soft cross-entropy on mixed images. Its term is "mixed_labels".

    Args:
        mix: `mix(images, labels, generator=…)` → `Mixed`: a `RandomMix`, or a method with its options
            set, such as `partial(ml.mixup, alpha=0.2)`.
        num_classes: handed to `mix` where given; a `RandomMix` knows it already.
        smoothing: share of each mixed label spread over all classes, in [0, 1).
        loss: `loss(logits, targets)` → a scalar, of soft labels (B, C); None takes `soft_cross_entropy`. For
            images of several classes at once give labels (B, C) of zeros and ones, as floats, and
            `loss=ml.soft_bce`. Class weights: `partial(ml.soft_cross_entropy, weight=weight)`.

    Raises:
        TypeError: something that cannot be called as `mix` or `loss`.
        ValueError: smoothing outside [0, 1).

    >>> import mixlearn as ml
    >>> learner = Mixing(ml.mixup, num_classes=4)
    >>> list(learner(lambda x: x, torch.zeros(2, 4), torch.tensor([0, 3]), generator=None))
    ['mixed_labels']
    >>> several = torch.tensor([[1., 1., 0.], [0., 1., 0.]])
    >>> learner = Mixing(ml.mixup, loss=ml.soft_bce)
    >>> round(float(learner(lambda x: x, torch.zeros(2, 3), several)["mixed_labels"]), 4)
    0.6931
    """

    def __init__(
        self,
        mix: Callable[..., Mixed],
        num_classes: int | None = None,
        smoothing: float = 0.0,
        loss: Loss | None = None,
    ) -> None:
        if not callable(mix):
            raise TypeError(
                f"mix must be a function (images, labels, *, generator), got {type(mix).__name__}"
            )
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must lie in [0, 1), got {smoothing}")
        self.mix, self.num_classes, self.smoothing = mix, num_classes, smoothing
        self.loss = _checked(loss) or soft_cross_entropy

    smooths: ClassVar[bool] = True

    def advance(self, progress: float) -> None:
        """Tell the mixing how far training has come, from 0 to 1, for a schedule of p."""
        if hasattr(self.mix, "progress"):
            self.mix.progress = progress

    def __call__(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        mixed, targets = self.mixed(self.mix, images, labels, generator)
        return {"mixed_labels": self.loss(model(mixed.images), self.smoothed(targets))}

    def mixed(
        self,
        mix: Callable[..., Mixed],
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator | None,
        **options: Any,
    ) -> tuple[Mixed, Tensor]:
        """The batch mixed by `mix`, and its soft labels, which must be there.

        Args:
            mix, images, labels, generator: what mixes, and what it is given.
            options: further arguments of `mix`.
        """
        known = {} if self.num_classes is None else {"num_classes": self.num_classes}
        mixed = mix(images, labels, generator=generator, **known, **options)
        if mixed.targets is None:
            raise ValueError("mix must return soft labels, got none")
        return mixed, mixed.targets

    def smoothed(self, targets: Tensor) -> Tensor:
        """Labels (B, C) with the learner's share of each spread over all classes.

        Args:
            targets: (B, C) soft labels.
        """
        return smooth(targets, self.smoothing) if self.smoothing else targets

    def __repr__(self) -> str:
        loss = "" if self.loss is soft_cross_entropy else f", loss={in_words(self.loss)}"
        return f"{type(self).__name__}({in_words(self.mix)}{loss})"


def _checked(loss: Loss | None) -> Loss | None:
    if loss is not None and not callable(loss):
        raise TypeError(f"loss must be a function (logits, targets), got {type(loss).__name__}")
    return loss


class Unlabelled(nn.Module, ABC):
    """A learner that never reads a label. It says by `terms` what it asks of a batch.

    Args:
        net: the network that is to be trained, with `features`, a `head` and a tap "pool".
        augment: `augment(images, generator=…)` makes a view.
        smoothing: of labels; must be 0.

    Raises:
        TypeError: a network without `features` and tap "pool", something that cannot be called as `augment`.
        ValueError: smoothing.
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
        if not callable(augment):
            raise TypeError(
                f"augment must be a function (images, *, generator), got {type(augment).__name__}"
            )
        if smoothing:
            raise ValueError(f"{name} reads no labels; smoothing must be 0, got {smoothing}")
        self.augment = augment
        self.autocast: Callable[[], AbstractContextManager[Any]] = nullcontext  # `fit` sets its precision

    def forward(
        self,
        model: Any,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """The terms of a batch.

        Args:
            model: the network.
            images: (B, C, H, W).
            labels: never read.
            generator: source of views, mixtures and what is hidden.
        """
        return self.terms(model, images, generator)

    @abstractmethod
    def terms(self, model: Any, images: Tensor, generator: torch.Generator | None) -> dict[str, Tensor]:
        """What a learner of this kind asks of a batch.

        Args:
            model, images, generator: as for the learner's call.
        """

    def unused(self, model: Any) -> list[nn.Module]:
        """The parts of the network that are not trained: its head.

        Args:
            model: the network.
        """
        return [getattr(model, "module", model).head]


def interleaved(first: Tensor, *others: Tensor) -> Tensor:
    """Rows of several batches in turn: the first of each, the second of each, and so on.

    Batch normalisation in several processes, or on several devices, then sees all in each share.

    Args:
        first, others: n batches (B, …), of one shape.

    Returns:
        (nB, …).

    Raises:
        ValueError: different shapes.

    >>> interleaved(torch.tensor([1, 2]), torch.tensor([10, 20])).tolist()
    [1, 10, 2, 20]
    """
    for other in others:
        if first.shape != other.shape:
            raise ValueError(
                f"both batches must have one shape, got {tuple(first.shape)} and {tuple(other.shape)}"
            )
    return torch.stack([first, *others], 1).flatten(0, 1)


def parted(whole: Tensor) -> tuple[Tensor, Tensor]:
    """The two batches again that were interleaved.

    Args:
        whole: (2B, …).

    Raises:
        ValueError: an odd number of rows.

    >>> [part.tolist() for part in parted(torch.tensor([1, 10, 2, 20]))]
    [[1, 2], [10, 20]]
    """
    if len(whole) % 2:
        raise ValueError(f"two batches interleaved must have an even number of rows, got {len(whole)}")
    return whole[0::2], whole[1::2]


def dealt(whole: Tensor, count: int) -> list[Tensor]:
    """Any number of batches again that were interleaved.

    Args:
        whole: (count · B, …).
        count: how many batches.

    Raises:
        ValueError: rows that so many batches do not share evenly.

    >>> [part.tolist() for part in dealt(torch.tensor([1, 10, 100, 2, 20, 200]), 3)]
    [[1, 2], [10, 20], [100, 200]]
    """
    if count < 1 or len(whole) % count:
        raise ValueError(f"{count} batches of one length cannot have {len(whole)} rows together")
    return [whole[k::count] for k in range(count)]
