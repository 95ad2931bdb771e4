"""Figures: what is drawn is what was given, and the words say it."""

from __future__ import annotations

import base64
import io
import math
import subprocess
import sys
from collections.abc import Callable, Iterator

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

import mixlearn as ml
from mixlearn.lab.runs import Record
from mixlearn.page import style as look
from mixlearn.page.figures import Cell, Picture
from mixlearn.page.show_images import pixels

figures = ml.figures


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


IMAGES = torch.rand(6, 3, 12, 16, generator=seeded(1))
NAMES = ["dog", "cat", "owl", "cat", "koala", "bison"]
MIXED = ml.mixup(
    IMAGES, alpha=1.0, per_image=True, partner=torch.tensor([1, 0, 3, 1, 4, 2]), generator=seeded(2)
)
POINTS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
CALIBRATION = ml.measure.calibration(
    3 * torch.randn(400, 5, generator=seeded(3)), torch.randint(5, (400,), generator=seeded(4)), bins=8
)
EPOCHS = [[{"epoch": e, "accuracy": 0.1 * e + 0.01 * s} for e in (2, 4)] for s in (0, 1, 2)]
ROWS = {
    "accuracy": [("plain", 0.80, 0.01), ("mixup", 0.82, math.nan)],
    "nll": [("plain", 0.6, 0.02), ("mixup", 0.5, 0.01)],
}
CELLS = [Cell(500, 10, 8, -0.12, 0.01), Cell(500, 160, 8, 0.015, 0.02), Cell(2000, 10, 16, 0.0)]


def four_parts() -> ml.MixPlan:
    own = torch.arange(6)
    sources = torch.stack([(own + k) % 6 for k in range(4)])
    columns = torch.arange(16) // 4
    masks = torch.stack([(columns == k).float().expand(6, 1, 12, 16) for k in range(4)])
    return ml.MixPlan(sources, masks, torch.full((4, 6), 0.25))


def boxed() -> ml.MixPlan:
    boxes = torch.tensor([[2, 3, 10, 9]]).expand(6, 4)
    masks = torch.ones(6, 1, 12, 16)
    masks[:, :, 3:9, 2:10] = 0
    return ml.MixPlan.pair(torch.arange(6).roll(1), masks.mean((1, 2, 3)), masks, boxes=boxes)


EVERY: dict[str, Callable[[], Picture]] = {
    "images": lambda: figures.images(IMAGES, NAMES),
    "strip": lambda: figures.strip(IMAGES[0], IMAGES[1]),
    "batch": lambda: figures.batch(IMAGES, MIXED, NAMES),
    "batch of parts": lambda: figures.batch(IMAGES, four_parts(), count=2),
    "plan": lambda: figures.plan(IMAGES, MIXED, 2, NAMES),
    "plan with a box": lambda: figures.plan(IMAGES, boxed(), 2, NAMES),
    "plan of parts": lambda: figures.plan(IMAGES, four_parts(), 2),
    "lam_histogram": lambda: figures.lam_histogram(ml.sample_lam(300, 0.4, generator=seeded()), 0.4),
    "beta_family": figures.beta_family,
    "label_lines": lambda: figures.label_lines(0.1),
    "reliability": lambda: figures.reliability(CALIBRATION),
    "reliability of four": lambda: figures.reliability(dict.fromkeys("abcd", CALIBRATION)),
    "boundary": lambda: figures.boundary({"a": lambda x: 4 * x}, POINTS, torch.tensor([0, 1, 0, 1])),
    "curves": lambda: figures.curves({"plain": EPOCHS, "mixup": EPOCHS[0]}),
    "comparison": lambda: figures.comparison(ROWS),
    "frontier": lambda: figures.frontier(CELLS),
    "bars": lambda: figures.bars({"flip": 0.9, "Mixup": 12.0}, "time in copies", marked=["Mixup"]),
    "dots": lambda: figures.bars({"flip": 0.9, "many letters indeed": 900.0}, "time", logarithmic=True),
}


@pytest.fixture(params=EVERY, scope="module")
def picture(request: pytest.FixtureRequest) -> Picture:
    before = dict(matplotlib.rcParams)
    made = EVERY[request.param]()
    assert dict(matplotlib.rcParams) == before
    return made


