"""Pictures of classifiers of the plane: where they change their mind, and how abruptly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mixlearn.core.extras import array, need
from mixlearn.measure.evaluate import predict
from mixlearn.page.picture import Picture
from mixlearn.page.style import COLOURS, INK, MARKERS, MUTED, PAPER, WIDTH, canvas, fit, percent, place, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FINE = 201  # points of the plane along each axis
SURE = 0.9


def boundary(
    models: Mapping[str, Callable[[Tensor], Tensor]],
    points: Tensor,
    labels: Tensor,
    *,
    classes: Sequence[str] | None = None,
) -> Picture:
    """What classifiers of points in the plane say everywhere: a panel a model, the boundary as a line.

    Args:
        models: by name; each takes points (N, 2) float to logits (N, C).
        points: (N, 2), drawn over the surface.
        labels: (N,) integer class ids of the points, 0…C−1.
        classes: the names of the classes.

    Raises:
        TypeError: labels that are no integers.
        ValueError: no model, points or labels of another shape, logits of another shape, labels or names
            that do not go with the logits.

    >>> points = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    >>> boundary({"steep": lambda x: 9 * x}, points, torch.tensor([0, 1]), classes=["below", "above"])
    Picture: Decision surfaces over 2 points of 2 classes. steep: 1 point on its right side ...
    """
    if not models:
        raise ValueError("models must hold at least one model, got none")
    if points.dim() != 2 or points.shape[1] != 2 or len(points) == 0:
        raise ValueError(f"points must have shape (N, 2), got {tuple(points.shape)}")
    if labels.shape != points.shape[:1]:
        raise ValueError(f"labels must be one for each of {len(points)} points, got {tuple(labels.shape)}")
    if labels.is_floating_point() or labels.is_complex():
        raise TypeError(f"labels must be integer class ids, got {labels.dtype}")
    points, labels = points.detach().cpu().float(), labels.detach().cpu().long()
    low, high = points.min(0).values, points.max(0).values
    margin = 0.15 * (high - low).clamp_min(1e-3)
    low, high = low - margin, high + margin
    x, y = (torch.linspace(low[d].item(), high[d].item(), FINE) for d in (0, 1))
    plane = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)
    columns = min(len(models), 3)
    size = min((WIDTH - 0.2 - 0.15 * (columns - 1)) / columns, 2.9)
    tall = min(max(size * ((high[1] - low[1]) / (high[0] - low[0])).item(), 0.6 * size), 1.2 * size)
    side = (WIDTH - columns * size - 0.15 * (columns - 1)) / 2
    count, said = 0, []
    with style():
        figure = canvas(0.28 + (tall + 0.55) * -(-len(models) // columns))
        for k, (name, model) in enumerate(models.items()):
            spoken = _logits(model, torch.cat([plane, points]), name).softmax(1)
            if count and spoken.shape[1] != count:
                raise ValueError(f"models must agree on {count} classes, {name!r} has {spoken.shape[1]}")
            count = spoken.shape[1]
            _check_classes(labels, count, classes)
            surface, here = spoken[: len(plane)].view(FINE, FINE, count), spoken[len(plane) :]
            row, column = divmod(k, columns)
            axes = place(figure, side + column * (size + 0.15), 0.3 + row * (tall + 0.55), size, tall)
            extent = (low[0].item(), high[0].item(), low[1].item(), high[1].item())
            axes.imshow(
                _shade(surface), origin="lower", extent=extent, aspect="auto", interpolation="bilinear"
            )
            _lines(axes, x, y, surface)
            for c in range(count):
                mine = array(points[labels == c])
                dots: dict[str, Any] = {"s": 13, "edgecolor": PAPER, "linewidth": 0.5}
                axes.scatter(mine[:, 0], mine[:, 1], color=COLOURS[c], marker=MARKERS[c], **dots)
            axes.set(xticks=[], yticks=[], xlim=extent[:2], ylim=extent[2:])
            for spine in axes.spines.values():
                spine.set(visible=True, color=MUTED, linewidth=0.5)
            axes.set_title(name, weight="bold", parse_math=False)
            right = (here.argmax(1) == labels).double().mean().item()
            unsure = (surface.max(2).values < SURE).double().mean().item()
            text = f"less than {percent(SURE)} sure on {percent(unsure)} of the plane"
            fit(axes.text(0, -0.03, text, transform=axes.transAxes, va="top", size=8, color=MUTED), size)
            hits = round(right * len(points))
            said.append(
                f"{name}: {hits} point{'s' * (hits != 1)} on {'their' if hits != 1 else 'its'} right side "
                f"({round(100 * right)} %), less than 90 % sure on {round(100 * unsure)} % of the plane"
            )
        _key(figure, classes or [f"class {c}" for c in range(count)], count == 2)
    return Picture(
        figure, f"Decision surfaces over {len(points)} points of {count} classes. {'; '.join(said)}."
    )


def _logits(model: Callable[[Tensor], Tensor], points: Tensor, name: str) -> Tensor:
    logits = predict(model, [(points, torch.zeros(len(points), dtype=torch.int64))]).logits
    if logits.dim() != 2 or logits.shape[0] != len(points) or logits.shape[1] < 2:
        raise ValueError(
            f"model {name!r} must take {len(points)} points to logits ({len(points)}, C) of C ≥ 2 classes, "
            f"got {tuple(logits.shape)}"
        )
    return logits


def _check_classes(labels: Tensor, count: int, classes: Sequence[str] | None) -> None:
    if count > len(COLOURS):
        raise ValueError(f"models must tell at most {len(COLOURS)} classes apart to be drawn, got {count}")
    if int(labels.min()) < 0 or int(labels.max()) >= count:
        raise ValueError(
            f"labels must lie in 0…{count - 1} to go with the logits, got {int(labels.min())} "
            f"to {int(labels.max())}"
        )
    if classes is not None and len(classes) != count:
        raise ValueError(f"classes must hold a name for each of {count} classes, got {len(classes)}")


def _shade(surface: Tensor) -> Any:
    """(H, W, C) probabilities → (H, W, 3): the more a class is sure, the more of its colour, over paper."""
    rgb = need("matplotlib.colors", "A figure").to_rgb
    colours = torch.tensor([rgb(COLOURS[c]) for c in range(surface.shape[2])])
    count = surface.shape[2]
    lead = (surface - 1 / count).clamp_min(0) * count / (count - 1)  # 0 where no class leads
    ground = torch.tensor(rgb(PAPER))
    return array((ground + 0.52 * (lead.unsqueeze(-1) * (colours - ground)).sum(2)).clamp(0, 1))


def _lines(axes: Axes, x: Tensor, y: Tensor, surface: Tensor) -> None:
    """Where two classes are equal, drawn in full; where the first of two is 90 % sure, dotted."""
    pairs = range(1) if surface.shape[2] == 2 else range(surface.shape[2])
    across, up = array(x), array(y)
    for c in pairs:
        others = surface.clone()
        others[:, :, c] = -1
        ahead = array(surface[:, :, c] - others.max(2).values)
        if ahead.min() < 0 < ahead.max():
            axes.contour(across, up, ahead, levels=[0], colors=INK, linewidths=1.3)
        if len(pairs) == 1:
            share = array(surface[:, :, c])
            levels = [level for level in (1 - SURE, SURE) if share.min() < level < share.max()]
            if levels:
                axes.contour(across, up, share, levels=levels, colors=INK, linewidths=0.6, linestyles=":")


def _key(figure: Figure, classes: Sequence[str], two: bool) -> None:
    """One line under the panels: the marks of the classes, and what the lines mean."""
    axes = place(figure, 0, figure.get_figheight() - 0.3, WIDTH, 0.25)
    axes.axis("off")
    lines = need("matplotlib.lines", "A figure").Line2D
    marks = [
        lines([], [], linestyle="", marker=MARKERS[c], color=COLOURS[c], label=name)
        for c, name in enumerate(classes)
    ]
    marks.append(lines([], [], color=INK, linewidth=1.3, label="undecided"))
    if two:
        marks.append(lines([], [], color=INK, linewidth=0.8, linestyle=":", label=f"{percent(SURE)} sure"))
    legend = axes.legend(handles=marks, loc="center", ncols=len(marks), fontsize=8, handletextpad=0.5)
    for text in legend.get_texts():
        text.set_parse_math(False)
