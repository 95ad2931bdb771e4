"""What every recipe needs: its data, unless it is given, its first weights, and who reads its pictures."""

from __future__ import annotations

from typing import Any

import torch

from experiments.data import pictures
from mixlearn import data as sets
from mixlearn.core.processes import torchrun


def weights(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed + 7919)


def loaded(name: str, data: Any, **options: Any) -> Any:
    if data is not None:
        return data
    if name not in sets.GONE:
        return sets.load(name, **options)
    return pictures(name=name, **options)


def loaders(data: Any, batch_size: int, workers: int, devices: Any = 1) -> dict[str, Any]:
    """The `loader` and the `test` of `train`, for pictures that are read from files.

    Args:
        data: a loaded data set.
        batch_size: images of all processes together.
        workers: processes that read images, for each that trains.
        devices: as for `fit`.

    Raises:
        ValueError: a batch that cannot be shared evenly.
    """
    from torch.utils.data import DataLoader

    share, rest = divmod(batch_size, _processes(devices))
    if rest or not share:
        raise ValueError(f"batch_size must be a multiple of the number of processes, got {batch_size}")
    return {
        "loader": DataLoader(data.train, batch_size=share, shuffle=True, num_workers=workers, drop_last=True),
        "test": DataLoader(data.test, batch_size=share, num_workers=workers),
    }


def _processes(devices: Any) -> int:
    """How many processes share a batch: those of torchrun, else those asked for."""
    spread = torchrun()
    if spread is not None:
        return spread[0] * spread[1]
    if isinstance(devices, int) and devices > 0:
        return devices
    return max(1, torch.cuda.device_count())
