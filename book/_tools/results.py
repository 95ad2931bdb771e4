"""The results page: a table of the run records for each data set, then where each record came from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from mixlearn.train.records import Record, all, duration, shown

_INTRODUCTION = """# Results

The book's numbers about longer training runs come from run records; short runs are made on the pages that
show them. A record is a file in `book/results` that holds the command, the commit, the versions, the device,
the seeds, the sha256 of the data, every epoch, and the final measures. This page is made from those files.
Values are means over the seeds ± the half width of the 95 % interval (Student's t). *Gap* is mean confidence
minus accuracy: positive where the network is overconfident.
"""
_HEAD: tuple[str, ...] = (
    "record",
    "network",
    "images",
    "epochs",
    "mixing",
    "test set or judge",
    "seeds",
)
_HEAD += ("accuracy (%)", "NLL", "ECE (%)", "gap (%)")


def page(records: Sequence[Record]) -> str:
    """The results page in Markdown: a table for each data set, then where each record came from."""
    if not records:
        return f"{_INTRODUCTION}\nThere is no run record yet.\n"
    parts = [_INTRODUCTION]
    for data in dict.fromkeys(record.data["name"] for record in records):
        rows = [
            row
            for record in records
            if record.data["name"] == data
            for row in _result_rows(record)
        ]
        parts.append(f"## {_plain(data)}\n\n{_markdown(_HEAD, rows)}")
    rows = []
    for record in records:
        devices = dict.fromkeys(
            str(run["environment"].get("device")) for run in record.runs
        )
        words = (
            _plain(", ".join(record.commits())),
            _plain(", ".join(devices)),
        )
        seconds = duration(record.seconds / len(record.runs))
        rows.append(
            (_code(record.name), _code(record.command), *words, seconds)
        )
    sources = _markdown(
        ("record", "command", "commit", "device", "time a seed"), rows
    )
    return "\n".join([*parts, "## Where they come from\n\n" + sources])


def _result_rows(record: Record) -> list[tuple[str, ...]]:
    whole = record.summary
    settings = [
        _plain(record.settings.get(key, ""))
        for key in ("network", "images", "epochs", "mix")
    ]
    rows = []
    for part in dict.fromkeys(
        name.partition("/")[0] for name in whole if name.endswith("/nll")
    ):
        names = [f"{part}/{key}" for key in ("accuracy", "nll", "ece", "gap")]
        cells = [
            shown(name, whole[name]) if name in whole else "–"
            for name in names
        ]
        rows.append(
            (
                _code(record.name),
                *settings,
                _plain(part),
                str(len(record.runs)),
                *cells,
            )
        )
    return rows


def _plain(text: object) -> str:
    """A record's text in Markdown: neither HTML nor Markdown nor a formula, whatever it holds."""
    return re.sub(
        r"([\\`*\[\]$])",
        r"\\\1",
        escape(" ".join(str(text).split()), quote=False),
    )


def _code(text: str) -> str:
    """A record's text as code, between more backticks than it has in a row."""
    text = " ".join(text.split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return (
        f"{ticks}{text}{ticks}"
        if len(ticks) == 1
        else f"{ticks} {text} {ticks}"
    )


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in (head, *rows)
    ]
    lines.insert(1, "|" + "---|" * len(head))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(all()))
