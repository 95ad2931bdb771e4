"""Tables: of anything, and of run records with what one row gains over another."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from mixlearn.train.records import Record, Table, is_share, load, names, shown

SEEDS = 3  # a record of fewer says nothing yet


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
            "corrupted/accuracy". Shares are shown in hundredths.
        against: title of a row; a last column then tells what each row has more than that in the first
            measure, seed by seed. What clearly differs from that row is bold, in any column: the 95 %
            interval of the difference, seed by seed, excludes zero.
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
    found, note = _found(rows, columns, where)
    first = next(iter(columns.values()))
    base = found.get(against) if against is not None else None
    lines = []
    for title, record in found.items():
        other = None if title == against else base
        cells = [_measured(measure, record, other) for measure in columns.values()]
        if against is not None:
            cells.append(_gained(first, record, other) if other else "")
        lines.append((title, *cells))
    head = (*_head(columns), *(["gain by seed"] if against is not None else []))
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
    """Differences between pairs of run records, measure by measure: mean and 95 % interval, seed by seed.

    Differences whose interval excludes zero are bold.

    Args:
        pairs: by the title of its row the names of the record and of that which is subtracted.
        caption, columns, where: as for `records`.

    >>> pair = {"MixSKD − plain": ("mixskd-fashion-mixskd", "mixskd-fashion-plain")}
    >>> gains("Fashion-MNIST", pair, {"accuracy, %": "accuracy", "NLL": "nll"}).head
    ('', 'accuracy, %', 'NLL')
    """
    found, note = _found({name: name for pair in pairs.values() for name in pair}, columns, where)
    lines = [
        (title, *(_gained(measure, found[one], found[other]) for measure in columns.values()))
        for title, (one, other) in pairs.items()
        if one in found and other in found
    ]
    told = "Differences seed by seed, ± half their 95 % interval; bold: it keeps clear of zero."
    return Table(caption, _head(columns), tuple(lines), f"{told} {note}".strip())


def _head(columns: Mapping[str, str]) -> tuple[str, ...]:
    """The titles; that of a share, which is shown in hundredths, names its unit."""
    titles = (f"{title}, %" if is_share(m) and "%" not in title else title for title, m in columns.items())
    return ("", *titles)


def _found(
    rows: Mapping[str, str], columns: Mapping[str, str], where: str | os.PathLike[str] | None
) -> tuple[dict[str, Record], str]:
    """The whole records of the rows, and a sentence that names the others."""
    if not columns:
        raise ValueError("columns must hold at least one measure, got none")
    known = set(names(where))
    found = {title: load(name, where) for title, name in rows.items() if name in known}
    found = {title: record for title, record in found.items() if len(record.runs) >= SEEDS}
    absent = [
        f"`{name}`" if title == name else f"“{title}” (`{name}`)"
        for title, name in rows.items()
        if title not in found
    ]
    return found, f"No whole run record yet of {', '.join(absent)}." if absent else ""


def _measured(measure: str, record: Record, base: Record | None) -> str:
    """A record's measure, bold where it clearly is not another record's."""
    words = shown(measure, record.measured(measure))
    return f"**{words}**" if base is not None and record.gain(base, measure).clear else words


def _gained(measure: str, record: Record, base: Record) -> str:
    """The difference to another record, bold where it is clear."""
    gain = record.gain(base, measure)
    words = gain.percent(2) if is_share(measure) else str(gain)  # a digit more, for those near zero
    return f"**{words}**" if gain.clear else words
