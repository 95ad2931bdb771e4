"""Figures of numbers and of runs: lengths and lines are the values, with the intervals of their seeds."""

import math

import pytest

import mixlearn as ml
from mixlearn.train.records import Record
from tests.page.figure_cases import EPOCHS
from tests.refused import refused

figures = ml.figures


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
        refused(lambda: figures.bars(values, "time", marked=marked, logarithmic=logarithmic), words)


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
        from mixlearn.train.fit import History

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
        refused(lambda: figures.curves(runs, measure), words, error)

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
