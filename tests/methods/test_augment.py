"""Batched crops and flips."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mixlearn.methods.augment import crop_and_flip, random_crop, random_flip


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_each_crop_is_a_window_of_the_padded_image(mode: str) -> None:
    images = torch.rand(40, 2, 5, 7, generator=_generator())
    kept = images.clone()
    cropped = random_crop(images, padding=2, mode=mode, generator=_generator(1))
    padded = F.pad(images, (2,) * 4, mode=mode)
    places = set()
    for image, whole in zip(cropped, padded, strict=True):
        found = [
            (y, x) for y in range(5) for x in range(5) if torch.equal(whole[:, y : y + 5, x : x + 7], image)
        ]
        assert found
        places.update(found[:1])
    assert len(places) > 10
    assert torch.equal(images, kept)


def test_flips_half_and_all_and_none() -> None:
    images = torch.rand(400, 1, 2, 3, generator=_generator())
    turned = random_flip(images, generator=_generator(2))
    mirrored = (turned == images.flip(3)).flatten(1).all(1)
    same = (turned == images).flatten(1).all(1)
    assert bool((mirrored | same).all()) and 150 < int(mirrored.sum()) < 250
    assert torch.equal(random_flip(images, p=1.0), images.flip(3))
    assert torch.equal(random_flip(images, p=0.0), images)


def test_same_generator_same_images() -> None:
    images = torch.rand(8, 3, 6, 6, generator=_generator())
    first, second = (crop_and_flip(images, generator=_generator(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, crop_and_flip(images, generator=_generator(4)))


def test_errors_say_what_came() -> None:
    with pytest.raises(ValueError, match=r"images must have shape \(B, C, H, W\), got \(3, 4, 4\)"):
        random_crop(torch.zeros(3, 4, 4))
    with pytest.raises(ValueError, match="padding must be 0 or more pixels, got -1"):
        random_crop(torch.zeros(1, 3, 4, 4), padding=-1)
    with pytest.raises(ValueError, match=r"p must lie in \[0, 1\], got 1.5"):
        random_flip(torch.zeros(1, 3, 4, 4), p=1.5)
