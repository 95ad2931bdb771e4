"""Nearest neighbours and their votes against loops that follow the definition word by word."""

import math
import sys

import pytest
import torch

import mixlearn as ml
from tests.seeds import seeded

measure = ml.measure
room = sys.modules[ml.measure.nearest.__module__]


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


def naive_nearest(bank, query, k):
    sims = [(-cosine(row, query), i) for i, row in enumerate(bank)]
    return [i for _, i in sorted(sims)[:k]], [-s for s, _ in sorted(sims)[:k]]


def naive_accuracy(bank, classes, features, labels, k, temperature):
    right = 0
    for query, label in zip(features, labels, strict=True):
        votes = dict.fromkeys(sorted(set(classes)), 0.0)
        for i, sim in zip(*naive_nearest(bank, query, k), strict=True):
            votes[classes[i]] += math.exp(sim / temperature)
        right += max(votes, key=votes.get) == label  # the first of equal ones
    return right / len(labels)


def clouds(count=30, queries=17, width=6, classes=4, seed=0):
    generator = seeded(seed)
    middle = torch.randn(classes, width, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (count + queries,), generator=generator)
    values = middle[labels] + torch.randn(len(labels), width, generator=generator, dtype=torch.float64)
    return values[:count], labels[:count], values[count:], labels[count:]


@pytest.mark.parametrize("k", [1, 3, 30])
def test_neighbours_are_those_of_the_definition(k):
    bank, _, queries, _ = clouds()
    kept = bank.clone(), queries.clone()
    found = measure.nearest(bank, queries, k)
    for row, query in enumerate(queries.tolist()):
        indices, similarities = naive_nearest(bank.tolist(), query, k)
        assert found.indices[row].tolist() == indices
        assert found.similarities[row].tolist() == pytest.approx(similarities)
    assert torch.equal(bank, kept[0]) and torch.equal(queries, kept[1])
    assert measure.nearest(bank, bank, 1).indices[:, 0].tolist() == list(range(30))
    turned = measure.nearest(bank, queries * torch.rand(17, 1, generator=seeded()).double(), k)
    assert torch.equal(turned.indices, found.indices)


def test_pieces_make_no_difference(monkeypatch):
    bank, _, queries, _ = clouds()
    whole = measure.nearest(bank, queries, 5)
    for most in (1, 100):  # one and three queries at a time
        monkeypatch.setattr(room, "AT_ONCE", most)
        found = measure.nearest(bank, queries, 5)
        assert torch.equal(found.indices, whole.indices)
        assert torch.allclose(found.similarities, whole.similarities, atol=1e-12)


def test_of_equal_similarities_the_lower_index_comes_first():
    bank = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [0.0, -1.0], [3.0, 0.0], [1.0, 0.0]])
    query = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    for k, expected in enumerate([[1], [1, 2], [1, 2, 4], [1, 2, 4, 5], [1, 2, 4, 5, 0]], 1):
        assert measure.nearest(bank, query, k).indices[0].tolist() == expected
    assert measure.nearest(bank, query, 6).indices.tolist() == [[1, 2, 4, 5, 0, 3], [0, 1, 2, 4, 5, 3]]
    assert measure.nearest(bank, query, 2).indices[1].tolist() == [0, 1]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_length_does_not_matter(scale):
    bank, _, queries, _ = (one.float() for one in clouds())
    plain = measure.nearest(bank, queries, 4)
    found = measure.nearest(bank * scale, queries * scale, 4)
    assert torch.equal(found.indices, plain.indices)
    assert torch.allclose(found.similarities, plain.similarities, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.001, 0.07, 50.0])
def test_votes_are_those_of_the_definition(temperature):
    for seed in range(2):
        given = clouds(seed=seed)
        plain = [one.tolist() for one in given]
        ks = [1, 2, 5, 30]
        found = measure.knn_accuracy(*given, k=ks, temperature=temperature)
        if temperature > 0.01:  # exp(1000) is beyond a loop's numbers
            assert found == {k: pytest.approx(naive_accuracy(*plain, k, temperature)) for k in ks}
        else:  # the nearest alone counts
            assert set(found.values()) == {naive_accuracy(*plain, 1, 1.0)}
        for k in ks:
            assert measure.knn_accuracy(*given, k=k, temperature=temperature) == found[k]


def test_weights_decide():
    """One near neighbour against two farther ones: which wins is a matter of the temperature."""
    bank = torch.tensor([[1.0, 0.0], [1.0, 0.5], [1.0, -0.5]])
    given = bank, torch.tensor([0, 1, 1]), torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    gap = 1 - 1 / math.hypot(1, 0.5)  # of the cosines; the votes are equal at gap / log 2
    assert measure.knn_accuracy(*given, k=3, temperature=0.99 * gap / math.log(2)) == 1
    assert measure.knn_accuracy(*given, k=3, temperature=1.01 * gap / math.log(2)) == 0
    assert measure.knn_accuracy(*given, k=1, temperature=100.0) == 1


def test_of_equal_votes_the_lower_class_is_named():
    bank = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    query = torch.tensor([[1.0, 0.0]])
    for classes in ([2, 1], [1, 2]):
        for label, right in ((1, 1.0), (2, 0.0)):
            given = bank, torch.tensor(classes), query, torch.tensor([label])
            assert measure.knn_accuracy(*given, k=2) == right


ONE = torch.ones(3, 2)


@pytest.mark.parametrize(
    ("bank", "queries", "k", "words"),
    [
        (ONE, torch.ones(3, 4), 1, r"got \(3, 2\) and \(3, 4\)"),
        (ONE, ONE, 4, "k must lie in 1…3, the rows of the bank, got 4"),
        (ONE, ONE, True, "got True"),
        (ONE.clone().fill_(torch.nan), ONE, 1, "the bank must be finite, got NaN"),
        (ONE, torch.zeros(1, 2), 1, "the queries must have a direction, got length 0 in row 0"),
    ],
)
def test_bad_features_are_named(bank, queries, k, words):
    with pytest.raises(ValueError, match=words):
        measure.nearest(bank, queries, k)


def test_bad_votes_are_named():
    given = ONE, torch.tensor([0, 1, 1]), ONE, torch.tensor([0, 1, 1])
    with pytest.raises(ValueError, match="temperature must be positive and finite, got 0"):
        measure.knn_accuracy(*given, k=1, temperature=0)
    with pytest.raises(ValueError, match="k must lie in 1…3, the rows of the bank, got 20"):
        measure.knn_accuracy(*given)
    with pytest.raises(ValueError, match="at least one number of neighbours"):
        measure.knn_accuracy(*given, k=[])
    with pytest.raises(ValueError, match=r"train_labels must be one for each of 3 images, got \(2,\)"):
        measure.knn_accuracy(ONE, torch.tensor([0, 1]), *given[2:], k=1)
    with pytest.raises(TypeError, match="labels must be integer class ids, got torch.float32"):
        measure.knn_accuracy(*given[:3], torch.ones(3), k=1)
    with pytest.raises(ValueError, match="train_labels must be 0 or more, got -1"):
        measure.knn_accuracy(ONE, torch.tensor([0, 1, -1]), *given[2:], k=1)
