"""All common corruptions, each against its published definition in numpy, scipy or PIL, and the accuracy."""

import colorsys
import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

import mixlearn as ml
from mixlearn import measure
from mixlearn.measure.corruptions import affine, gaussian_blur, plasma, smear
from tests.seeds import seeded


@pytest.fixture(scope="module")
def images():
    return ml.data.load("emoji").test.images[::180][:6].float() / 255


def pixels(images):
    """Images as numpy, scipy and PIL hold them."""
    return images.permute(0, 2, 3, 1).double().numpy()


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
    expected = ndimage.correlate(pixels(images), kernel[None, :, :, None], mode="mirror")
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
        found = pixels(gaussian_blur(images, sigma, truncate=truncate, edge=edge))
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
    found = smear(spot, 6, 2.0, angle)
    weights = np.exp(-(np.arange(13) ** 2) / (2 * 2.0**2))
    weights /= weights.sum()
    assert torch.allclose(found[0, 0, 20, 8:21].flip(0), torch.tensor(weights).float(), atol=1e-6)
    assert torch.allclose(found[1, 0, 8:21, 20].flip(0), torch.tensor(weights).float(), atol=1e-6)
    assert torch.allclose(found.sum((1, 2, 3)), torch.ones(3), atol=1e-5)
    for k in range(13):
        down, across = math.ceil(k * math.sin(math.pi / 6) - 0.5), math.ceil(k * math.cos(math.pi / 6) - 0.5)
        assert found[2, 0, 20 - down, 20 - across] >= weights[k] - 1e-6


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_weather_is_the_published_formula(severity, images):
    values = pixels(images)
    thick = [0.2, 0.5, 0.75, 1, 1.5][severity - 1]
    decay = [3, 3, 2.5, 2, 1.75][severity - 1]
    cloud = plasma(len(images), 32, decay, generator=seeded(3)).double().numpy()[..., None]
    most = values.max((1, 2, 3), keepdims=True)
    found = pixels(measure.fog(images, severity, generator=seeded(3)))
    assert np.abs(found - ((values + thick * cloud) * most / (most + thick)).clip(0, 1)).max() < 1e-5

    keep = [0.75, 0.5, 0.4, 0.3, 0.15][severity - 1]
    mean = values.mean((1, 2), keepdims=True)
    found = pixels(measure.contrast(images, severity))
    assert np.abs(found - ((values - mean) * keep + mean).clip(0, 1)).max() < 1e-5

    more = [0.05, 0.1, 0.15, 0.2, 0.3][severity - 1]
    found = pixels(measure.brightness(images, severity))[0, ::5, ::5].reshape(-1, 3)
    for old, new in zip(values[0, ::5, ::5].reshape(-1, 3), found, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*old)
        expected = colorsys.hsv_to_rgb(hue, saturation, min(value + more, 1))
        assert np.abs(np.array(expected) - new).max() < 1e-5


def test_snow_whitens_and_falls_both_ways_up(images):
    """With the flakes taken out, what is left is the published whitening."""
    for severity, keep in zip(range(1, 6), (0.95, 0.9, 0.9, 0.85, 0.8), strict=True):
        found = measure.snow(images, severity, generator=seeded(2)).double()
        grey = (images.double() * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
        white = torch.maximum(images.double(), grey * 1.5 + 0.5)
        flakes = found - (keep * images + (1 - keep) * white)
        assert float(flakes[found < 1].min()) > -1e-6  # flakes only add
        inner = (found < 0.999).all(1) & (found < 0.999).flip((2, 3)).all(1)
        layer = flakes.mean(1)
        assert torch.allclose(layer[inner], layer.flip((1, 2))[inner], atol=1e-5)


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_digital_ones_are_those_of_pil(severity, images):
    scale = [0.95, 0.9, 0.85, 0.75, 0.65][severity - 1]
    quality = [80, 65, 58, 50, 40][severity - 1]
    small = measure.pixelate(images, severity)
    packed = measure.jpeg_compression(images, severity)
    for image, blocky, jpeg in zip(images, small, packed, strict=True):
        picture = Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy())
        shrunk = picture.resize((int(32 * scale),) * 2, Image.BOX).resize((32, 32), Image.BOX)
        assert np.abs(np.asarray(shrunk) - (blocky * 255).permute(1, 2, 0).numpy()).max() <= 1.001
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        assert np.array_equal(
            np.asarray(Image.open(file)), (jpeg * 255).round().byte().permute(1, 2, 0).numpy()
        )


