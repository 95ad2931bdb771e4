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
        head = _row(self.head, "<th scope='col'>{}</th>", "<th scope='col'>{}</th>")
        title = "<th scope='row' style='font-weight:normal'>{}</th>"
        body = "".join(_row(row, title, "<td>{}</td>") for row in self.rows)
        note = f"<p style='font-size:.85em'>{_marked(self.note)}</p>" if self.note else ""
        return (
            f"<table class='table' style='font-size:.85em'><caption>{_marked(self.caption)}</caption>"
            f"<thead>{head}</thead><tbody>{body}</tbody></table>{note}"
        )

    def __repr__(self) -> str:
        rows = (self.head, *self.rows)  # the asterisks stay: a terminal has no bold
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join([self.caption, *lines, *([self.note] if self.note else [])])


def table(caption: str, head: Sequence[object], rows: Sequence[Sequence[object]]) -> Table:
    """A table of words and numbers.

    Args:
        caption: what it shows.
        head: titles of the columns.
        rows: cells, as many in each row as in the head; the first is the row's title.

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
    if against is not None and against not in rows:
        raise ValueError(f"against must be one of {', '.join(rows)}, got {against!r}")
    whole, note = _whole(rows, columns, where)
    base = None if against is None else whole.get(against)
    head, lines = ["", *columns], []
    for title, record in whole.items():
        other = None if title == against else base
        cells = [title]
        for column, measure in columns.items():
            clear = other is not None and record.gain(other, measure).clear
            cells.append(_words(column, record.measured(measure), clear))
        if against is not None:
            cells.append(_gain(*next(iter(columns.items())), record, other) if other else "")
        lines.append(tuple(cells))
    if against is not None:
        head.append("gain by seed")
    if base is not None:
        told = (
            "± is half the 95 % interval over the seeds. Gain: the difference of the first column to that of "
            f"“{against}”, seed by seed. Bold: the interval of such a difference keeps clear of zero."
        )
        note = f"{told} {note}".strip()
    return Table(caption, tuple(head), tuple(lines), note)


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
        pairs: by the title of its row the names of the record and of that which is subtracted.
        caption, columns, where: as for `records`.

    >>> pair = {"MixSKD − plain": ("mixskd-fashion-mixskd", "mixskd-fashion-plain")}
    >>> gains("Fashion-MNIST", pair, {"accuracy, %": "accuracy", "NLL": "nll"}).head
    ('', 'accuracy, %', 'NLL')
    """
    whole, note = _whole({name: name for pair in pairs.values() for name in pair}, columns, where)
    lines = tuple(
        (title, *(_gain(column, measure, whole[one], whole[other]) for column, measure in columns.items()))
        for title, (one, other) in pairs.items()
        if one in whole and other in whole
    )
    told = "Differences seed by seed, ± half their 95 % interval; bold: it keeps clear of zero."
    return Table(caption, ("", *columns), lines, f"{told} {note}".strip())


def _whole(
    rows: Mapping[str, str], columns: Mapping[str, str], where: str | os.PathLike[str] | None
) -> tuple[dict[str, Record], str]:
    """The whole records of the rows, and a sentence that names the others."""
    if not columns:
        raise ValueError("columns must hold at least one measure, got none")
    known = set(names(where))
    whole = {title: load(name, where) for title, name in rows.items() if name in known}
    whole = {title: record for title, record in whole.items() if len(record.runs) >= SEEDS}
    absent = [
        f"`{name}`" if title == name else f"“{title}” (`{name}`)"
        for title, name in rows.items()
        if title not in whole
    ]
    return whole, f"No whole run record yet of {', '.join(absent)}." if absent else ""


def _words(column: str, value: Interval, bold: bool, digits: int = 1) -> str:
    words = value.percent(digits) if column.endswith("%") else str(value)
    return f"**{words}**" if bold else words


def _gain(column: str, measure: str, record: Record, base: Record) -> str:
    """The difference to another record, with a digit more, for those near zero."""
    gain = record.gain(base, measure)
    return _words(column, gain, gain.clear, 2)


def _row(cells: Sequence[str], first: str, other: str) -> str:
    whole = (_marked(cell).replace(" ± ", "&nbsp;±&nbsp;") for cell in cells)  # never broken in two
    return f"<tr>{''.join((other if k else first).format(cell) for k, cell in enumerate(whole))}</tr>"


def _marked(text: str) -> str:
    """Text for HTML, its asterisks and backticks made bold and code."""
    safe = html.escape(text, quote=False)
    for mark, tag in (("**", "b"), ("`", "code")):
        pieces = safe.split(mark)
        safe = "".join(p if k % 2 == 0 else f"<{tag}>{p}</{tag}>" for k, p in enumerate(pieces))
    return safe
