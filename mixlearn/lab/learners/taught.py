"""Knowledge distillation from a network that was trained before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.core.labels import cross_entropy
from mixlearn.lab.learners.base import Plain
from mixlearn.methods.distill import distillation


class Taught(Plain):
    """Learns from a network that was trained before: plain knowledge distillation.

    Its terms: "labels" and "answers". The teacher is copied, so that the one given is left alone. The copy
    predicts, as in a test: no gradient reaches it, no optimiser has it, no checkpoint holds it.

    Args:
        teacher: a trained network with as many classes.
        temperature: T of the distillation.
        weight: of "answers", in [0, 1]; "labels" has what is left of 1.
        name: the teacher in words, for records; None takes its class.
        num_classes, smoothing: as for `Plain`.

    Raises:
        TypeError: a teacher that is not a network.
        ValueError: a weight outside [0, 1].

    Source: Hinton, Vinyals & Dean, *Distilling the Knowledge in a Neural Network*, 2015.

    >>> import mixlearn as ml
    >>> teacher, net = ml.nets.resnet(14, 4, width=4), ml.nets.resnet(8, 4, width=4)
    >>> learner = Taught(teacher, name="ResNet-14, width 4")
    >>> list(learner(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1])))
    ['labels', 'answers']
    >>> learner
    Taught(ResNet-14, width 4; temperature=4.0, weight=0.9)
    """

    def __init__(
        self,
        teacher: nn.Module,
        *,
        temperature: float = 4.0,
        weight: float = 0.9,
        name: str | None = None,
        num_classes: int | None = None,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, smoothing)
        if not isinstance(teacher, nn.Module):
            raise TypeError(f"teacher must be a trained network, got {type(teacher).__name__}")
        if not 0 <= weight <= 1:
            raise ValueError(f"weight must lie in [0, 1], got {weight}")
        self.teacher = deepcopy(teacher).eval().requires_grad_(False)
        self.temperature, self.weight = temperature, weight
        self.name = type(teacher).__name__ if name is None else name
        self.autocast: Callable[[], AbstractContextManager[Any]] = nullcontext  # `fit` sets its precision

    def __call__(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        with torch.no_grad(), self.autocast():
            taught = self.teacher.to(images.device)(images)
        logits = model(images).float()
        right = cross_entropy(logits, labels, self.smoothing)
        answers = distillation(logits, taught, temperature=self.temperature)
        return {"labels": (1 - self.weight) * right, "answers": self.weight * answers}

    def __repr__(self) -> str:
        smoothed = f", smoothing={self.smoothing}" if self.smoothing else ""
        return f"Taught({self.name}; temperature={self.temperature}, weight={self.weight}{smoothed})"
