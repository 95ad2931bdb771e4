"""Keeping out of training what a learner does not use, such as the head where there are no labels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def set_aside(learner: Any, model: nn.Module) -> Iterator[None]:
    """Within, what the learner says it does not use asks for no gradient.

    Then no optimiser has it, weight decay leaves it alone, and processes that share their gradients do not
    wait for those that never come.

    Args:
        learner: one with a method `unused(model)`, which returns modules, or any other.
        model: the network.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> with set_aside(ml.learners.SimCLR(net, hidden=8, outside=4), net):
    ...     net.head.weight.requires_grad
    False
    >>> net.head.weight.requires_grad
    True
    """
    found = learner.unused(model) if hasattr(learner, "unused") else []
    parameters = [p for module in found for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
