"""The widgets of the book. Each works in a built page with no kernel, and in a live notebook with one.

In a kernel with anywidget a widget is an ipywidget: its traits (`lam`, `alpha` …) can be read and set. Its
one mime bundle also carries the standalone HTML, which is what a built page shows; without anywidget the
HTML is all there is, and the widget still works. Colab draws each output in a frame of its own, where that
HTML runs as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.checks import check_alpha
from mixlearn.methods.cutmix import cutmix
from mixlearn.page.host import picture_url
from mixlearn.page.loss_ledger import loss_ledger
from mixlearn.page.mask_film import mask_film
from mixlearn.page.patch_groups import patch_groups
from mixlearn.page.photographs import photographs, picture_bytes, picture_urls
from mixlearn.page.studio import mask_studio
from mixlearn.page.widget_box import box_problem
from mixlearn.page.widget_live import widget

SIZE = 128  # pixels of the shipped photographs in the widget

__all__ = [
    "beta_explorer",
    "box_lab",
    "lambda_mixer",
    "loss_ledger",
    "mask_film",
    "mask_studio",
    "patch_groups",
]


def lambda_mixer(
    lam: float = 0.6,
    pair: tuple[str, str] = ("dog", "cat"),
    *,
    alpha: float = 1.0,
    images: Tensor | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> Any:
    """Mix two photographs by a slider: pixels, label bar, draws from Beta(α, α), whose λ it is.

    Args:
        lam: λ to begin with, in [0, 1].
        pair: names of the image and of its partner.
        alpha: of the Beta distribution that λ is drawn from.
        images: (N, 3, S, S) floats in [0, 1] in place of the shipped photographs.
        names: one for each of `images`.
        seed: of the draws in the page.

    Returns:
        A widget with the traits `lam`, `own_name`, `partner_name`, `weighs_own` and `alpha`.

    Raises:
        ValueError: λ outside [0, 1], α not positive, a name that is not there, images that are not square.

    >>> widget = lambda_mixer(0.63, pair=("dog", "cat"))
    >>> widget.lam, widget.partner_name
    (0.63, 'cat')
    """
    _check_lam(lam)
    shipped = images is None
    images, names = photographs(images, names, pair, SIZE)
    state = {
        "photos": picture_urls(images, names),
        "shipped": shipped,
        "lam": float(lam),
        "own_name": pair[0],
        "partner_name": pair[1],
        "weighs_own": True,
        "alpha": check_alpha(alpha),
        "seed": int(seed),
    }
    own, partner = (images[names.index(name)] for name in pair)
    mixture = torch.lerp(partner, own, float(lam))
    words = f"λ mixer: a mixture of {round(100 * lam)} % {pair[0]} and {round(100 * (1 - lam))} % {pair[1]}"
    return widget("lambda_mixer", state, picture_url(picture_bytes(mixture)), words)


def box_lab(
    box: Sequence[int] | None = (40, 40, 104, 112),
    pair: tuple[str, str] = ("dog", "cat"),
    *,
    size: int = SIZE,
    alpha: float = 1.0,
    lam: float = 0.6,
    images: Tensor | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> Any:
    """Push a box of one photograph about in another: asked λ, realised λ, the label by three rules.

    Args:
        box: (x0, y0, x1, y1) in pixels, half-open, to begin with. It may hang over the border, its centre
            in the image and its sides no longer than the image's. None: a box for `lam` in the middle.
        pair: names of the image and of its partner.
        size: height and width of the canvas to begin with, in pixels.
        alpha: of the Beta distribution that λ is drawn from.
        lam: λ that the box is asked to leave, in [0, 1], where `box` is None.
        images: (N, 3, S, S) floats in [0, 1] in place of the shipped photographs. The page brings them to
            the canvas by nearest neighbour.
        names: one for each of `images`.
        seed: of the draws in the page.

    Returns:
        A widget with the traits `own_name`, `partner_name`, `box` (as asked, so that it may hang over),
        `lam` (the realised λ; set, it moves the box to one inside the image with that share, but for whole
        pixels), `x`, `y`, `width`, `height` (the same box: its first pixel and its sides), `canvas_height`,
        `canvas_width` and `alpha`.

    Raises:
        ValueError: a box larger than the canvas, reversed, or centred outside it, λ outside [0, 1], α not
            positive, a size below 1, a name that is not there, images that are not square.

    >>> widget = box_lab((-8, 40, 56, 104))
    >>> widget.x, widget.width, widget.partner_name
    (-8, 64, 'cat')
    >>> widget.lam = 0.75
    >>> widget.box, widget.lam
    ((0, 40, 64, 104), 0.75)
    """
    _check_lam(lam)
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
    if box is None:
        side = round(float((1 - lam) ** 0.5 * size))  # Python rounds halves to even, as torch does
        start = size // 2 - side // 2
        box = (start, start, start + side, start + side)
    if wrong := box_problem(box, size, size):
        raise ValueError(f"box must {wrong}, got {tuple(box)}")
    x0, y0, x1, y1 = (int(corner) for corner in box)
    shipped = images is None
    images, names = photographs(images, names, pair, size)
    state = {
        "photos": picture_urls(images, names),
        "shipped": shipped,
        "own_name": pair[0],
        "partner_name": pair[1],
        "x": x0,
        "y": y0,
        "width": x1 - x0,
        "height": y1 - y0,
        "canvas_height": size,
        "canvas_width": size,
        "alpha": check_alpha(alpha),
        "seed": int(seed),
    }
    nearest = torch.arange(size) * images.shape[-1] // size
    both = torch.stack([images[names.index(name)] for name in pair])[:, :, nearest][:, :, :, nearest]
    clipped = [min(max(corner, 0), size) for corner in (x0, y0, x1, y1)]
    mixed = cutmix(both, boxes=[clipped], partner=[1, 0])
    words = f"Box lab: {mixed.plan.describe(0, pair)}"
    return widget("box_lab", state, picture_url(picture_bytes(mixed.images[0])), words)


def beta_explorer(alpha: float = 0.4, other: float = 2.0, *, compare: bool = False, seed: int = 0) -> Any:
    """See how α spreads λ: density, draws, the smaller share, and how many mixtures look unmixed.

    Args:
        alpha: α > 0 to begin with.
        other: a second α.
        compare: whether the second one is shown.
        seed: of the draws in the page.

    Returns:
        A widget with the traits `alpha`, `other` and `compare`.

    Raises:
        ValueError: an α that is not positive and finite.

    >>> beta_explorer(0.2).alpha
    0.2
    """
    state = {
        "alpha": check_alpha(alpha),
        "other": check_alpha(other),
        "compare": bool(compare),
        "seed": int(seed),
    }
    words = f"Beta explorer: the density of λ under Beta({alpha}, {alpha}), with draws from it"
    return widget("beta_explorer", state, "", words)


def _check_lam(lam: float) -> None:
    if not 0 <= lam <= 1:
        raise ValueError(f"lam must lie in [0, 1], got {lam}")
