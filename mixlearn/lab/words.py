"""Functions with their options, as a person would write them."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any


def in_words(function: Any) -> str:
    """A function, or one with options set by `partial`, as it would be written.

    >>> from mixlearn.lab.fit import sgd
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
