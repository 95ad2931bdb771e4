"""The photographs: their masks, their credits, their sizes and their names."""

from __future__ import annotations

import pytest
import torch

import mixlearn as ml
from mixlearn.data.photos import NAMES


def test_photographs_and_masks() -> None:
    photos = ml.data.photos()
    assert photos.images.shape == (12, 3, 256, 256) and photos.masks.shape == (12, 1, 256, 256)
    assert photos.images.dtype == torch.float32
    assert float(photos.images.min()) >= 0 and float(photos.images.max()) <= 1
    assert photos.names == NAMES
    share = photos.masks.mean((1, 2, 3))
    assert float(share.min()) > 0.1 and float(share.max()) < 0.6
    assert float(photos.masks.round().sub(photos.masks).abs().mean()) < 0.01  # edges alone are soft
    for credit in photos.credits:
        assert credit["licence"] in ("Public Domain", "CC0-1.0") and credit["source"].startswith("https://")


def test_smaller_photographs_are_means_of_the_large_ones() -> None:
    large, small = ml.data.photos(), ml.data.photos(128)
    torch.testing.assert_close(small.images, torch.nn.functional.avg_pool2d(large.images, 2))
    torch.testing.assert_close(small.masks, torch.nn.functional.avg_pool2d(large.masks, 2))


def test_photographs_are_picked_by_name() -> None:
    photos = ml.data.photos(32)
    two = photos.pick("polar bear", "dog")
    assert two.names == ("polar bear", "dog")
    assert torch.equal(two.images[1], photos.images[0])
    assert two.credits[0]["file"] == "polar_bear"
    with pytest.raises(ValueError, match="no photograph of 'tiger'; there are dog, cat"):
        photos.pick("tiger")
    for size in (0, 257):
        with pytest.raises(ValueError, match=f"between 1 and 256 pixels, got {size}"):
            ml.data.photos(size)
