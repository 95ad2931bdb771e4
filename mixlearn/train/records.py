"""Run records: a setting trained once a seed, its measures with their intervals, and its tables."""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from mixlearn.core.extras import need
from mixlearn.train.checkpoint import write_whole

_SHARE = re.compile(
    r"(mixed_|subset_)?accuracy|ece|gap|misses( at half)?|map(50)?|miou|"
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
    """The mean of independent runs with its 95 % interval by Student's t."""
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


_FIELDS: dict[str, Any] = dict.fromkeys(("format", "name", "command"), str)
_FIELDS |= {"settings": dict, "data": dict, "runs": list, "summary": dict}
_RUN_FIELDS: dict[str, Any] = {"seed": int, "environment": dict, "seconds": (int, float)}
_RUN_FIELDS |= {"peak_memory": int, "epochs": list, "final": dict}


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
        """What this record has more than another one, seed by seed; both must have the same seeds."""
        if self.seeds != base.seeds:
            raise ValueError(f"seeds must be the same: {self.name} {self.seeds}, {base.name} {base.seeds}")
        return interval([a - b for a, b in zip(self.values(measure), base.values(measure), strict=True)])

    def card(self) -> Card:
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
                name: {"mean": one.mean, "half": None if math.isnan(one.half) else one.half, "n": one.n}
                for name, one in self.summary.items()
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
        FileNotFoundError, RecordError: no such record, or a damaged one.
    """
    path = Path(where or folder()) / f"{name}.json"
    if not path.is_file():
        known = names(where)
        raise FileNotFoundError(f"no run record {name!r}; there are: {', '.join(known) or 'none yet'}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecordError(f"{path.name} is no readable JSON: {error}") from error
    return _checked(content, path)


def all(where: str | os.PathLike[str] | None = None) -> list[Record]:
    """Every record, by name."""
    return [load(name, where) for name in names(where)]


def write(record: Record, where: str | os.PathLike[str] | None = None) -> Path:
    """Write a `record` whole or not at all to the folder `where`, and return the path of its file.

    Raises:
        RecordError: a record that would not load again, or that names this machine or a folder of it.
    """
    target = Path(where or folder()) / f"{record.name}.json"
    content = record.as_json()
    _checked(content, target)
    for text in _texts(content):
        if re.search(r"(?<![\w.:/])/[\w.-]+/|[A-Za-z]:\\", text) or _host(text):
            raise RecordError(f"a run record must not name a machine or an absolute path, got {text!r}")
    target.parent.mkdir(parents=True, exist_ok=True)
    body = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(target, lambda file: file.write(body.encode()))
    return target


def _checked(content: Any, path: Path) -> Record:
    """A record from JSON, or an error that names the file and the field."""
    _has(content, _FIELDS, path.name)
    if content["format"] != FORMAT:
        raise RecordError(f"{path.name}: format must be {FORMAT!r}, got {content['format']!r}")
    if content["name"] != path.stem:
        raise RecordError(f"{path.name} holds the record {content['name']!r}")
    if not content["runs"]:
        raise RecordError(f"{path.name}: runs must hold at least one seed")
    shape = None
    for run in content["runs"]:
        _has(run, _RUN_FIELDS, f"{path.name}, a run")
        here = {part: sorted(measures) for part, measures in run["final"].items()}
        if shape is not None and here != shape:
            raise RecordError(
                f"{path.name}: seed {run['seed']} has other final measures than the seeds before"
            )
        shape = here
    record = Record(
        content["name"], content["command"], content["settings"], content["data"], tuple(content["runs"])
    )
    if len(set(record.seeds)) < len(record.seeds):
        raise RecordError(f"{path.name}: seeds must differ, got {list(record.seeds)}")
    written, again = content["summary"], record.as_json()["summary"]
    for name in {*written, *again}:
        for key in ("mean", "half", "n"):
            old, new = (side.get(name, {}).get(key) for side in (written, again))
            if not (old is new if None in (old, new) else math.isclose(old, new, rel_tol=1e-9)):
                raise RecordError(f"{path.name}: summary {name!r} says {key} = {old}, its runs give {new}")
    return record


def _has(content: Any, fields: dict[str, Any], what: str) -> None:
    if not isinstance(content, dict):
        raise RecordError(f"{what}: expected an object, got {type(content).__name__}")
    for name, type_ in fields.items():
        if name not in content:
            raise RecordError(f"{what}: the field {name!r} is missing")
        if not isinstance(content[name], type_) or isinstance(content[name], bool):
            raise RecordError(
                f"{what}: the field {name!r} has the wrong type, {type(content[name]).__name__}"
            )


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


@dataclass(frozen=True)
class Table:
    """A table as a notebook or a page shows it; as text in a terminal, and as Markdown.

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

    def markdown(self) -> str:
        """Head and rows in Markdown, of cells that are Markdown already."""
        lines = [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
            for row in (self.head, *self.rows)
        ]
        lines.insert(1, "|" + "---|" * len(self.head))
        return "\n".join(lines) + "\n"


class Card:
    """What a record says, for people: text in a terminal, a table in a notebook."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def measures(self) -> list[tuple[str, str]]:
        """Each final measure of each test set, as mean ± interval."""
        whole = self.record.summary
        sets = {name.partition("/")[0] for name in whole if "/" in name}
        return [(name, shown(name, whole[name])) for name in whole if ("/" in name) == (len(sets) > 1)]

    def table(self) -> Table:
        """The card's lines: a name and its value."""
        record, facts = self.record, [run["environment"] for run in self.record.runs]
        rows = [(name.replace("_", " "), str(value)) for name, value in record.settings.items()]
        digest = str(record.data.get("sha256", ""))[:12] or "unknown"
        rows.append(("data", f"{record.data['name']}, sha256 {digest}"))
        rows += [(_title(name), value) for name, value in self.measures()]
        one = duration(record.seconds / len(facts))
        rows += [
            ("seeds", ", ".join(map(str, record.seeds))),
            ("time", f"{duration(record.seconds)} in all, {one} a seed"),
            ("peak memory", f"{record.peak_memory / 2**20:,.0f} MiB".replace(",", " ")),
        ]
        for name in ("device", "threads", "torch", "cuda", "python", "mixlearn"):
            rows.append((name, ", ".join(dict.fromkeys(str(fact.get(name)) for fact in facts))))
        rows += [("commit", ", ".join(_commits(record))), ("command", record.command)]
        return Table(
            f"Run record {record.name}", (), tuple(row for row in rows if row[1] not in ("", "None"))
        )

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


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


_INTRODUCTION = """# Results

The book's numbers about longer training runs come from run records; short runs are made on the pages that
show them. A record is a file in `book/results` that holds the command, the commit, the versions, the device,
the seeds, the sha256 of the data, every epoch, and the final measures. This page is made from those files.
Values are means over the seeds ± the half width of the 95 % interval (Student's t). *Gap* is mean confidence
minus accuracy: positive where the network is overconfident.
"""
_HEAD: tuple[str, ...] = ("record", "network", "images", "epochs", "mixing", "test set or judge", "seeds")
_HEAD += ("accuracy (%)", "NLL", "ECE (%)", "gap (%)")


def page(records: Sequence[Record]) -> str:
    """The results page in Markdown: a table for each data set, then where each record came from."""
    if not records:
        return f"{_INTRODUCTION}\nThere is no run record yet.\n"
    parts = [_INTRODUCTION]
    for data in dict.fromkeys(record.data["name"] for record in records):
        rows = [row for record in records if record.data["name"] == data for row in _result_rows(record)]
        parts.append(f"## {_plain(data)}\n\n{Table('', _HEAD, tuple(rows)).markdown()}")
    rows = []
    for record in records:
        devices = dict.fromkeys(str(run["environment"].get("device")) for run in record.runs)
        words = (_plain(", ".join(_commits(record))), _plain(", ".join(devices)))
        seconds = duration(record.seconds / len(record.runs))
        rows.append((_code(record.name), _code(record.command), *words, seconds))
    sources = Table("", ("record", "command", "commit", "device", "time a seed"), tuple(rows))
    return "\n".join([*parts, "## Where they come from\n\n" + sources.markdown()])


def _result_rows(record: Record) -> list[tuple[str, ...]]:
    whole = record.summary
    settings = [_plain(record.settings.get(key, "")) for key in ("network", "images", "epochs", "mix")]
    rows = []
    for part in dict.fromkeys(name.partition("/")[0] for name in whole if name.endswith("/nll")):
        names = [f"{part}/{key}" for key in ("accuracy", "nll", "ece", "gap")]
        cells = [shown(name, whole[name]) if name in whole else "–" for name in names]
        rows.append((_code(record.name), *settings, _plain(part), str(len(record.runs)), *cells))
    return rows


def _title(name: str) -> str:
    part, _, measure = name.rpartition("/")
    title = _TITLES.get(measure, measure) + (" (%)" if is_share(measure) else "")
    return f"{part}: {title}" if part else title


def _commits(record: Record) -> list[str]:
    facts = [run["environment"] for run in record.runs if run["environment"].get("commit")]
    changed = (" with local changes" if fact.get("dirty") else "" for fact in facts)
    return list(
        dict.fromkeys(str(fact["commit"])[:12] + more for fact, more in zip(facts, changed, strict=True))
    )


def _marked(text: str) -> str:
    """Text for HTML, its asterisks and backticks made bold and code."""
    safe = escape(text, quote=False)
    for mark, tag in (("**", "b"), ("`", "code")):
        pieces = safe.split(mark)
        safe = "".join(p if k % 2 == 0 else f"<{tag}>{p}</{tag}>" for k, p in enumerate(pieces))
    return safe


def _plain(text: object) -> str:
    """A record's text in Markdown: neither HTML nor Markdown nor a formula, whatever it holds."""
    return re.sub(r"([\\`*\[\]$])", r"\\\1", escape(" ".join(str(text).split()), quote=False))


def _code(text: str) -> str:
    """A record's text as code, between more backticks than it has in a row."""
    text = " ".join(text.split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{ticks}{text}{ticks}" if len(ticks) == 1 else f"{ticks} {text} {ticks}"
