"""Where mixing begins to pay: differences between records in pairs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from mixlearn.train.records import Record, interval


class Cell(NamedTuple):
    """What mixing changed in one setting: the difference of a measure, with mixing minus without."""

    images: int
    epochs: int
    width: int
    mean: float
    half: float = math.nan


def differences(records: Sequence[Record], measure: str = "accuracy", mixed: str = "mixup") -> list[Cell]:
    """From records in pairs, "…-plain" and "…-mixup", what mixing changed, seed by seed.

    Args:
        records: those without a partner, or of which no seed was run in both, are passed over.
        measure: of the first test set, or "set/measure".
        mixed: how the name of the mixed record ends.

    Returns:
        A `Cell` a pair: the mean over the seeds that both have, with its 95 % interval.
    """
    named = {record.name: record for record in records}
    found = []
    for name, record in named.items():
        plain = named.get(re.sub(f"{re.escape(mixed)}$", "plain", name))
        wide = re.search(r"width (\d+)", str(record.settings.get("network", "")))
        if plain is None or plain is record or wide is None:
            continue
        with_mixing, without = _finals(record, measure), _finals(plain, measure)
        both = [seed for seed in with_mixing if seed in without]
        if both:
            whole = interval([with_mixing[seed] - without[seed] for seed in both])
            images, epochs = record.settings["images"], record.settings["epochs"]
            found.append(Cell(int(images), int(epochs), int(wide[1]), whole.mean, whole.half))
    return found


def _finals(record: Record, measure: str) -> dict[int, float]:
    part, _, key = measure.rpartition("/")
    return {run["seed"]: run["final"][part or next(iter(run["final"]))][key] for run in record.runs}
