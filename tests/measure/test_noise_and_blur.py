"""Noise and blurs, each against its published definition written out with numpy or scipy."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from mixlearn import measure
from mixlearn.measure import corruptions as warp
from tests.measure.arrays import pixels
from tests.seeds import seeded


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_noise_has_the_published_strength(severity):
    grey = torch.full((4, 3, 64, 64), 0.5)
    scale = [0.04, 0.06, 0.08, 0.09, 0.10][severity - 1]
    assert measure.gaussian_noise(grey, severity, generator=seeded()).std() == pytest.approx(scale, rel=0.03)
    grains = [500, 250, 100, 75, 50][severity - 1]
    found = measure.shot_noise(grey, severity, generator=seeded())
    assert found.var() == pytest.approx(0.5 / grains, rel=0.05) and found.mean() == pytest.approx(
        0.5, abs=2e-3
    )
    share = [0.01, 0.02, 0.03, 0.05, 0.07][severity - 1]
    found = measure.impulse_noise(grey, severity, generator=seeded())
    for value in (0.0, 1.0):
        assert (found == value).float().mean() == pytest.approx(share / 2, abs=3e-3)


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_defocus_is_the_published_kernel(severity, images):
    radius, soft = [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)][severity - 1]
    grid = np.arange(-8, 9)
    across, down = np.meshgrid(grid, grid)
    disk = (across**2 + down**2 <= radius**2).astype(float)
    disk /= disk.sum()
    tap = np.exp(-0.5 * (np.arange(-1, 2) / soft) ** 2)
    tap /= tap.sum()
    kernel = ndimage.correlate(disk, np.outer(tap, tap), mode="mirror")
    expected = np.stack(
        [
            np.stack([ndimage.correlate(image[..., c], kernel, mode="mirror") for c in range(3)], -1)
            for image in pixels(images)
        ]
    )
    found = pixels(measure.defocus_blur(images, severity))
    assert np.abs(found - expected.clip(0, 1)).max() < 1e-5


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_zoom_blur_is_the_mean_of_scipy_zooms(severity, images):
    count = len(np.arange(1, [1.06, 1.11, 1.16, 1.21, 1.26][severity - 1], 0.01))  # as published
    factors = 1 + 0.01 * np.arange(count)

    def zoomed(image, factor):
        size = image.shape[0]
        side = int(np.ceil(size / factor))
        top = (size - side) // 2
        grown = ndimage.zoom(image[top : top + side, top : top + side], (factor, factor, 1), order=1)
        trim = (grown.shape[0] - size) // 2
        return grown[trim : trim + size, trim : trim + size]

    for image, found in zip(pixels(images), pixels(measure.zoom_blur(images, severity)), strict=True):
        expected = (image + sum(zoomed(image, factor) for factor in factors)) / (len(factors) + 1)
        assert np.abs(found - expected).max() < 1e-4


def test_blurs_are_those_of_scipy(images):
    for sigma, truncate, edge, mode in (
        (0.7, 4.0, "replicate", "nearest"),
        (6.4, 3.0, "symmetric", "reflect"),
    ):
        found = pixels(warp.gaussian_blur(images, sigma, truncate=truncate, edge=edge))
        expected = ndimage.gaussian_filter(pixels(images), (0, sigma, sigma, 0), truncate=truncate, mode=mode)
        assert np.abs(found - expected).max() < 1e-5


def test_glass_moves_pixels_by_at_most_the_reach_each_time_and_loses_none(images):
    found = measure.glass_blur(images, 1, generator=seeded())
    for before, after in zip(images, found, strict=True):
        old = (before * 255).floor().flatten(1).T.long()
        new = (after * 255).round().flatten(1).T.long()
        assert sorted(map(tuple, old.tolist())) == sorted(map(tuple, new.tolist()))
        assert not torch.equal(old, new)


def test_smearing_is_the_published_one_sided_kernel():
    spot = torch.zeros(3, 1, 41, 41)
    spot[:, :, 20, 20] = 1
    angle = torch.tensor([0.0, math.pi / 2, math.pi / 6])
    found = warp.smear(spot, 6, 2.0, angle)
    weights = np.exp(-(np.arange(13) ** 2) / (2 * 2.0**2))
    weights /= weights.sum()
    assert torch.allclose(found[0, 0, 20, 8:21].flip(0), torch.tensor(weights).float(), atol=1e-6)
    assert torch.allclose(found[1, 0, 8:21, 20].flip(0), torch.tensor(weights).float(), atol=1e-6)
    assert torch.allclose(found.sum((1, 2, 3)), torch.ones(3), atol=1e-5)
    for k in range(13):
        down, across = math.ceil(k * math.sin(math.pi / 6) - 0.5), math.ceil(k * math.cos(math.pi / 6) - 0.5)
        assert found[2, 0, 20 - down, 20 - across] >= weights[k] - 1e-6
