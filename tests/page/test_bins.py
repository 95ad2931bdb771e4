"""The bins lab: its error in node is the package's, its bins hold equally many, and its state in Python."""

from functools import partial

import pytest
import torch

import mixlearn as ml
from mixlearn.page.bins import predicted
from tests.page import node
from tests.refused import refusals

in_node = partial(node.in_node, ("bins", "mix"))
SIGNED = torch.tensor(ml.widgets.bins_lab().predictions, dtype=torch.float64)
ERRORS = """return given.counts.map((count) => {
    const bins = js.binned(js.sorted(given.values), count, given.kind);
    return [js.ece(bins), bins.map((bin) => bin.n)]; });"""


def as_logits(signed):
    """Two-class logits whose softmax has these confidences, and the labels that make them right or wrong."""
    sure = signed.abs()
    return torch.stack([sure, 1 - sure], 1).log(), (signed < 0).long()


@pytest.mark.parametrize("n", [2200, 137])
def test_equal_width_is_the_package_s_calibration(n):
    values = SIGNED[SIGNED.abs() > 0.5][:n].clamp(-0.9999, 0.9999)  # two classes: no confidence below ½
    values[:4] = torch.tensor([0.6, -0.8, 0.7, -0.9])  # edges of bins
    logits, labels = as_logits(values)
    sure = logits.softmax(1).max(1).values
    signed = torch.where(values > 0, sure, -sure)
    counts = [*range(1, 41), 100]
    found = in_node(ERRORS, {"values": signed.tolist(), "kind": "width", "counts": counts})
    for count, (error, held) in zip(counts, found, strict=True):
        expected = ml.measure.calibration(logits, labels, count)
        assert error == pytest.approx(expected.ece, abs=1e-12) and held == expected.count.tolist(), count


@pytest.mark.parametrize("n", [2200, 137])
def test_equal_mass_holds_equally_many_in_order(n):
    values, counts = SIGNED[:n], [1, 2, 7, 15, 100]
    found = in_node(ERRORS, {"values": values.tolist(), "kind": "mass", "counts": counts})
    sure, order = values.abs().sort(stable=True)
    gap = sure - (values[order] > 0).double()
    for count, (error, held) in zip(counts, found, strict=True):
        ends = [b * n // count for b in range(count + 1)]
        parts = [gap[a:b].sum().abs() for a, b in zip(ends[:-1], ends[1:], strict=True)]
        assert error == pytest.approx(float(sum(parts)) / n, abs=1e-12)
        assert held == [b - a for a, b in zip(ends[:-1], ends[1:], strict=True)]
        assert max(held) - min(held) <= 1


def test_a_calibrated_network_is_right_as_often_as_it_is_confident():
    body = """const random = js.uniform(0), values = js.sorted(given);
        const all = Array.from({ length: 40 }, () => js.calibrated(values, random));
        return [values.map(Math.abs), all];"""
    sure, drawn = in_node(body, SIGNED.tolist())
    sure, drawn = torch.tensor(sure), torch.tensor(drawn)
    assert torch.equal(drawn.abs(), sure.expand(40, -1)) and bool((sure.diff() >= 0).all())
    right = (drawn > 0).double()
    error = (sure * (1 - sure)).mean().sqrt() / (40 * len(sure)) ** 0.5
    assert abs(right.mean() - sure.mean()) < 4 * error
    low = sure < 0.4
    assert abs(right[:, low].mean() - sure[low].mean()) < 0.01


def test_a_prediction_is_its_confidence_with_a_sign():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 5.0, 0.0]])
    found = predicted(logits, torch.tensor([0, 2]))
    assert found == [round(float(logits[0].softmax(0)[0]), 4), -round(float(logits[1].softmax(0)[1]), 4)]
    g = torch.Generator().manual_seed(0)
    logits, labels = 3 * torch.randn(50, 4, generator=g), torch.randint(4, (50,), generator=g)
    lab = ml.widgets.bins_lab(logits=logits, labels=labels)
    assert lab.used == 50 and sum(value > 0 for value in lab.predictions) == int(
        (logits.argmax(1) == labels).sum()
    )


LOGITS, LABELS = torch.eye(12), torch.arange(12)
test_wrong_arguments = refusals(
    ({"logits": LOGITS}, "logits and labels belong together"),
    ({"labels": LABELS}, "logits and labels belong together"),
    ({"logits": LOGITS[:9], "labels": LABELS[:9]}, r"used must lie in \[10, 9\], got 9"),
    ({"bins": 0}, r"bins must lie in \[1, 100\], got 0"),
    ({"bins": 101}, r"bins must lie in \[1, 100\], got 101"),
    ({"kind": "height"}, "kind must be one of width, mass, got 'height'"),
    ({"used": 2201}, r"used must lie in \[10, 2200\], got 2201"),
    by=lambda arguments: ml.widgets.bins_lab(**arguments),
)
