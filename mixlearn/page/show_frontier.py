"""The picture of where mixing begins to pay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mixlearn.page.picture import Picture
from mixlearn.page.show_comparison import Cell
from mixlearn.page.style import (
    COLOURS,
    INK,
    LINES,
    MARKERS,
    MUTED,
    PAPER,
    WIDTH,
    canvas,
    fit,
    number,
    place,
    spread,
    style,
)


def frontier(rows: Sequence[Cell] | Sequence[tuple[int, int, int, float, float]]) -> Picture:
    """Where mixing begins to pay: what it adds to accuracy over the epochs trained, with intervals.

    A panel a width of the network, a line a number of training images; above zero mixing pays.

    Args:
        rows: (images, epochs, width, mean, half) for each setting: the difference of accuracy in [−1, 1],
            with mixing minus without, and the half width of its interval (NaN for none). `differences`
            makes them from run records.

    Raises:
        ValueError: no rows, a setting twice, more than six numbers of images, more than three widths.

    >>> frontier([(500, 10, 8, -0.12, 0.01), (500, 160, 8, 0.01, 0.02)])
    Picture: Accuracy with mixing minus without, in percentage points. Width 8, 500 images: −12.0 ± 1.0 ...
    """
    cells = sorted(Cell(*row) for row in rows)
    if not cells:
        raise ValueError("rows must hold at least one setting, got none")
    settings = [cell[:3] for cell in cells]
    twice = next((s for k, s in enumerate(settings) if s in settings[:k]), None)
    if twice is not None:
        raise ValueError(f"rows must hold each setting once, got (images, epochs, width) = {twice} twice")
    many = sorted({cell.images for cell in cells})
    widths = sorted({cell.width for cell in cells})
    trained = sorted({cell.epochs for cell in cells})
    if len(many) > len(COLOURS) or len(widths) > 3:
        raise ValueError(
            f"rows must hold at most {len(COLOURS)} numbers of images and 3 widths, got {many} and {widths}"
        )
    room, gap = 0.95, 0.3
    across = min((WIDTH - 1.0 - room - gap * (len(widths) - 1)) / len(widths), 3.6)
    side = max((WIDTH - room - len(widths) * across - gap * (len(widths) - 1) + 0.9) / 2, 0.95)
    reach = [100 * (c.mean + s * (0 if math.isnan(c.half) else c.half)) for c in cells for s in (-1, 1)]
    low, high = min(*reach, 0.0), max(*reach, 0.0)
    pad = 0.12 * max(high - low, 1.0)
    low, high = low - pad, high + pad
    told = []
    with style():
        figure = canvas(3.2)
        for p, width in enumerate(widths):
            axes = place(figure, side + p * (across + gap), 0.35, across, 2.3)
            axes.axhspan(0, high, color=COLOURS[0], alpha=0.06, linewidth=0)
            axes.axhline(0, color=INK, linewidth=0.9)
            ends: list[tuple[int, float]] = []
            for k, images in enumerate(many):
                mine = [cell for cell in cells if cell.images == images and cell.width == width]
                if not mine:
                    continue
                shift = 1.07 ** (k - (len(many) - 1) / 2)
                at = [cell.epochs * shift for cell in mine]
                middle = [100 * cell.mean for cell in mine]
                dots: dict[str, Any] = {"marker": MARKERS[k], "markersize": 5, "markeredgecolor": PAPER}
                axes.plot(at, middle, color=COLOURS[k], linestyle=LINES[k], zorder=3, **dots)
                said = []
                for x, y, cell in zip(at, middle, mine, strict=True):
                    text = number(y, 1, signed=True)
                    if not math.isnan(cell.half):
                        half = 100 * cell.half
                        axes.plot([x, x], [y - half, y + half], color=COLOURS[k], linewidth=1.1)
                        text += f" ± {number(half, 1)}"
                    said.append(f"{text} after {cell.epochs} epochs")
                ends.append((k, middle[-1]))
                told.append(f"Width {width}, {images} images: {', '.join(said)}")
            axes.set_xscale("log")
            axes.set(ylim=(low, high), xlim=(trained[0] / 1.35, trained[-1] * 1.35), xlabel="epochs trained")
            axes.set_xticks(trained, [f"{epochs:g}" for epochs in trained])
            axes.set_xticks([], minor=True)
            axes.set_title(f"width {width}", weight="bold")
            words: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center"}
            if p == 0:
                axes.yaxis.set_major_formatter(_points)
                axes.set_ylabel("accuracy, mixing − none (points)")
                above = 0.98 * high + 0.02 * low
                axes.text(0.02, above, "mixing pays", color=MUTED, size=8, **{**words, "va": "top"})
            else:
                axes.set_yticklabels([])
            if p == len(widths) - 1:
                heights = spread([height for _, height in ends], 0.07 * (high - low))
                for (k, _), height in zip(ends, heights, strict=True):
                    fit(axes.text(1.02, height, _images(many[k]), color=COLOURS[k], **words), room - 0.05)
            else:
                later = {cell.images for cell in cells if cell.width > width}
                for k, height in ends:  # a line that the last panel lacks bears its name here
                    if many[k] not in later:
                        last = max(
                            cell.epochs for cell in cells if (cell.images, cell.width) == (many[k], width)
                        )
                        aside: dict[str, Any] = {"textcoords": "offset points", "va": "center"}
                        axes.annotate(_images(many[k]), (last, height), (9, 0), color=COLOURS[k], **aside)
    return Picture(figure, f"Accuracy with mixing minus without, in percentage points. {'. '.join(told)}.")


def _points(value: float, _: float = 0) -> str:
    """A tick of the difference: zero is said in words."""
    return number(value, 0 if float(value).is_integer() else 1, signed=True) if value else "no effect"


def _images(count: int) -> str:
    return f"{count:,} images".replace(",", "\u2009")
