"""Import what the base install does not bring, or say which extra does."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from functools import partial
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


def moved(name: str, module: str, places: Mapping[str, str]) -> Any:
    """A name that has gone from a module to `experiments`, with a warning; for the module's `__getattr__`.

    Args:
        name: what was asked of the module.
        module: dotted name of the module.
        places: where each name that has gone is now, dotted.

    Raises:
        AttributeError: a name that never was there, or one that is in the repository and not installed.
    """
    if name not in places:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    try:
        found = getattr(import_module(places[name]), name)
    except ModuleNotFoundError as missing:
        raise AttributeError(
            f"{module}.{name} is now {places[name]}.{name}, which is in the repository and is not installed "
            "with the package: clone the repository and run Python in its folder"
        ) from missing
    warnings.warn(f"{module}.{name} is now {places[name]}.{name}", DeprecationWarning, stacklevel=3)
    return found


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


def in_words(function: Any) -> str:
    """A function, or one with options set by `partial`, as it would be written.

    >>> from mixlearn.train.fit import sgd
    >>> in_words(partial(sgd, lr=0.1))
    'sgd(lr=0.1)'
    >>> in_words(partial(map, func=partial(sgd, lr=0.1)))
    'map(func=sgd(lr=0.1))'
    >>> in_words(partial(map, mean=(0.123456789, 0.5)))
    'map(mean=(0.1235, 0.5))'
    """
    if isinstance(function, partial):
        options = ", ".join(f"{name}={_value(value)}" for name, value in function.keywords.items())
        return f"{in_words(function.func)}({options})"
    return str(getattr(function, "__name__", None) or repr(function))


def takes(function: Any, name: str) -> bool:
    """Whether a function may be called with the keyword `name`; where nobody can tell, yes.

    >>> takes(in_words, "function"), takes(in_words, "saliency")
    (True, False)
    """
    try:
        known = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    return name in known or any(one.kind is one.VAR_KEYWORD for one in known.values())


def _value(value: Any) -> str:
    if callable(value):
        return in_words(value)
    if isinstance(value, tuple) and all(isinstance(number, float) for number in value):
        return f"({', '.join(f'{number:.4g}' for number in value)})"
    if hasattr(value, "train") and hasattr(value, "name"):  # a loaded data set
        return repr(value.name)
    return repr(value)
