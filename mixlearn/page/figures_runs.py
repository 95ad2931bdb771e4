"""Run records as pictures: a dot for each seed, the mean, and its interval."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mixlearn.page.style import AMBER, FAINT, INK, MUTED, TEAL, Picture, canvas, number, style
from mixlearn.train.records import Interval, Record, is_share, load, names

PHONE = 3.5  # inches: the width of a phone's text


def dots(
    panels: Mapping[str, Mapping[str, str]],
    measure: str = "accuracy",
    label: str | None = None,
    *,
    against: str | None = None,
    colours: Mapping[str, str] | None = None,
    stacked: bool = False,
    where: str | os.PathLike[str] | None = None,
) -> Picture:
    """Run records side by side: a row for each method, a small dot for each seed, the mean and its interval.

    Rows are sorted by their mean in the first panel, the best above: the largest, or the smallest for "nll",
    "ece", "kl" and "error". Records that do not exist are left out.

    Args:
        panels: by its title, such as a data set, the record of each row: {row: name of the record}.
        measure: as for `records`, such as "accuracy" or "corrupted/accuracy"; shares are shown in hundredths.
        label: of the axis; None takes the measure's name.
        against: a row whose mean is drawn as a line, and printed in amber.
        colours: of rows, from `mixlearn.page.style`, so that a method has one colour throughout a page.
        stacked: draw the panels below each other, in a figure narrow enough for a phone.
        where: another folder than the book's.

    Raises:
        ValueError: no record exists, or `against` is no row.

    >>> rows = {"none": "mixskd-fashion-plain", "MixSKD": "mixskd-fashion-mixskd"}
    >>> dots({"Fashion-MNIST": rows}, against="none").alt
    'accuracy, %, mean and 95 % interval over the seeds. Fashion-MNIST: MixSKD 85.2 ± 1.7, none 82.3 ± 0.9.'
    """
    known = set(names(where))
    loaded = {
        title: {row: load(name, where) for row, name in rows.items() if name in known}
        for title, rows in panels.items()
    }
    rows = {row: None for each in loaded.values() for row in each}
    if not rows or (against is not None and against not in rows):
        raise ValueError(f"against must be one of the rows with a record, {list(rows)}, got {against!r}")
    share = is_share(measure.rpartition("/")[2])
    scale, unit = (100, ", %") if share else (1, "")
    label = f"{measure} {unit}".replace(" ,", ",").strip() if label is None else label
    first = next(iter(loaded.values()))
    falls = measure.rpartition("/")[2] in ("nll", "ece", "kl", "error")
    means = {row: first[row].measured(measure).mean for row in first}
    order = sorted(rows, key=lambda row: means.get(row, float("-inf")) * (-1 if falls else 1))
    shades = {row: AMBER if row == against else TEAL for row in order} | dict(colours or {})
    alt = []
    with style():
        down = len(loaded) if stacked else 1
        figure = canvas(down * (0.62 + 0.25 * len(order)), "constrained")
        if stacked:
            figure.set_figwidth(PHONE)
        axes = figure.subplots(down, len(loaded) // down, sharey=True, squeeze=False).flat
        for part, (title, records) in zip(axes, loaded.items(), strict=True):
            words = []
            line: tuple[float, float] | None = None
            if against in records:
                wholes = [each.measured(measure) for each in records.values()]
                ends = [scale * (whole.mean + sign * whole.half) for whole in wholes for sign in (-1, 1)]
                level, room = scale * records[against].measured(measure).mean, (max(ends) - min(ends)) / 15
                part.axvline(level, color=shades[str(against)], linewidth=0.8, zorder=1)
                line = level, room
            for place, row in enumerate(order):
                if row in records:
                    whole = _row(part, place, records[row], measure, scale, shades[row], line)
                    words.append(f"{row} {whole.percent(1) if share else whole}")
            part.set(xlabel=label, ylim=(-0.6, len(order) - 0.4))
            part.set_title(title, parse_math=False)
            part.set_yticks(range(len(order)), order, parse_math=False)
            part.tick_params(axis="y", length=0)
            part.grid(axis="y", color=FAINT, linewidth=0.6)
            part.spines[["left"]].set_visible(False)
            alt.append(f"{title}: {', '.join(reversed(words))}.")
    return Picture(figure, f"{label}, mean and 95 % interval over the seeds. {' '.join(alt)}")


def _row(
    part: object,
    place: int,
    record: Record,
    measure: str,
    scale: float,
    colour: str,
    line: tuple[float, float] | None,
) -> Interval:
    """Draw one record, its number beside a line (level, room) that is near; its mean and interval."""
    values, whole = record.values(measure), record.measured(measure)
    draw = part.plot  # type: ignore[attr-defined]
    draw([scale * v for v in values], [place - 0.22] * len(values), "o", color=MUTED, markersize=2.2)
    if len(values) > 1:
        ends = [scale * (whole.mean - whole.half), scale * (whole.mean + whole.half)]
        draw(ends, [place, place], color=colour, linewidth=2, solid_capstyle="butt")
    draw(scale * whole.mean, place, "o", color=colour, markersize=5)
    text = number(scale * whole.mean, 1 if scale == 100 else 2)
    where: dict[str, object] = {"xytext": (0, 4), "ha": "center"}
    if line and abs(scale * whole.mean - line[0]) < line[1]:
        side = 1 if scale * whole.mean >= line[0] else -1
        where = {"xytext": (4 * side, 3), "ha": "left" if side > 0 else "right"}
    note = {"textcoords": "offset points", "size": 7, "color": INK, **where}
    part.annotate(text, (scale * whole.mean, place), **note)  # type: ignore[attr-defined]
    return whole
