"""The results page of the book, made from the run records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from mixlearn.lab.cards import duration, shown
from mixlearn.lab.intervals import Interval
from mixlearn.lab.runs import Record

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
