"""Any learner, with a slow twin of the network that predicts: the control for methods that keep one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.core.mixed import Mixed
from mixlearn.lab.learners.base import Mixing, Plain, told
from mixlearn.lab.learners.twin import Buffers, Twin, slow_down


class Averaged(nn.Module):
    """Trains as another learner does, and predicts with the twin that follows the network.

    A method that predicts with such a twin gains by that alone. What it gains by the rest shows only against
    this.

    Args:
        net: the network that is to be trained; it is copied.
        mix: a mixing method, or a `Mixing` or `Plain` learner; None trains on the images as they are.
        momentum: of the twin, a number or a function of progress.
        buffers: of the twin, see `Twin`.
        image_size, generator: not needed, kept so that it is built as `AutoMix` is.
        smoothing: share of each label spread over all classes.

    Raises:
        TypeError: a network without `head`.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> learner = Averaged(net, ml.mixup)
    >>> list(learner(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1])))
    ['mixed_labels']
    """

    def __init__(
        self,
        net: Any,
        mix: Callable[..., Mixed] | Mixing | Plain | None = None,
        *,
        momentum: float | Callable[[float], float] = slow_down,
        buffers: Buffers = "averaged",
        image_size: int | None = None,
        smoothing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not hasattr(net, "head"):
            raise TypeError(
                f"Averaged needs a network with a linear layer `head`, got {type(net).__name__}; "
                "networks made elsewhere get it by ml.nets.Tapped(net)"
            )
        classes = net.head.out_features
        if isinstance(mix, (Mixing, Plain)):
            self.learner: Plain | Mixing = told(mix, classes, smoothing)
        else:
            self.learner = Plain(classes, smoothing) if mix is None else Mixing(mix, classes, smoothing)
        self.momentum = momentum
        self.twin = Twin({"net": net}, momentum(0.0) if callable(momentum) else momentum, buffers)

    def advance(self, progress: float) -> None:
        """Tell the learner how far training has come, from 0 to 1."""
        if callable(self.momentum):
            self.twin.momentum = self.momentum(progress)
        if isinstance(self.learner, Mixing):
            self.learner.advance(progress)

    def after_step(self, model: Any) -> None:
        """Let the twin follow; after each step of the optimiser.

        Args:
            model: the network.
        """
        self.twin.follow({"net": getattr(model, "module", model)})

    def deployed(self, model: Any) -> Any:
        """The network that predicts: the twin.

        Args:
            model: the network that was trained.
        """
        return self.twin["net"]

    def forward(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """The terms of the learner within.

        Args:
            model, images, labels, generator: as for any learner.
        """
        return self.learner(model, images, labels, generator=generator)
