"""Pictures of calibration: how sure a network is, and how right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mixlearn.measure.metrics import Calibration
from mixlearn.page.picture import Picture
from mixlearn.page.style import (
    AMBER,
    HATCHES,
    INK,
    MUTED,
    PAPER,
    TEAL,
    WIDTH,
    canvas,
    percent,
    place,
    style,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def reliability(found: Calibration | Mapping[str, Calibration]) -> Picture:
    """Reliability diagrams: in each bin of confidence the accuracy, and how many predictions fell there.

    A bar runs from what the network promised (the diagonal) to what it kept (the dot), and is the wider the
    more predictions its bin holds. The strip below shows them as shares of all predictions. The gap is mean
    confidence minus accuracy.

    Args:
        found: what `ml.measure.calibration` returned, or several by name.

    Raises:
        TypeError: something else.
        ValueError: none, or bins without a prediction throughout.

    >>> import torch, mixlearn as ml
    >>> logits = torch.tensor([[0.0, 2.0], [2.0, 0.0]])
    >>> reliability({"plain": ml.measure.calibration(logits, torch.tensor([1, 1]))})
    Picture: Reliability diagram. plain: ECE 38.1 %, confidence exceeds accuracy by 38.1 %, 2 predictions.
    """
    named = found if isinstance(found, Mapping) else {"": found}
    if not named:
        raise ValueError("found must hold at least one calibration, got none")
    for name, one in named.items():
        if not isinstance(one, Calibration):
            raise TypeError(f"found[{name!r}] must be a Calibration, got {type(one).__name__}")
        if int(one.count.sum()) == 0:
            raise ValueError(f"found[{name!r}] must hold predictions, its bins are all empty")
    columns = min(len(named), 3)
    size = 2.35 if columns < 3 else 1.8
    step, high = size + 0.3, size + (1.5 if any(named) else 1.3)
    side = max((WIDTH - columns * step + 0.3) / 2 + 0.15, 0.62)
    tallest = max((one.count / one.count.sum()).max().item() for one in named.values())
    with style():
        figure = canvas(0.02 + high * -(-len(named) // columns))
        for k, (name, one) in enumerate(named.items()):
            row, column = divmod(k, columns)
            left, top = side + column * step, (0.5 if any(named) else 0.3) + row * high
            axes = place(figure, left, top, size, size)
            below = place(figure, left, top + size + 0.12, size, 0.36)
            _bins(axes, one)
            share = (one.count / one.count.sum()).tolist()
            width = 1 / len(share)
            edges = [b * width for b in range(len(share))]
            below.bar(edges, share, width, align="edge", color=MUTED, edgecolor=PAPER, linewidth=0.5)
            below.set(xlim=(0, 1), ylim=(0, 1.05 * tallest), xlabel="confidence", yticks=[0, tallest])
            below.set_yticklabels(["0", percent(tallest)])
            write(figure, left, top - 0.3, name, va="bottom", weight="bold")
            text = f"ECE {percent(one.ece, 1)},  gap {percent(one.gap, 1, signed=True)}"
            write(figure, left, top - 0.08, text, va="bottom")
            if column == 0:
                axes.set_ylabel("accuracy")
                below.set_ylabel("share", size=8)
                for labelled in (axes, below):
                    labelled.yaxis.set_label_coords(-0.41 / size, 0.5)
            else:
                axes.set_yticklabels([])
                below.set_yticklabels([])
    said = "; ".join(f"{name}: {_kept(one)}" if name else _kept(one) for name, one in named.items())
    return Picture(figure, f"Reliability diagram{'s' * (len(named) > 1)}. {said}.")


def _bins(axes: Axes, one: Calibration) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    full = [b for b, count in enumerate(one.count.tolist()) if count]
    most = one.count.max().item()
    sure, right = one.confidence.tolist(), one.accuracy.tolist()
    for b in full:
        width = max(one.count[b].item() / most, 0.1) / len(sure)
        over = right[b] < sure[b]
        how: dict[str, Any] = {"color": AMBER if over else TEAL, "hatch": HATCHES[1] if over else ""}
        axes.bar(sure[b], right[b] - sure[b], width, bottom=sure[b], edgecolor=PAPER, linewidth=0, **how)
    line: dict[str, Any] = {"color": INK, "linewidth": 0.9, "marker": "o", "markersize": 2.8}
    axes.plot([sure[b] for b in full], [right[b] for b in full], **line)
    words: dict[str, Any] = {"size": 7.5, "color": MUTED}
    axes.text(0.97, 0.03, "overconfident", ha="right", va="bottom", **words)
    axes.text(0.03, 0.97, "underconfident", va="top", **words)
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=ticks, yticks=ticks, xticklabels=[])


def _kept(one: Calibration) -> str:
    way = "exceeds" if one.gap >= 0 else "falls short of"
    ece, gap = (percent(value, 1).replace("\u2009", " ") for value in (one.ece, abs(one.gap)))
    return f"ECE {ece}, confidence {way} accuracy by {gap}, {int(one.count.sum())} predictions"
