"""Pictures of a network between images: along the way from one to another, and the plane of its features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mixlearn.core.extras import array
from mixlearn.measure.between import Between
from mixlearn.measure.features import Plane
from mixlearn.page.picture import Picture
from mixlearn.page.style import (
    COLOURS,
    FAINT,
    LINES,
    MARKERS,
    MUTED,
    PAPER,
    WIDTH,
    canvas,
    fit,
    number,
    percent,
    place,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW = 0.22  # inches, of the key
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

    Raises:
        TypeError: something else.
        ValueError: none, or more than six.

    >>> import torch, mixlearn as ml
    >>> way, none = torch.tensor([0.0, 0.5, 1.0]), torch.zeros(3)
    >>> bent = ml.measure.Between(way, torch.tensor([0.1, 0.6, 0.1]), none, none, 0.4 * (way == 0.5), None)
    >>> between({"plain": bent})
    Picture: Between pairs of images of different classes. plain: neither class named for 60.0 % at ...
    """
    if not 1 <= len(found) <= len(COLOURS):
        raise ValueError(f"found must hold one to {len(COLOURS)} networks, got {len(found)}")
    for name, one in found.items():
        if not isinstance(one, Between):
            raise TypeError(f"found[{name!r}] must be a Between, got {type(one).__name__}")
    keys = ["misses", "logits"] + ["features"] * all(one.features is not None for one in found.values())
    gap = 0.45
    across = min((WIDTH - 0.7 - gap * (len(keys) - 1)) / len(keys), 2.9)
    side = (WIDTH - len(keys) * across - gap * (len(keys) - 1) + 0.2) / 2
    with style():
        figure = canvas(2.8 + ROW * -(-len(found) // 3))
        for p, key in enumerate(keys):
            axes = place(figure, side + p * (across + gap), 0.4, across, 1.9)
            factor = 100 if key == "misses" else 1
            for k, one in enumerate(found.values()):
                line = getattr(one, key).detach().cpu() * factor
                dots: dict[str, Any] = {"marker": MARKERS[k], "markersize": 3.5} if len(line) <= 21 else {}
                at = one.lam.detach().cpu().tolist()
                axes.plot(
                    at, line.tolist(), color=COLOURS[k], linestyle=LINES[k], clip_on=False, zorder=3, **dots
                )
            axes.set(xlim=(0, 1), xlabel="λ, share of the first image", xticks=[0, 0.25, 0.5, 0.75, 1])
            axes.set_xticklabels(["0", "¼", "½", "¾", "1"])
            axes.set_ylim(bottom=0)
            axes.grid(axis="y")
            fit(axes.set_title(_TITLES[key]), across)
        marks = [
            {"color": COLOURS[k], "linestyle": LINES[k], "marker": MARKERS[k]} for k in range(len(found))
        ]
        _key(figure, list(found), marks, 3)
    told = "; ".join(f"{name}: {_told(one, keys)}" for name, one in found.items())
    return Picture(figure, f"Between pairs of images of different classes. {told}.")


def plane(
    coordinates: Tensor | Plane | Mapping[str, Tensor | Plane], labels: Tensor, names: Sequence[str]
) -> Picture:
    """Features of images as points of a plane: a colour and a mark for each class, filled for the first six.

    Args:
        coordinates: (N, 2), or the `Plane` that `ml.measure.principal_plane` returned, whose shares of the
            variance are then written to the axes; or up to three of them by name, of the same images.
        labels: (N,) integer class ids, 0…C−1.
        names: of the C classes, up to twelve.

    Raises:
        TypeError: labels that are no integers.
        ValueError: none or more than three, points or labels of another shape or not finite, labels beyond
            the names, more than twelve names.

    >>> points = torch.tensor([[0.0, 0.0], [0.0, 1.0], [5.0, 0.0], [5.0, 1.0]])
    >>> plane(points, torch.tensor([0, 0, 1, 1]), ["cat", "dog"])
    Picture: Features in a plane: 4 images of 2 classes, cat and dog. 100 % lie nearest to the mean of ...
    """
    single = isinstance(coordinates, (Tensor, Plane))
    given: dict[str, Any] = {"": coordinates} if single else dict(coordinates)  # type: ignore[arg-type]
    if not 1 <= len(given) <= 3:
        raise ValueError(f"coordinates must be one to three sets of points, got {len(given)}")
    sets = {name: one.coordinates if isinstance(one, Plane) else one for name, one in given.items()}
    for one in sets.values():
        _check(one, labels, names)
    sets = {name: one.detach().cpu().double() for name, one in sets.items()}
    labels = labels.detach().cpu().long()
    count, gap = len(sets), 0.35
    size = min((WIDTH - 0.5 - gap * (count - 1)) / count, 3.6)
    side = (WIDTH - count * size - gap * (count - 1) + 0.2) / 2
    top, columns = 0.12 if single else 0.34, 5
    marks = [_mark(c) for c in range(len(names))]
    shares = any(isinstance(one, Plane) for one in given.values())
    told = []
    with style():
        figure = canvas(top + size + (0.4 if shares else 0.2) + ROW * -(-len(names) // columns))
        for p, (name, points) in enumerate(sets.items()):
            axes = place(figure, side + p * (size + gap), top, size, size)
            axes.axhline(0, color=FAINT, linewidth=0.7)
            axes.axvline(0, color=FAINT, linewidth=0.7)
            for c in labels.unique().tolist():
                mine = array(points[labels == c])
                axes.plot(mine[:, 0], mine[:, 1], zorder=2, **marks[c])
            axes.set_aspect("equal", adjustable="datalim")
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set(visible=True, color=MUTED, linewidth=0.5)
            fit(axes.set_title(name, weight="bold", parse_math=False), size)
            said, one = f"{percent(_own(points, labels))} lie nearest to the mean of their class", given[name]
            if isinstance(one, Plane):
                across, up = (percent(share) for share in one.share.tolist())
                axes.set(xlabel=f"{across} of variance", ylabel=f"{up} of variance")
                said += f", {across} and {up} of the variance along the axes"
            told.append((f"{name}: " if name else "") + said.replace("\u2009", " "))
        _key(figure, names, marks, columns)
    listed = ", ".join(names[:-1]) + " and " * (len(names) > 1) + names[-1]
    classes = f"{len(labels)} image{'s' * (len(labels) > 1)} of {len(names)} classes, {listed}"
    return Picture(figure, f"Features in a plane: {classes}. {'; '.join(told)}.")


def _told(one: Between, keys: Sequence[str]) -> str:
    """The numbers of one network, in words."""
    middle, ends = one.at(0.5), (one.misses[0] + one.misses[-1]).item() / 2
    text = f"neither class named for {number(100 * middle['misses'], 1)} % at λ = 0.5"
    text += f" and {number(100 * ends, 1)} % at the ends"
    return text + "".join(f", {key} {number(middle[key])} off the line at λ = 0.5" for key in keys[1:])


def _own(points: Tensor, labels: Tensor) -> float:
    """Share of points that lie nearest to the mean of their own class."""
    there, which = labels.unique(return_inverse=True)
    means = torch.stack([points[labels == c].mean(0) for c in there])
    return float((torch.cdist(points, means).argmin(1) == which).double().mean())


def _mark(c: int) -> dict[str, Any]:
    """How the points of class c look: filled, and hollow from the seventh class on."""
    k, hollow = c % len(COLOURS), c >= len(COLOURS)
    return {
        "color": COLOURS[k],
        "linestyle": "",
        "marker": MARKERS[k],
        "markerfacecolor": "none" if hollow else COLOURS[k],  # what lies beneath is seen
        "markeredgecolor": COLOURS[k] if hollow else PAPER,
        "markeredgewidth": 0.8 if hollow else 0.4,
        "markersize": 3.6 if hollow else 4.4,
    }


def _check(points: Tensor, labels: Tensor, names: Sequence[str]) -> None:
    if points.dim() != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"coordinates must have shape (N, 2), got {tuple(points.shape)}")
    if not bool(points.isfinite().all()):
        raise ValueError("coordinates must be finite, got NaN or infinity")
    if labels.shape != points.shape[:1]:
        raise ValueError(f"labels must be one for each of {len(points)} points, got {tuple(labels.shape)}")
    if labels.is_floating_point() or labels.is_complex():
        raise TypeError(f"labels must be integer class ids, got {labels.dtype}")
    if not 1 <= len(names) <= 2 * len(COLOURS):
        raise ValueError(f"names must be one to {2 * len(COLOURS)}, one a class, got {len(names)}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(names):
        raise ValueError(f"labels must lie in 0…{len(names) - 1} to go with the names, got {low} to {high}")


def _key(figure: Figure, names: Sequence[str], marks: Sequence[dict[str, Any]], columns: int) -> None:
    """What each mark stands for, in rows at the foot of the figure."""
    rows = -(-len(names) // columns)
    columns = min(columns, len(names))
    cell = min((WIDTH - 0.6) / columns, 2.1)
    wide = cell * columns
    axes = place(figure, (WIDTH - wide) / 2, figure.get_figheight() - 0.06 - ROW * rows, wide, ROW * rows)
    axes.axis("off")
    axes.set(xlim=(0, wide), ylim=(rows, 0))
    for k, (name, mark) in enumerate(zip(names, marks, strict=True)):
        row, column = divmod(k, columns)
        left = column * cell
        line = [left, left + 0.2, left + 0.4] if mark["linestyle"] else [left + 0.2]
        axes.plot(line, [row + 0.5] * len(line), clip_on=False, markevery=[len(line) // 2], **mark)
        words: dict[str, Any] = {"va": "center", "size": 8, "parse_math": False}
        fit(axes.text(left + (0.5 if mark["linestyle"] else 0.33), row + 0.5, name, **words), cell - 0.55)
