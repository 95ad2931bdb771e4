"""Learners: how a batch becomes named loss terms. `fit` adds the terms up, logs each and can leave any out.

A learner is any `learner(model, images, labels, *, generator)` that returns a dict of scalar tensors,
their weights already in. One that is an `nn.Module` has its own parameters trained and saved too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.labels import smooth, soft_cross_entropy
from mixlearn.core.plan import Mixed


class Learner(Protocol):
    """What `fit` calls on each batch."""

    def __call__(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None
    ) -> dict[str, Tensor]: ...


class Plain:
    """Cross-entropy on the images as they are. Its term is "labels".

    Args:
        num_classes: classes of the data; not needed, kept so that `Plain` and `Mixing` are called alike.
        smoothing: share of each label spread over all classes, in [0, 1).

    Raises:
        ValueError: smoothing outside [0, 1).

    Source: Szegedy et al., *Rethinking the Inception Architecture*, CVPR 2016, section 7, for the smoothing.

    >>> terms = Plain()(lambda x: x, torch.zeros(2, 4), torch.tensor([0, 3]), generator=None)
    >>> {name: round(float(value), 4) for name, value in terms.items()}
    {'labels': 1.3863}
    """

    def __init__(self, num_classes: int | None = None, smoothing: float = 0.0) -> None:
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must lie in [0, 1), got {smoothing}")
        self.num_classes, self.smoothing = num_classes, smoothing

    def __call__(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        return {"labels": F.cross_entropy(model(images), labels, label_smoothing=self.smoothing)}


class Mixing:
    """Soft cross-entropy on mixed images. Its term is "mixed_labels".

    Args:
        mix: `mix(images, labels, generator=…)` → `Mixed`: a `RandomMix`, or a method with its options
            set, such as `partial(ml.mixup, alpha=0.2)`.
        num_classes: handed to `mix` where given; a `RandomMix` knows it already.
        smoothing: share of each mixed label spread over all classes, in [0, 1).

    Raises:
        TypeError: something that cannot be called as `mix`.
        ValueError: smoothing outside [0, 1).

    >>> import mixlearn as ml
    >>> learner = Mixing(ml.mixup, num_classes=4)
    >>> list(learner(lambda x: x, torch.zeros(2, 4), torch.tensor([0, 3]), generator=None))
    ['mixed_labels']
    """

    def __init__(
        self, mix: Callable[..., Mixed], num_classes: int | None = None, smoothing: float = 0.0
    ) -> None:
        if not callable(mix):
            raise TypeError(
                f"mix must be a function (images, labels, *, generator), got {type(mix).__name__}"
            )
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must lie in [0, 1), got {smoothing}")
        self.mix, self.num_classes, self.smoothing = mix, num_classes, smoothing

    def advance(self, progress: float) -> None:
        """Tell the mixing how far training has come, from 0 to 1, for a schedule of p."""
        if hasattr(self.mix, "progress"):
            self.mix.progress = progress

    def __call__(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        known = {} if self.num_classes is None else {"num_classes": self.num_classes}
        mixed = self.mix(images, labels, generator=generator, **known)
        if mixed.targets is None:
            raise ValueError("mix must return soft labels, got none")
        targets = smooth(mixed.targets, self.smoothing) if self.smoothing else mixed.targets
        return {"mixed_labels": soft_cross_entropy(model(mixed.images), targets)}


class MixingInside(Mixing):
    """Soft cross-entropy with features mixed at one stage of the network, chosen anew for each batch.

    With `cutmix` this is Feature CutMix, with `mixup` Manifold Mixup. The plan is drawn at the stage, at the
    size of its features.

    Args:
        mix: as for `Mixing`.
        stages: names of the network's taps, such as ("input", "stage1"); each has the same chance.
        num_classes, smoothing: as for `Mixing`.

    Raises:
        ValueError: no stages, or one that the network does not have or never calls.

    Source: Yun et al., *CutMix*, ICCV 2019, section 4.1.2; Verma et al., *Manifold Mixup*, ICML 2019.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4, channels=1)
    >>> learner = MixingInside(ml.cutmix, ("stem", "stage1"), num_classes=4)
    >>> list(learner(net, torch.zeros(2, 1, 8, 8), torch.tensor([0, 3])))
    ['mixed_labels']
    """

    def __init__(
        self,
        mix: Callable[..., Mixed],
        stages: Sequence[str],
        num_classes: int | None = None,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__(mix, num_classes, smoothing)
        if isinstance(stages, str) or not stages:
            raise ValueError(f"stages must be one or more names of taps, got {stages!r}")
        self.stages = tuple(stages)

    def __call__(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        there = getattr(getattr(model, "module", model), "stages", self.stages)
        for stage in self.stages:
            if stage not in there:
                raise ValueError(f"the network has the taps {', '.join(there)}, it has no {stage!r}")
        chosen = self.stages[int(torch.randint(len(self.stages), (), generator=generator))]
        known = {} if self.num_classes is None else {"num_classes": self.num_classes}
        targets: list[Tensor] = []

        def tap(stage: str, features: Tensor) -> Tensor:
            if stage != chosen:
                return features
            mixed = self.mix(features, labels, generator=generator, **known)
            if mixed.targets is None:
                raise ValueError("mix must return soft labels, got none")
            targets.append(mixed.targets)
            return mixed.images

        logits = model(images, tap=tap)
        if not targets:
            raise ValueError(f"the network never called its tap {chosen!r}, so nothing was mixed")
        return {"mixed_labels": soft_cross_entropy(logits, smooth(targets[0], self.smoothing))}
