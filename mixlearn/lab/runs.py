"""Run records: what was run, on what, and what came of it. The book's numbers on training come from them.

A record is a JSON file in `book/results`. The wheel carries the same files.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlearn.lab.checkpoints import write_whole
from mixlearn.lab.intervals import Interval, interval

FORMAT = "mixlearn run 1"
_PACKAGE = Path(__file__).resolve().parents[1]
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "format": str,
    "name": str,
    "command": str,
    "settings": dict,
    "data": dict,
    "runs": list,
    "summary": dict,
}
_RUN_FIELDS: dict[str, type | tuple[type, ...]] = {
    "seed": int,
    "environment": dict,
    "seconds": (int, float),
    "peak_memory": int,
    "epochs": list,
    "final": dict,
}


class RecordError(ValueError):
    """A run record that is damaged, incomplete or at odds with itself."""


@dataclass(frozen=True)
class Record:
    """One setting, trained once for each seed.

    Attributes:
        name: of the record and its file.
        command: what to type to get it again.
        settings: the network, the optimiser, the mixing and so on, as words and numbers.
        data: name of the data set and sha256 of its files.
        runs: for each seed: environment, seconds, peak_memory (bytes), epochs, and `final`, the measures
            of each test set.
        summary: for each final measure its `Interval` over the seeds. Measures of the first test set stand
            under their own name ("accuracy"), those of all sets also under "set/accuracy".
    """

    name: str
    command: str
    settings: dict[str, Any]
    data: dict[str, Any]
    runs: tuple[dict[str, Any], ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, in the order they were run."""
        return tuple(run["seed"] for run in self.runs)

    @property
    def seconds(self) -> float:
        """All runs together."""
        return math.fsum(run["seconds"] for run in self.runs)

    @property
    def peak_memory(self) -> int:
        """Bytes, the largest of all runs."""
        return max((run["peak_memory"] for run in self.runs), default=0)

    @property
    def summary(self) -> dict[str, Interval]:
        found: dict[str, Interval] = {}
        for part in self.runs[0]["final"] if self.runs else ():
            for measure in self.runs[0]["final"][part]:
                whole = interval([run["final"][part][measure] for run in self.runs])
                found.setdefault(measure, whole)
                found[f"{part}/{measure}"] = whole
        return found

    def values(self, measure: str) -> list[float]:
        """A final measure, one number a seed: "ece" of the first part that has one, or "part/measure"."""
        part, _, name = measure.rpartition("/")
        known = [one for one, found in self.runs[0]["final"].items() if name in found and part in ("", one)]
        if not known:
            raise KeyError(f"the record {self.name!r} has no measure {measure!r}")
        return [run["final"][known[0]][name] for run in self.runs]

    def measured(self, measure: str) -> Interval:
        """The mean of `values` and its interval."""
        return interval(self.values(measure))

    def gain(self, base: Record, measure: str = "accuracy") -> Interval:
        """What this record has more than another one, seed by seed; both must have the same seeds."""
        if self.seeds != base.seeds:
            raise ValueError(f"seeds must be the same: {self.name} {self.seeds}, {base.name} {base.seeds}")
        return interval([a - b for a, b in zip(self.values(measure), base.values(measure), strict=True)])

    def card(self) -> Any:
        """A card of the record: text in a terminal, a table in a notebook or a page."""
        from mixlearn.lab.cards import Card

        return Card(self)

    def as_json(self) -> dict[str, Any]:
        """The record as its file holds it."""
        return {
            "format": FORMAT,
            "name": self.name,
            "command": self.command,
            "settings": self.settings,
            "data": self.data,
            "runs": list(self.runs),
            "summary": {
                name: {
                    "mean": whole.mean,
                    "half": None if math.isnan(whole.half) else whole.half,
                    "n": whole.n,
                }
                for name, whole in self.summary.items()
            },
        }


def folder() -> Path:
    """Where the records are: inside the installed package, else in the checkout's `book/results`."""
    installed = _PACKAGE / "_results"  # what lies beside an installed package is not ours
    return installed if installed.is_dir() else _PACKAGE.parent / "book" / "results"


