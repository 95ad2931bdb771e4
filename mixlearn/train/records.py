"""The mean of a few runs, and how far it can be trusted."""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from mixlearn.train.checkpoint import write_whole


@dataclass(frozen=True)
class Interval:
    """A mean and the half width of its 95 % interval: mean ± half. One run alone has no interval (NaN).

    >>> str(interval([0.80, 0.82, 0.81]))
    '0.810 ± 0.025'
    """

    mean: float
    half: float
    n: int

    @property
    def clear(self) -> bool:
        """Whether the interval keeps clear of zero.

        >>> interval([0.02, 0.021, 0.019]).clear, interval([0.02, -0.01]).clear, interval([0.5]).clear
        (True, False, False)
        """
        return abs(self.mean) > self.half

    def percent(self, digits: int = 1) -> str:
        """The same in hundredths.

        >>> interval([0.80, 0.82, 0.81]).percent()
        '81.0 ± 2.5'
        """
        return self._words(100, digits)

    def __str__(self) -> str:
        return self._words(1, 3)

    def _words(self, scale: float, digits: int) -> str:
        mean = f"{scale * self.mean:.{digits}f}".replace("-", "−")
        return mean if math.isnan(self.half) else f"{mean} ± {scale * self.half:.{digits}f}"


def interval(values: Sequence[float]) -> Interval:
    """The mean of independent runs with its 95 % interval by Student's t.

    Args:
        values: one number a run.

    Raises:
        ValueError: no values.
    """
    n = len(values)
    if n == 0:
        raise ValueError("values must hold at least one number, got none")
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(mean, math.nan, 1)
    variance = math.fsum((v - mean) ** 2 for v in values) / (n - 1)
    return Interval(mean, t_quantile(0.975, n - 1) * math.sqrt(variance / n), n)


def t_cdf(t: float, freedom: int) -> float:
    """P(T ≤ t) for Student's t with a whole number of degrees of freedom.

    Source: Abramowitz & Stegun, *Handbook of Mathematical Functions*, 26.7.3 and 26.7.4.
    """
    angle = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    total, term = 0.0, cosine if freedom % 2 else 1.0
    for k in range(3 if freedom % 2 else 2, freedom + 1, 2):
        total += term
        term *= cosine**2 * (k - 1) / k
    inside = 2 / math.pi * (angle + sine * total) if freedom % 2 else sine * total
    return 0.5 + inside / 2


def t_quantile(p: float, freedom: int) -> float:
    """The t with P(T ≤ t) = p, for p in (0.5, 1), by bisection.

    Raises:
        ValueError: p outside (0.5, 1), or fewer than one degree of freedom.

    >>> round(t_quantile(0.975, 2), 4)
    4.3027
    """
    if not 0.5 < p < 1 or freedom < 1:
        raise ValueError(f"p must lie in (0.5, 1) and freedom be at least 1, got {p} and {freedom}")
    low, high = 0.0, 1.0
    while t_cdf(high, freedom) < p:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, freedom) < p else (low, middle)
    return (low + high) / 2


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


_PERCENT = ("accuracy", "ece", "gap")


_LABELS = {
    "accuracy": "accuracy (%)",
    "ece": "ECE (%)",
    "gap": "confidence − accuracy (%)",
    "nll": "NLL (nats)",
}


