"""Tables: of anything, and of run records with what one row gains over another."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixlearn.train.records import Interval, Record, load, names

SEEDS = 3  # a record of fewer says nothing yet


@dataclass(frozen=True)
class Table:
    """A table as a notebook or a page shows it; as text in a terminal.

    Attributes:
        caption: what it shows.
        head: titles of the columns.
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

        head = line(self.head, "th scope='col'", "th scope='col'")
        body = "".join(line(row, "th scope='row' style='font-weight:normal'", "td") for row in self.rows)
        note = f"<p style='font-size:.85em'>{_marked(self.note)}</p>" if self.note else ""
        return (
            f"<table class='table' style='font-size:.85em'><caption>{_marked(self.caption)}</caption>"
            f"<thead>{head}</thead><tbody>{body}</tbody></table>{note}"
        )

    def __repr__(self) -> str:
        lines = (self.head, *self.rows)  # the asterisks stay: a terminal has no bold
        widths = [max(len(row[k]) for row in lines) for k in range(len(self.head))]
        told = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in lines
        ]
        return "\n".join([self.caption, *told, *([self.note] if self.note else [])])


def table(caption: str, head: Sequence[object], rows: Sequence[Sequence[object]]) -> Table:
    """A table of words and numbers.

    Args:
        caption: what it shows.
        head: titles of the columns.
        rows: cells, as many in each row; the first is the row's title.

    Raises:
        ValueError: a row that is longer or shorter than the head.

    >>> table("Areas", ["", "area"], [["a box", 12], ["none", 0]])
    Areas
           area
    a box  12
    none   0
    """
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"each row must have {len(head)} cells, as the head has, got {list(row)}")
    return Table(caption, tuple(map(str, head)), tuple(tuple(map(str, row)) for row in rows))


def records(
    caption: str,
    rows: Mapping[str, str],
    columns: Mapping[str, str],
    *,
    against: str | None = None,
    where: str | os.PathLike[str] | None = None,
) -> Table:
    """Run records side by side: mean and 95 % interval of each measure over the seeds.

    A record that is not there yet, or of fewer than three seeds, is named below the table.

    Args:
        caption: what it shows.
        rows: name of a record by the title of its row.
        columns: a measure by the title of its column: "ece" of the first test set, or with its part, such as
            "corrupted/accuracy". A title that ends in % has hundredths.
        against: title of a row; a last column then tells what each row has more than that in the first
            measure, seed by seed. What clearly differs from that row is bold, in any column: the 95 %
            interval of the difference, seed by seed, keeps clear of zero.
        where: another folder than the book's.

    Raises:
        ValueError: no columns, a row to compare with that is not there, records of other seeds than that.
        KeyError: a measure that a record lacks.

    >>> rows = {"plain": "mixskd-fashion-plain", "MixSKD": "mixskd-fashion-mixskd"}
    >>> records("Fashion-MNIST", rows, {"accuracy, %": "accuracy"}, against="plain").head
    ('', 'accuracy, %', 'gain by seed')
    """
    if not columns:
        raise ValueError("columns must hold at least one measure, got none")
    if against is not None and against not in rows:
        raise ValueError(f"against must be one of {', '.join(rows)}, got {against!r}")
    found, note = _found(rows, where)
    first_title, first = next(iter(columns.items()))
    base = found.get(against) if against is not None else None
    lines = []
    for title, record in found.items():
        other = None if title == against else base
        cells = [_measured(column, measure, record, other) for column, measure in columns.items()]
        if against is not None:
            cells.append(_gained(first_title, first, record, other) if other else "")
        lines.append((title, *cells))
    head = ("", *columns, *(["gain by seed"] if against is not None else []))
    if base is not None:
        told = (
            "± is half the 95 % interval over the seeds. Gain: the difference of the first column to that of "
            f"“{against}”, seed by seed. Bold: the interval of such a difference keeps clear of zero."
        )
        note = f"{told} {note}".strip()
    return Table(caption, head, tuple(lines), note)


def gains(
    caption: str,
    pairs: Mapping[str, tuple[str, str]],
    columns: Mapping[str, str],
    *,
    where: str | os.PathLike[str] | None = None,
) -> Table:
    """What one run record has more than another, measure by measure: mean and 95 % interval, seed by seed.

    Differences whose interval keeps clear of zero are bold.

    Args:
        caption: what it shows.
        pairs: by the title of its row the names of the record and of that which is subtracted.
        columns: as for `records`.
        where: another folder than the book's.

    Raises:
        ValueError: no columns, records of other seeds.
        KeyError: a measure that a record lacks.

    >>> pair = {"MixSKD − plain": ("mixskd-fashion-mixskd", "mixskd-fashion-plain")}
    >>> gains("Fashion-MNIST", pair, {"accuracy, %": "accuracy", "NLL": "nll"}).head
    ('', 'accuracy, %', 'NLL')
    """
    if not columns:
        raise ValueError("columns must hold at least one measure, got none")
    found, note = _found({name: name for pair in pairs.values() for name in pair}, where)
    lines = [
        (title, *(_gained(column, measure, found[one], found[other]) for column, measure in columns.items()))
        for title, (one, other) in pairs.items()
        if one in found and other in found
    ]
    told = "Differences seed by seed, ± half their 95 % interval; bold: it keeps clear of zero."
    return Table(caption, ("", *columns), tuple(lines), f"{told} {note}".strip())


def _found(rows: Mapping[str, str], where: str | os.PathLike[str] | None) -> tuple[dict[str, Record], str]:
    """The whole records of the rows, and a sentence that names the others."""
    known = set(names(where))
    found = {title: load(name, where) for title, name in rows.items() if name in known}
    found = {title: record for title, record in found.items() if len(record.runs) >= SEEDS}
    absent = [
        f"`{name}`" if title == name else f"“{title}” (`{name}`)"
        for title, name in rows.items()
        if title not in found
    ]
    return found, f"No whole run record yet of {', '.join(absent)}." if absent else ""


def _measured(column: str, measure: str, record: Record, base: Record | None) -> str:
    """A record's measure, bold where it clearly is not another record's."""
    words = _words(column, record.measured(measure))
    return f"**{words}**" if base is not None and record.gain(base, measure).clear else words


def _words(column: str, value: Interval) -> str:
    return value.percent() if column.endswith("%") else str(value)


def _gained(column: str, measure: str, record: Record, base: Record) -> str:
    """The difference to another record, bold where it is clear."""
    gain = record.gain(base, measure)
    words = gain.percent(2) if column.endswith("%") else str(gain)  # a digit more, for those near zero
    return f"**{words}**" if gain.clear else words


def _marked(text: str) -> str:
    """Text for HTML, its asterisks and backticks made bold and code."""
    safe = html.escape(text, quote=False)
    for mark, tag in (("**", "b"), ("`", "code")):
        pieces = safe.split(mark)
        safe = "".join(p if k % 2 == 0 else f"<{tag}>{p}</{tag}>" for k, p in enumerate(pieces))
    return safe
