"""What every recipe needs: its data, unless it is given, and the source of its first weights."""

from __future__ import annotations

from typing import Any

import torch


def weights(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed + 7919)


def loaded(name: str, data: Any) -> Any:
    from mixlearn.lab.data import load

    return load(name) if data is None else data
