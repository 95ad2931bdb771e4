"""Batches of lists, tuples and dicts within each other: reading a place, and putting something else there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Place = int | str | tuple[int | str, ...]  # a position or key, or a path of several


def look_up(batch: Any, place: Place, who: str) -> Any:
    """What a batch holds at a place; None where some part on the way is None.

    Args:
        batch: lists, tuples and mappings, nested to any depth.
        place: a position or key, or a path of several from the outside in.
        who: reads the batch, for errors.

    Raises:
        TypeError: a part that is no list, tuple or dict.
        KeyError, IndexError: a part without that key or position.

    >>> look_up({"labelled": [1, 2], "other": 3}, ("labelled", 0), "MixBatches")
    1
    """
    path = place if isinstance(place, tuple) else (place,)
    for k, name in enumerate(path):
        where = f"batch{''.join(f'[{step!r}]' for step in path[:k])}"
        if batch is None and k:
            return None
        if isinstance(batch, Mapping):
            if name not in batch:
                raise KeyError(
                    f"the {where} has no {name!r}, only {list(batch)}; "
                    f"name its keys: {who}(mix, images=…, labels=…)"
                )
        elif not isinstance(batch, (list, tuple)):
            raise TypeError(
                f"{who} reads batches that are a list, tuple or dict, got {type(batch).__name__}"
                + (f" at {where}" if k else "")
            )
        elif name not in range(-len(batch), len(batch)):
            raise IndexError(
                f"the {where} is a {type(batch).__name__} of {len(batch)}, it has no item {name!r}"
            )
        batch = batch[name]
    return batch


def put(batch: Any, place: Place, value: Any) -> Any:
    """A batch with another value at a place. Only what holds the place is copied; the batch is not changed.

    Args:
        batch, place: as for `look_up`.
        value: what belongs there.

    >>> put({"labelled": (1, 2), "other": 3}, ("labelled", 0), 9)
    {'labelled': (9, 2), 'other': 3}
    """
    name, *rest = place if isinstance(place, tuple) else (place,)
    inner = put(batch[name], tuple(rest), value) if rest else value
    if isinstance(batch, Mapping):
        return {**batch, name: inner}
    items = list(batch)
    items[name] = inner  # type: ignore[index]
    if isinstance(batch, tuple):
        return type(batch)(*items) if hasattr(batch, "_fields") else tuple(items)
    return items
