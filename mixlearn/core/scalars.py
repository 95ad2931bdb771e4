"""Numbers that a caller hands in: Python's, NumPy's, and tensors of one value."""

from __future__ import annotations

import operator
from numbers import Real
from typing import Any


def as_number(value: Any, name: str) -> float:
    """A real number of any kind as a float: Python's, NumPy's, or a tensor or array without dimensions.

    Args:
        value: what was given.
        name: of the argument, for the error.

    Raises:
        TypeError: something else; True and False are no numbers here.

    >>> import torch
    >>> as_number(torch.tensor(0.5), "alpha"), as_number(2, "alpha")
    (0.5, 2.0)
    """
    if type(value) is float:
        return value
    scalar = isinstance(value, Real) or (getattr(value, "ndim", None) == 0 and not isinstance(value, str))
    if not scalar or _boolean(value):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    return float(value)


def as_count(value: Any, name: str, least: int | None = None) -> int:
    """A whole number of any kind as an int, such as `labels.max() + 1`.

    A tensor on an accelerator is waited for: its value becomes part of a shape.

    Args:
        value: what was given.
        name: of the argument, for the error.
        least: the smallest that is allowed; None allows all.

    Raises:
        TypeError: something else, such as 3.0 or True.
        ValueError: less than `least`.

    >>> import torch
    >>> as_count(torch.tensor([0, 4, 2]).max() + 1, "num_classes")
    5
    """
    if type(value) is not int:
        if _boolean(value) or getattr(value, "ndim", None):
            raise TypeError(f"{name} must be a whole number, got {value!r}")
        try:
            value = operator.index(value)
        except TypeError:
            raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def is_count(value: Any, least: int | None = 1) -> bool:
    """Whether a value is a whole number, of any kind that `as_count` takes, and not below `least`.

    >>> is_count(3), is_count(3.0), is_count(True), is_count(0)
    (True, False, False, False)
    """
    try:
        as_count(value, "value", least)
    except (TypeError, ValueError):
        return False
    return True


def _boolean(value: Any) -> bool:
    return isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")
