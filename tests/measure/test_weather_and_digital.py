"""Weather and digital corruptions, each against its published definition in numpy, scipy or PIL."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from mixlearn import measure
from mixlearn.measure import corruptions as warp
from mixlearn.measure.corruptions import affine
from tests.measure.arrays import pixels
from tests.seeds import seeded


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_weather_is_the_published_formula(severity, images):
    values = pixels(images)
    thick = [0.2, 0.5, 0.75, 1, 1.5][severity - 1]
    decay = [3, 3, 2.5, 2, 1.75][severity - 1]
    cloud = warp.plasma(len(images), 32, decay, generator=seeded(3)).double().numpy()[..., None]
    most = values.max((1, 2, 3), keepdims=True)
    found = pixels(measure.fog(images, severity, generator=seeded(3)))
    assert np.abs(found - ((values + thick * cloud) * most / (most + thick)).clip(0, 1)).max() < 1e-5

    keep = [0.75, 0.5, 0.4, 0.3, 0.15][severity - 1]
    mean = values.mean((1, 2), keepdims=True)
    found = pixels(measure.contrast(images, severity))
    assert np.abs(found - ((values - mean) * keep + mean).clip(0, 1)).max() < 1e-5

    import colorsys

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
