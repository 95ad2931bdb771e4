"""Pictures of images: a grid, and a strip from one image to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mixlearn.core.extras import array
from mixlearn.page.picture import Picture
from mixlearn.page.style import MUTED, PAPER, WIDTH, canvas, fit, place, style, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def pixels(
    images: Tensor,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    name: str = "images",
) -> Any:
    """Images as matplotlib takes them: a numpy array (B, H, W, 3) in [0, 1].

    Args:
        images: (B, 1, H, W) or (B, 3, H, W), uint8, or float in [0, 1], or normalised.
        mean, std: of each channel, where the images are normalised; they are undone here.
        name: what the message of an error calls the images.

    Raises:
        TypeError: no tensor.
        ValueError: another shape; NaN; values outside [0, 1] and no mean and std to undo.

    >>> pixels(torch.zeros(2, 1, 4, 5), mean=[0.5], std=[0.25])[0, 0, 0].tolist()
    [0.5, 0.5, 0.5]
    """
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
    if bool(values.isnan().any()):
        raise ValueError(f"{name} must hold no NaN")
    low, high = values.min().item(), values.max().item()
    if low < -0.02 or high > 1.02:
        raise ValueError(
            f"{name} must lie in [0, 1], got {low:.2f} to {high:.2f}; give mean and std of normalised images"
        )
    return array(values.clamp(0, 1).expand(-1, 3, -1, -1).permute(0, 2, 3, 1))


def tile(
    figure: Figure, left: float, top: float, width: float, height: float, image: Any, **how: Any
) -> Axes:
    """One image in its thin frame."""
    axes = place(figure, left, top, width, height)
    small = max(image.shape[:2]) <= 96
    axes.imshow(image, interpolation="nearest" if small else "antialiased", aspect="auto", **how)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=MUTED, linewidth=0.5)
    return axes


def share_bar(
    figure: Figure, left: float, top: float, width: float, shares: Sequence[tuple[float, str, str]]
) -> Axes:
    """A bar of one unit, divided: (share, colour, hatch) from left to right."""
    axes = place(figure, left, top, width, 0.09)
    start = 0.0
    for share, colour, hatch in shares:
        axes.barh(0, share, 1, left=start, color=colour, hatch=hatch, edgecolor=PAPER, linewidth=0)
        start += share
    axes.set(xlim=(0, 1), ylim=(-0.5, 0.5), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=MUTED, linewidth=0.5)
    return axes


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

    Raises:
        TypeError, ValueError: images of another kind or shape, titles of another number, columns < 1.

    >>> images(torch.rand(2, 3, 32, 32), ["dog", "cat"])
    Picture: A grid of 2 images in 1 row: dog, cat.
    """
    shown = pixels(images, mean, std)
    count, high, wide = shown.shape[:3]
    if titles is not None and len(titles) != count:
        raise ValueError(f"titles must hold one for each of {count} images, got {len(titles)}")
    if columns is not None and columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    columns = min(columns or _even(count), count)
    rows = -(-count // columns)
    lines = 0 if titles is None else 1 + max((title.count("\n") for title in titles), default=0)
    gap, words = 0.1, 0.08 + 0.14 * lines if lines else 0.0
    width = min((WIDTH - 0.2 - gap * (columns - 1)) / columns, 1.6)
    height = width * high / wide
    side = (WIDTH - columns * width - gap * (columns - 1)) / 2
    with style():
        figure = canvas(0.2 + rows * (height + words) + gap * (rows - 1))
        for k in range(count):
            row, column = divmod(k, columns)
            left, top = side + column * (width + gap), 0.1 + row * (height + words + gap)
            tile(figure, left, top, width, height, shown[k])
            if titles is not None:
                middle = left + width / 2
                title = write(figure, middle, top + height + 0.05, titles[k], ha="center", va="top", size=8)
                fit(title, width + gap)
    said = "" if titles is None else ": " + ", ".join(title.replace("\n", " and ") for title in titles)
    return Picture(
        figure, f"A grid of {count} image{'s' * (count > 1)} in {rows} row{'s' * (rows > 1)}{said}."
    )


def _even(count: int) -> int:
    """Columns so that the rows are as even as can be, seven at most."""
    rows = -(-count // 7)
    return -(-count // rows)
