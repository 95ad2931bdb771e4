"""A network's weights around a loop: what is not trained, an average that follows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.train.terms import Hooks


@contextmanager
def unused_apart(learner: Any, model: nn.Module) -> Iterator[None]:
    """Within, what the learner says it does not use, such as a head without labels, needs no gradient.

    Then no optimiser has it, weight decay leaves it alone, and processes that share their gradients do not
    wait for those that never come.
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

    @contextmanager
    def within(self, model: nn.Module) -> Iterator[None]:
        """Lend the averaged weights to the model, and give it its own back afterwards."""
        own = {name: value.detach().clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.weights)
        try:
            yield
        finally:
            model.load_state_dict(own)