def names(where: str | os.PathLike[str] | None = None) -> list[str]:
    """The names of all records, in order."""
    return sorted(path.stem for path in Path(where or folder()).glob("*.json"))


def load(name: str, where: str | os.PathLike[str] | None = None) -> Record:
    """Read a record by its name.

    Args:
        name: such as "fashion-mixup".
        where: another folder than the book's.

    Raises:
        FileNotFoundError: no such record; the message names those there are.
        RecordError: a damaged record; the message names the file and the field.
    """
    path = Path(where or folder()) / f"{name}.json"
    if not path.is_file():
        known = names(where)
        raise FileNotFoundError(f"no run record {name!r}; there are: {', '.join(known) or 'none yet'}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as wrong:
        raise RecordError(f"{path.name} is no readable JSON: {wrong}") from wrong
    return _checked(found, path)


def all(where: str | os.PathLike[str] | None = None) -> list[Record]:
    """Every record, by name."""
    return [load(name, where) for name in names(where)]


def write(record: Record, where: str | os.PathLike[str] | None = None) -> Path:
    """Write a record whole or not at all.

    Args:
        record: its name is the file's.
        where: another folder than the book's.

    Returns:
        The file's path.

    Raises:
        RecordError: a record that would not load again, or that names this machine or a folder of it.
    """
    target = Path(where or folder()) / f"{record.name}.json"
    found = record.as_json()
    _checked(found, target)
    for text in _texts(found):
        if re.search(r"(?<![\w.:/])/[\w.-]+/|[A-Za-z]:\\", text) or _host(text):
            raise RecordError(f"a run record must not name a machine or an absolute path, got {text!r}")
    target.parent.mkdir(parents=True, exist_ok=True)
    body = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(target, lambda file: file.write(body.encode()))
    return target


def _checked(found: Any, path: Path) -> Record:
    """A record from JSON, or an error that names the file and the field."""
    _has(found, _FIELDS, path.name)
    if found["format"] != FORMAT:
        raise RecordError(f"{path.name}: format must be {FORMAT!r}, got {found['format']!r}")
    if found["name"] != path.stem:
        raise RecordError(f"{path.name} holds the record {found['name']!r}")
    if not found["runs"]:
        raise RecordError(f"{path.name}: runs must hold at least one seed")
    shape = None
    for run in found["runs"]:
        _has(run, _RUN_FIELDS, f"{path.name}, a run")
        here = {part: sorted(measures) for part, measures in run["final"].items()}
        if shape is not None and here != shape:
            raise RecordError(
                f"{path.name}: seed {run['seed']} has other final measures than the seeds before"
            )
        shape = here
    record = Record(found["name"], found["command"], found["settings"], found["data"], tuple(found["runs"]))
    if len(set(record.seeds)) < len(record.seeds):
        raise RecordError(f"{path.name}: seeds must differ, got {list(record.seeds)}")
    written, again = found["summary"], record.as_json()["summary"]
    for name in {*written, *again}:
        for key in ("mean", "half", "n"):
            old, new = (side.get(name, {}).get(key) for side in (written, again))
            if not (old is new if None in (old, new) else math.isclose(old, new, rel_tol=1e-9)):
                raise RecordError(f"{path.name}: summary {name!r} says {key} = {old}, its runs give {new}")
    return record


def _has(found: Any, fields: dict[str, type | tuple[type, ...]], what: str) -> None:
    if not isinstance(found, dict):
        raise RecordError(f"{what}: expected an object, got {type(found).__name__}")
    for name, kind in fields.items():
        if name not in found:
            raise RecordError(f"{what}: the field {name!r} is missing")
        if not isinstance(found[name], kind) or isinstance(found[name], bool):
            raise RecordError(f"{what}: the field {name!r} has the wrong type, {type(found[name]).__name__}")


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (str(key), *_texts(item))]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    return []


def _host(text: str) -> bool:
    host = platform.node()
    return len(host) > 3 and re.search(rf"(?<![\w-]){re.escape(host)}(?![\w-])", text) is not None
