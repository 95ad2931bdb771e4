"""What a learner is, and the two simplest: images as they are, and mixed images."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor

from mixlearn.core.labels import cross_entropy, smooth, soft_cross_entropy
from mixlearn.core.mixed import Mixed
from mixlearn.lab.words import in_words

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


Given = TypeVar("Given", bound="Plain | Mixing")


def told(learner: Given, num_classes: int, smoothing: float) -> Given:
    """A copy of a learner that knows the classes and the smoothing of a run.

    Args:
        learner: a `Plain` or a `Mixing` learner.
        num_classes: classes of the data.
        smoothing: share of each label spread over all classes.

    Raises:
        ValueError: smoothing of labels that are the learner's own, or of another share than the learner has.

    >>> told(Plain(), 4, 0.1)
    Plain(smoothing=0.1)
    """
    name = type(learner).__name__
    if smoothing and not learner.smooths:
        raise ValueError(f"{name}'s targets are its own; smoothing must be 0, got {smoothing}")
    if learner.smoothing not in (0, smoothing):
        raise ValueError(
            f"give smoothing once: it is {smoothing} for the run and {learner.smoothing} in its {name}"
        )
    knowing = copy(learner)
    knowing.num_classes, knowing.smoothing = num_classes, smoothing
    return knowing
