"""Import what the base install does not bring, or say which extra does."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor


def need(module: str, use: str, extra: str = "lab") -> Any:
    """Import a module of an extra.

    Args:
        module: dotted name.
        use: what needs it, for the message.
        extra: the extra of mixlearn that brings it.

    Raises:
        ImportError: it, or what it needs itself, is not installed; the message holds the command that
            installs it. For torchvision the command keeps the torch that is there.

    >>> need("math", "counting").floor(1.5)
    1
    """
    try:
        return import_module(module)
    except ImportError as missing:
        package = (missing.name or module).partition(".")[0]
        command = f'pip install "mixlearn[{extra}]"'
        if package == "torchvision":  # each torchvision belongs to one torch
            command = f'pip install torchvision "torch=={torch.__version__.partition("+")[0]}"'
        raise ImportError(f"{use} needs {package}: {command}") from missing


def array(values: Tensor, use: str = "a figure") -> Any:
    """A tensor's values as a NumPy array, which PyTorch alone may not bring.

    Args:
        values: of any shape, on the CPU.
        use: what needs it, for the message.

    Raises:
        ImportError: NumPy is not installed; the message holds the command that installs it.

    >>> array(torch.ones(2)).tolist()
    [1.0, 1.0]
    """
    need("numpy", use)
    return values.numpy()
