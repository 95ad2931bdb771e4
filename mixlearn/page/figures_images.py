"""Figures of images: a grid, a mixed batch, and one mixture as an equation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mixlearn.core.extras import array, need
from mixlearn.core.plan import Mixed, MixPlan
from mixlearn.page import style as look
from mixlearn.page.style import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
ROW, SIGN = 0.85, 0.24  # inches: the words at the left of a batch, a sign of an equation


def pixels(
    images: Tensor,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    name: str = "images",
) -> Any:
    """Images (B, 1 or 3, H, W), normalised or not, as matplotlib takes them: (B, H, W, 3) in [0, 1]."""
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(images).__name__}")
    if images.dim() != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        raise ValueError(f"{name} must have shape (B, 1 or 3, H, W), got {tuple(images.shape)}")
    if (mean is None) != (std is None):
        raise ValueError(f"mean and std belong together, got mean={mean} and std={std}")
    values = images.detach().cpu().to(torch.float32)
    if images.dtype == torch.uint8:
        values = values / 255
    elif mean is not None and std is not None:
        if not len(mean) == len(std) == images.shape[1]:
            raise ValueError(
                f"mean and std must hold one number for each of {images.shape[1]} channels, got {mean}, {std}"
            )
        shift, scale = (torch.tensor(list(v)).view(-1, 1, 1) for v in (mean, std))
        values = values * scale + shift
    low, high = values.min().item(), values.max().item()
    if not (low >= -0.02 and high <= 1.02):  # NaN is neither
        raise ValueError(
            f"{name} must lie in [0, 1], got {low:.2f} to {high:.2f}; give mean and std of normalised images"
        )
    return array(values.clamp(0, 1).expand(-1, 3, -1, -1).permute(0, 2, 3, 1))  # (B, H, W, 3)


def class_ids(labels: Any, shape: tuple[int, ...], classes: int, name: str = "labels") -> Tensor:
    """Labels as int64 on the CPU, once it is clear that they have this shape and are classes."""
    values = torch.as_tensor(labels).detach().cpu()
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise TypeError(f"{name} must be integer class ids, got {values.dtype}")
    if values.shape != shape or not values.numel():
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {tuple(values.shape)}")
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= classes:
        raise ValueError(f"{name} must lie in 0…{classes - 1} for {classes} classes, got {low} to {high}")
    return values.long()


def images(
    images: Tensor,
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Picture:
    """A plain grid of images.

    Args:
        images: (B, 1 or 3, H, W), uint8, or float in [0, 1], or normalised.
        titles: one for each image, of one line or more, written under it.
        columns: images in a row; None takes up to seven.
        mean, std: of each channel, where the images are normalised.

    >>> images(torch.rand(2, 3, 32, 32), ["dog", "cat"])
    Picture: A grid of 2 images in 1 row: dog, cat.
    """
    shown = pixels(images, mean, std)
    count, high, wide = shown.shape[:3]
    if titles is not None and len(titles) != count:
        raise ValueError(f"titles must hold one for each of {count} images, got {len(titles)}")
    if columns is not None and columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    columns = min(columns or -(-count // -(-count // 7)), count)  # rows as even as can be
    rows = -(-count // columns)
    lines = 0 if titles is None else 1 + max(title.count("\n") for title in titles)
    gap, words = 0.1, 0.08 + 0.14 * lines if lines else 0.0
    width = min((look.WIDTH - 0.2 - gap * (columns - 1)) / columns, 1.6)
    height = width * high / wide
    side = (look.WIDTH - columns * width - gap * (columns - 1)) / 2
    with look.style():
        figure = look.canvas(0.2 + rows * (height + words) + gap * (rows - 1))
        for k in range(count):
            row, column = divmod(k, columns)
            left, top = side + column * (width + gap), 0.1 + row * (height + words + gap)
            _tile(figure, left, top, width, height, shown[k])
            if titles is not None:
                at = left + width / 2, top + height + 0.05
                look.fit(look.write(figure, *at, titles[k], ha="center", va="top", size=8), width + gap)
    listed = "" if titles is None else ": " + ", ".join(title.replace("\n", " and ") for title in titles)
    return Picture(figure, f"A grid of {look.plural(count, 'image')} in {look.plural(rows, 'row')}{listed}.")


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
        images, mean, std: the batch before mixing, as for `images`.
        mixed: what a mixing method made of it, or its plan.
        names: what each image of the batch shows; None numbers them.
        count: how many of the batch, the first ones.

    >>> import torch, mixlearn as ml
    >>> images = torch.rand(2, 3, 8, 8)
    >>> batch(images, ml.mixup(images, lam=0.75, partner=torch.tensor([1, 0])), ["cat", "dog"])
    Picture: 2 mixtures, each below its image and partner: 75 % cat + 25 % dog; 75 % dog + 25 % cat.
    """
    plan = _plan(mixed, images)
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    count = min(count, len(plan))
    described = "; ".join(plan.describe(k, names) for k in range(count))
    shown, results = pixels(images, mean, std), pixels(plan.mix(images), mean, std, "the mixed images")
    parts, gap = plan.sources.shape[0], 0.07
    width = min((look.WIDTH - 0.2 - ROW - gap * (count - 1)) / count, 1.0)
    height = width * shown.shape[1] / shown.shape[2]
    rows = ["image", "partner"] if parts == 2 else [f"part {k + 1}" for k in range(parts)]
    bar = 0.1 + (parts + 1) * (height + gap)
    shares = [_shares(plan, k, names) for k in range(count)]
    indent = max((look.WIDTH - ROW - count * (width + gap) + gap) / 2, 0.1)
    with look.style():
        figure = look.canvas(bar + 0.28 + 0.155 * max(map(len, shares)))
        for row, word in enumerate([*rows, "mixture"]):
            middle = 0.1 + row * (height + gap) + height / 2
            colour = look.COLOURS[row % len(look.COLOURS)] if row < parts else look.INK
            look.write(figure, indent, middle, word, va="center", color=colour, weight="bold")
        look.write(figure, indent, bar + 0.045, "soft label", va="center", weight="bold")
        for k, share in enumerate(shares):
            left = indent + ROW + k * (width + gap)
            column = [*(shown[source] for source in plan.sources[:, k].tolist()), results[k]]
            for row, image in enumerate(column):
                _tile(figure, left, 0.1 + row * (height + gap), width, height, image)
            _share_bar(figure, left, bar, width, share)
            for row, (name, (part, part_share)) in enumerate(share.items()):
                text, colour = f"{look.percent(part_share)} {name}", look.COLOURS[part % len(look.COLOURS)]
                top = bar + 0.13 + 0.155 * row
                look.fit(look.write(figure, left, top, text, va="top", size=7.5, color=colour), width + 0.04)
    above = "its image and partner" if parts == 2 else f"its {parts} parts"
    return Picture(figure, f"{look.plural(count, 'mixture')}, each below {above}: {described}.")


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
        i: which mixture.
        images, mixed, names, mean, std: as for `batch`.

    >>> import torch, mixlearn as ml
    >>> images = torch.rand(2, 3, 8, 8)
    >>> plan(images, ml.mixup(images, lam=0.75, partner=torch.tensor([1, 0])), 0, ["cat", "dog"])
    Picture: An equation of pictures: cat times its mask plus dog times its mask is the mixture, 75 % ...
    """
    made = _plan(mixed, images)
    described = made.describe(i, names)
    shown, results = pixels(images, mean, std), pixels(made.mix(images), mean, std, "the mixed images")
    sources, weights = made.sources[:, i].tolist(), made.weights[:, i].tolist()
    parts, pair = len(sources), len(sources) <= 2
    words = [_name(source, names) for source in sources]
    across = 2 * parts + 1 if pair else 3  # a pair stands in one line, more parts in a line each
    width = min((look.WIDTH - 0.2 - (across - 1) * SIGN) / across, 1.2 if pair else 0.85)
    height, step = width * shown.shape[1] / shown.shape[2], width + SIGN
    line = height + 0.52
    bar = (line if pair else parts * line) + 0.05
    side = (look.WIDTH - across * step + SIGN) / 2
    with look.style():
        figure = look.canvas(bar + 0.37)

        def term(left: float, top: float, image: Any, above: str, below: str, colour: str, sign: str) -> None:
            _tile(figure, left, top, width, height, image, colour)
            middle = left + width / 2
            look.write(figure, middle, top - 0.05, above, ha="center", va="bottom", size=10, parse_math=True)
            words = look.write(
                figure, middle, top + height + 0.05, below, ha="center", va="top", color=colour
            )
            look.fit(words, step)
            beside = left + width + SIGN / 2, top + height / 2
            look.write(figure, *beside, sign, ha="center", va="center", size=12)

        for k, source in enumerate(sources):
            left, top = (side + 2 * k * step, 0.26) if pair else (side, 0.26 + k * line)
            colour, (image, mask, weight) = look.COLOURS[k % len(look.COLOURS)], _symbols(k, pair)
            term(left, top, shown[source], image, words[k], colour, "⊙")
            share, sign = f"{weight} = {look.number(weights[k])}", "+" if k < parts - 1 else "="
            term(left + step, top, array(made.masks[k, i, 0].cpu().float()), mask, share, colour, sign)
        last = 0.26 + (0 if pair else (parts - 1) * line)
        term(side + (across - 1) * step, last, results[i], r"$\tilde{x}_i$", "mixture", look.INK, "")
        _share_bar(figure, side, bar, across * step - SIGN, _shares(made, i, names))
        bold: dict[str, Any] = {"ha": "center", "va": "top", "weight": "bold"}
        look.fit(look.write(figure, look.WIDTH / 2, bar + 0.14, described, **bold), look.WIDTH - 0.2)
    masks = " plus ".join(f"{word} times its mask" for word in words)
    return Picture(figure, f"An equation of pictures: {masks} is the mixture, {described}.")


def _tile(
    figure: Figure, left: float, top: float, width: float, height: float, image: Any, colour: str = look.INK
) -> Axes:
    """One image in its thin frame, or a mask: from paper, a share of 0, to the colour, a share of 1."""
    axes = look.place(figure, left, top, width, height)
    smooth = "nearest" if max(image.shape[:2]) <= 96 else "antialiased"
    shades: dict[str, Any] = {}
    if image.ndim == 2:
        colours = need("matplotlib.colors", "A figure").LinearSegmentedColormap
        shades = {"cmap": colours.from_list("share", [look.PAPER, colour]), "vmin": 0.0, "vmax": 1.0}
    axes.imshow(image, interpolation=smooth, aspect="auto", **shades)
    if image.shape == (1, 1):  # one share for all pixels
        share = float(image[0, 0])
        ink = look.PAPER if share > 0.5 else look.INK
        axes.text(0, 0, look.number(share), size=11, color=ink, ha="center", va="center")
    return look.framed(axes)


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


def _shares(plan: MixPlan, i: int, names: Sequence[str] | None) -> dict[str, tuple[int, float]]:
    """For each name in mixture i the part that brings it first, and its share of the label."""
    shares: dict[str, tuple[int, float]] = {}
    for k, source in enumerate(plan.sources[:, i].tolist()):
        name = _name(source, names)
        part, share = shares.get(name, (k, 0.0))
        shares[name] = part, share + plan.weights[k, i].item()
    return shares


def _share_bar(
    figure: Figure, left: float, top: float, width: float, shares: dict[str, tuple[int, float]]
) -> None:
    """A bar of one unit, divided as `_shares` says."""
    axes = look.framed(look.place(figure, left, top, width, 0.09))
    start = 0.0
    for part, share in shares.values():
        colour, hatch = look.COLOURS[part % len(look.COLOURS)], look.HATCHES[part % len(look.HATCHES)]
        axes.barh(0, share, 1, left=start, color=colour, hatch=hatch, edgecolor=look.PAPER, linewidth=0)
        start += share
    axes.set(xlim=(0, 1), ylim=(-0.5, 0.5), yticks=[])
