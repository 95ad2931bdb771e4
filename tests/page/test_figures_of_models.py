"""Figures of what a model says: reliability and the boundary between classes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import mixlearn as ml
from mixlearn.page import style as look
from tests.page.figure_cases import CALIBRATION, POINTS, shown

figures = ml.figures


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
