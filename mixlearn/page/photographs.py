"""The photographs of a widget: those that are shipped or those given, and how the page is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.extras import array
from mixlearn.page.host import picture_url

SHOWN = ("dog", "cat", "owl", "kingfisher", "panda", "koala")


def photographs(
    images: Tensor | None, names: Sequence[str] | None, needed: Sequence[str], size: int
) -> tuple[Tensor, list[str]]:
    """Images and names as they were given, or those shipped.

    Args:
        images: (N, 3, S, S) in [0, 1]; None for the shipped ones.
        names: one for each image, or of the shipped ones to take; None: "image 0" …, or six shipped ones.
        needed: names that must be there.
        size: side of the shipped ones, in pixels.

    Raises:
        ValueError: images that are not square, as many names as there are not images, a name not there.

    >>> photographs(torch.rand(2, 3, 4, 4), None, (), 4)[1]
    ['image 0', 'image 1']
    """
    if images is None:
        from mixlearn.data import photos

        found = photos(size=size).pick(*(names or SHOWN))
        images, names = found.images, found.names
    if images.dim() != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
        raise ValueError(f"images must have shape (N, 3, S, S), got {tuple(images.shape)}")
    names = [f"image {i}" for i in range(len(images))] if names is None else [str(name) for name in names]
    if len(names) != len(images):
        raise ValueError(f"names must hold one name for each of {len(images)} images, got {len(names)}")
    for name in needed:
        if name not in names:
            raise ValueError(f"pair must name two of {', '.join(names)}, got {name!r}")
    return images, names


def picture_bytes(image: Tensor) -> Any:
    """(…, 3, H, W) floats in [0, 1] as uint8 (…, H, W, 3)."""
    values = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    return array(values.movedim(-3, -1).contiguous(), "a widget")


def picture_urls(images: Tensor, names: Sequence[str]) -> list[dict[str, str]]:
    """What the page is told of the photographs."""
    pixels = picture_bytes(images)
    return [{"name": name, "url": picture_url(each)} for name, each in zip(names, pixels, strict=True)]
