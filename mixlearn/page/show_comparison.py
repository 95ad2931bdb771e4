"""Pictures that compare: dots with their intervals, and where mixing begins to pay."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mixlearn.lab.intervals import interval
from mixlearn.lab.runs import Record
from mixlearn.page.picture import Picture
from mixlearn.page.show_runs import scale, title
from mixlearn.page.style import (
    COLOURS,
    FAINT,
    MARKERS,
    MUTED,
    PAPER,
    WIDTH,
    canvas,
    fit,
    number,
    place,
    style,
    write,
)

_BETTER = {"accuracy": "→ better", "nll": "← better", "ece": "← better"}


def comparison(
    rows: Mapping[str, Sequence[tuple[str, float, float]]] | Mapping[str, Record],
    measures: Sequence[str] = ("accuracy", "nll", "ece"),
) -> Picture:
    """Results side by side: a row a setting, a panel a measure, a dot for the mean, a line for its interval.

    Args:
        rows: records by the name that their row shall bear; or by measure the rows as (name, mean, half),
            where half is the half width of the interval, NaN for none.
        measures: of the records, the panels from left to right; up to four. Not used for rows.

    Raises:
        ValueError: no rows, no or more than four measures, a measure that a record lacks, rows that differ.

    >>> comparison({"accuracy": [("plain", 0.801, 0.004), ("mixup", 0.812, 0.003)]})
    Picture: Means with their 95 % intervals. accuracy (%): plain 80.1 ± 0.4, mixup 81.2 ± 0.3.
    """
    panels = _panels(rows, measures)
    names = [name for name, _, _ in next(iter(panels.values()))]
    count, room, gap = len(panels), 1.15, 0.3
    width = min((WIDTH - 0.3 - room - gap * (count - 1)) / count, 3.2)
    side = max((WIDTH - room - count * width - gap * (count - 1)) / 2, 0.15) + room
    tall = 0.42 * len(names) + 0.1
    told = []
    with style():
        figure = canvas(0.36 + tall + 0.47)
        for k, (measure, found) in enumerate(panels.items()):
            axes = place(figure, side + k * (width + gap), 0.36, width, tall)
            factor = scale(measure)
            digits = 1 if factor == 100 else 3
            axes.axvline(factor * found[0][1], color=MUTED, linewidth=0.7, linestyle=(0, (1, 2)))
            said = []
            for row, (name, mean, half) in enumerate(found):
                colour = COLOURS[row % len(COLOURS)]
                middle, reach = factor * mean, factor * half
                text = number(middle, digits)
                if not math.isnan(half):
                    axes.plot([middle - reach, middle + reach], [row, row], color=colour, linewidth=1.8)
                    text += f" ± {number(reach, digits)}"
                dot: dict[str, Any] = {
                    "marker": MARKERS[row % len(MARKERS)],
                    "markersize": 5.5,
                    "markeredgecolor": PAPER,
                }
                axes.plot([middle], [row], color=colour, linestyle="", **dot)
                over: dict[str, Any] = {"xytext": (0, 5), "textcoords": "offset points", "size": 7.5}
                over["bbox"] = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}
                axes.annotate(text, (middle, row), ha="center", va="bottom", color=colour, **over)
                said.append(f"{name} {text}")
            axes.set(ylim=(len(names) - 0.55, -0.75), yticks=range(len(names)), yticklabels=[])
            axes.margins(x=0.32)
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            axes.grid(axis="y", color=FAINT)
            fit(axes.set_title(title(measure), pad=4), width + gap - 0.1)
            axes.locator_params(axis="x", nbins=4 if count > 1 else 8)
            better = _BETTER.get(measure.rpartition("/")[2])
            if better:
                below = 0.36 + tall + 0.27
                axes_right = side + k * (width + gap) + width
                write(figure, axes_right, below, better, ha="right", va="top", size=7.5, color=MUTED)
            told.append(f"{title(measure)}: {', '.join(said)}")
        for row, name in enumerate(names):
            down = 0.36 + tall * (row + 0.75) / (len(names) + 0.2)
            words = {"ha": "right", "va": "center", "weight": "bold", "color": COLOURS[row % len(COLOURS)]}
            fit(write(figure, side - 0.12, down, name, **words), room - 0.05)
    return Picture(figure, f"Means with their 95 % intervals. {'; '.join(told)}.")


def _panels(rows: Mapping[str, Any], measures: Sequence[str]) -> dict[str, list[tuple[str, float, float]]]:
    if not rows:
        raise ValueError("rows must hold at least one row, got none")
    if all(isinstance(value, Record) for value in rows.values()):
        found: dict[str, list[tuple[str, float, float]]] = {}
        for measure in measures:
            for name, record in rows.items():
                if measure not in record.summary:
                    known = ", ".join(record.summary)
                    raise ValueError(f"record {record.name!r} has no measure {measure!r}; there are: {known}")
                whole = record.summary[measure]
                found.setdefault(measure, []).append((name, whole.mean, whole.half))
    else:
        found = {measure: [tuple(row) for row in many] for measure, many in rows.items()}
    if not 1 <= len(found) <= 4:
        raise ValueError(f"measures must be one to four, a panel each, got {len(found)}")
    names = [[row[0] for row in many] for many in found.values()]
    if not names[0] or any(each != names[0] for each in names):
        raise ValueError(f"every measure must have the same rows in the same order, got {names}")
    return found


class Cell(NamedTuple):
    """What mixing changed in one setting: the difference of a measure, with mixing minus without."""

    images: int
    epochs: int
    width: int
    mean: float
    half: float = math.nan


def differences(records: Sequence[Record], measure: str = "accuracy", mixed: str = "mixup") -> list[Cell]:
    """From records in pairs, "…-plain" and "…-mixup", what mixing changed, seed by seed.

    Args:
        records: those without a partner, or of which no seed was run in both, are passed over.
        measure: of the first test set, or "set/measure".
        mixed: how the name of the mixed record ends.

    Returns:
        A `Cell` a pair: the mean over the seeds that both have, with its 95 % interval.
    """
    named = {record.name: record for record in records}
    found = []
    for name, record in named.items():
        plain = named.get(re.sub(f"{re.escape(mixed)}$", "plain", name))
        wide = re.search(r"width (\d+)", str(record.settings.get("network", "")))
        if plain is None or plain is record or wide is None:
            continue
        with_mixing, without = _finals(record, measure), _finals(plain, measure)
        both = [seed for seed in with_mixing if seed in without]
        if both:
            whole = interval([with_mixing[seed] - without[seed] for seed in both])
            images, epochs = record.settings["images"], record.settings["epochs"]
            found.append(Cell(int(images), int(epochs), int(wide[1]), whole.mean, whole.half))
    return found


def _finals(record: Record, measure: str) -> dict[int, float]:
    part, _, key = measure.rpartition("/")
    return {run["seed"]: run["final"][part or next(iter(run["final"]))][key] for run in record.runs}
