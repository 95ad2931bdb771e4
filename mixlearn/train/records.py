"""Run records: a setting trained once a seed, its measures with their intervals, and its tables."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from mixlearn.core.extras import moved, need

_SHARE = re.compile(
    r"(mixed_|subset_)?accuracy|ece|gap|misses( at half)?|map(50)?|miou|top 2|own|partner|background|"
    r"error|unseen|unnamed|bias|"
    r"(k=|fgsm|pgd|best|fixed|middle|border).*"
)
_TITLES = {"ece": "ECE", "gap": "confidence − accuracy", "nll": "NLL (nats)"}


def is_share(measure: str) -> bool:
    """Whether a measure, such as "ece" or "corrupted/accuracy", is a share, shown in hundredths (%).

    >>> is_share("knn/k=20"), is_share("nll")
    (True, False)
    """
    return _SHARE.fullmatch(measure.rpartition("/")[2]) is not None


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
        """Whether the interval excludes zero.

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
    """The mean of the values of independent runs with its 95 % interval by Student's t."""
    n = len(values)
    if n == 0:
        raise ValueError("values must hold at least one number, got none")
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(mean, math.nan, 1)
    variance = math.fsum((v - mean) ** 2 for v in values) / (n - 1)
    return Interval(mean, _t_quantile(n - 1) * math.sqrt(variance / n), n)


@cache
def _t_quantile(freedom: int) -> float:
    """The t with P(T ≤ t) = 0.975."""
    return float(need("scipy.special", "an interval").stdtrit(freedom, 0.975))


def shown(name: str, value: Interval) -> str:
    """The interval `value` in the unit of the measure `name`: hundredths for shares, otherwise as it is."""
    return value.percent() if is_share(name) else str(value)


FORMAT = "mixlearn run 1"
_PACKAGE = Path(__file__).resolve().parents[1]


class RecordError(ValueError):
    """A file that is no run record, or a record that is incomplete or at odds with itself."""


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
        """The time of all runs together, in seconds."""
        return math.fsum(run["seconds"] for run in self.runs)

    @property
    def peak_memory(self) -> int:
        """The peak memory of the largest run, in bytes."""
        return max((run["peak_memory"] for run in self.runs), default=0)

    @property
    def summary(self) -> dict[str, Interval]:
        result: dict[str, Interval] = {}
        for part in self.runs[0]["final"] if self.runs else ():
            for measure in self.runs[0]["final"][part]:
                whole = interval([run["final"][part][measure] for run in self.runs])
                result.setdefault(measure, whole)
                result[f"{part}/{measure}"] = whole
        return result

    def values(self, measure: str) -> list[float]:
        """A final measure, one number a seed: "ece" of the first part that has one, or "part/measure"."""
        part, _, name = measure.rpartition("/")
        final = self.runs[0]["final"]
        known = [one for one, measures in final.items() if name in measures and part in ("", one)]
        if not known:
            raise KeyError(f"the record {self.name!r} has no measure {measure!r}")
        return [run["final"][known[0]][name] for run in self.runs]

    def measured(self, measure: str) -> Interval:
        """The mean of `values` and its interval."""
        return interval(self.values(measure))

    def gain(self, base: Record, measure: str = "accuracy") -> Interval:
        """This record minus another one, seed by seed; both must have the same seeds."""
        if self.seeds != base.seeds:
            raise ValueError(f"seeds must be the same: {self.name} {self.seeds}, {base.name} {base.seeds}")
        return interval([a - b for a, b in zip(self.values(measure), base.values(measure), strict=True)])

    def measures(self) -> list[tuple[str, str]]:
        """Each final measure of each test set in words, as mean ± interval."""
        whole = self.summary
        sets = {name.partition("/")[0] for name in whole if "/" in name}
        return [(name, shown(name, whole[name])) for name in whole if ("/" in name) == (len(sets) > 1)]

    def commits(self) -> list[str]:
        """The commits of the code that its runs were made with."""
        facts = [run["environment"] for run in self.runs if run["environment"].get("commit")]
        words = [fact["commit"][:12] + " with local changes" * bool(fact.get("dirty")) for fact in facts]
        return list(dict.fromkeys(words))

    def card(self) -> Table:
        """All about the record: text in a terminal, a table in a notebook or a page."""
        facts = [run["environment"] for run in self.runs]
        rows = [(name.replace("_", " "), str(value)) for name, value in self.settings.items()]
        digest = str(self.data.get("sha256", ""))[:12] or "unknown"
        rows.append(("data", f"{self.data['name']}, sha256 {digest}"))
        rows += [(_title(name), value) for name, value in self.measures()]
        one = duration(self.seconds / len(facts))
        rows += [
            ("seeds", ", ".join(map(str, self.seeds))),
            ("time", f"{duration(self.seconds)} in all, {one} a seed"),
            ("peak memory", f"{self.peak_memory / 2**20:,.0f} MiB".replace(",", " ")),
        ]
        for name in ("device", "threads", "torch", "cuda", "python", "mixlearn"):
            rows.append((name, ", ".join(dict.fromkeys(str(fact.get(name)) for fact in facts))))
        rows += [("commit", ", ".join(self.commits())), ("command", self.command)]
        return Table(f"Run record {self.name}", (), tuple(row for row in rows if row[1] not in ("", "None")))


