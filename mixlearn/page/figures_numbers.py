"""Figures of numbers: how measures went in training runs, what mixing changed, plain quantities."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from mixlearn.page import style as look
from mixlearn.page.style import Picture
from mixlearn.train.records import Interval, Record, interval, is_share

ROW = 0.22  # inches, of a bar
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
                first, last = (look.number(middle[k], digits) for k in (0, -1))
                last += f" ± {look.number(half[-1], digits)}" if half[-1] else ""
                course = f"from {first} at epoch {at[0]:g} to {last} at epoch {at[-1]:g}"
                lines.append(f"{name}: {course}, {look.plural(len(many), 'seed')}")
            axes.set(title=_title(key), xlabel="epoch")
            axes.set_xlim(0, max(line.get_xdata()[-1] for line in axes.lines))
            axes.grid(axis="y")
            told.append(f"{_title(key)}. {'; '.join(lines)}")
        bottom, top = axes.get_ylim()
        heights = look.spread([line.get_ydata()[-1] for line in axes.lines], 0.075 * (top - bottom))
        for c, (name, height) in enumerate(zip(seeds, heights, strict=True)):
            end: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "color": look.COLOURS[c]}
            look.fit(axes.annotate(name, (1, height), (7, 0), **end, **look.LABEL), 0.95)
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


def bars(
    values: Mapping[str, float], unit: str, *, marked: Collection[str] = (), logarithmic: bool = False
) -> Picture:
    """Quantities by name, one a line, in the order given: bars, or dots on a logarithmic axis.

    Args:
        values: by name, each 0 or more, above 0 on a logarithmic axis.
        unit: what they count, written under the axis.
        marked: names to highlight.
        logarithmic: equal steps for equal ratios. Lengths mean nothing then, so dots take the place of bars.

    >>> bars({"flip": 0.95, "Mixup": 1.4, "rotate": 32.0}, "time in copies of the batch", marked=["Mixup"])
    Picture: Quantities by name, time in copies of the batch: flip 0.95, Mixup 1.4, rotate 32.
    """
    if not values:
        raise ValueError("values must hold at least one quantity, got none")
    for name, value in values.items():
        if not math.isfinite(value) or value < 0 or (logarithmic and value == 0):
            least = "above 0" if logarithmic else "0 or more"
            raise ValueError(f"values[{name!r}] must be finite and {least}, got {value}")
    if unknown := [name for name in marked if name not in values]:
        raise ValueError(f"marked must be names of values, got {unknown}")
    with look.style():
        figure = look.canvas(ROW * len(values) + 0.75, "constrained")
        axes = figure.subplots()
        for row, (name, value) in enumerate(values.items()):
            strong = name in marked
            colour = look.AMBER if strong else look.TEAL
            if logarithmic:
                axes.axhline(row, color=look.FAINT, linewidth=0.7)
                dot: dict[str, Any] = {"marker": "s" if strong else "o", "markeredgecolor": look.PAPER}
                axes.plot([value], [row], color=colour, linestyle="", markersize=6.5, **dot)
            else:
                bar: dict[str, Any] = {"hatch": look.HATCHES[strong], "edgecolor": look.PAPER, "linewidth": 0}
                axes.barh(row, value, 0.62, color=colour, **bar)
            beside: dict[str, Any] = {**look.LABEL, "size": 8, "color": look.INK, "bbox": look.GROUND}
            axes.annotate(_short(value), (value, row), (6, 0), **beside)
        low, high = min(values.values()), max(values.values())
        if logarithmic:
            axes.set_xscale("log")
            axes.set_xlim(low / 1.4, high * 1.8)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.xaxis.set_minor_formatter(lambda value, _: "")
        else:
            axes.set_xlim(0, 1.12 * high or 1)
        axes.set(ylim=(len(values) - 0.5, -0.5), xlabel=unit)
        axes.xaxis.label.set_parse_math(False)
        axes.spines["left"].set_visible(not logarithmic)
        axes.tick_params("y", length=0, labelsize=9)
        axes.set_yticks(range(len(values)), list(values))
        for name, label in zip(values, axes.get_yticklabels(), strict=True):
            label.set_parse_math(False)
            if name in marked:
                label.set(weight="bold", color=look.AMBER)
    told = ", ".join(f"{name} {_short(value)}" for name, value in values.items())
    return Picture(figure, f"Quantities by name, {unit}: {told}.")


def _short(value: float) -> str:
    """Two figures, as far as that goes."""
    return look.number(value, 0 if value >= 10 or value == 0 else 1 if value >= 1 else 2)


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