class Card:
    """What a record says, for people. `str(card)` is its text; a notebook shows a table.

    Args:
        record: the record.
    """

    def __init__(self, record: Record) -> None:
        self.record = record

    def rows(self) -> list[tuple[str, str]]:
        """The card's lines: a name and its value."""
        record = self.record
        facts = [run["environment"] for run in record.runs]
        memory = record.peak_memory / 2**20
        found = [(name.replace("_", " "), str(value)) for name, value in record.settings.items()]
        digest = str(record.data.get("sha256", ""))[:12] or "unknown"
        found.append(("data", f"{record.data['name']}, sha256 {digest}"))
        found += [(_label(name), value) for name, value in self.measures()]
        found += [
            ("seeds", ", ".join(str(seed) for seed in record.seeds)),
            ("time", f"{duration(record.seconds)} in all, {duration(record.seconds / len(facts))} a seed"),
            ("peak memory", f"{memory:,.0f} MiB".replace(",", " ")),
            ("device", _each(facts, "device")),
            ("threads", _each(facts, "threads")),
            ("torch", _each(facts, "torch")),
            ("CUDA", _each(facts, "cuda")),
            ("Python", _each(facts, "python")),
            ("mixlearn", _each(facts, "mixlearn")),
            ("commit", ", ".join(_commits(facts))),
            ("command", record.command),
        ]
        return [(name, value) for name, value in found if value not in ("", "None")]

    def measures(self) -> list[tuple[str, str]]:
        """Each final measure of each test set, as mean ± interval."""
        whole = self.record.summary
        sets = {name.partition("/")[0] for name in whole if "/" in name}
        chosen = [name for name in whole if ("/" in name) == (len(sets) > 1)]
        return [(name, shown(name, whole[name])) for name in chosen]

    def __str__(self) -> str:
        rows = self.rows()
        wide = max(len(name) for name, _ in rows)
        return "\n".join([self.record.name, *(f"  {name:<{wide}}  {value}" for name, value in rows)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, cell = _css(_HEAD), _css(_CELL)
        lines = "".join(
            f'<tr><th scope="row" {head}>{escape(name)}</th><td {cell}>{escape(value)}</td></tr>'
            for name, value in self.rows()
        )
        title = f"Run record <code>{escape(self.record.name)}</code>"
        return (
            f'<table class="mixlearn-card" {_css(_TABLE)}><caption style="text-align:left">{title}</caption>'
            f"<tbody>{lines}</tbody></table>"
        )


# Colours are the page's own, so that a card is legible on light and on dark ground.
_TABLE = ("border:1px solid currentColor", "color:inherit", "background:transparent", "padding:.5em")


_HEAD = ("text-align:left", "font-weight:600", "padding:.1em 1em .1em 0")


_CELL = ("text-align:left", "overflow-wrap:anywhere")


def _css(rules: tuple[str, ...]) -> str:
    return f'style="{";".join(rules)}"'


def shown(name: str, value: object) -> str:
    """An interval in the unit of its measure: hundredths for shares, otherwise as it is."""

    assert isinstance(value, Interval)
    measure = name.rpartition("/")[2]
    return value.percent() if measure in _PERCENT or measure.startswith("k=") else str(value)


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(42), duration(150), duration(9000)
    ('42 s', '2 min 30 s', '2 h 30 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _label(name: str) -> str:
    part, _, measure = name.rpartition("/")
    label = _LABELS.get(measure, measure)
    return f"{part}: {label}" if part else label


def _each(facts: list[dict[str, object]], name: str) -> str:
    """The value all runs share, or each value that some have."""
    return ", ".join(dict.fromkeys(str(fact.get(name)) for fact in facts))


def _commits(facts: list[dict[str, object]]) -> list[str]:
    return list(
        dict.fromkeys(
            str(fact.get("commit"))[:12] + (" with local changes" if fact.get("dirty") else "")
            for fact in facts
            if fact.get("commit")
        )
    )


_INTRODUCTION = """# Results

The book's numbers about longer training runs come from run records; short runs are made on the pages that
show them. A record is a file in `book/results` that holds the command, the commit, the versions, the device,
the seeds, the sha256 of the data, every epoch, and the final measures. This page is made from those files.
Values are means over the seeds ± the half width of the 95 % interval (Student's t). *Gap* is mean confidence
minus accuracy: positive where the network is overconfident.
"""


def page(records: Sequence[Record]) -> str:
    """The page in Markdown: one table for each data set, then a line on where each record came from.

    Args:
        records: in the order they shall stand.
    """
    if not records:
        return f"{_INTRODUCTION}\nThere is no run record yet.\n"
    parts = [_INTRODUCTION]
    for data in dict.fromkeys(record.data["name"] for record in records):
        mine = [record for record in records if record.data["name"] == data]
        parts.append(f"## {_plain(data)}\n\n{_measures(mine)}")
    parts.append("## Where they come from\n\n" + _sources(records))
    return "\n".join(parts)


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head.

    >>> print(table([["a", "b"], ["1", "2|3"]]), end="")
    | a | b |
    |---|---|
    | 1 | 2\\|3 |
    """
    lines = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines) + "\n"


def _measures(records: Sequence[Record]) -> str:
    head = ["record", "network", "images", "epochs", "mixing", "test set or judge", "seeds"]
    rows = [[*head, "accuracy (%)", "NLL", "ECE (%)", "gap (%)"]]
    for record in records:
        whole = record.summary
        parts = dict.fromkeys(name.partition("/")[0] for name in whole if name.endswith("/nll"))
        for part in parts:  # what has no likelihood stands in the chapters
            keys = ("network", "images", "epochs", "mix")
            setting = [_plain(record.settings.get(key, "")) for key in keys]
            measured = [_measure(whole, f"{part}/{key}") for key in ("accuracy", "nll", "ece", "gap")]
            rows.append([_code(record.name), *setting, _plain(part), str(len(record.runs)), *measured])
    return table(rows)


def _measure(whole: dict[str, Interval], name: str) -> str:
    return shown(name, whole[name]) if name in whole else "–"


def _sources(records: Sequence[Record]) -> str:
    rows = [["record", "command", "commit", "device", "time a seed"]]
    for record in records:
        facts = [run["environment"] for run in record.runs]
        commits = dict.fromkeys(str(fact["commit"])[:12] for fact in facts if fact.get("commit"))
        devices = dict.fromkeys(str(fact.get("device")) for fact in facts)
        rows.append(
            [
                _code(record.name),
                _code(record.command),
                _plain(", ".join(commits)),
                _plain(", ".join(devices)),
                duration(record.seconds / len(record.runs)),
            ]
        )
    return table(rows)


def _plain(text: object) -> str:
    """A record's text in Markdown: neither HTML nor Markdown nor a formula, whatever it holds."""
    return re.sub(r"([\\`*\[\]$])", r"\\\1", escape(" ".join(str(text).split()), quote=False))


def _code(text: str) -> str:
    """A record's text as code, between more backticks than it has in a row."""
    text = " ".join(text.split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{ticks}{text}{ticks}" if len(ticks) == 1 else f"{ticks} {text} {ticks}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
