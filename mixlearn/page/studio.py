"""The mask studio: paint which pixels show the partner, and compete with the methods for the score."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.extras import array
from mixlearn.data.sets import ImageSet
from mixlearn.page.host import picture_url
from mixlearn.page.studio_methods import Method, method_masks, normalised, scored, shipped_methods
from mixlearn.page.studio_net import studio_bytes, studio_facts
from mixlearn.page.studio_pairs import (
    PAIRS,
    checked_pairs,
    designers,
    first_pair,
    painted_bytes,
    still,
    told_pair,
)
from mixlearn.page.widget_live import widget

SHARES = tuple(k / 10 for k in range(1, 10))  # the target λ that masks are made for


def mask_studio(
    target: float = 0.6,
    pair: str | None = None,
    *,
    mask: Tensor | None = None,
    methods: Mapping[str, Method] | None = None,
    pairs: Sequence[tuple[int, int]] | None = None,
    images: ImageSet | None = None,
    seed: int = 54,
) -> Any:
    """Paint a mask on two images: λ, the label, and how well a small classifier sees it in the mixture.

    The score is 100 · exp(−KL(ỹ ‖ p)): ỹ is the label, λ of the image's class and 1 − λ of the partner's, p
    what the classifier says of the mixture. Beside it stand the masks of five methods for the same pair.

    Args:
        target: the λ to aim at, in [0, 1].
        pair: name of the pair to begin with, "koala + pie" for instance; None is the first.
        mask: (32, 32) in [0, 1], the partner's share of each pixel to begin with. None: a straight cut.
        methods: functions like `ml.cutmix` by name, called as f(images, labels, num_classes=…, lam=…,
            partner=[1, 0], generator=…) on the two images, normalised, at λ = 0.1, 0.2 … 0.9. None: box
            (CutMix), grid (GridMix), Fourier (FMix), saliency (SaliencyMix) and PuzzleMix, whose blocks stay
            where they are; the last two look at the gradient of the same classifier.
        pairs: places of image and partner in `images`. None: five pairs that the classifier names right.
        images: 32 × 32 images of the classes of Emoji Scenes; None: its test images by designers not seen in
            training.
        seed: of the methods' draws, the same for each pair and λ. With 54 box and grid come near each λ.

    Returns:
        A widget with the traits `target`, `pair` and `mask` (base64 of 32 × 32 bytes, the partner's share),
        and `lam` and `score`, which follow when a stroke in the page ends.

    Raises:
        ValueError: target outside [0, 1], a pair that is not there or of one class, images or masks of
            another size, a method whose mixture is not its two images under one mask.

    >>> studio = mask_studio(0.5)
    >>> studio.lam, 0 < studio.score <= 100
    (0.5, True)
    """
    if not 0 <= target <= 1:
        raise ValueError(f"target must lie in [0, 1], got {target}")
    part = designers() if images is None else images
    chosen = checked_pairs(part, PAIRS if pairs is None else pairs)
    if methods is not None and not methods:
        raise ValueError("methods must hold at least one mixing function, got none")
    if images is None and methods is None:
        told = [_shipped_pair(places, seed) for places in chosen]
    else:
        told = [_told(part, places, methods or shipped_methods(), seed) for places in chosen]
    begin = first_pair(told, pair)
    painted, places = painted_bytes(mask, target), list(chosen[begin])
    mixture, lam, score = scored(part.images[places], part.labels[places], painted)
    state = {
        "pairs": told,
        "methods": list(methods or shipped_methods()),
        "shares": list(SHARES),
        "classes": list(studio_facts().classes),
        "net": base64.b64encode(studio_bytes()).decode(),
        "shipped": images is None,
        "pair": told[begin]["name"],
        "target": float(target),
        "mask": base64.b64encode(array(painted, "a widget").tobytes()).decode(),
        "lam": lam,
        "score": score,
    }
    own, partner = told[begin]["words"]
    words = f"Mask studio: a mixture of {round(100 * lam)} % {own} and {round(100 * (1 - lam))} % {partner}"
    return widget("mask_studio", state, still(mixture), words)


@cache
def _shipped_pair(places: tuple[int, int], seed: int) -> dict[str, Any]:
    """A pair with the masks of the methods that ship: they take a second a pair."""
    return _told(designers(), places, shipped_methods(), seed)


def _told(
    part: ImageSet, places: tuple[int, int], methods: Mapping[str, Method], seed: int
) -> dict[str, Any]:
    """What the page is told of a pair, with a sheet of masks."""
    pixels, labels = part.images[list(places)], part.labels[list(places)]
    masks = method_masks(normalised(pixels).float(), labels, methods, SHARES, seed)
    sheet = torch.cat([torch.cat([*row], 1) for row in masks])
    return told_pair(part, places) | {
        "masks": picture_url(array(sheet[..., None].expand(-1, -1, 3).contiguous(), "a widget"))
    }
