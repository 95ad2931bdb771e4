"""An exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """After each step, average ← decay · average + (1 − decay) · weights, starting from the first weights.

    Floating-point buffers (the running statistics of normalisation) are averaged too, counters copied.

    Args:
        model: the network to follow.
        decay: in [0, 1); 0.999 remembers about a thousand steps.

    Raises:
        ValueError: a decay outside [0, 1).

    >>> net = nn.Linear(1, 1, bias=False)
    >>> nn.init.constant_(net.weight, 1.0).shape
    torch.Size([1, 1])
    >>> average = WeightAverage(net, 0.75)
    >>> net.weight.data.fill_(5.0).shape
    torch.Size([1, 1])
    >>> average.update(net)
    >>> average.weights["weight"].item()
    2.0
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ema must be a decay in [0, 1), got {decay}")
        self.decay = decay
        self.weights: dict[str, Tensor] = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average one step towards the model's weights."""
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - self.decay)
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
