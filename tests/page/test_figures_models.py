"""Figures of networks: between images, over planes, and how sure they are."""

import math

import numpy as np
import pytest
import torch

import mixlearn as ml
from tests.page.figure_cases import CALIBRATION, HALVES, LAM, POINTS, bent, shown
from tests.refused import refused
from tests.seeds import seeded

figures, measure = ml.figures, ml.measure


class TestBetween:
    def test_lines_are_what_was_found(self) -> None:
        found = {"plain": bent(0.8, True), "Mixup": bent(0.2, True)}
        panels = figures.between(found).figure.axes
        for axes, key, factor in zip(panels, ("misses", "logits", "features"), (100, 1, 1), strict=True):
            for line, one in zip(axes.lines, found.values(), strict=True):
                assert line.get_xdata() == pytest.approx(LAM.tolist())
                assert line.get_ydata() == pytest.approx((factor * getattr(one, key)).tolist())
            assert axes.get_ylim()[0] == 0
        assert (
            len(figures.between({"a": bent(0.8, True), "b": bent(0.2)}).figure.axes) == 2
        )  # not all have them

    def test_lines_differ_without_colour_and_the_key_shows_each(self) -> None:
        figure = figures.between({f"net {k}": bent(k / 5) for k in range(6)}).figure
        panel, (key,) = figure.axes[0], figure.legends
        marks = [(line.get_marker(), line.get_color()) for line in panel.lines]
        assert len({marker for marker, _ in marks}) == len({colour for _, colour in marks}) == 6
        assert marks == [(line.get_marker(), line.get_color()) for line in key.get_lines()]
        assert [text.get_text() for text in key.get_texts()] == [f"net {k}" for k in range(6)]

    def test_words(self) -> None:
        said = "neither class named for 50.0 % at λ = 0.5 and 10.0 % at the ends, logits 0.80 off the line"
        assert figures.between({"plain": bent(0.8)}).alt == (
            f"Between pairs of images of different classes. plain: {said} at λ = 0.5."
        )

    def test_a_measured_network(self) -> None:
        few = ml.data.load("fashion").test.subset(20, generator=seeded())
        net = ml.nets.resnet(8, 10, width=4, channels=1, generator=seeded())
        found = measure.between(net, few, steps=3, stage="pool", count=8, generator=seeded())
        line = figures.between({"net": found}).figure.axes[2].lines[0]
        assert line.get_ydata() == pytest.approx(found.features.tolist())

    def test_bad_input(self) -> None:
        refused(lambda: figures.between({}), "one to 6 networks, got 0")
        wrong = {"a": {}}
        refused(lambda: figures.between(wrong), r"found\['a'\] must be a Between, got dict", TypeError)


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
        found = measure.calibration(torch.tensor([[9.0, 0.0], [0.0, 0.1]]), torch.tensor([0, 0]), bins=4)
        picture = figures.reliability(found)
        assert len(picture.figure.axes[0].patches) == 2 and "2 predictions" in picture.alt

    def test_writes_ece_and_signed_gap(self) -> None:
        shy = measure.calibration(torch.tensor([[0.2, 0.0]] * 4), torch.tensor([0] * 4))
        picture = figures.reliability({"shy": shy})
        axes = picture.figure.axes[0]
        assert axes.get_title(loc="left") == "ECE 45.0\u2009%,  gap −45.0\u2009%"
        assert "shy" in [text.get_text() for text in axes.texts]
        words = "shy: ECE 45.0 %, confidence falls short of accuracy by 45.0 %, 4 predictions."
        assert picture.alt == f"Reliability diagram. {words}"

    def test_bad_input(self) -> None:
        refused(lambda: figures.reliability({}), "at least one calibration")
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
        labels = torch.tensor([0, 0, 1, 0])
        picture = figures.boundary({"half": model}, POINTS, labels, classes=["left", "right"])
        assert model.training
        axes = picture.figure.axes[0]
        assert np.allclose(axes.collections[0].get_paths()[0].vertices[:, 0], 0.5, atol=1e-3)
        # 90 % sure where 4 |x − ½| > log 9, on a plane from −0.15 to 1.15
        unsure = 2 * math.log(9) / 4 / 1.3
        share = int(picture.alt.partition("sure on ")[2].partition(" %")[0])
        assert share == pytest.approx(100 * unsure, abs=1)
        assert "3 points on their right side (75 %)" in picture.alt
        assert shown(axes).shape == (201, 201, 4)
        assert shown(axes)[100, 100, 3] == pytest.approx(0, abs=1e-3)  # no class leads
        sides = shown(axes)[100, [0, 200], 3]
        assert 0.3 < sides[0] == pytest.approx(sides[1], abs=1e-3)

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
            ({}, POINTS, HALVES, None, "at least one model"),
            ({"a": Half()}, POINTS[:, :1], HALVES, None, r"\(N, 2\), got \(4, 1\)"),
            ({"a": Half()}, POINTS, HALVES[:2], None, r"labels must have shape \(4,\), got \(2,\)"),
            ({"a": Half()}, POINTS, 2 * HALVES, None, r"0…1 for 2 classes, got 0 to 2"),
            ({"a": Half()}, POINTS, HALVES, ["x"], "each of 2 classes, got 1"),
            ({"a": lambda x: x[:, :1]}, POINTS, HALVES, None, "model 'a' must take .* C ≥ 2"),
            ({"a": Half(), "b": lambda x: torch.cat([x, x], 1)}, POINTS, HALVES, None, "agree .*'b': 4"),
        ],
    )
    def test_bad_input(self, models, points, labels, classes, words: str) -> None:
        refused(lambda: figures.boundary(models, points, labels, classes=classes), words)
