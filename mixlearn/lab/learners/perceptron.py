"""Linear layers with batch normalisation between them: projectors and predictors of chapter 7."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mixlearn.core.scalars import is_count


def perceptron(
    sizes: Sequence[int], *, last_norm: bool = True, generator: torch.Generator | None = None
) -> nn.Sequential:
    """Linear layers with batch normalisation and rectification between them.

    What is normalised has no bias.

    Args:
        sizes: numbers in the input, between the layers, and in the output.
        last_norm: normalise the output too, without scale and shift; else it has a bias.
        generator: source of the initial weights; None uses torch's default one.

    Raises:
        ValueError: sizes that are not positive integers.

    >>> [type(layer).__name__ for layer in perceptron((8, 16, 4))]
    ['Linear', 'BatchNorm1d', 'ReLU', 'Linear', 'BatchNorm1d']
    >>> perceptron((8, 16, 4), last_norm=False)[-1]
    Linear(in_features=16, out_features=4, bias=True)
    """
    for size in sizes:
        if not is_count(size):
            raise ValueError(f"the sizes of layers must be positive integers, got {size!r}")
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        for i, (inside, outside) in enumerate(zip(sizes, sizes[1:], strict=False)):
            last = i == len(sizes) - 2
            layer = nn.Linear(inside, outside, bias=last and not last_norm)
            for numbers in layer.parameters():
                nn.init.uniform_(numbers, -(inside**-0.5), inside**-0.5, generator=generator)
            layers.append(layer)
            if not last:
                layers += [nn.BatchNorm1d(outside), nn.ReLU(inplace=True)]
            elif last_norm:
                layers.append(nn.BatchNorm1d(outside, affine=False))
    return nn.Sequential(*layers)
