"""Figures: all of them say what they show, keep it in a file, and draw any name as it is."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

import mixlearn as ml
from mixlearn.page import style as look
from mixlearn.page.figures import Picture
from tests.page.figure_cases import (
    CALIBRATION,
    CELLS,
    EPOCHS,
    IMAGES,
    MIXED,
    NAMES,
    POINTS,
    boxed,
    four_parts,
)
from tests.seeds import seeded

figures = ml.figures


EVERY: dict[str, Callable[[], Picture]] = {
    "images": lambda: figures.images(IMAGES, NAMES),
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


class TestNames:
    """Names are a reader's own: nothing in them is a formula or a command."""

    @pytest.mark.parametrize("name", ["$1 or $2", r"$\frac$", "a_b^c", "</script><img onerror=alert(1)>"])
    def test_any_name_is_drawn_as_it_is(self, name: str) -> None:
        pictures = [
            figures.images(IMAGES[:1], [name]),
            figures.batch(IMAGES, MIXED, [name] * 6),
            figures.plan(IMAGES, boxed(), 0, [name] * 6),
            figures.label_lines(names=(name, name)),
            figures.reliability({name: CALIBRATION}),
            figures.boundary({name: lambda x: x}, POINTS, torch.tensor([0, 1, 0, 1]), classes=[name, name]),
            figures.curves({name: EPOCHS}),
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
