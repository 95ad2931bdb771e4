"""Import what the base install does not bring, or say which extra does."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor


def need(module: str, use: str, extra: str = "lab") -> Any:
    """Import a module that `use` needs and an extra of mixlearn brings; the error holds the command.

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


def moved(name: str, module: str, places: Mapping[str, str]) -> Any:
    """A name that has gone from a module to `experiments`, with a warning; for the module's `__getattr__`.

    A place that begins with "ml." is what replaces a name that is gone for good.
    """
    if name not in places:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    if places[name].startswith("ml."):
        raise AttributeError(f"{module}.{name} has gone; use {places[name]}")
    try:
        value = getattr(import_module(places[name]), name)
    except ModuleNotFoundError as missing:
        raise AttributeError(
            f"{module}.{name} is now {places[name]}.{name}, which is in the repository and is not installed "
            "with the package: clone the repository and run Python in its folder"
        ) from missing
    warnings.warn(f"{module}.{name} is now {places[name]}.{name}", DeprecationWarning, stacklevel=3)
    return value


def array(values: Tensor, use: str = "a figure") -> Any:
    """A tensor's values, on the CPU, as a NumPy array, which PyTorch alone may not bring."""
    need("numpy", use)
    return values.numpy()
