"""Figures of draws, densities, label lines and bars: lengths and lines are the values."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

import mixlearn as ml
from mixlearn.page.figures import Picture
from tests.seeds import seeded

figures = ml.figures


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