def test_elastic_is_an_affine_map_and_then_scipys_map_coordinates(images, monkeypatch):
    module = measure.elastic_transform.__globals__
    for severity, (strength, sigma) in zip(
        (2, 5), ((0.05 * 32, 0.2 * 32), (0.1 * 32, 0.03 * 32)), strict=True
    ):
        monkeypatch.setitem(module, "affine", lambda values, shift, generator=None: values)
        found = pixels(measure.elastic_transform(images, severity, generator=seeded(5)))
        generator = seeded(5)
        moved = [
            strength
            * ndimage.gaussian_filter(
                (2 * torch.rand(6, 1, 32, 32, generator=generator) - 1)[:, 0].double().numpy(),
                (0, sigma, sigma),
                mode="reflect",
                truncate=3,
            )
            for _ in range(2)
        ]
        rows, columns = np.mgrid[0:32, 0:32]
        for k, image in enumerate(pixels(images)):
            places = np.stack([rows + moved[1][k], columns + moved[0][k]])
            for c in range(3):
                expected = ndimage.map_coordinates(image[..., c], places, order=1, mode="reflect")
                assert np.abs(found[k, ..., c] - expected).max() < 2e-4
    same = affine(images, 0.0)
    assert (same - images).abs().max() < 1e-4
    one = affine(images, 2.5, generator=seeded(7))
    assert 0.005 < float((one - images).abs().mean()) < 0.2


@pytest.mark.parametrize("corruption", measure.COMMON, ids=lambda each: each.__name__)
@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2, 3, 40, 24)])
def test_each_changes_the_images_more_and_more_and_repeats_itself(corruption, shape, images):
    clean = torch.nn.functional.interpolate(images[: shape[0], : shape[1]], size=shape[2:], mode="bilinear")
    before = clean.clone()
    changes = []
    for severity in range(1, 6):
        one, two = (measure.corrupt(clean, corruption, severity, generator=seeded(1)) for _ in range(2))
        assert torch.equal(one, two) and one.shape == clean.shape
        assert bool(((one >= 0) & (one <= 1)).all())
        assert torch.allclose(one * 255, (one * 255).round(), atol=1e-4)
        changes.append(float((one - clean).square().mean()))
    assert torch.equal(clean, before)
    assert min(changes) > 0
    if corruption is not measure.elastic_transform:  # its published severities are no ladder
        assert changes[4] > changes[0]


def test_bad_input_is_named(images):
    with pytest.raises(ValueError, match="severity must be a whole number from 1 to 5, got 6"):
        measure.corrupt(images, measure.fog, 6)
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\], got -2 to 3; restore normalised"):
        measure.corrupt(torch.tensor([-2.0, 3.0]).view(1, 1, 1, 2), measure.fog)
    with pytest.raises(
        ValueError, match=r"\(B, 1, H, W\) or \(B, 3, H, W\), got \(6, 3, 32, 32\) torch.uint8"
    ):
        measure.corrupt((images * 255).byte(), measure.fog)


def test_robustness_is_the_accuracy_on_each_set(images):
    test = ml.data.load("fashion").test.subset(40, generator=seeded())

    def model(values):
        return torch.stack([values.mean((1, 2, 3)) * k for k in range(10)], 1)

    found = measure.robustness(
        model, test, corruptions=[measure.fog, measure.contrast], severities=[2, 5], seed=4
    )
    assert found.names == ("fog", "contrast") and found.accuracy.shape == (2, 2)
    again = measure.corrupted(test, measure.contrast, 5, seed=4)
    values, labels = again.batch(slice(None))
    assert float(found.accuracy[1, 1]) == pytest.approx(
        float((model(values).argmax(1) == labels).double().mean())
    )
    assert found.of("fog") == pytest.approx(float(found.accuracy[0].mean()))
    assert found.mean == pytest.approx(float(found.accuracy.mean()))
