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
from mixlearn.page.bins import bins_lab
from mixlearn.page.box_lab import SIZE, box_lab
from mixlearn.page.film import mask_film
from mixlearn.page.host import photographs, picture_url, picture_urls
from mixlearn.page.ledger import loss_ledger
from mixlearn.page.mosaic_lab import mosaic_lab
from mixlearn.page.patch_groups import patch_groups
from mixlearn.page.plane import plane_lab
from mixlearn.page.studio import mask_studio
from mixlearn.page.widget import one_of, positive, widget, within

__all__ = [
    "beta_explorer",
    "bins_lab",
    "box_lab",
    "lambda_mixer",
    "loss_ledger",
    "mask_film",
    "mask_studio",
    "mosaic_lab",
    "patch_groups",
    "plane_lab",
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
    """Mix two photographs with a slider: pixels, label, draws from Beta(α, α), and whose share λ is.

    Args:
        lam: λ to begin with, in [0, 1].
        pair: names of the image and of its partner.
        alpha: of the Beta distribution that λ is drawn from.
        images: (N, 3, S, S) floats in [0, 1] in place of the shipped photographs.
        names: one for each of `images`.
        seed: of the draws in the page.

    Returns:
        A widget with the traits `lam`, `own_name`, `partner_name`, `weighs_own` and `alpha`.

    >>> widget = lambda_mixer(0.63, pair=("dog", "cat"))
    >>> widget.lam, widget.partner_name
    (0.63, 'cat')
    """
    if not 0 <= lam <= 1:
        raise ValueError(f"lam must lie in [0, 1], got {lam}")
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
    words = f"λ mixer: a mixture of {round(100 * lam)} % {pair[0]} and {round(100 * (1 - lam))} % {pair[1]}"
    rules = {"lam": within(0, 1), "alpha": positive}
    rules |= dict.fromkeys(("own_name", "partner_name"), one_of(names))
    return widget("lambda_mixer", state, picture_url(torch.lerp(partner, own, float(lam))), words, rules)


def beta_explorer(alpha: float = 0.4, other: float = 2.0, *, compare: bool = False, seed: int = 0) -> Any:
    """See how α spreads λ: density, draws, the smaller share, and how many mixtures look unmixed.

    Args:
        alpha: α > 0 to begin with.
        other: a second α.
        compare: whether the second one is shown.
        seed: of the draws in the page.

    Returns:
        A widget with the traits `alpha`, `other` and `compare`.

    >>> beta_explorer(0.2).alpha
    0.2
    """
    state = {"alpha": check_alpha(alpha), "other": check_alpha(other), "compare": bool(compare)}
    words = f"Beta explorer: the density of λ under Beta({alpha}, {alpha}), with draws from it"
    rules = {"alpha": positive, "other": positive}
    return widget("beta_explorer", state | {"seed": int(seed)}, "", words, rules)
