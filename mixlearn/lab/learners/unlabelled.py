"""What every learner without labels is: a call that reads images alone, and a head that waits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn


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
