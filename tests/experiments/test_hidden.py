"""Hidden and mixed images, against the definition."""

import pytest
import torch

import mixlearn as ml
from experiments.hidden import hide, in_between, middle, occlusion
from tests.refused import refused


def test_hiding_middle_and_border():
    images = torch.rand(2, 3, 9, 12) + 1
    for share in (0.0, 0.3, 0.5, 1.0):
        x0, y0, x1, y1 = middle(9, 12, share)[0].tolist()
        inner, border = hide(images, share), hide(images, share, border=True)
        assert torch.equal(inner + border, images)
        assert int((inner[0, 0] == 0).sum()) == (x1 - x0) * (y1 - y0) == round(9 * share) * round(12 * share)
        assert bool((border[:, :, y0:y1, x0:x1] > 0).all())
    refused(lambda: hide(images, 1.5), r"share must lie in \[0, 1\], got 1.5")


def test_occlusion_and_in_between_of_a_known_model():
    images = torch.full((8, 1, 4, 4), 255, dtype=torch.uint8)
    images[::2] = 51
    data = ml.data.ImageSet(images, torch.arange(8) % 2, mean=(0.0,), std=(1.0,))

    def bright(values):  # class 1 above 0.5, class 2 in between, class 0 below 0.3
        mean = values.mean((1, 2, 3))
        return torch.stack([0.3 - mean, mean - 0.9, torch.where((mean > 0.3) & (mean < 0.9), 9.0, -9.0)], 1)

    assert occlusion(bright, data, [0.0, 1.0]).tolist() == [1.0, 0.5]
    assert occlusion(bright, data, [1.0, 0.0], border=True).tolist() == [1.0, 0.5]
    assert in_between(bright, data, [1.0, 0.0]).tolist() == [0.0, 0.0]
    half = float(in_between(bright, data, [0.5], pairs=4000)[0])
    assert half == pytest.approx(0.5, abs=0.03)  # pairs of unlike images, blended half and half
    boxed = in_between(bright, data, [0.0, 1.0, 0.5], box=True, pairs=4000)
    assert boxed[:2].tolist() == [0.0, 0.0] and float(boxed[2]) == pytest.approx(0.5, abs=0.03)
