"""Figures of images and of plans: the pixels that are drawn are those that were given."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

import mixlearn as ml
from mixlearn.page.figures import Picture
from mixlearn.page.figures_images import pixels
from tests.page.figure_cases import IMAGES, MIXED, NAMES, boxed, four_parts, shown
from tests.refused import refused

figures = ml.figures


def tiles(picture: Picture) -> list[np.ndarray]:
    return [shown(axes) for axes in picture.figure.axes if axes.images]


def as_array(images: torch.Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).numpy()


class TestPixels:
    def test_undoes_normalisation(self) -> None:
        mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
        shift, scale = (torch.tensor(v).view(3, 1, 1) for v in (mean, std))
        assert np.allclose(pixels((IMAGES - shift) / scale, mean, std), as_array(IMAGES), atol=1e-6)

    def test_bytes_and_grey(self) -> None:
        grey = pixels(torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2))
        assert grey.tolist() == [[[[0.0] * 3, [1.0] * 3]]]

    @pytest.mark.parametrize(
        ("images", "options", "error", "words"),
        [
            (np.zeros((1, 3, 2, 2)), {}, TypeError, "images must be a tensor, got ndarray"),
            (torch.zeros(1, 4, 2, 2), {}, ValueError, r"\(B, 1 or 3, H, W\), got \(1, 4, 2, 2\)"),
            (torch.zeros(0, 3, 2, 2), {}, ValueError, r"got \(0, 3, 2, 2\)"),
            (torch.full((1, 1, 2, 2), -1.5), {}, ValueError, r"\[0, 1\], got -1.50 .*; give mean and std"),
            (torch.full((1, 1, 2, 2), math.nan), {}, ValueError, "got nan"),
            (IMAGES, {"mean": [0.5]}, ValueError, r"belong together, got mean=\[0.5\] and std=None"),
            (IMAGES, {"mean": [0.5], "std": [0.5]}, ValueError, "each of 3 channels"),
            (IMAGES, {"titles": ["one"]}, ValueError, "each of 6 images, got 1"),
            (IMAGES, {"columns": 0}, ValueError, "columns must be at least 1, got 0"),
        ],
    )
    def test_bad_input(self, images, options, error: type[Exception], words: str) -> None:
        refused(lambda: figures.images(images, **options), words, error)


class TestImages:
    def test_every_image_once_in_order(self) -> None:
        picture = figures.images(IMAGES, NAMES, columns=4)
        assert np.allclose(tiles(picture), as_array(IMAGES))
        assert picture.alt == "A grid of 6 images in 2 rows: dog, cat, owl, cat, koala, bison."
        boxes = [axes.get_position() for axes in picture.figure.axes]
        assert boxes[4].x0 == boxes[0].x0 and boxes[4].y0 < boxes[0].y0
        wide, high = picture.figure.get_size_inches()
        assert boxes[0].width * wide / (boxes[0].height * high) == pytest.approx(16 / 12)
        assert figures.images(IMAGES[:1]).alt == "A grid of 1 image in 1 row."

    def test_titles_of_several_lines_get_room(self) -> None:
        one = figures.images(IMAGES[:2], ["a", "b"])
        three = figures.images(IMAGES[:2], ["a", "b\nc\nd"])
        assert 0.25 < three.figure.get_figheight() - one.figure.get_figheight() < 0.32
        assert "a, b and c and d" in repr(three)


class TestPlan:
    def test_batch_shows_image_partner_mixture_and_label(self) -> None:
        picture = figures.batch(IMAGES, MIXED, NAMES, count=5)
        own, partner = as_array(IMAGES), as_array(IMAGES[MIXED.plan.partner])
        drawn = tiles(picture)
        assert len(drawn) == 15
        for k in range(5):
            expected = [own[k], partner[k], as_array(MIXED.images)[k]]
            assert np.allclose(drawn[3 * k : 3 * k + 3], expected, atol=1e-6)
            assert MIXED.plan.describe(k, NAMES) in picture.alt
        bars = [[bar.get_width() for bar in axes.patches] for axes in picture.figure.axes if axes.patches]
        lam = MIXED.plan.lam.tolist()
        assert bars[0] == pytest.approx([lam[0], 1 - lam[0]])
        assert bars[3] == pytest.approx([1.0])  # cat with cat
        assert bars[4] == pytest.approx([1.0])  # koala with itself

    def test_batch_undoes_normalisation_after_mixing(self) -> None:
        mixed = ml.mixup(4 * IMAGES - 2, lam=0.25, partner=torch.arange(6).roll(1))
        picture = figures.batch(4 * IMAGES - 2, mixed, count=1, mean=[0.5] * 3, std=[0.25] * 3)
        expected = as_array(0.25 * IMAGES[:1] + 0.75 * IMAGES[-1:])[0]
        assert np.allclose(tiles(picture)[2], expected, atol=1e-6)

    @pytest.mark.parametrize("make", [boxed, four_parts])
    def test_equation_adds_up(self, make: Callable[[], ml.MixPlan]) -> None:
        plan = make()
        picture = figures.plan(IMAGES, plan, 2, NAMES)
        *terms, mixture = tiles(picture)
        total = sum(image * mask[..., None] for image, mask in zip(terms[::2], terms[1::2], strict=True))
        assert np.allclose(total, mixture, atol=1e-6)
        assert np.allclose(mixture, as_array(plan.mix(IMAGES))[2], atol=1e-6)
        assert plan.describe(2, NAMES) in picture.alt
        assert plan.describe(2, NAMES) in [text.get_text() for text in picture.figure.texts]

    def test_one_share_for_all_pixels_is_written_into_its_mask(self) -> None:
        picture = figures.plan(IMAGES, MIXED, 2, NAMES)
        masks = [axes for axes in picture.figure.axes if axes.images and shown(axes).ndim == 2]
        lam = MIXED.plan.lam[2].item()
        assert [float(shown(axes)[0, 0]) for axes in masks] == pytest.approx([lam, 1 - lam])
        assert [axes.texts[0].get_text() for axes in masks] == [f"{lam:.2f}", f"{1 - lam:.2f}"]
        assert figures.plan(IMAGES, MIXED, -1, NAMES).alt == figures.plan(IMAGES, MIXED, 5, NAMES).alt

    @pytest.mark.parametrize("draw", [figures.batch, figures.plan])
    def test_refuses_what_does_not_belong(self, draw: Callable[..., Picture]) -> None:
        refused(lambda: draw(IMAGES, IMAGES), "a Mixed or a MixPlan, got Tensor", TypeError)
        refused(lambda: draw(IMAGES[:5], MIXED), "the 6 images that the plan mixes, got 5")
        refused(lambda: draw(IMAGES, MIXED, names=["dog"]), "each of 6 images, got 1")

    def test_refuses_numbers(self) -> None:
        refused(lambda: figures.batch(IMAGES, MIXED, count=0), "count must be at least 1, got 0")
        refused(lambda: figures.plan(IMAGES, MIXED, 6), "0…5 for 6 mixtures, got 6", IndexError)
