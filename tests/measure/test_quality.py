"""Prediction quality by hand and against loops, and mistakes that several networks share."""

import math

import pytest
import torch

import mixlearn as ml
from tests.refused import refused
from tests.seeds import seeded

measure = ml.measure


def said(rows):
    return torch.tensor(rows, dtype=torch.float64).log()


def looped(logits, labels, among=None):
    """The same, one image at a time."""
    true, four = [], []
    for k, (row, label) in enumerate(zip(logits.double(), labels.tolist(), strict=True)):
        p = [math.exp(value) for value in row.tolist()]
        p = [value / sum(p) for value in p]
        named = p.index(max(p))
        true.append(p[label])
        if named != label and (among is None or k in among):
            four.append((p[named], p[label], math.log(p[named]), math.log(p[label])))
    means = [sum(column) / len(four) for column in zip(*four, strict=True)]
    return [sum(true) / len(true), *means, len(four)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_as_a_loop_has_it(dtype):
    logits = (3 * torch.randn(60, 5, generator=seeded())).to(dtype)
    labels = torch.randint(5, (60,), generator=seeded(1))
    before = logits.clone()
    found = measure.prediction_quality(logits, labels)
    assert list(found) == pytest.approx(looped(logits, labels), abs=1e-9)
    among = (logits.argmax(1) != labels).nonzero()[::3, 0]
    found = measure.prediction_quality(logits, labels, among)
    assert list(found) == pytest.approx(looped(logits, labels, among.tolist()), abs=1e-9)
    assert torch.equal(logits, before)


def test_without_a_mistake_there_is_no_mean_over_mistakes():
    logits, labels = said([[0.9, 0.1], [0.4, 0.6]]), torch.tensor([0, 1])
    found = measure.prediction_quality(logits, labels)
    assert found.true == pytest.approx(0.75) and found.mistakes == 0
    assert all(math.isnan(value) for value in found[1:5])
    none = torch.zeros(0, dtype=torch.int64)
    wrong = measure.prediction_quality(logits, 1 - labels, none)  # mistakes, but none to look at
    assert wrong.true == pytest.approx(0.25) and wrong.mistakes == 0 and math.isnan(wrong.said)


def test_very_sure_answers_keep_their_logarithms():
    """Where the probability of the true class is 0 in single precision."""
    found = measure.prediction_quality(torch.tensor([[0.0, 300.0]]), torch.tensor([0]))
    assert found.log_missed == pytest.approx(-300) and found.log_said == pytest.approx(0, abs=1e-12)


def test_common_mistakes_are_those_of_all():
    labels = torch.randint(4, (80,), generator=seeded())
    many = [torch.randn(80, 4, generator=seeded(k)) for k in (1, 2, 3)]
    found = measure.common_mistakes(many, labels)
    expected = [k for k in range(80) if all(int(one[k].argmax()) != int(labels[k]) for one in many)]
    assert found.dtype == torch.int64 and found.tolist() == expected and 0 < len(expected) < 80
    own = [measure.prediction_quality(one, labels) for one in many]
    shared = [measure.prediction_quality(one, labels, found) for one in many]
    assert {one.mistakes for one in shared} == {len(expected)}
    assert all(a.true == b.true and a.said != b.said for a, b in zip(own, shared, strict=True))
    alone = measure.common_mistakes(many[:1], labels)
    assert torch.equal(alone, (many[0].argmax(1) != labels).nonzero()[:, 0])


def test_bad_answers_and_indices_are_named():
    for logits, labels, words in (
        (torch.zeros(2, 3), torch.tensor([0]), r"got \(2, 3\) and \(1,\)"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), "0…2, got 0 to 3"),
    ):
        with pytest.raises(ValueError, match=words):
            measure.prediction_quality(logits, labels)
        with pytest.raises(ValueError, match=words):
            measure.common_mistakes([logits], labels)
    for among, error, words in (
        (torch.tensor([True, False]), TypeError, "integer indices, got torch.bool"),
        (torch.tensor([0, 1]), ValueError, "got 1 that it gets right, such as 1"),
    ):
        with pytest.raises(error, match=words):
            measure.prediction_quality(5 * torch.eye(2), torch.tensor([1, 1]), among)


def test_common_mistakes_of_no_network_or_a_bare_tensor():
    refused(lambda: measure.common_mistakes([], torch.tensor([0])), "several networks, got none")
    with pytest.raises(ValueError, match=r"got one tensor \(2, 3\)"):
        measure.common_mistakes(torch.zeros(2, 3), torch.tensor([0, 0]))