class TestEveryPicture:
    def test_says_what_it_shows(self, picture: Picture) -> None:
        assert len(picture.alt) >= 20
        assert picture.alt.endswith(".") and "  " not in picture.alt
        assert not any(mark in picture.alt for mark in ("nan", "None", "tensor", "{", "-0"))

    def test_the_words_travel_in_the_file(self, picture: Picture) -> None:
        before = dict(matplotlib.rcParams)
        data, metadata = picture._repr_mimebundle_()
        assert dict(matplotlib.rcParams) == before
        assert metadata == {"image/png": {"alt": picture.alt, "width": 700}}
        assert data["text/plain"] == picture.alt
        with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as image:
            assert image.text["Description"] == picture.alt  # type: ignore[attr-defined]
            shown = np.asarray(image.convert("RGBA"))
        assert shown.shape[1] == 1400
        assert shown[..., 3].min() == 255  # opaque: legible on a dark page too
        paper = [int(look.PAPER[k : k + 2], 16) for k in (1, 3, 5)]
        for corner in (shown[0, 0], shown[0, -1], shown[-1, 0], shown[-1, -1]):
            assert corner[:3].tolist() == paper

    def test_all_words_lie_inside(self, picture: Picture) -> None:
        with look.style():
            picture.figure.draw_without_rendering()
            wide, high = picture.figure.bbox.size
            for text in words(picture.figure):
                if not text.get_text().strip():
                    continue
                box = text.get_window_extent()
                inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= wide and box.y1 <= high
                assert inside, text.get_text()


def words(figure: matplotlib.figure.Figure) -> Iterator[matplotlib.text.Text]:
    """Every text that is drawn."""
    yield from figure.texts
    for axes in figure.axes:
        if not axes.axison:
            continue
        yield from (child for child in axes.get_children() if isinstance(child, matplotlib.text.Text))
        for axis in (axes.xaxis, axes.yaxis):
            yield axis.label
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    yield tick.label1


def shown(axes: matplotlib.axes.Axes) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())


def tiles(picture: Picture) -> list[np.ndarray]:
    return [shown(axes) for axes in picture.figure.axes if axes.images]


def bars(axes: matplotlib.axes.Axes) -> list[float]:
    return [bar.get_width() for bar in axes.patches]


def as_array(images: torch.Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).numpy()


class TestNames:
    """Names are a reader's own: nothing in them is a formula or a command."""

    @pytest.mark.parametrize("name", ["$1 or $2", r"$\frac$", "a_b^c", "</script><img onerror=alert(1)>"])
    def test_any_name_is_drawn_as_it_is(self, name: str) -> None:
        pictures = [
            figures.images(IMAGES[:1], [name]),
            figures.strip(IMAGES[0], IMAGES[1], [1.0, 0.0], names=(name, name)),
            figures.batch(IMAGES, MIXED, [name] * 6),
            figures.plan(IMAGES, boxed(), 0, [name] * 6),
            figures.label_lines(names=(name, name)),
            figures.reliability({name: CALIBRATION}),
            figures.boundary({name: lambda x: x}, POINTS, torch.tensor([0, 1, 0, 1]), classes=[name, name]),
            figures.curves({name: EPOCHS}),
            figures.comparison({"accuracy": [(name, 0.5, 0.1)]}),
            figures.bars({name: 1.0}, name),
        ]
        for picture in pictures:
            assert name in picture.alt
            assert picture.png().startswith(b"\x89PNG")


class TestPicture:
    def test_too_few_words(self) -> None:
        with pytest.raises(ValueError, match="20 characters or more, got 'a plot'"):
            Picture(matplotlib.figure.Figure(), "a plot")

    def test_closes_a_figure_of_pyplot(self) -> None:
        from matplotlib import pyplot

        figure, axes = pyplot.subplots()
        axes.plot([0, 1], [0, 1])
        Picture(figure, "A line that rises from 0 to 1.")
        assert not pyplot.fignum_exists(figure.number)

    def test_functions_leave_nothing_in_pyplot(self) -> None:
        from matplotlib import pyplot

        before = pyplot.get_fignums()
        figures.beta_family()
        assert pyplot.get_fignums() == before

    @pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
    def test_save(self, suffix: str, tmp_path) -> None:
        words = "Densities of Beta"
        path = figures.beta_family([1.0]).save(tmp_path / f"beta.{suffix}")
        body = path.read_bytes()
        assert words.encode() in body or words.encode("utf-16-be") in body
        again = figures.beta_family([1.0]).save(tmp_path / f"again.{suffix}")
        assert again.read_bytes() == body

    def test_save_elsewhere(self, tmp_path) -> None:
        with pytest.raises(ValueError, match=r"end in one of \.png, \.svg, \.pdf, got '\.gif'"):
            figures.beta_family([1.0]).save(tmp_path / "beta.gif")
        assert not list(tmp_path.iterdir())


