"""Figures of networks: between two images, over a plane of inputs, and how sure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mixlearn.core.extras import array, need
from mixlearn.measure.between import Between
from mixlearn.measure.evaluate import predict
from mixlearn.measure.metrics import Calibration
from mixlearn.page import style as look
from mixlearn.page.figures_images import class_ids
from mixlearn.page.figures_runs import PHONE
from mixlearn.page.style import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 0.22  # inches, of the key
FINE, SURE = 201, 0.9  # points of the plane along each axis; where the dotted line lies
_TITLES = {
    "misses": "answers of neither class (%)",
    "logits": "logits, distance off the line",
    "features": "features, distance off the line",
}


def between(found: Mapping[str, Between]) -> Picture:
    """From one image to another: how often networks name neither class, and how far from linear they are.

    A panel each for misses and for the distance of the mixture's logits from the interpolated ones, in units
    of the distance between the two images' own; a third for features where every network has them.

    Args:
        found: by the name of the network what `ml.measure.between` returned, up to six.

    >>> import torch, mixlearn as ml
    >>> way, none = torch.tensor([0.0, 0.5, 1.0]), torch.zeros(3)
    >>> bent = ml.measure.Between(way, torch.tensor([0.1, 0.6, 0.1]), none, none, 0.4 * (way == 0.5), None)
    >>> between({"plain": bent})
    Picture: Between pairs of images of different classes. plain: neither class named for 60.0 % at ...
    """
    if not 1 <= len(found) <= len(look.COLOURS):
        raise ValueError(f"found must hold one to {len(look.COLOURS)} networks, got {len(found)}")
    for name, one in found.items():
        if not isinstance(one, Between):
            raise TypeError(f"found[{name!r}] must be a Between, got {type(one).__name__}")
    keys = ["misses", "logits"] + ["features"] * all(one.features is not None for one in found.values())
    told = []
    with look.style():
        figure = look.canvas(2.7 + ROW * -(-len(found) // 3), "constrained")
        panels = figure.subplots(1, len(keys))
        for k, (name, one) in enumerate(found.items()):
            looks = {"color": look.COLOURS[k], "linestyle": look.LINES[k], "label": name}
            looks |= {"marker": look.MARKERS[k], "markersize": 3.5} if len(one.lam) <= 21 else {}
            for axes, part in zip(panels, keys, strict=True):
                line = getattr(one, part).detach().cpu() * (100 if part == "misses" else 1)
                axes.plot(one.lam.tolist(), line.tolist(), clip_on=False, zorder=3, **looks)
            middle, ends = one.at(0.5), (one.misses[0] + one.misses[-1]).item() / 2
            half, end = look.number(100 * middle["misses"], 1), look.number(100 * ends, 1)
            off = (f", {part} {look.number(middle[part])} off the line at λ = 0.5" for part in keys[1:])
            missed = f"neither class named for {half} % at λ = 0.5 and {end} % at the ends"
            told.append(f"{name}: {missed}{''.join(off)}")
        for axes, part in zip(panels, keys, strict=True):
            axes.set(xlim=(0, 1), xlabel="λ, share of the first image")
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
            axes.set_ylim(bottom=0)
            axes.grid(axis="y")
            axes.set_title(_TITLES[part], size=9 if len(keys) < 3 else 8.5)
        look.key(figure, panels[0].lines, 3)
    return Picture(figure, f"Between pairs of images of different classes. {'; '.join(told)}.")


def boundary(
    models: Mapping[str, Callable[[Tensor], Tensor]],
    points: Tensor,
    labels: Tensor,
    *,
    classes: Sequence[str] | None = None,
    stacked: bool = False,
) -> Picture:
    """What classifiers of points in the plane say everywhere: a panel a model, the boundary as a line.

    Args:
        models: by name; each takes points (N, 2) float to logits (N, C).
        points: (N, 2), drawn over the surface.
        labels: (N,) integer class ids of the points, 0…C−1.
        classes: the names of the classes.
        stacked: draw the panels below each other, in a figure narrow enough for a phone.

    >>> points = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    >>> boundary({"steep": lambda x: 9 * x}, points, torch.tensor([0, 1]), classes=["below", "above"])
    Picture: Decision surfaces over 2 points of 2 classes. steep: 1 point on its right side ...
    """
    if not models:
        raise ValueError("models must hold at least one model, got none")
    points = _points(points).float()
    low, high = points.min(0).values, points.max(0).values
    margin = 0.15 * (high - low).clamp_min(1e-3)
    (left, bottom), (right, top) = (low - margin).tolist(), (high + margin).tolist()
    x, y = torch.linspace(left, right, FINE), torch.linspace(bottom, top, FINE)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)
    probs = {
        name: _logits(model, torch.cat([grid, points]), name).softmax(1) for name, model in models.items()
    }
    counts = {name: each.shape[1] for name, each in probs.items()}
    count = next(iter(counts.values()))
    if len(set(counts.values())) > 1 or count > len(look.COLOURS):
        raise ValueError(f"models must agree on up to {len(look.COLOURS)} classes, got {counts}")
    labels = class_ids(labels, points.shape[:1], count)
    if classes is not None and len(classes) != count:
        raise ValueError(f"classes must hold a name for each of {count} classes, got {len(classes)}")
    columns = 1 if stacked else min(len(models), 3)
    size, aspect = min(6.5 / columns, 3.2), min(max((top - bottom) / (right - left), 0.6), 1.2)
    told = []
    with look.style():
        figure = look.canvas(0.4 + (size * aspect + 0.65) * -(-len(models) // columns), "compressed")
        if stacked:
            figure.set_figwidth(PHONE)
        panels = figure.subplots(-(-len(models) // columns), columns, squeeze=False).flatten()
        for axes in panels[len(models) :]:
            axes.axis("off")
        for axes, (name, each) in zip(panels, probs.items(), strict=False):
            surface, here = each[: len(grid)].view(FINE, FINE, count), each[len(grid) :]
            axes.imshow(_shade(surface), origin="lower", extent=(left, right, bottom, top), aspect="auto")
            _lines(axes, array(x), array(y), surface)
            for c in range(count):
                mine = array(points[labels == c])
                dots: dict[str, Any] = {"s": 13, "edgecolor": look.PAPER, "linewidth": 0.5}
                axes.scatter(mine[:, 0], mine[:, 1], color=look.COLOURS[c], marker=look.MARKERS[c], **dots)
            look.framed(axes).set(box_aspect=aspect, xlim=(left, right), ylim=(bottom, top))
            axes.set_title(name, weight="bold", parse_math=False)
            hits = int((here.argmax(1) == labels).sum())
            unsure = (surface.max(2).values < SURE).double().mean().item()
            words = f"less than {look.percent(SURE)} sure on {look.percent(unsure)} of the plane"
            look.fit(axes.set_xlabel(words, loc="left", size=8, color=look.MUTED), size)
            side = f"on {'its' if hits == 1 else 'their'} right side ({round(100 * hits / len(points))} %)"
            told.append(f"{name}: {look.plural(hits, 'point')} {side}, {words}".replace("\u2009", " "))
        named = classes or [f"class {c}" for c in range(count)]
        look.key(figure, _boundary_key(named), 2 if stacked else count + 2)
    over = f"Decision surfaces over {len(points)} points of {count} classes"
    return Picture(figure, f"{over}. {'; '.join(told)}.")


def reliability(found: Calibration | Mapping[str, Calibration]) -> Picture:
    """Reliability diagrams: in each bin of confidence the accuracy, and how many predictions fell there.

    A bar runs from what the network promised (the diagonal) to what it kept (the dot), and is wider where
    its bin holds more predictions. The strip below shows them as shares of all predictions. The gap is mean
    confidence minus accuracy.

    Args:
        found: what `ml.measure.calibration` returned, or several by name.

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
    rows, size = -(-len(named) // columns), 2.35 if columns < 3 else 1.8
    tallest = max((one.count / one.count.sum()).max().item() for one in named.values())
    told = []
    with look.style():
        figure = look.canvas((size + (1.5 if any(named) else 1.3)) * rows, "compressed")
        shape: dict[str, Any] = {"height_ratios": [size, 0.36] * rows, "squeeze": False}
        panels = figure.subplots(2 * rows, columns, sharey="row", **shape)
        for k in range(len(named), rows * columns):
            for axes in panels[2 * (k // columns) :, k % columns]:
                axes.axis("off")
        for k, (name, one) in enumerate(named.items()):
            row, column = divmod(k, columns)
            axes, below = panels[2 * row, column], panels[2 * row + 1, column]
            share = one.count / one.count.sum()
            _bins(axes, one)
            bars: dict[str, Any] = {"color": look.MUTED, "edgecolor": look.PAPER, "linewidth": 0.5}
            starts = array(torch.arange(len(share)) / len(share))
            below.bar(starts, array(share), 1 / len(share), align="edge", **bars)
            below.set(xlim=(0, 1), ylim=(0, 1.05 * tallest), xlabel="confidence", box_aspect=0.36 / size)
            below.set_yticks([0, tallest], ["0", look.percent(tallest)])
            text = f"ECE {look.percent(one.ece, 1)},  gap {look.percent(one.gap, 1, signed=True)}"
            axes.set_title(text)
            axes.annotate(name, (0, 1), (0, 22), weight="bold", textcoords="offset points", parse_math=False)
            if column == 0:
                axes.set_ylabel("accuracy")
                below.set_ylabel("share", size=8)
            way = "exceeds" if one.gap >= 0 else "falls short of"
            gap = f"confidence {way} accuracy by {look.percent(abs(one.gap), 1)}"
            words = f"ECE {look.percent(one.ece, 1)}, {gap}, {int(one.count.sum())} predictions"
            told.append((f"{name}: " if name else "") + words)
        figure.align_ylabels()
    diagrams = "Reliability diagrams" if len(named) > 1 else "Reliability diagram"
    return Picture(figure, f"{diagrams}. {'; '.join(told)}.".replace("\u2009", " "))


def _points(points: Tensor) -> Tensor:
    """Points (N, 2) in double precision on the CPU, once it is clear that they are that."""
    if points.dim() != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"points must have shape (N, 2), got {tuple(points.shape)}")
    if not bool(points.isfinite().all()):
        raise ValueError("points must be finite, got NaN or infinity")
    return points.detach().cpu().double()


def _logits(model: Callable[[Tensor], Tensor], points: Tensor, name: str) -> Tensor:
    logits = predict(model, [(points, torch.zeros(len(points), dtype=torch.int64))]).logits
    if logits.dim() != 2 or logits.shape[0] != len(points) or logits.shape[1] < 2:
        raise ValueError(
            f"model {name!r} must take {len(points)} points to logits ({len(points)}, C) of C ≥ 2 classes, "
            f"got {tuple(logits.shape)}"
        )
    return logits


def _shade(surface: Tensor) -> Any:
    """(H, W, C) probabilities → (H, W, 4): the surer a class, the more opaque its colour."""
    rgb, count = need("matplotlib.colors", "A figure").to_rgb, surface.shape[2]
    colours = torch.tensor([rgb(colour) for colour in look.COLOURS[:count]])
    lead = (surface - 1 / count).clamp_min(0) * count / (count - 1)  # (H, W, C), 0 where no class leads
    whole = lead.sum(2, keepdim=True)  # (H, W, 1)
    return array(torch.cat([(lead / whole.clamp_min(1e-6)) @ colours, 0.52 * whole], 2).clamp(0, 1))


def _boundary_key(classes: Sequence[str]) -> list[Any]:
    line = need("matplotlib.lines", "A figure").Line2D
    marks = [
        line([], [], linestyle="", marker=marker, color=colour, label=name)
        for name, marker, colour in zip(classes, look.MARKERS, look.COLOURS, strict=False)
    ]
    marks.append(line([], [], color=look.INK, linewidth=1.3, label="undecided"))
    if len(classes) == 2:
        sure = f"{look.percent(SURE)} sure"
        marks.append(line([], [], color=look.INK, linewidth=0.8, linestyle=":", label=sure))
    return marks


def _lines(axes: Axes, x: Any, y: Any, surface: Tensor) -> None:
    """Where two classes are equal, drawn in full; where the first of two is 90 % sure, dotted."""
    count = surface.shape[2]
    for c in range(1 if count == 2 else count):
        others = surface.clone()
        others[:, :, c] = -1
        ahead = array(surface[:, :, c] - others.max(2).values)
        if ahead.min() < 0 < ahead.max():
            axes.contour(x, y, ahead, levels=[0], colors=look.INK, linewidths=1.3)
    if count == 2:
        share = array(surface[:, :, 0])
        if levels := [level for level in (1 - SURE, SURE) if share.min() < level < share.max()]:
            axes.contour(x, y, share, levels=levels, colors=look.INK, linewidths=0.6, linestyles=":")


def _bins(axes: Axes, one: Calibration) -> None:
    axes.plot([0, 1], [0, 1], color=look.MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    count, sure, right = one.count.tolist(), one.confidence.tolist(), one.accuracy.tolist()
    full = [b for b, some in enumerate(count) if some]
    for b in full:
        width = max((count[b] / max(count)) ** 0.5, 0.1) / len(count)
        over = right[b] < sure[b]
        looks: dict[str, Any] = {"color": look.AMBER if over else look.TEAL, "hatch": look.HATCHES[over]}
        looks |= {"edgecolor": look.PAPER, "linewidth": 0}
        axes.bar(sure[b], right[b] - sure[b], 0.9 * width, bottom=sure[b], **looks)
    line: dict[str, Any] = {"color": look.INK, "linewidth": 0.9, "marker": "o", "markersize": 2.8}
    axes.plot([sure[b] for b in full], [right[b] for b in full], **line)
    words: dict[str, Any] = {"size": 7.5, "color": look.MUTED}
    axes.text(0.97, 0.03, "overconfident", ha="right", va="bottom", **words)
    axes.text(0.03, 0.97, "underconfident", va="top", **words)
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=ticks, yticks=ticks, xticklabels=[], box_aspect=1)
