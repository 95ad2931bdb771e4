"""What learners without labels share: two views, a projector, a predictor, and a slow twin for keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.lab.augment import crop_and_flip
from mixlearn.lab.learners.pairs import dealt, interleaved
from mixlearn.lab.learners.perceptron import perceptron
from mixlearn.lab.learners.twin import Twin, slow_down
from mixlearn.lab.learners.unlabelled import Unlabelled
from mixlearn.lab.nets.taps import pooled
from mixlearn.lab.processes import Shared

rising = partial(slow_down, start=0.996, end=1.0, hold=0.0)  # the momentum of MoCo v3 and PatchMix


class Contrast(Unlabelled):
    """The skeleton of learners that compare views of images, and never read a label.

    What the network's head would be given, its tap "pool", goes through a projector of three layers; what
    asks goes through a predictor besides. The head stays as it is: no gradient reaches it, and `fit` leaves
    it to itself.

    All that asks goes through the network in one call, and all keys in another, without gradients: through
    the slow twin where there is one, else through the network itself, where a view that asks too is not sent
    again. Projector and predictor normalise each view on its own, over the batch of all processes.

    Args:
        net: the network that is to be trained: with a tap "pool", `features` and a `head`. Here it is only
            looked at and copied; each call is given it anew.
        augment: `augment(images, generator=…)` makes a view, and is called twice. Give it here, and none to
            `fit`. Contrastive learning asks for more than the crops and flips that stand here for a start.
        hidden: numbers in the projector's inner layers. Published: 4096.
        outside: numbers in a query or key. Published: 256.
        predictor: numbers in the predictor's inner layer; None goes without, in which case projections ask.
        predictor_norm: normalise what the predictor says.
        momentum: of the twin, a number or a function of progress; None goes without a twin.
        deploy: "twin" or "network": which of the two is handed on after training.
        temperature: τ, by which similarities are divided, where the loss has one.
        image_size: not needed, kept so that it is built as `AutoMix` is.
        smoothing: must be 0: there are no labels.
        generator: source of the first weights of projector and predictor.

    Raises:
        TypeError: a network without `features` and tap "pool", something that cannot be called as `augment`.
        ValueError: smoothing, another `deploy`, a temperature that is not positive, layers without size.

    Source: Chen, Xie & He, *An Empirical Study of Training Self-Supervised Vision Transformers*, ICCV 2021.
    """

    compares = True  # the images of a batch with each other, so that one alone says nothing

    def __init__(
        self,
        net: Any,
        *,
        augment: Callable[..., Tensor] = crop_and_flip,
        hidden: int = 4096,
        outside: int = 256,
        predictor: int | None = None,
        predictor_norm: bool = True,
        momentum: float | Callable[[float], float] | None = None,
        deploy: str = "twin",
        temperature: float = 0.2,
        image_size: int | None = None,
        smoothing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(net, augment, smoothing)
        if deploy not in ("twin", "network"):
            raise ValueError(f"deploy must be 'twin' or 'network', got {deploy!r}")
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.temperature = temperature
        self.momentum, self.deploy = momentum, deploy
        self.projector = perceptron((net.features, hidden, hidden, outside), generator=generator)
        self.predictor: nn.Module | None = None
        if predictor is not None:
            self.predictor = perceptron(
                (outside, predictor, outside), last_norm=predictor_norm, generator=generator
            )
        self.twin: Twin | None = None
        if momentum is not None:
            self.twin = Twin(self._followed(net), momentum(0.0) if callable(momentum) else momentum)

    def advance(self, progress: float) -> None:
        """Tell the learner how far training has come, from 0 to 1."""
        if self.twin is not None and callable(self.momentum):
            self.twin.momentum = self.momentum(progress)

    def after_step(self, model: Any) -> None:
        """Let the twin follow; after each step of the optimiser.

        Args:
            model: the network.
        """
        if self.twin is not None:
            self.twin.follow(self._followed(getattr(model, "module", model)))

    def deployed(self, model: Any) -> Any:
        """The network that is handed on, as `deploy` declared it beforehand, its head as it was.

        The twin's weights ask for no gradient; to train it on, copy it and call `requires_grad_()`.

        Args:
            model: the network that was trained.
        """
        return model if self.twin is None or self.deploy == "network" else self.twin["net"]

    def views(self, images: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Two views of a batch.

        Args:
            images: (B, C, H, W), two at least, since each is told from the others.
            generator: source of the views.
        """
        if len(images) < 2:
            raise ValueError(f"{type(self).__name__} compares the images of a batch, got {len(images)}")
        return self.augment(images, generator=generator), self.augment(images, generator=generator)

    def encoded(
        self, model: Any, queries: Sequence[Tensor], keys: Sequence[Tensor] = ()
    ) -> tuple[list[Tensor], list[Tensor]]:
        """What is said of batches that ask, and of those that answer; no gradient reaches the latter.

        Args:
            model: the network.
            queries, keys: batches (B, C, H, W), of one shape. One may be among both; no keys are needed.

        Returns:
            As many (B, outside) for queries, and for keys.
        """
        with self.autocast():
            features = _at_once(model, queries)
            projected = [self.projector(self._fitting(one)) for one in features]
            asking = [one if self.predictor is None else self.predictor(one) for one in projected]
        with torch.no_grad(), self.autocast():
            if self.twin is None:
                encoder, projector = model, self.projector
                known = {id(view): one.detach() for view, one in zip(queries, projected, strict=True)}
            else:
                encoder, projector, known = self.twin["net"], self.twin["projector"], {}
                if isinstance(model, Shared):
                    encoder = Shared(encoder, model.rank, model.world)
            rest = [view for view in keys if id(view) not in known]
            if rest:
                for view, one in zip(rest, _at_once(encoder, rest), strict=True):
                    known[id(view)] = projector(self._fitting(one))
        return asking, [known[id(view)] for view in keys]

    def _fitting(self, features: Tensor) -> Tensor:
        """Features in the precision of the projector."""
        return features.to(next(self.projector.parameters()).dtype)

    def _followed(self, net: nn.Module) -> dict[str, nn.Module]:
        return {"net": net, "projector": self.projector}


def _at_once(encoder: Any, batches: Sequence[Tensor]) -> list[Tensor]:
    """The pooled features of several batches, by one call."""
    return dealt(pooled(encoder, interleaved(*batches)), len(batches))
