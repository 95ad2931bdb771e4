"""Figures of training runs: how measures went, and where mixing begins to pay."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mixlearn.page import style as look
from mixlearn.page.style import Picture
from mixlearn.train.records import Interval, Record, interval, is_share

_TITLES = {
    "accuracy": "accuracy (%)",
    "mixed_accuracy": "mixed accuracy (%)",
    "nll": "negative log-likelihood",
    "ece": "calibration error, ECE (%)",
    "gap": "confidence − accuracy (%)",
    "loss": "training loss",
}


class Cell(NamedTuple):
    """What mixing changed in one setting: the difference of a measure, with mixing minus without."""

    images: int
    epochs: int
    width: int
    mean: float
    half: float = math.nan


def curves(runs: Mapping[str, Any], measure: str | Sequence[str] = "accuracy") -> Picture:
    """How measures went over the epochs: the mean over the seeds as a line, its 95 % interval as a band.

    Args:
        runs: by name a `Record`, a `History`, one run's list of epochs, or several of these, one a seed.
        measure: one key of the epochs, or up to three, a panel each. Epochs without it are passed over.

    >>> seeds = [[{"epoch": 1, "accuracy": 0.5}, {"epoch": 2, "accuracy": last}] for last in (0.6, 0.8)]
    >>> curves({"mixup": seeds})
    Picture: Training curves, accuracy (%). mixup: from 50.0 at epoch 1 to 70.0 ± 127.1 at epoch 2, 2 seeds.
    """
    measures = [measure] if isinstance(measure, str) else list(measure)
    if not 1 <= len(measures) <= 3:
        raise ValueError(f"measure must be one to three keys of the epochs, got {len(measures)}")
    if not 1 <= len(runs) <= len(look.COLOURS):
        raise ValueError(f"runs must hold one to {len(look.COLOURS)} names, got {len(runs)}")
    seeds = {name: _seeds(value, name) for name, value in runs.items()}
    told = []
    with look.style():
        figure = look.canvas(2.75, "constrained")
        panels = figure.subplots(1, len(measures), squeeze=False)[0]
        for axes, key in zip(panels, measures, strict=True):
            scale, lines = 100 if is_share(key) else 1, []
            for c, (name, many) in enumerate(seeds.items()):
                at, means = _over_epochs(many, key, name)
                middle = [scale * mean.mean for mean in means]
                half = [0.0 if math.isnan(mean.half) else scale * mean.half for mean in means]
                low = [m - h for m, h in zip(middle, half, strict=True)]
                high = [m + h for m, h in zip(middle, half, strict=True)]
                axes.fill_between(at, low, high, color=look.COLOURS[c], alpha=0.16, linewidth=0)
                dots: dict[str, Any] = {"marker": look.MARKERS[c], "markersize": 3.5} if len(at) <= 15 else {}
                axes.plot(at, middle, color=look.COLOURS[c], linestyle=look.LINES[c], clip_on=False, **dots)
                digits = 1 if scale == 100 else 3
                last = look.number(middle[-1], digits) + (
                    f" ± {look.number(half[-1], digits)}" if half[-1] else ""
                )
                course = (
                    f"from {look.number(middle[0], digits)} at epoch {at[0]:g} to {last} at epoch {at[-1]:g}"
                )
                lines.append(f"{name}: {course}, {look.plural(len(many), 'seed')}")
            axes.set(title=_title(key), xlabel="epoch")
            axes.set_xlim(0, max(line.get_xdata()[-1] for line in axes.lines))
            axes.grid(axis="y")
            told.append(f"{_title(key)}. {'; '.join(lines)}")
        bottom, top = axes.get_ylim()
        heights = look.spread([line.get_ydata()[-1] for line in axes.lines], 0.075 * (top - bottom))
        for c, (name, height) in enumerate(zip(seeds, heights, strict=True)):
            end: dict[str, Any] = {
                **look.LABEL,
                "xycoords": axes.get_yaxis_transform(),
                "color": look.COLOURS[c],
            }
            look.fit(axes.annotate(name, (1, height), (7, 0), **end), 0.95)
    return Picture(figure, f"Training curves, {'. '.join(told)}.")


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
    cells = []
    for name, record in named.items():
        plain = named.get(re.sub(f"{re.escape(mixed)}$", "plain", name))
        width = re.search(r"width (\d+)", str(record.settings.get("network", "")))
        if plain is None or plain is record or width is None:
            continue
        with_mixing, without = (
            dict(zip(one.seeds, one.values(measure), strict=True)) for one in (record, plain)
        )
        if both := [with_mixing[seed] - without[seed] for seed in with_mixing if seed in without]:
            images, epochs, change = record.settings["images"], record.settings["epochs"], interval(both)
            cells.append(Cell(int(images), int(epochs), int(width[1]), change.mean, change.half))
    return cells


def frontier(rows: Sequence[Cell] | Sequence[tuple[int, int, int, float, float]]) -> Picture:
    """Where mixing begins to pay: what it adds to accuracy over the epochs trained, with intervals.

    A panel a width of the network, a line a number of training images; above zero mixing pays.

    Args:
        rows: (images, epochs, width, mean, half) for each setting, once: the difference of accuracy in
            [−1, 1], with mixing minus without, and the half width of its interval (NaN for none), as
            `differences` makes them. Up to six numbers of images and three widths.

    >>> frontier([(500, 10, 8, -0.12, 0.01), (500, 160, 8, 0.01, 0.02)])
    Picture: Accuracy with mixing minus without, in percentage points. Width 8, 500 images: −12.0 ± 1.0 ...
    """
    cells = sorted(Cell(*row) for row in rows)
    if not cells:
        raise ValueError("rows must hold at least one setting, got none")
    for one, other in zip(cells, cells[1:], strict=False):
        if one[:3] == other[:3]:
            raise ValueError(
                f"rows must hold each setting once, got (images, epochs, width) = {one[:3]} twice"
            )
    many, widths = sorted({cell.images for cell in cells}), sorted({cell.width for cell in cells})
    trained = sorted({cell.epochs for cell in cells})
    if len(many) > len(look.COLOURS) or len(widths) > 3:
        most = f"at most {len(look.COLOURS)} numbers of images and 3 widths"
        raise ValueError(f"rows must hold {most}, got {many} and {widths}")
    reach = [100 * (cell.mean + sign * _half(cell)) for cell in cells for sign in (-1, 1)]
    pad = 0.12 * max(max(*reach, 0.0) - min(*reach, 0.0), 1.0)
    low, high = min(*reach, 0.0) - pad, max(*reach, 0.0) + pad
    told: list[str] = []
    with look.style():
        figure = look.canvas(3.2, "constrained")
        panels = figure.subplots(1, len(widths), sharey=True, squeeze=False)[0]
        for axes, width in zip(panels, widths, strict=True):
            axes.axhspan(0, high, color=look.COLOURS[0], alpha=0.06, linewidth=0)
            axes.axhline(0, color=look.INK, linewidth=0.9)
            axes.set_xscale("log")
            axes.set(ylim=(low, high), xlim=(trained[0] / 1.35, trained[-1] * 1.35), xlabel="epochs trained")
            axes.set_xticks(trained, [str(epochs) for epochs in trained])
            axes.set_xticks([], minor=True)
            axes.set_title(f"width {width}", weight="bold")
            here = [cell for cell in cells if cell.width == width]
            told += _lines(axes, here, many, [cell.images for cell in cells if cell.width > width])
        panels[0].yaxis.set_major_formatter(_points)
        panels[0].set_ylabel("accuracy, mixing − none (points)")
        corner: dict[str, Any] = {
            "transform": panels[0].transAxes,
            "va": "top",
            "size": 8,
            "color": look.MUTED,
        }
        panels[0].text(0.02, 0.98, "mixing pays", **corner)
    return Picture(figure, f"Accuracy with mixing minus without, in percentage points. {'. '.join(told)}.")


def _lines(axes: Any, cells: Sequence[Cell], many: Sequence[int], later: Sequence[int]) -> list[str]:
    """Draw one width's lines, named at their ends where no later panel has them; what they say."""
    told, ends = [], []
    for k, images in enumerate(many):
        mine = [cell for cell in cells if cell.images == images]
        if not mine:
            continue
        at = [cell.epochs * 1.07 ** (k - (len(many) - 1) / 2) for cell in mine]
        middle = [100 * cell.mean for cell in mine]
        dots: dict[str, Any] = {"marker": look.MARKERS[k], "markersize": 5, "markeredgecolor": look.PAPER}
        axes.plot(at, middle, color=look.COLOURS[k], linestyle=look.LINES[k], zorder=3, **dots)
        words = []
        for x, y, cell in zip(at, middle, mine, strict=True):
            half = 100 * _half(cell)
            if not math.isnan(cell.half):
                axes.plot([x, x], [y - half, y + half], color=look.COLOURS[k], linewidth=1.1)
            text = look.number(y, 1, signed=True) + (
                "" if math.isnan(cell.half) else f" ± {look.number(half, 1)}"
            )
            words.append(f"{text} after {cell.epochs} epochs")
        told.append(f"Width {cells[0].width}, {images} images: {', '.join(words)}")
        if images not in later:
            ends.append((k, at[-1], middle[-1]))
    low, high = axes.get_ylim()
    heights = look.spread([y for _, _, y in ends], 0.07 * (high - low))
    for (k, x, _), height in zip(ends, heights, strict=True):
        name = f"{many[k]:,} images".replace(",", "\u2009")
        aside: dict[str, Any] = (
            {} if later else {"xycoords": axes.get_yaxis_transform()}
        )  # at the right of the last panel
        axes.annotate(name, (x if later else 1, height), (9, 0), color=look.COLOURS[k], **look.LABEL, **aside)
    return told


