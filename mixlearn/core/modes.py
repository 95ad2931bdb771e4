"""Evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def evaluation(model: Any) -> Iterator[None]:
    """A network in evaluation mode, and afterwards each of its modules as it was.

    Args:
        model: an `nn.Module`; anything else is left alone.

    >>> net = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(4))
    >>> with evaluation(net):
    ...     [module.training for module in net]
    [False, False]
    >>> net[0].training
    True
    """
    if not isinstance(model, nn.Module):
        yield
        return
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        yield
    finally:
        for module in training:
            module.training = True