def folder() -> Path:
    """Where the records are: inside the installed package, else in the checkout's `book/results`."""
    installed = _PACKAGE / "_results"  # what lies beside an installed package is not ours
    return installed if installed.is_dir() else _PACKAGE.parent / "book" / "results"


def names(where: str | os.PathLike[str] | None = None) -> list[str]:
    """The names of all records, in order."""
    return sorted(path.stem for path in Path(where or folder()).glob("*.json"))


def load(name: str, where: str | os.PathLike[str] | None = None) -> Record:
    """The record of a name, such as "fashion-mixup", in the folder `where`; None takes the book's.

    Raises:
        FileNotFoundError, RecordError: no such record, or a file that is none.
    """
    path = Path(where or folder()) / f"{name}.json"
    if not path.is_file():
        known = names(where)
        near = ", ".join(get_close_matches(name, known, 8, 0)) or "none yet"
        near += f" … ({len(known)} in all: `ml.runs.names()`)" if len(known) > 8 else ""
        raise FileNotFoundError(f"no run record {name!r}; there are: {near}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecordError(f"{path.name} is no readable JSON: {error}") from error
    fields = ("name", "command", "settings", "data", "runs")
    if not isinstance(content, dict) or content.get("format") != FORMAT or not {*fields} <= {*content}:
        raise RecordError(f"{path.name} must hold the format {FORMAT!r} with {', '.join(fields)}")
    return Record(**{field: content[field] for field in fields} | {"runs": tuple(content["runs"])})


def all(where: str | os.PathLike[str] | None = None) -> list[Record]:
    """Every record, by name."""
    return [load(name, where) for name in names(where)]


@dataclass(frozen=True)
class Table:
    """A table as a notebook or a page shows it; as text in a terminal.

    Attributes:
        caption: what it shows.
        head: titles of the columns; none shows no head.
        rows: cells, the first of each row its title. Between two asterisks and two, cells are bold.
        note: a sentence below, or none.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str], first: str, other: str) -> str:
            kinds = [first, *[other] * (len(cells) - 1)]
            whole = (_marked(cell).replace(" ± ", "&nbsp;±&nbsp;") for cell in cells)  # never broken in two
            made = (f"<{k}>{c}</{k.split()[0]}>" for k, c in zip(kinds, whole, strict=True))
            return f"<tr>{''.join(made)}</tr>"

        head = line(self.head, "th scope='col'", "th scope='col'") if self.head else ""
        body = "".join(line(row, "th scope='row' style='font-weight:normal'", "td") for row in self.rows)
        note = f"<p style='font-size:.85em'>{_marked(self.note)}</p>" if self.note else ""
        return (
            f"<table class='table' style='font-size:.85em'><caption>{_marked(self.caption)}</caption>"
            f"<thead>{head}</thead><tbody>{body}</tbody></table>{note}"
        )

    def __repr__(self) -> str:
        lines = (self.head, *self.rows) if self.head else self.rows  # the asterisks stay: no bold here
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in lines]
        return "\n".join([self.caption, *text, *([self.note] if self.note else [])])


def duration(seconds: float) -> str:
    """A time in seconds, in words.

    >>> duration(42), duration(150), duration(9000)
    ('42 s', '2 min 30 s', '2 h 30 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _title(name: str) -> str:
    part, _, measure = name.rpartition("/")
    title = _TITLES.get(measure, measure) + (" (%)" if is_share(measure) else "")
    return f"{part}: {title}" if part else title


def _marked(text: str) -> str:
    """Text for HTML, its asterisks and backticks made bold and code."""
    safe = escape(text, quote=False)
    for mark, tag in (("**", "b"), ("`", "code")):
        pieces = safe.split(mark)
        safe = "".join(p if k % 2 == 0 else f"<{tag}>{p}</{tag}>" for k, p in enumerate(pieces))
    return safe


def __getattr__(name: str) -> Any:
    return moved(name, __name__, {"write": "experiments.records"})