def _half(cell: Cell) -> float:
    return 0.0 if math.isnan(cell.half) else cell.half


def _points(value: float, _: float = 0) -> str:
    """A tick of the difference: zero in words."""
    return look.number(value, 0 if float(value).is_integer() else 1, signed=True) if value else "no effect"


def _title(measure: str) -> str:
    """How the book writes a measure: "test/nll" is the negative log-likelihood on the set "test"."""
    part, _, key = measure.rpartition("/")
    return _TITLES.get(key, key) + (f", {part}" if part else "")


def _seeds(value: Any, name: str) -> list[list[Mapping[str, float]]]:
    """The epochs of each seed, from whatever holds them."""
    if isinstance(value, Record):
        return [run["epochs"] for run in value.runs]
    if hasattr(value, "epochs"):
        return [list(value.epochs)]
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        if all(isinstance(epoch, Mapping) for epoch in value):
            return [list(value)]
        return [seed for each in value for seed in _seeds(each, name)]
    got = f"{type(value).__name__} {str(value)[:40]}"
    raise TypeError(f"runs[{name!r}] must be a Record, a History or a list of epochs, got {got}")


def _over_epochs(
    seeds: Sequence[Sequence[Mapping[str, float]]], measure: str, name: str
) -> tuple[list[float], list[Interval]]:
    """The epochs at which every seed was measured, and the mean there."""
    values: dict[float, list[float]] = {}
    for epochs in seeds:
        for k, epoch in enumerate(epochs):
            if measure in epoch:
                values.setdefault(epoch.get("epoch", k + 1), []).append(epoch[measure])
    at = sorted(epoch for epoch, each in values.items() if len(each) == len(seeds))
    if not at:
        known = sorted({key for epochs in seeds for epoch in epochs for key in epoch} - {"epoch"})
        raise ValueError(f"measure {measure!r} is in no epoch of {name!r}; there are: {', '.join(known)}")
    return at, [interval(values[epoch]) for epoch in at]
