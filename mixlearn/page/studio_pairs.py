"""Pairs of images for the mask studio and the mask film: which, what the page is told, and painted masks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.extras import array
from mixlearn.data.sets import ImageSet
from mixlearn.page.host import picture_url
from mixlearn.page.studio_net import studio_facts

SIDE = 32  # pixels of an image's side
PAIRS = ((630, 621), (792, 741), (1007, 363), (69, 902), (716, 516))  # of the test images "designers"


@cache
def designers() -> ImageSet:
    """The test images by designers not seen in training, read once."""
    from mixlearn.data import load

    return load("emoji").tests["designers"]


def checked_pairs(part: ImageSet, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The places of pairs, once it is clear that they are there and of two classes.

    Args:
        part: images of 32 × 32 pixels.
        pairs: places of image and partner.

    Raises:
        ValueError: images of another size, no pair, a place that is not there, a pair of one class.

    >>> checked_pairs(designers(), PAIRS[:1])
    [(630, 621)]
    """
    if tuple(part.images.shape[1:]) != (3, SIDE, SIDE):
        raise ValueError(f"images must have shape (N, 3, {SIDE}, {SIDE}), got {tuple(part.images.shape)}")
    if not pairs:
        raise ValueError("pairs must hold at least one pair of places, got none")
    for pair in pairs:
        if len(pair) != 2 or not all(0 <= place < len(part) for place in pair):
            raise ValueError(f"each pair must be two places from 0 to {len(part) - 1}, got {tuple(pair)}")
        labels = part.labels[list(pair)].tolist()
        if labels[0] == labels[1]:
            word = studio_facts().classes[labels[0]]
            raise ValueError(f"a pair must be of two classes, got two of {word!r} at {tuple(pair)}")
    return [(int(own), int(partner)) for own, partner in pairs]


def told_pair(part: ImageSet, places: tuple[int, int]) -> dict[str, Any]:
    """What the page is told of a pair: words, classes, places, and both pictures side by side."""
    words = [str(place) if part.names is None else part.names[place] for place in places]
    return {
        "name": " + ".join(words),
        "words": words,
        "labels": part.labels[list(places)].tolist(),
        "places": list(places),
        "pictures": picture_url(
            array(torch.cat([*part.images[list(places)]], 2).movedim(0, -1).contiguous(), "a widget")
        ),
    }


def first_pair(told: Sequence[dict[str, Any]], pair: str | None) -> int:
    """Which pair to begin with.

    Raises:
        ValueError: two pairs of one name, a name that is not there.
    """
    names = [each["name"] for each in told]
    if len(set(names)) < len(names):
        raise ValueError(f"pairs must have different names, got {', '.join(names)}")
    if pair is not None and pair not in names:
        raise ValueError(f"pair must be one of {', '.join(names)}, got {pair!r}")
    return 0 if pair is None else names.index(pair)


def painted_bytes(mask: Tensor | None, target: float) -> Tensor:
    """A mask in bytes: the one given, or a straight cut that leaves the target's share on the left.

    Args:
        mask: (32, 32) in [0, 1], the partner's share of each pixel, or None.
        target: λ.

    Returns:
        (32, 32) uint8.

    Raises:
        ValueError: a mask of another shape, or with other values.

    >>> painted_bytes(None, 0.25)[0, 7:9]
    tensor([  0, 255], dtype=torch.uint8)
    """
    if mask is None:
        columns = torch.arange(SIDE) >= round(target * SIDE)
        return (columns.byte() * 255).expand(SIDE, SIDE).contiguous()
    if tuple(mask.shape) != (SIDE, SIDE) or not bool(((mask >= 0) & (mask <= 1)).all()):
        span = f"values from {mask.min():.3g} to {mask.max():.3g}" if mask.numel() else "no values"
        raise ValueError(f"mask must be ({SIDE}, {SIDE}) in [0, 1], got {tuple(mask.shape)} with {span}")
    return (255 * mask.double()).round().byte().contiguous()


def still(mixture: Tensor) -> str:
    """A mixture (3, H, W) in [0, 255], eight times as large, as a data URL."""
    large = mixture.repeat_interleave(8, 1).repeat_interleave(8, 2)
    return picture_url(array(large.round().byte().movedim(0, -1).contiguous(), "a widget"))
