"""Figures: all say what they show, keep it in a file, draw any name as it is, and have one look."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Iterator

import matplotlib
import numpy as np
import pytest
from PIL import Image

import mixlearn as ml
from mixlearn.page import style as look
from mixlearn.page.figures import Picture
from tests.page.figure_cases import CALIBRATION, EPOCHS, EVERY, HALVES, IMAGES, MIXED, POINTS, bent, boxed
from tests.refused import refused

figures = ml.figures


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
        before, _, saved = dict(matplotlib.rcParams), picture.png(), picture.png()  # the layout has settled
        data, metadata = picture._repr_mimebundle_()
        assert dict(matplotlib.rcParams) == before
        about = {"alt": picture.alt, "width": 700, "needs_background": "light"}
        assert metadata == {"image/png": about}
        assert data["text/plain"] == picture.alt
        words, light = _pixels(base64.b64decode(data["image/png"]))
        assert words["Description"] == picture.alt
        words, dark = _pixels(base64.b64decode(words["Dark"]))
        assert words["Description"] == picture.alt
        assert light.shape == dark.shape and light.shape[1] == 1400
        assert light[0, 0, 3] == dark[0, 0, 3] == 0  # the page's own ground
        for ink, paper in ((light, look.PAPER), (dark, look.DARK[look.PAPER])):
            frame = ink[ink[..., 3] == 255][:, :3].astype(float) / 255
            apart = np.abs(frame - _rgb(paper)).max(1)
            assert (apart > 0.5).mean() > 0.005  # something to be seen on it
        kept = [_pixels(saved)[1].astype(int), _pixels(picture._rendered(".png", dark=True))[1].astype(int)]
        apart = [np.abs(_pixels(picture.png())[1] - one).mean() for one in kept]
        assert apart[0] < 0.1 < 0.5 < apart[1]  # as it was before; layouts may move by a part of a pixel
        assert kept[0][..., 3].min() == 255
        assert np.allclose(kept[0][0, 0, :3] / 255, _rgb(look.PAPER), atol=0.01)

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


class TestNames:
    """Names are a reader's own: nothing in them is a formula or a command."""

    @pytest.mark.parametrize("name", [r"$\frac$ or a_b^c", "$1 or $2"])
    def test_any_name_is_drawn_as_it_is(self, name: str) -> None:
        pictures = [
            figures.images(IMAGES[:1], [name]),
            figures.batch(IMAGES, MIXED, [name] * 6),
            figures.plan(IMAGES, boxed(), 0, [name] * 6),
            figures.reliability({name: CALIBRATION}),
            figures.boundary({name: lambda x: x}, POINTS, HALVES, classes=[name, name]),
            figures.between({name: bent(0.2)}),
            figures.curves({name: EPOCHS}),
            figures.bars({name: 1.0}, name),
        ]
        for picture in pictures:
            assert name in picture.alt
            assert picture.png().startswith(b"\x89PNG")


class TestPicture:
    def test_too_few_words(self) -> None:
        refused(lambda: Picture(matplotlib.figure.Figure(), "a plot"), "20 characters or more, got 'a plot'")

    def test_closes_a_figure_of_pyplot(self) -> None:
        from matplotlib import pyplot

        figure, axes = pyplot.subplots()
        axes.plot([0, 1], [0, 1])
        Picture(figure, "A line that rises from 0 to 1.")
        assert not pyplot.fignum_exists(figure.number)

    def test_functions_leave_nothing_in_pyplot(self) -> None:
        from matplotlib import pyplot

        before = pyplot.get_fignums()
        figures.images(IMAGES)
        assert pyplot.get_fignums() == before

    @pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
    def test_save(self, suffix: str, tmp_path) -> None:
        words = "A grid of 6 images"
        path = figures.images(IMAGES).save(tmp_path / f"grid.{suffix}")
        body = path.read_bytes()
        assert words.encode() in body or words.encode("utf-16-be") in body
        again = figures.images(IMAGES).save(tmp_path / f"again.{suffix}")
        assert again.read_bytes() == body

    def test_save_elsewhere(self, tmp_path) -> None:
        with pytest.raises(ValueError, match=r"end in one of \.png, \.svg, \.pdf, got '\.gif'"):
            figures.images(IMAGES).save(tmp_path / "grid.gif")
        assert not list(tmp_path.iterdir())


class TestStyle:
    def test_says_which_extra_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib.style", None)
        with pytest.raises(ImportError, match=r'needs matplotlib: pip install "mixlearn\[lab\]"'):
            figures.images(IMAGES)

    def test_is_the_same_whatever_was_set_before(self) -> None:
        plain = figures.curves({"plain": EPOCHS}).png()
        with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "axes.facecolor": "black"}):
            assert figures.curves({"plain": EPOCHS}).png() == plain

    def test_words_in_colour_are_legible(self) -> None:
        paper, night = (_luminance(_linear(ground)) for ground in (look.PAPER, look.DARK[look.PAPER]))
        for colour in (*look.COLOURS, look.MUTED):
            contrast = (paper + 0.05) / (_luminance(_linear(colour)) + 0.05)
            assert contrast >= 4.5, colour
            contrast = (_luminance(_linear(look.DARK[colour])) + 0.05) / (night + 0.05)
            assert contrast >= 4.5, f"{colour} in the dark"

    @pytest.mark.parametrize("eyes", ["all cones", "no red", "no green", "no blue"])
    @pytest.mark.parametrize("colours", [look.COLOURS, [look.DARK[c] for c in look.COLOURS]])
    def test_colours_differ_for_all_eyes(self, eyes: str, colours: list[str]) -> None:
        seen = [_lab(_EYES[eyes] @ _linear(colour)) for colour in colours]
        apart = [np.linalg.norm(a - b) for k, a in enumerate(seen) for b in seen[:k]]
        assert min(apart) > 20

    def test_marks_differ_without_colour(self) -> None:
        for kinds in (look.MARKERS, look.LINES, look.HATCHES):
            assert len(set(kinds)) == len(kinds) == len(look.COLOURS)

    def test_what_was_drawn_outside_the_style_is_legible_in_the_dark(self) -> None:
        figure = look.canvas(1)
        figure.text(0.1, 0.2, "black by default", size=30)
        dark = _pixels(Picture(figure, "Words, black by default.")._rendered(".png", True, True))[1]
        assert {tuple(pixel) for pixel in dark[dark[..., 3] == 255]} == {(0xE4, 0xE6, 0xEA, 255)}

    def test_numbers_and_shares(self) -> None:
        assert look.number(-0.001, 1) == "0.0"
        assert look.number(-1.25, 1, signed=True) == "−1.2"
        assert look.percent(0.5, 1, signed=True) == "+50.0\u2009%"

    def test_spread(self) -> None:
        found = look.spread([1.0, 1.0, 1.05, 9.0], 0.5)
        assert found == pytest.approx([0.5166667, 1.0166667, 1.5166667, 9.0])


def _pixels(file: bytes) -> tuple[dict[str, str], np.ndarray]:
    with Image.open(io.BytesIO(file)) as image:
        image.load()
        return dict(image.text), np.asarray(image.convert("RGBA"))  # type: ignore[attr-defined]


def _rgb(colour: str) -> list[float]:
    return [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]


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
