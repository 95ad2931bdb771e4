"""What each loss term of MixSKD is worth, from the run records of chapter 6."""

from __future__ import annotations

import os
from typing import NamedTuple

from mixlearn.methods.mixskd import TERMS
from mixlearn.page.show_table import SEEDS
from mixlearn.train.records import Interval, load, names

WHOLE = "mixskd"
RECORD = "mixskd-fashion-{}"  # name of a record, by the way to train
WAYS = (WHOLE, *(f"no-{term}" for term in TERMS), "adversarial", "released")


class Effect(NamedTuple):
    """The `accuracy` of a way to train; `gain`: what it has more than the whole method, seed by seed."""

    accuracy: Interval
    gain: Interval | None


def effects(where: str | os.PathLike[str] | None = None) -> dict[str, Effect | None]:
    """The measured accuracy of MixSKD, whole, without each of its terms, adversarial and as released.

    Args:
        where: another folder of records than the book's.

    Returns:
        An `Effect` by each of `WAYS`; None where there is no record of three seeds yet. The gain is None for
        the whole method itself, and where other seeds were run.

    >>> list(effects())[:3]
    ['mixskd', 'no-labels', 'no-mixed']
    """
    known = set(names(where))
    records = {way: load(name, where) for way in WAYS if (name := RECORD.format(way)) in known}
    records = {way: record for way, record in records.items() if len(record.runs) >= SEEDS}
    whole = records.get(WHOLE)
    found: dict[str, Effect | None] = dict.fromkeys(WAYS)
    for way, record in records.items():
        same = way != WHOLE and whole is not None and whole.seeds == record.seeds
        gain = record.gain(whole) if same and whole is not None else None
        found[way] = Effect(record.measured("accuracy"), gain)
    return found
