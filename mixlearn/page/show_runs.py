"""Pictures of training runs: as they went, and what came of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mixlearn.page.picture import Picture
from mixlearn.page.style import COLOURS, LINES, MARKERS, WIDTH, canvas, fit, number, place, spread, style
from mixlearn.train.records import Interval, Record, interval, is_share

_TITLES = {
    "accuracy": "accuracy (%)",
    "mixed_accuracy": "mixed accuracy (%)",
    "nll": "negative log-likelihood",
    "ece": "calibration error, ECE (%)",
    "gap": "confidence − accuracy (%)",
    "loss": "training loss",
}


def curves(runs: Mapping[str, Any], measure: str | Sequence[str] = "accuracy") -> Picture:
    """How measures went over the epochs: the mean over the seeds as a line, its 95 % interval as a band.

    Args:
        runs: by name a `Record`, a `History`, one run's list of epochs, or several of these, one a seed.
        measure: one key of the epochs, or up to three, a panel each. Epochs without it are passed over.

    Raises:
        ValueError: no runs, more than six names, no or too many measures, a measure that no epoch holds.
        TypeError: runs of another kind.

    >>> seeds = [[{"epoch": 1, "accuracy": 0.5}, {"epoch": 2, "accuracy": last}] for last in (0.6, 0.8)]
    >>> curves({"mixup": seeds})
    Picture: Training curves, accuracy (%). mixup: from 50.0 at epoch 1 to 70.0 ± 127.1 at epoch 2, 2 seeds.
    """
    measures = [measure] if isinstance(measure, str) else list(measure)
    if not 1 <= len(measures) <= 3:
        raise ValueError(f"measure must be one to three keys of the epochs, got {len(measures)}")
    if not 1 <= len(runs) <= len(COLOURS):
        raise ValueError(f"runs must hold one to {len(COLOURS)} names, got {len(runs)}")
    seeds = {name: _seeds(value, name) for name, value in runs.items()}
    count = len(measures)
    room, gap = 0.95, 0.5  # for the names at the right, and between panels
    width = min((WIDTH - 0.55 - room - gap * (count - 1)) / count, 4.8)
    side = max((WIDTH - count * width - gap * (count - 1) - room + 0.55) / 2, 0.55)
    told = []
    with style():
        figure = canvas(2.75)
        for k, key in enumerate(measures):
            axes = place(figure, side + k * (width + gap), 0.35, width, 1.9)
            factor = scale(key)
            ends, said, end = [], [], 0.0
            for c, (name, many) in enumerate(seeds.items()):
                at, means = _over_epochs(many, key, name)
                middle = [factor * mean.mean for mean in means]
                half = [0.0 if math.isnan(mean.half) else factor * mean.half for mean in means]
                low = [m - h for m, h in zip(middle, half, strict=True)]
                high = [m + h for m, h in zip(middle, half, strict=True)]
                axes.fill_between(at, low, high, color=COLOURS[c], alpha=0.16, linewidth=0)
                dots: dict[str, Any] = {"marker": MARKERS[c], "markersize": 3.5} if len(at) <= 15 else {}
                axes.plot(at, middle, color=COLOURS[c], linestyle=LINES[c], clip_on=False, **dots)
                ends.append(middle[-1])
                end = max(end, at[-1])
                digits = 1 if factor == 100 else 3
                last = number(middle[-1], digits) + (f" ± {number(half[-1], digits)}" if half[-1] else "")
                first = number(middle[0], digits)
                counted = f"{len(many)} seed{'s' * (len(many) > 1)}"
                said.append(
                    f"{name}: from {first} at epoch {at[0]:g} to {last} at epoch {at[-1]:g}, {counted}"
                )
            axes.set_title(title(key))
            axes.set(xlabel="epoch")
            axes.set_xlim(0, end)
            axes.grid(axis="y")
            if k == count - 1:
                bottom, top = axes.get_ylim()
                for c, height in enumerate(spread(ends, 0.075 * (top - bottom))):
                    label: dict[str, Any] = {
                        "transform": axes.get_yaxis_transform(),
                        "va": "center",
                        "parse_math": False,
                        "color": COLOURS[c],
                    }
                    fit(axes.text(1.02, height, list(seeds)[c], **label), room - 0.1)
            told.append(f"{title(key)}. {'; '.join(said)}")
    return Picture(figure, f"Training curves, {'. '.join(told)}.")


def title(measure: str) -> str:
    """How the book writes a measure: "test/nll" is the negative log-likelihood on the set "test".

    >>> title("accuracy"), title("concepts/ece")
    ('accuracy (%)', 'calibration error, ECE (%), concepts')
    """
    part, _, key = measure.rpartition("/")
    return _TITLES.get(key, key) + (f", {part}" if part else "")


def scale(measure: str) -> int:
    """100 for measures that are shares and shown in hundredths, else 1."""
    return 100 if is_share(measure) else 1


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
    raise TypeError(
        f"runs[{name!r}] must be a Record, a History or a list of epochs, got {type(value).__name__} "
        f"{str(value)[:40]}"
    )


def _over_epochs(
    seeds: Sequence[Sequence[Mapping[str, float]]], measure: str, name: str
) -> tuple[list[float], list[Interval]]:
    """The epochs at which every seed was measured, and the mean there."""
    found: dict[float, list[float]] = {}
    for epochs in seeds:
        for k, epoch in enumerate(epochs):
            if measure in epoch:
                found.setdefault(epoch.get("epoch", k + 1), []).append(epoch[measure])
    at = sorted(epoch for epoch, values in found.items() if len(values) == len(seeds))
    if not at:
        known = sorted({key for epochs in seeds for epoch in epochs for key in epoch} - {"epoch"})
        raise ValueError(f"measure {measure!r} is in no epoch of {name!r}; there are: {', '.join(known)}")
    return at, [interval(found[epoch]) for epoch in at]
