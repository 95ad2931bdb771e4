"""A small multi-layer perceptron for points in the plane: the network of the boundary pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mixlearn.core.checks import as_count
from mixlearn.nets.taps import quiet_draws


class MLP(nn.Module):
    """Fully connected layers with a rectifier between them; see `mlp`."""

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        num_classes: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = [inputs, *hidden]
        with quiet_draws():
            layers = [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False)]
            self.layers, self.head = nn.ModuleList(layers), nn.Linear(sizes[-1], num_classes)
        self.stages = ("input", *(f"layer{i + 1}" for i in range(len(hidden))))
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.head.weight, 0.0, sizes[-1] ** -0.5, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, points: Tensor, tap: Callable[[str, Tensor], Tensor] | None = None) -> Tensor:
        see = tap or (lambda name, features: features)
        hidden = see("input", points.flatten(1))
        for i, layer in enumerate(self.layers):
            hidden = see(f"layer{i + 1}", torch.relu(layer(hidden)))
        logits: Tensor = self.head(hidden)
        return logits


def mlp(
    inputs: int = 2,
    hidden: Sequence[int] = (64, 64),
    num_classes: int = 2,
    *,
    generator: torch.Generator | None = None,
) -> MLP:
    """A multi-layer perceptron, by default for points in the plane.

    Args:
        inputs: numbers in one input; images are flattened to it.
        hidden: units of each hidden layer.
        num_classes: length of the logits.
        generator: source of the initial weights; None uses torch's default one.

    Raises:
        ValueError: a size below 1.

    >>> net = mlp(2, (16, 16), 3)
    >>> net(torch.zeros(5, 2)).shape, net.stages
    (torch.Size([5, 3]), ('input', 'layer1', 'layer2'))
    """
    for name, value in [("inputs", inputs), ("num_classes", num_classes), *(("hidden", h) for h in hidden)]:
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}")
    return MLP(inputs, tuple(hidden), as_count(num_classes, "num_classes", 1), generator)
