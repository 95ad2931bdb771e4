"""A small multi-layer perceptron for points in the plane: the network of the boundary pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mixlearn.core.checks import as_count
from mixlearn.nets.taps import Tap, pass_on, quiet_draws


class MLP(nn.Module):
    """Fully connected layers with ReLU between them, by default for points in the plane. Also `mlp`.

    Args:
        inputs: numbers in one input; images are flattened to it.
        hidden: units of each hidden layer.
        num_classes: length of the logits.
        generator: source of the initial weights; None uses torch's default one.

    >>> net = mlp(2, (16, 16), 3)
    >>> net(torch.zeros(5, 2)).shape, net.stages
    (torch.Size([5, 3]), ('input', 'layer1', 'layer2'))
    """

    def __init__(
        self,
        inputs: int = 2,
        hidden: Sequence[int] = (64, 64),
        num_classes: int = 2,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = [as_count(inputs, "inputs", 1), *(as_count(units, "hidden", 1) for units in hidden)]
        with quiet_draws():
            self.layers = nn.ModuleList(nn.Linear(*pair) for pair in zip(sizes, sizes[1:], strict=False))
            self.head = nn.Linear(sizes[-1], as_count(num_classes, "num_classes", 1))
        self.stages = ("input", *(f"layer{i + 1}" for i in range(len(hidden))))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.head.weight, 0.0, sizes[-1] ** -0.5, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, points: Tensor, tap: Tap | None = None) -> Tensor:
        tap = tap or pass_on
        hidden = tap("input", points.flatten(1))  # (B, inputs)
        for i, layer in enumerate(self.layers):
            hidden = tap(f"layer{i + 1}", torch.relu(layer(hidden)))  # (B, units)
        logits: Tensor = self.head(hidden)
        return logits


mlp = MLP
