"""The style of the figures: legible, apart for all eyes, and the same wherever it is drawn."""

from __future__ import annotations

import subprocess
import sys

import matplotlib
import numpy as np
import pytest

import mixlearn as ml
from mixlearn.page import style as look

figures = ml.figures


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