class TestStyle:
    def test_says_which_extra_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib.style", None)
        with pytest.raises(ImportError, match=r'needs matplotlib: pip install "mixlearn\[lab\]"'):
            figures.beta_family()

    def test_matplotlib_waits_for_the_first_figure(self) -> None:
        code = "import sys, mixlearn; mixlearn.figures; sys.exit('matplotlib' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0

    def test_is_the_same_whatever_was_set_before(self) -> None:
        plain = figures.beta_family([0.4]).png()
        with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "axes.facecolor": "black"}):
            assert figures.beta_family([0.4]).png() == plain

    def test_words_in_colour_are_legible(self) -> None:
        paper = _luminance(_linear(look.PAPER))
        for colour in (*look.COLOURS, look.MUTED):
            contrast = (paper + 0.05) / (_luminance(_linear(colour)) + 0.05)
            assert contrast >= 4.5, colour

    @pytest.mark.parametrize("eyes", ["all cones", "no red", "no green", "no blue"])
    def test_colours_differ_for_all_eyes(self, eyes: str) -> None:
        seen = [_lab(_EYES[eyes] @ _linear(colour)) for colour in look.COLOURS]
        apart = [np.linalg.norm(a - b) for k, a in enumerate(seen) for b in seen[:k]]
        assert min(apart) > 20

    def test_marks_differ_without_colour(self) -> None:
        for kinds in (look.MARKERS, look.LINES, look.HATCHES):
            assert len(set(kinds)) == len(kinds) == len(look.COLOURS)

    def test_numbers_and_shares(self) -> None:
        assert look.number(-0.001, 1) == "0.0"
        assert look.number(-1.25, 1, signed=True) == "−1.2"
        assert look.percent(0.5, 1, signed=True) == "+50.0\u2009%"

    def test_spread(self) -> None:
        found = look.spread([1.0, 1.0, 1.05, 9.0], 0.5)
        assert found == pytest.approx([0.5166667, 1.0166667, 1.5166667, 9.0])


# Machado, Oliveira & Fernandes 2009, table 1, severity 1
_EYES = {
    "all cones": np.eye(3),
    "no red": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "no green": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "no blue": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def _linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _luminance(linear: np.ndarray) -> float:
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _lab(linear: np.ndarray) -> np.ndarray:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ linear.clip(0, 1) / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


class TestPixels:
    def test_undoes_normalisation(self) -> None:
        mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
        shift, scale = (torch.tensor(v).view(3, 1, 1) for v in (mean, std))
        assert np.allclose(pixels((IMAGES - shift) / scale, mean, std), as_array(IMAGES), atol=1e-6)

    def test_bytes_and_grey(self) -> None:
        found = pixels(torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2))
        assert found.tolist() == [[[[0.0] * 3, [1.0] * 3]]]

    @pytest.mark.parametrize(
        ("images", "mean", "error", "words"),
        [
            (np.zeros((1, 3, 2, 2)), None, TypeError, "images must be a tensor, got ndarray"),
            (torch.zeros(3, 2, 2), None, ValueError, r"\(B, 1 or 3, H, W\), got \(3, 2, 2\)"),
            (torch.zeros(1, 4, 2, 2), None, ValueError, r"got \(1, 4, 2, 2\)"),
            (torch.zeros(0, 3, 2, 2), None, ValueError, r"got \(0, 3, 2, 2\)"),
            (
                torch.full((1, 1, 2, 2), -1.5),
                None,
                ValueError,
                r"\[0, 1\], got -1.50 to -1.50; give mean and std",
            ),
            (torch.full((1, 1, 2, 2), math.nan), None, ValueError, "no NaN"),
            (torch.zeros(1, 1, 2, 2), [0.5], ValueError, r"belong together, got mean=\[0.5\] and std=None"),
        ],
    )
    def test_bad_input(self, images, mean, error: type[Exception], words: str) -> None:
        with pytest.raises(error, match=words):
            figures.images(images, mean=mean)

    def test_mean_of_other_channels(self) -> None:
        with pytest.raises(ValueError, match="each of 3 channels"):
            figures.images(IMAGES, mean=[0.5], std=[0.5])


