"""The runs behind the book: a file a chapter, in it dicts from the name of a record to its setting.

A setting is a recipe with options: called with `seed=` it trains, with `dry=True` it only states itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from experiments.chapters.chapter_2 import embedded, sweep
from experiments.chapters.chapter_3 import boxes
from experiments.chapters.chapter_4 import masks
from experiments.chapters.chapter_5 import automix, transfer
from experiments.chapters.chapter_6 import confirmed, dense, mixskd
from experiments.chapters.chapter_7 import contrast, kin
from experiments.chapters.chapter_10 import divided, few, scenes, uneven
from experiments.chapters.cifar10 import cifar, pilot_cifar
from experiments.chapters.curves import curves, practice, wrong
from experiments.chapters.judging import again, judging, labelled
from experiments.chapters.pilots import pilot_masks
from experiments.training import Outcome

Experiment = Mapping[str, Callable[..., Outcome]]

EXPERIMENTS: dict[str, Experiment] = {
    "again": again,
    "automix": automix,
    "boxes": boxes,
    "cifar": cifar,
    "confirmed": confirmed,
    "contrast": contrast,
    "curves": curves,
    "dense": dense,
    "divided": divided,
    "embedded": embedded,
    "few": few,
    "judging": judging,
    "kin": kin,
    "masks": masks,
    "mixskd": mixskd,
    "pilot_cifar": pilot_cifar,
    "pilot_masks": pilot_masks,
    "practice": practice,
    "scenes": scenes,
    "sweep": sweep,
    "transfer": transfer,
    "truth": labelled,
    "uneven": uneven,
    "wrong": wrong,
}
