"""Files of half-precision weights that Python and the page read alike: those of a network, or of a film."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.extras import array


def written(header: Mapping[str, Any], states: Sequence[Mapping[str, Tensor]]) -> bytes:
    """Weights as bytes: length of the header, header (JSON), float16 numbers, all little-endian.

    Args:
        header: what the file says of the weights; names and shapes are added as "shapes".
        states: tensors by name, once or several times (a film); the same names and shapes each time.

    >>> data = written({"width": 4}, [{"weight": torch.ones(2, 3)}])
    >>> int.from_bytes(data[:4], "little") % 4, len(data) % 4
    (0, 0)
    """
    shapes = [[name, list(value.shape)] for name, value in states[0].items()]
    text = json.dumps({**header, "shapes": shapes}).encode()
    text += b" " * (-len(text) % 4)
    numbers = torch.cat([value.detach().cpu().flatten() for state in states for value in state.values()])
    return (
        len(text).to_bytes(4, "little")
        + text
        + array(numbers.half(), "writing weights").astype("<f2").tobytes()
    )


def read(data: bytes, times: str | None = None) -> tuple[dict[str, Any], list[dict[str, Tensor]]]:
    """What `written` wrote.

    Args:
        data: the bytes.
        times: key of the header whose list has an entry for each time that the tensors are held; None for
            once.

    Returns:
        The header, and tensors by name in single precision, once or several times.

    Raises:
        ValueError: bytes that hold more or fewer weights than the header lists.

    >>> header, states = read(written({"width": 4}, [{"weight": torch.ones(2, 3)}]))
    >>> header["width"], states[0]["weight"].shape
    (4, torch.Size([2, 3]))
    """
    start = 4 + int.from_bytes(data[:4], "little")
    header = json.loads(data[4:start])
    shapes = {name: tuple(shape) for name, shape in header["shapes"]}
    lengths, count = [math.prod(shape) for shape in shapes.values()], len(header[times]) if times else 1
    taken = 2 * count * sum(lengths)
    if len(data) - start != taken:
        raise ValueError(f"the weights must take {taken} bytes after the header, got {len(data) - start}")
    numbers = torch.frombuffer(bytearray(data[start:]), dtype=torch.float16).float()
    states = []
    for part in numbers.split(sum(lengths)):
        pieces = zip(shapes.items(), part.split(lengths), strict=True)
        states.append({name: piece.view(shape) for (name, shape), piece in pieces})
    return header, states