class TestImages:
    def test_every_image_once_in_order(self) -> None:
        picture = figures.images(IMAGES, NAMES, columns=4)
        assert np.allclose(tiles(picture), as_array(IMAGES))
        assert picture.alt == "A grid of 6 images in 2 rows: dog, cat, owl, cat, koala, bison."
        boxes = [axes.get_position() for axes in picture.figure.axes]
        assert boxes[4].x0 == boxes[0].x0 and boxes[4].y0 < boxes[0].y0
        wide, high = picture.figure.get_size_inches()
        assert boxes[0].width * wide / (boxes[0].height * high) == pytest.approx(16 / 12)

    def test_one_image_without_a_title_still_has_words(self) -> None:
        assert figures.images(IMAGES[:1]).alt == "A grid of 1 image in 1 row."

    def test_bad_titles_and_columns(self) -> None:
        with pytest.raises(ValueError, match="each of 6 images, got 1"):
            figures.images(IMAGES, ["one"])
        with pytest.raises(ValueError, match="columns must be at least 1, got 0"):
            figures.images(IMAGES, columns=0)

    def test_strip(self) -> None:
        lams = [1.0, 0.7, 0.0]
        picture = figures.strip(IMAGES[0], IMAGES[1], lams, names=("dog", "cat"))
        a, b = as_array(IMAGES[:2])
        assert np.allclose(tiles(picture), [lam * a + (1 - lam) * b for lam in lams], atol=1e-6)
        assert [bars(axes)[0] for axes in picture.figure.axes if axes.patches] == lams
        assert picture.alt == "dog and cat mixed at 3 shares of dog: 1.00, 0.70, 0.00."

    def test_strip_refuses(self) -> None:
        with pytest.raises(ValueError, match=r"shares in \[0, 1\], at least one, got \[1.5\]"):
            figures.strip(IMAGES[0], IMAGES[1], [1.5])
        with pytest.raises(ValueError, match="at least one"):
            figures.strip(IMAGES[0], IMAGES[1], [])
        with pytest.raises(ValueError, match=r"one shape \(C, H, W\), got \(3, 12, 16\) and \(3, 12, 8\)"):
            figures.strip(IMAGES[0], IMAGES[1, :, :, :8])


class TestPlan:
    def test_batch_shows_image_partner_mixture_and_label(self) -> None:
        picture = figures.batch(IMAGES, MIXED, NAMES, count=5)
        own, partner = as_array(IMAGES), as_array(IMAGES[MIXED.plan.partner])
        mixtures = as_array(MIXED.images)
        found = tiles(picture)
        assert len(found) == 15
        for k in range(5):
            assert np.allclose(found[3 * k : 3 * k + 3], [own[k], partner[k], mixtures[k]], atol=1e-6)
        labels = [bars(axes) for axes in picture.figure.axes if axes.patches]
        lam = MIXED.plan.lam.tolist()
        assert labels[0] == pytest.approx([lam[0], 1 - lam[0]])
        assert labels[3] == pytest.approx([1.0])  # cat with cat
        assert labels[4] == pytest.approx([1.0])  # koala with itself
        for k in range(5):
            assert MIXED.plan.describe(k, NAMES) in picture.alt

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
        said = [text.get_text() for text in picture.figure.texts]
        assert plan.describe(2, NAMES) in said

    def test_one_share_for_all_pixels_is_written_into_its_mask(self) -> None:
        picture = figures.plan(IMAGES, MIXED, 2, NAMES)
        masks = [axes for axes in picture.figure.axes if axes.images and shown(axes).ndim == 2]
        lam = MIXED.plan.lam[2].item()
        assert [float(shown(axes)[0, 0]) for axes in masks] == pytest.approx([lam, 1 - lam])
        assert [axes.texts[0].get_text() for axes in masks] == [f"{lam:.2f}", f"{1 - lam:.2f}"]

    def test_last_mixture_by_a_negative_index(self) -> None:
        assert figures.plan(IMAGES, MIXED, -1, NAMES).alt == figures.plan(IMAGES, MIXED, 5, NAMES).alt

    @pytest.mark.parametrize("draw", [figures.batch, figures.plan])
    def test_refuses_what_does_not_belong(self, draw: Callable[..., Picture]) -> None:
        with pytest.raises(TypeError, match="a Mixed or a MixPlan, got Tensor"):
            draw(IMAGES, IMAGES)
        with pytest.raises(ValueError, match="the 6 images that the plan mixes, got 5"):
            draw(IMAGES[:5], MIXED)
        with pytest.raises(ValueError, match="each of 6 images, got 1"):
            draw(IMAGES, MIXED, names=["dog"])

    def test_refuses_numbers(self) -> None:
        with pytest.raises(ValueError, match="count must be at least 1, got 0"):
            figures.batch(IMAGES, MIXED, count=0)
        with pytest.raises(IndexError, match="0…5 for 6 mixtures, got 6"):
            figures.plan(IMAGES, MIXED, 6)


