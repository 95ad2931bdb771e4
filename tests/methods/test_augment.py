"""Crops, flips and contrastive views: what may change, how often, and from where the draws come."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F

import mixlearn as ml
from mixlearn.methods.augment import (
    GREY,
    contrastive_view,
    crop_and_flip,
    random_crop,
    random_flip,
    random_resized_crop,
)
from tests.refused import refusals, refused
from tests.seeds import seeded

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
view = partial(contrastive_view, mean=MEAN, std=STD)
nothing = {"least": 1.0, "colour": 0.0, "grey": 0.0, "blur": 0.0}


def normalised(pixels):
    middle, scale = (torch.tensor(v).view(-1, 1, 1) for v in (MEAN, STD))
    return (pixels - middle) / scale


def pixels_of(images):
    middle, scale = (torch.tensor(v).view(-1, 1, 1) for v in (MEAN, STD))
    return images * scale + middle


IMAGES = normalised(torch.rand(64, 3, 16, 16, generator=seeded(1)))


def test_without_changes_only_mirrors_are_left():
    seen = view(IMAGES, **nothing, generator=seeded())
    kept = [torch.allclose(a, b, atol=1e-4) for a, b in zip(seen, IMAGES, strict=True)]
    turned = [torch.allclose(a, b.flip(2), atol=1e-4) for a, b in zip(seen, IMAGES, strict=True)]
    assert all(a != b for a, b in zip(kept, turned, strict=True)) and 16 < sum(turned) < 48


def test_draws_follow_the_generator_and_nothing_is_changed_in_place():
    before = IMAGES.clone()
    one, same, other = (view(IMAGES, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other) and torch.equal(IMAGES, before)
    assert one.shape == IMAGES.shape and one.dtype == IMAGES.dtype
    low, high = pixels_of(one).min(), pixels_of(one).max()
    assert float(low) > -1e-5 and float(high) < 1 + 1e-5


@pytest.mark.parametrize(
    ("option", "share"), [("colour", 0.8), ("grey", 0.2), ("blur", 0.5), ("solarise", 0.3)]
)
def test_each_change_comes_as_often_as_asked(option, share):
    many = IMAGES.repeat(6, 1, 1, 1)
    seen = view(many, **(nothing | {option: share}), generator=seeded())
    same = [
        min(float((a - b).abs().max()), float((a - b.flip(2)).abs().max())) < 1e-3
        for a, b in zip(seen, many, strict=True)
    ]
    assert abs(1 - sum(same) / len(many) - share) < 0.09


def test_grey_is_the_brightness_in_every_channel():
    seen = pixels_of(view(IMAGES, **(nothing | {"grey": 1.0}), generator=seeded()))
    assert torch.allclose(seen[:, 0], seen[:, 2], atol=1e-5)
    expected = (pixels_of(IMAGES) * torch.tensor(GREY).view(-1, 1, 1)).sum(1)
    assert torch.allclose(seen[:, 0].sum((1, 2)), expected.sum((1, 2)), atol=1e-2)


def test_a_blur_keeps_the_mean_and_smooths():
    seen = view(IMAGES, **(nothing | {"blur": 1.0}), generator=seeded())
    assert torch.allclose(pixels_of(seen).mean((2, 3)), pixels_of(IMAGES).mean((2, 3)), atol=0.03)

    def rough(images):
        return (images[..., 1:] - images[..., :-1]).abs().mean()

    assert float(rough(seen)) < 0.75 * float(rough(IMAGES))
    flat = normalised(torch.full((4, 3, 8, 8), 0.25))
    assert torch.allclose(view(flat, **(nothing | {"blur": 1.0})), flat, atol=1e-5)


def test_crops_have_areas_from_least_to_all():
    ramp = torch.linspace(0, 1, 32).view(1, 1, 1, 32).expand(500, 1, 32, 32)
    down = ramp.transpose(2, 3)
    both = random_resized_crop(torch.cat([ramp, down], 1), least=0.2, generator=seeded())
    wide = (both[:, 0, 16, 24] - both[:, 0, 16, 8]) / (ramp[0, 0, 0, 24] - ramp[0, 0, 0, 8])
    tall = (both[:, 1, 24, 16] - both[:, 1, 8, 16]) / (ramp[0, 0, 0, 24] - ramp[0, 0, 0, 8])
    area = wide * tall
    assert 0.19 < float(area.min()) < 0.25 and 0.9 < float(area.max()) <= 1.01
    assert abs(float(area.mean()) - 0.6) < 0.04, "evenly from .2 to 1"
    ratio = wide / tall
    assert float(ratio.min()) > 0.74 and float(ratio.max()) < 1.35


def test_one_channel_and_sixteen_bits():
    grey = torch.rand(3, 1, 28, 28, generator=seeded())
    seen = contrastive_view(grey, mean=(0.3,), std=(0.4,), generator=seeded())
    assert seen.shape == grey.shape
    assert view(IMAGES.bfloat16(), generator=seeded()).dtype == torch.bfloat16
    assert ml.augment.random_flip(seen).shape == grey.shape


test_bad_input_is_named = refusals(
    (lambda: view(torch.rand(2, 2, 8, 8)), r"shape \(B, 1 or 3, H, W\), got \(2, 2, 8, 8\)"),
    (lambda: view(torch.rand(2, 1, 8, 8)), "mean and std must have 1 numbers"),
    (lambda: view(IMAGES, least=0.0), "≤ 1 is needed, got least 0.0 and most 1.0"),
    (lambda: view(IMAGES, size=0), "size must be at least 1, got 0"),
    (lambda: view(IMAGES, blur=1.5), r"blur must lie in \[0, 1\], got 1.5"),
)


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_each_crop_is_a_window_of_the_padded_image(mode):
    images = torch.rand(40, 2, 5, 7, generator=seeded())
    kept = images.clone()
    cropped = random_crop(images, padding=2, mode=mode, generator=seeded(1))
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


def test_flips_half_and_all_and_none():
    images = torch.rand(400, 1, 2, 3, generator=seeded())
    turned = random_flip(images, generator=seeded(2))
    mirrored = (turned == images.flip(3)).flatten(1).all(1)
    same = (turned == images).flatten(1).all(1)
    assert bool((mirrored | same).all()) and 150 < int(mirrored.sum()) < 250
    assert torch.equal(random_flip(images, p=1.0), images.flip(3))
    assert torch.equal(random_flip(images, p=0.0), images)


def test_same_generator_same_images():
    images = torch.rand(8, 3, 6, 6, generator=seeded())
    first, second = (crop_and_flip(images, generator=seeded(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, crop_and_flip(images, generator=seeded(4)))


def test_errors_say_what_came():
    with pytest.raises(ValueError, match=r"images must have shape \(B, C, H, W\), got \(3, 4, 4\)"):
        random_crop(torch.zeros(3, 4, 4))
    refused(lambda: random_crop(torch.zeros(1, 3, 4, 4), padding=-1), "padding must be at least 0, got -1")
    refused(lambda: random_flip(torch.zeros(1, 3, 4, 4), p=1.5), r"p must lie in \[0, 1\], got 1.5")
