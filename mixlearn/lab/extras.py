"""Import what the base install does not bring, or say which extra does."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def need(module: str, use: str, extra: str = "lab") -> Any:
    """Import a module of an extra.

    Args:
        module: dotted name.
        use: what needs it, for the message.
        extra: the extra of mixlearn that brings it.

    Raises:
        ImportError: it is not installed; the message holds the command that installs it.

    >>> need("math", "counting").floor(1.5)
    1
    """
    try:
        return import_module(module)
    except ImportError as missing:
        package = module.partition(".")[0]
        raise ImportError(f'{use} needs {package}: pip install "mixlearn[{extra}]"') from missing