class TestDraws:
    def test_histogram_heights_are_counts(self) -> None:
        lams = ml.sample_lam(500, 0.4, generator=seeded())
        axes = figures.lam_histogram(lams, 0.4, bins=10).figure.axes[0]
        count, _ = np.histogram(lams.numpy(), bins=10, range=(0, 1))
        assert [bar.get_height() for bar in axes.patches] == pytest.approx(list(count * 10 / 500))
        density, mean = axes.lines
        exact = torch.distributions.Beta(0.4, 0.4).log_prob(torch.from_numpy(density.get_xdata())).exp()
        assert np.allclose(density.get_ydata(), exact, rtol=1e-5)
        assert mean.get_xdata()[0] == pytest.approx(lams.mean().item())

    def test_histogram_alone(self) -> None:
        picture = figures.lam_histogram([0.0, 1.0, 0.5, 0.95])
        assert picture.alt == "Histogram of 4 draws of λ, mean 0.61: 75 % lie within 0.1 of 0 or 1."
        assert len(picture.figure.axes[0].lines) == 1

    def test_family_is_exact(self) -> None:
        alphas = [0.3, 1.0, 5.0]
        axes = figures.beta_family(alphas).figure.axes[0]
        for alpha, line in zip(alphas, axes.lines, strict=True):
            exact = torch.distributions.Beta(alpha, alpha).log_prob(torch.from_numpy(line.get_xdata())).exp()
            assert np.allclose(line.get_ydata(), exact, rtol=1e-5)
        assert [text.get_text() for text in axes.texts] == ["α = 0.3", "α = 1", "α = 5"]

    def test_label_lines_follow_smooth(self) -> None:
        axes = figures.label_lines(0.1, 10).figure.axes[0]
        target = ml.smooth(torch.eye(10), 0.1)[0]
        ends = [line.get_ydata()[-1] for line in axes.lines]
        assert ends == pytest.approx([target[0].item(), target[1].item(), target[1].item(), 1.0, 0.0])

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (lambda: figures.lam_histogram([]), "at least one, got none"),
            (lambda: figures.lam_histogram([0.5, 1.2]), "in .0, 1., at least one, got 2 from 0.5 to 1.2"),
            (lambda: figures.lam_histogram([0.5, math.nan]), "draws in"),
            (lambda: figures.lam_histogram([0.5], 0.0), "alpha must be a positive number, got 0.0"),
            (lambda: figures.lam_histogram([0.5], math.nan), "alpha must be a positive number, got nan"),
            (lambda: figures.lam_histogram([0.5], bins=0), "bins must be at least 1, got 0"),
            (lambda: figures.beta_family([]), "one to 6 numbers, got 0"),
            (lambda: figures.beta_family([1.0] * 7), "one to 6 numbers, got 7"),
            (lambda: figures.beta_family([-1.0]), "alpha must be a positive number, got -1.0"),
            (lambda: figures.label_lines(1.0), r"epsilon must lie in \[0, 1\), got 1.0"),
            (lambda: figures.label_lines(0.1, 1), "num_classes must be at least 2, got 1"),
        ],
    )
    def test_bad_input(self, call: Callable[[], Picture], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            call()


class TestReliability:
    def test_bars_run_from_promise_to_accuracy(self) -> None:
        axes, strip = figures.reliability(CALIBRATION).figure.axes
        full = CALIBRATION.count > 0
        sure, right = CALIBRATION.confidence[full], CALIBRATION.accuracy[full]
        assert [bar.get_y() for bar in axes.patches] == pytest.approx(sure.tolist())
        assert [bar.get_height() for bar in axes.patches] == pytest.approx((right - sure).tolist(), abs=1e-6)
        assert axes.lines[1].get_xydata() == pytest.approx(torch.stack([sure, right], 1).numpy())
        share = (CALIBRATION.count / CALIBRATION.count.sum()).tolist()
        assert [bar.get_height() for bar in strip.patches] == pytest.approx(share)

    def test_an_empty_bin_has_no_bar(self) -> None:
        found = ml.measure.calibration(torch.tensor([[9.0, 0.0], [0.0, 0.1]]), torch.tensor([0, 0]), bins=4)
        axes = figures.reliability(found).figure.axes[0]
        assert len(axes.patches) == 2
        assert "2 predictions" in figures.reliability(found).alt

    def test_writes_ece_and_signed_gap(self) -> None:
        shy = ml.measure.calibration(torch.tensor([[0.2, 0.0]] * 4), torch.tensor([0] * 4))
        picture = figures.reliability({"shy": shy})
        assert [text.get_text() for text in picture.figure.texts] == [
            "shy",
            "ECE 45.0\u2009%,  gap −45.0\u2009%",
        ]
        words = "shy: ECE 45.0 %, confidence falls short of accuracy by 45.0 %, 4 predictions."
        assert picture.alt == f"Reliability diagram. {words}"

    def test_bad_input(self) -> None:
        with pytest.raises(ValueError, match="at least one calibration"):
            figures.reliability({})
        with pytest.raises(TypeError, match=r"found\['a'\] must be a Calibration, got float"):
            figures.reliability({"a": 0.5})  # type: ignore[dict-item]


class Half(torch.nn.Module):
    """Sure by x − ½."""

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return torch.stack([torch.zeros(len(points)), 4 * (points[:, 0] - 0.5)], 1)


class TestBoundary:
    def test_the_line_is_where_classes_are_equal(self) -> None:
        model = Half()
        picture = figures.boundary(
            {"half": model}, POINTS, torch.tensor([0, 0, 1, 0]), classes=["left", "right"]
        )
        assert model.training
        axes = picture.figure.axes[0]
        line = axes.collections[0].get_paths()[0].vertices
        assert np.allclose(line[:, 0], 0.5, atol=1e-3)
        # 90 % sure where 4 |x − ½| > log 9, on a plane from −0.15 to 1.15
        unsure = 2 * math.log(9) / 4 / 1.3
        said = int(picture.alt.partition("sure on ")[2].partition(" %")[0])
        assert said == pytest.approx(100 * unsure, abs=1)
        assert "3 points on their right side (75 %)" in picture.alt
        pixels = shown(axes)
        assert pixels.shape == (201, 201, 3)
        assert np.allclose(
            pixels[100, 100], [int(look.PAPER[k : k + 2], 16) / 255 for k in (1, 3, 5)], atol=1e-3
        )

    def test_points_stand_in_their_class(self) -> None:
        labels = torch.tensor([0, 1, 2, 2])
        picture = figures.boundary({"a": lambda x: torch.cat([x, 1 - x[:, :1]], 1)}, POINTS, labels)
        groups = [c.get_offsets() for c in picture.figure.axes[0].collections if len(c.get_offsets())]
        dots = [np.asarray(group) for group in groups][-3:]
        assert [len(group) for group in dots] == [1, 1, 2]
        assert np.allclose(dots[2], POINTS[2:])

    @pytest.mark.parametrize(
        ("models", "points", "labels", "classes", "words"),
        [
            ({}, POINTS, [0, 1, 0, 1], None, "at least one model"),
            ({"a": Half()}, POINTS[:, :1], [0, 1, 0, 1], None, r"\(N, 2\), got \(4, 1\)"),
            ({"a": Half()}, POINTS, [0, 1], None, r"each of 4 points, got \(2,\)"),
            ({"a": Half()}, POINTS, [0, 1, 2, 0], None, r"0…1 to go with the logits, got 0 to 2"),
            ({"a": Half()}, POINTS, [0, 1, 0, 1], ["x"], "each of 2 classes, got 1"),
            ({"a": lambda x: x[:, :1]}, POINTS, [0, 1, 0, 1], None, "model 'a' must take .* C ≥ 2"),
            (
                {"a": Half(), "b": lambda x: torch.cat([x, x], 1)},
                POINTS,
                [0, 1, 0, 1],
                None,
                "agree on 2 classes, 'b' has 4",
            ),
        ],
    )
    def test_bad_input(self, models, points, labels, classes, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            figures.boundary(models, points, torch.tensor(labels), classes=classes)

    def test_float_labels(self) -> None:
        with pytest.raises(TypeError, match=r"integer class ids, got torch.float32"):
            figures.boundary({"a": Half()}, POINTS, torch.zeros(4))


def record(name: str, finals: list[float], **settings: object) -> Record:
    runs = [
        {
            "seed": seed,
            "environment": {},
            "seconds": 1.0,
            "peak_memory": 1,
            "epochs": [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5, "accuracy": value}],
            "final": {"test": {"accuracy": value, "nll": 1 - value}},
        }
        for seed, value in enumerate(finals)
    ]
    return Record(
        name, "command", {"network": "ResNet-8, width 16", **settings}, {"name": "fashion"}, tuple(runs)
    )


class TestRuns:
    def test_mean_and_band(self) -> None:
        axes = figures.curves({"plain": EPOCHS}).figure.axes[0]
        line = axes.lines[0]
        assert line.get_xdata().tolist() == [2, 4]
        assert line.get_ydata() == pytest.approx([21.0, 41.0])
        half = 4.302653 * 1.0 / math.sqrt(3)  # Student's t at two degrees of freedom; deviation 1 point
        heights = axes.collections[0].get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(21 - half, abs=1e-4)
        assert heights.max() == pytest.approx(41 + half, abs=1e-4)

    @pytest.mark.parametrize("kind", ["record", "history", "histories"])
    def test_whatever_holds_epochs(self, kind: str) -> None:
        from mixlearn.lab.fit import History

        runs = {
            "record": record("a-plain", [0.5, 0.7]),
            "history": History([{"epoch": 2, "accuracy": 0.6}]),
            "histories": [History([{"epoch": 2, "accuracy": value}]) for value in (0.5, 0.7)],
        }[kind]
        line = figures.curves({"a": runs}).figure.axes[0].lines[0]
        assert list(line.get_xdata()) == [2]  # the first epoch was not measured
        assert line.get_ydata() == pytest.approx([60.0])

    def test_several_measures(self) -> None:
        epochs = [{"epoch": 1, "accuracy": 0.5, "nll": 2.0}, {"epoch": 2, "accuracy": 0.6, "nll": 1.5}]
        picture = figures.curves({"a": epochs}, ["accuracy", "nll"])
        assert [list(axes.lines[0].get_ydata()) for axes in picture.figure.axes] == [[50, 60], [2.0, 1.5]]
        assert picture.alt == (
            "Training curves, accuracy (%). a: from 50.0 at epoch 1 to 60.0 at epoch 2, 1 seed. "
            "negative log-likelihood. a: from 2.000 at epoch 1 to 1.500 at epoch 2, 1 seed."
        )

    @pytest.mark.parametrize(
        ("runs", "measure", "error", "words"),
        [
            ({}, "accuracy", ValueError, "one to 6 names, got 0"),
            ({"a": EPOCHS}, [], ValueError, "one to three keys of the epochs, got 0"),
            ({"a": EPOCHS}, "nll", ValueError, "'nll' is in no epoch of 'a'; there are: accuracy"),
            (
                {"a": 0.5},
                "accuracy",
                TypeError,
                r"runs\['a'\] must be a Record, a History or a list .* float 0.5",
            ),
            ({"a": []}, "accuracy", TypeError, r"runs\['a'\] must be"),
        ],
    )
    def test_bad_curves(self, runs, measure, error: type[Exception], words: str) -> None:
        with pytest.raises(error, match=words):
            figures.curves(runs, measure)

    def test_comparison_draws_means_and_intervals(self) -> None:
        picture = figures.comparison(ROWS)
        accuracy, nll = picture.figure.axes
        lines = [line.get_xydata().tolist() for line in accuracy.lines[1:]]
        assert lines[0] == [pytest.approx([79.0, 0]), pytest.approx([81.0, 0])]
        assert lines[1] == [pytest.approx([80.0, 0])]
        assert lines[2] == [pytest.approx([82.0, 1])]  # one run alone: no interval
        assert len(nll.lines) == 5
        assert [text.get_text() for text in nll.texts] == ["0.600 ± 0.020", "0.500 ± 0.010"]
        low, high = accuracy.get_ylim()
        assert low > high  # the first row on top
        assert picture.alt == (
            "Means with their 95 % intervals. accuracy (%): plain 80.0 ± 1.0, mixup 82.0; "
            "negative log-likelihood: plain 0.600 ± 0.020, mixup 0.500 ± 0.010."
        )

    def test_comparison_of_records(self) -> None:
        records = {"plain": record("a-plain", [0.5, 0.7]), "mixup": record("a-mixup", [0.6, 0.8])}
        axes = figures.comparison(records, ["test/accuracy"]).figure.axes[0]
        assert axes.lines[2].get_xdata() == pytest.approx([60.0])
        assert axes.lines[4].get_xdata() == pytest.approx([70.0])
        with pytest.raises(ValueError, match="'a-plain' has no measure 'ece'; there are: accuracy"):
            figures.comparison(records, ["ece"])

    @pytest.mark.parametrize(
        ("rows", "words"),
        [
            ({}, "at least one row, got none"),
            ({"accuracy": []}, "same rows"),
            ({"a": [("x", 1, 0)], "b": [("y", 1, 0)]}, r"same order, got \[\['x'\], \['y'\]\]"),
            ({key: [("x", 1, 0)] for key in "abcde"}, "one to four, a panel each, got 5"),
        ],
    )
    def test_bad_comparison(self, rows, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            figures.comparison(rows)


class TestFrontier:
    def test_draws_every_setting_with_its_interval(self) -> None:
        picture = figures.frontier(CELLS)
        narrow, wide = picture.figure.axes
        zero, line, first, second = narrow.lines
        assert set(zero.get_ydata()) == {0}
        assert line.get_ydata() == pytest.approx([-12.0, 1.5])
        assert line.get_xdata() == pytest.approx([10, 160], rel=0.1)
        assert first.get_ydata() == pytest.approx([-13.0, -11.0])
        assert second.get_ydata() == pytest.approx([-0.5, 3.5])
        assert narrow.get_xscale() == "log"
        assert wide.lines[1].get_ydata() == [0.0]
        assert len(wide.lines) == 2  # one run alone: no interval
        assert [text.get_text() for text in narrow.texts] == ["mixing pays", "500 images"]
        assert [text.get_text() for text in wide.texts] == ["2\u2009000 images"]
        picture.figure.draw_without_rendering()
        assert "no effect" in [tick.get_text() for tick in narrow.get_yticklabels()]
        assert "Width 8, 500 images: −12.0 ± 1.0 after 10 epochs, +1.5 ± 2.0 after 160 epochs." in picture.alt

    def test_differences_go_seed_by_seed(self) -> None:
        records = [
            record("s-plain", [0.50, 0.60, 0.9], images=500, epochs=10),
            record("s-mixup", [0.52, 0.64], images=500, epochs=10),
            record("alone-mixup", [0.5], images=500, epochs=40),
        ]
        (cell,) = figures.differences(records)
        assert cell[:3] == (500, 10, 16)
        assert cell.mean == pytest.approx(0.03)
        assert cell.half == pytest.approx(12.7062 * 0.01, rel=1e-4)
        (loss,) = figures.differences(records, "test/nll")
        assert loss.mean == pytest.approx(-0.03)

    def test_bad_input(self) -> None:
        with pytest.raises(ValueError, match="at least one setting, got none"):
            figures.frontier([])
        with pytest.raises(ValueError, match=r"\(images, epochs, width\) = \(500, 10, 8\) twice"):
            figures.frontier([CELLS[0], CELLS[0]])
        with pytest.raises(ValueError, match="at most 6 numbers of images and 3 widths"):
            figures.frontier([Cell(500, 10, width, 0.0) for width in (1, 2, 3, 4)])


class TestBars:
    def test_lengths_are_the_values(self) -> None:
        axes = figures.bars({"b": 2.0, "a": 0.5}, "time in copies of the batch").figure.axes[0]
        assert [bar.get_width() for bar in axes.patches] == [2.0, 0.5]
        low, high = axes.get_ylim()
        assert low > high  # the first on top
        assert [text.get_text() for text in axes.texts] == ["2.0", "0.50"]

    def test_dots_on_a_logarithmic_axis(self) -> None:
        axes = figures.bars({"b": 2.0, "a": 40.0}, "time in copies", logarithmic=True).figure.axes[0]
        dots = [line.get_xydata()[0].tolist() for line in axes.lines if line.get_marker() == "o"]
        assert dots == [[2.0, 0.0], [40.0, 1.0]]
        assert axes.get_xscale() == "log" and not axes.patches

    @pytest.mark.parametrize(
        ("values", "marked", "logarithmic", "words"),
        [
            ({}, [], False, "at least one quantity"),
            ({"a": -1.0}, [], False, r"values\['a'\] must be finite and 0 or more, got -1.0"),
            ({"a": 0.0}, [], True, "finite and above 0, got 0.0"),
            ({"a": math.inf}, [], False, "got inf"),
            ({"a": 1.0}, ["b"], False, r"marked must be names of values, got \['b'\]"),
        ],
    )
    def test_bad_input(self, values, marked, logarithmic: bool, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            figures.bars(values, "time", marked=marked, logarithmic=logarithmic)
