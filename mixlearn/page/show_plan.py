"""Pictures of a plan: who is mixed with whom, where, and how much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from mixlearn.core.extras import array, need
from mixlearn.core.plan import Mixed, MixPlan
from mixlearn.page.picture import Picture
from mixlearn.page.show_images import pixels, share_bar, tile
from mixlearn.page.style import (
    COLOURS,
    HATCHES,
    INK,
    PAPER,
    WIDTH,
    canvas,
    fit,
    number,
    percent,
    style,
    write,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
ROW, SIGN = 0.85, 0.24  # inches: the words at the left of a row, a sign of the equation


def batch(
    images: Tensor,
    mixed: Mixed | MixPlan,
    names: Sequence[str] | None = None,
    count: int = 8,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Picture:
    """A mixed batch, a column an image: the image, its partner, the mixture, and its soft label as a bar.

    Args:
        images: (B, 1 or 3, H, W), the batch before mixing.
        mixed: what a mixing method made of it, or its plan.
        names: what each image of the batch shows; None numbers them.
        count: how many of the batch, the first ones.
        mean, std: of each channel, where the images are normalised.

    Raises:
        TypeError, ValueError: images and plan that do not belong together, names of another number,
            count < 1.

    >>> import torch, mixlearn as ml
    >>> images = torch.rand(2, 3, 8, 8)
    >>> batch(images, ml.mixup(images, lam=0.75, partner=torch.tensor([1, 0])), ["cat", "dog"])
    Picture: 2 mixtures, each below its image and partner: 75 % cat + 25 % dog; 75 % dog + 25 % cat.
    """
    plan = _plan(mixed, images)
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    count = min(count, len(plan))
    said = [plan.describe(k, names) for k in range(count)]
    shown, results = pixels(images, mean, std), pixels(plan.mix(images), mean, std, "the mixed images")
    parts = plan.sources.shape[0]
    gap = 0.07
    width = min((WIDTH - 0.2 - ROW - gap * (count - 1)) / count, 1.0)
    height = width * shown.shape[1] / shown.shape[2]
    rows = ["image", "partner"] if parts == 2 else [f"part {k + 1}" for k in range(parts)]
    bar = 0.1 + (parts + 1) * (height + gap)
    lines = max(len(_shares(plan, k, names)) for k in range(count))
    indent = max((WIDTH - ROW - count * (width + gap) + gap) / 2, 0.1)
    many = f"{count} mixture{'s' * (count > 1)}"
    above = "its image and partner" if parts == 2 else f"its {parts} parts"
    with style():
        figure = canvas(bar + 0.28 + 0.155 * lines)
        for row, word in enumerate([*rows, "mixture"]):
            middle = 0.1 + row * (height + gap) + height / 2
            colour = COLOURS[row % len(COLOURS)] if row < parts else INK
            write(figure, indent, middle, word, va="center", color=colour, weight="bold")
        write(figure, indent, bar + 0.045, "soft label", va="center", weight="bold")
        for k in range(count):
            left = indent + ROW + k * (width + gap)
            sources = [shown[source] for source in plan.sources[:, k].tolist()]
            for row, image in enumerate([*sources, results[k]]):
                tile(figure, left, 0.1 + row * (height + gap), width, height, image)
            _soft_label(figure, left, bar, width, _shares(plan, k, names))
    return Picture(figure, f"{many}, each below {above}: {'; '.join(said)}.")


def plan(
    images: Tensor,
    mixed: Mixed | MixPlan,
    i: int = 0,
    names: Sequence[str] | None = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Picture:
    """One mixture as an equation of pictures: each image times its mask, added up.

    Args:
        images: (B, 1 or 3, H, W), the batch before mixing.
        mixed: what a mixing method made of it, or its plan.
        i: which mixture.
        names: what each image of the batch shows; None numbers them.
        mean, std: of each channel, where the images are normalised.

    Raises:
        TypeError, ValueError: images and plan that do not belong together, names of another number.
        IndexError: i outside the batch.

    >>> import torch, mixlearn as ml
    >>> images = torch.rand(2, 3, 8, 8)
    >>> plan(images, ml.mixup(images, lam=0.75, partner=torch.tensor([1, 0])), 0, ["cat", "dog"])
    Picture: An equation of pictures: cat times its mask plus dog times its mask is the mixture, 75 % ...
    """
    found = _plan(mixed, images)
    said = found.describe(i, names)
    shown, results = pixels(images, mean, std), pixels(found.mix(images), mean, std, "the mixed images")
    sources, weights = found.sources[:, i].tolist(), found.weights[:, i].tolist()
    parts, pair = len(sources), len(sources) <= 2
    words = [_name(source, names) for source in sources]
    across = 2 * parts + 1 if pair else 3  # a pair stands in one line, more parts in a line each
    width = min((WIDTH - 0.2 - (across - 1) * SIGN) / across, 1.2 if pair else 0.85)
    height, step = width * shown.shape[1] / shown.shape[2], width + SIGN
    line = height + 0.52
    high = line if pair else parts * line
    side = (WIDTH - across * step + SIGN) / 2
    with style():
        figure = canvas(high + 0.42)

        def term(left: float, top: float, image: Any, above: str, below: str, colour: str, sign: str) -> None:
            shades: Any = {}
            if image.ndim == 2:
                shades = {"cmap": _shades(colour), "vmin": 0.0, "vmax": 1.0}
            axes = tile(figure, left, top, width, height, image, **shades)
            if image.shape == (1, 1):  # one share for all pixels
                dark = float(image[0, 0]) > 0.5
                colours: dict[str, Any] = {"color": PAPER if dark else INK, "ha": "center", "va": "center"}
                axes.text(0, 0, number(float(image[0, 0])), size=11, **colours)
            middle = left + width / 2
            write(figure, middle, top - 0.05, above, ha="center", va="bottom", size=10, parse_math=True)
            fit(write(figure, middle, top + height + 0.05, below, ha="center", va="top", color=colour), step)
            write(figure, left + width + SIGN / 2, top + height / 2, sign, ha="center", va="center", size=12)

        for k, source in enumerate(sources):
            left, top = (side + 2 * k * step, 0.26) if pair else (side, 0.26 + k * line)
            colour = COLOURS[k % len(COLOURS)]
            image, mask, weight = _symbols(k, pair)
            term(left, top, shown[source], image, words[k], colour, "⊙")
            share = f"{weight} = {number(weights[k])}"
            sign = "+" if k < parts - 1 else "="
            term(left + step, top, array(found.masks[k, i, 0].cpu().float()), mask, share, colour, sign)
        last = 0.26 + (0 if pair else (parts - 1) * line)
        term(side + (across - 1) * step, last, results[i], r"$\tilde{x}_i$", "mixture", INK, "")
        bar = high + 0.05
        share_bar(figure, side, bar, across * step - SIGN, _segments(_shares(found, i, names)))
        fit(write(figure, WIDTH / 2, bar + 0.14, said, ha="center", va="top", weight="bold"), WIDTH - 0.2)
    masks = " plus ".join(f"{word} times its mask" for word in words)
    return Picture(figure, f"An equation of pictures: {masks} is the mixture, {said}.")


def _plan(mixed: Mixed | MixPlan, images: Tensor) -> MixPlan:
    plan = mixed.plan if isinstance(mixed, Mixed) else mixed
    if not isinstance(plan, MixPlan):
        raise TypeError(f"mixed must be a Mixed or a MixPlan, got {type(mixed).__name__}")
    if len(images) != len(plan):
        raise ValueError(f"images must be the {len(plan)} images that the plan mixes, got {len(images)}")
    return plan.to(images.device)


def _name(source: int, names: Sequence[str] | None) -> str:
    return f"image {source}" if names is None else str(names[source])


def _symbols(k: int, pair: bool) -> tuple[str, str, str]:
    """How the book writes part k: its image, its mask, its weight."""
    if not pair:
        return f"$x_{{s_{{{k + 1}}}}}$", f"$M_{{{k + 1}}}$", "w" + str(k + 1).translate(_SUBSCRIPTS)
    return ("$x_i$", "$M$", "λ") if k == 0 else ("$x_j$", "$1 - M$", "1 − λ")


def _shades(colour: str) -> Any:
    """From paper, a share of 0, to the colour, a share of 1."""
    return need("matplotlib.colors", "A figure").LinearSegmentedColormap.from_list("share", [PAPER, colour])


def _shares(plan: MixPlan, i: int, names: Sequence[str] | None) -> dict[str, tuple[int, float]]:
    """For each name in mixture i the part that brings it first, and its share of the label."""
    found: dict[str, tuple[int, float]] = {}
    for k, (source, weight) in enumerate(
        zip(plan.sources[:, i].tolist(), plan.weights[:, i].tolist(), strict=True)
    ):
        name = _name(source, names)
        part, share = found.get(name, (k, 0.0))
        found[name] = part, share + weight
    return found


def _segments(shares: dict[str, tuple[int, float]]) -> list[tuple[float, str, str]]:
    return [(share, COLOURS[k % len(COLOURS)], HATCHES[k % len(HATCHES)]) for k, share in shares.values()]


def _soft_label(
    figure: Figure, left: float, top: float, width: float, shares: dict[str, tuple[int, float]]
) -> None:
    """A bar of the shares, and below it a line for each."""
    share_bar(figure, left, top, width, _segments(shares))
    for row, (name, (part, share)) in enumerate(shares.items()):
        text, colour = f"{percent(share)} {name}", COLOURS[part % len(COLOURS)]
        words = write(figure, left, top + 0.13 + 0.155 * row, text, va="top", size=7.5, color=colour)
        fit(words, width + 0.04)
