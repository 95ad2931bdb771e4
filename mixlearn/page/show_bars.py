"""A plain list of quantities, seen."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from mixlearn.page.picture import Picture
from mixlearn.page.style import (
    AMBER,
    FAINT,
    HATCHES,
    INK,
    MUTED,
    PAPER,
    TEAL,
    canvas,
    fit,
    number,
    place,
    style,
    write,
)

ROW = 0.22  # inches


def bars(
    values: Mapping[str, float], unit: str, *, marked: Collection[str] = (), logarithmic: bool = False
) -> Picture:
    """Quantities by name, one a line, in the order given: bars, or dots on a logarithmic axis.

    Args:
        values: by name, each 0 or more, above 0 on a logarithmic axis.
        unit: what they count, written under the axis.
        marked: names to stand out.
        logarithmic: equal steps for equal ratios. Lengths mean nothing then, so dots take the place of bars.

    Raises:
        ValueError: no values, values that are not finite or too small, marked names that are not there.

    >>> bars({"flip": 0.95, "Mixup": 1.4, "rotate": 32.0}, "time in copies of the batch", marked=["Mixup"])
    Picture: Quantities by name, time in copies of the batch: flip 0.95, Mixup 1.4, rotate 32.
    """
    if not values:
        raise ValueError("values must hold at least one quantity, got none")
    for name, value in values.items():
        if not math.isfinite(value) or value < 0 or (logarithmic and value == 0):
            least = "above 0" if logarithmic else "0 or more"
            raise ValueError(f"values[{name!r}] must be finite and {least}, got {value}")
    unknown = [name for name in marked if name not in values]
    if unknown:
        raise ValueError(f"marked must be names of values, got {unknown}")
    names, left, across = list(values), 1.75, 4.4
    tall = ROW * len(names)
    with style():
        figure = canvas(tall + 0.75)
        axes = place(figure, left, 0.12, across, tall)
        high = max(values.values())
        for row, name in enumerate(names):
            value = values[name]
            colour, hatch = (AMBER, HATCHES[1]) if name in marked else (TEAL, "")
            if logarithmic:
                axes.axhline(row, color=FAINT, linewidth=0.7)
                dot: dict[str, Any] = {"marker": "s" if name in marked else "o", "markeredgecolor": PAPER}
                axes.plot([value], [row], color=colour, linestyle="", markersize=6.5, **dot)
            else:
                axes.barh(row, value, 0.62, color=colour, hatch=hatch, edgecolor=PAPER, linewidth=0)
            ends: dict[str, Any] = {"textcoords": "offset points", "va": "center", "size": 8, "color": INK}
            ends["bbox"] = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.8}
            axes.annotate(_short(value), (value, row), (6, 0), **ends)
            strong = "bold" if name in marked else "normal"
            words = write(figure, left - 0.12, 0.12 + ROW * (row + 0.5), name, ha="right", va="center")
            words.set(weight=strong, color=AMBER if name in marked else INK)
            fit(words, left - 0.2)
        if logarithmic:
            low = min(values.values())
            axes.set_xscale("log")
            axes.set_xlim(low / 1.4, high * 1.8)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.xaxis.set_minor_formatter(lambda value, _: "")
        else:
            axes.set_xlim(0, 1.12 * high or 1)
            axes.spines["left"].set_color(MUTED)
        axes.set(ylim=(len(names) - 0.5, -0.5), yticks=[], xlabel=unit)
        axes.xaxis.label.set_parse_math(False)
        axes.spines["left"].set_visible(not logarithmic)
    said = ", ".join(f"{name} {_short(value)}" for name, value in values.items())
    return Picture(figure, f"Quantities by name, {unit}: {said}.")


def _short(value: float) -> str:
    """Two figures, as far as that goes."""
    return number(value, 0 if value >= 10 or value == 0 else 1 if value >= 1 else 2)
