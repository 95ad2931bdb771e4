"""Several batches as one, such that any share of it holds as much of each."""

from __future__ import annotations

import torch
from torch import Tensor


def interleaved(first: Tensor, *others: Tensor) -> Tensor:
    """Rows of several batches in turn: the first of each, the second of each, and so on.

    Batch normalisation in several processes, or on several devices, then sees all in each share.

    Args:
        first, others: n batches (B, …), of one shape.

    Returns:
        (nB, …).

    Raises:
        ValueError: different shapes.

    >>> interleaved(torch.tensor([1, 2]), torch.tensor([10, 20])).tolist()
    [1, 10, 2, 20]
    """
    for other in others:
        if first.shape != other.shape:
            raise ValueError(
                f"both batches must have one shape, got {tuple(first.shape)} and {tuple(other.shape)}"
            )
    return torch.stack([first, *others], 1).flatten(0, 1)


def parted(whole: Tensor) -> tuple[Tensor, Tensor]:
    """The two batches again that were interleaved.

    Args:
        whole: (2B, …).

    Raises:
        ValueError: an odd number of rows.

    >>> [part.tolist() for part in parted(torch.tensor([1, 10, 2, 20]))]
    [[1, 2], [10, 20]]
    """
    if len(whole) % 2:
        raise ValueError(f"two batches interleaved must have an even number of rows, got {len(whole)}")
    return whole[0::2], whole[1::2]


def dealt(whole: Tensor, count: int) -> list[Tensor]:
    """Any number of batches again that were interleaved.

    Args:
        whole: (count · B, …).
        count: how many batches.

    Raises:
        ValueError: rows that so many batches do not share evenly.

    >>> [part.tolist() for part in dealt(torch.tensor([1, 10, 100, 2, 20, 200]), 3)]
    [[1, 2], [10, 20], [100, 200]]
    """
    if count < 1 or len(whole) % count:
        raise ValueError(f"{count} batches of one length cannot have {len(whole)} rows together")
    return [whole[k::count] for k in range(count)]
