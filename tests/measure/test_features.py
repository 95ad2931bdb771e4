"""Features read off a network, their principal plane, and neighbours and votes against plain loops."""

import math
import sys

import pytest
import torch
from torch.nn import functional as F

import mixlearn as ml
from tests.refused import refusals, refused
from tests.seeds import seeded

measure = ml.measure
room = sys.modules[ml.measure.nearest.__module__]


def features(rows=40, width=7):
    return torch.randn(rows, width, generator=seeded()) * torch.arange(1, width + 1) + 3


@pytest.mark.parametrize(("rows", "width", "dims"), [(40, 7, 2), (5, 30, 3), (3, 2, 2)])
def test_directions_are_those_of_the_covariance(rows, width, dims):
    values = features(rows, width)
    before = values.clone()
    found = measure.principal_plane(values, dims)
    away = (values - values.mean(0)).double()
    spread = torch.linalg.eigvalsh(away.T @ away).flip(0)  # another decomposition
    assert found.share.tolist() == pytest.approx((spread[:dims] / spread.sum()).tolist(), abs=1e-5)
    assert torch.allclose(found.directions @ found.directions.T, torch.eye(dims), atol=1e-5)
    assert torch.allclose(found.coordinates, (values - found.centre) @ found.directions.T, atol=1e-4)
    assert torch.allclose(found.coordinates.double().square().sum(0), spread[:dims], rtol=1e-4)
    assert found.coordinates.mean(0).abs().max() < 1e-4 and torch.equal(values, before)


def test_the_sign_does_not_depend_on_the_data():
    values = features()
    found, mirrored = (measure.principal_plane(one) for one in (values, -values))
    for one in (found, mirrored):
        largest = one.directions.gather(1, one.directions.abs().argmax(1, keepdim=True))
        assert bool((largest > 0).all())
    assert torch.allclose(found.directions, mirrored.directions, atol=1e-5)
    assert torch.allclose(found.coordinates, -mirrored.coordinates, atol=1e-4)
    shuffled = measure.principal_plane(values.flip(0))
    assert torch.allclose(found.coordinates, shuffled.coordinates.flip(0), atol=1e-4)


test_bad_features_of_a_plane_are_named = refusals(
    (torch.zeros(1, 3), 1, r"got \(1, 3\)"),
    (torch.zeros(4, 3), 4, r"1…3 for features \(4, 3\), got 4"),
    (torch.full((4, 3), torch.inf), 2, "finite, got"),
    (torch.full((4, 3), 0.1), 2, "must differ, got 4 equal rows"),
    by=lambda values, dims: measure.principal_plane(values, dims),
)


def test_features_of_every_stage():
    net = ml.nets.resnet(8, 10, width=4, channels=1, generator=seeded())
    few = ml.data.load("fashion").test.subset(30, generator=seeded())
    net.train()
    net.head.eval()
    seen = {}
    found, labels = measure.features_of(net, few, batch_size=7)
    assert [module.training for module in (net, net.groups, net.head)] == [True, True, False]
    net.eval()
    with torch.no_grad():
        logits = net(few.batch(slice(None))[0], tap=lambda name, one: seen.setdefault(name, one))
        assert torch.equal(labels, few.labels) and torch.allclose(found, seen["pool"], atol=1e-5)
        assert torch.allclose(F.linear(found, net.head.weight, net.head.bias), logits, atol=1e-4)
    for stage in ("input", "stem", "stage2"):
        found, _ = measure.features_of(net, few, stage)
        assert torch.allclose(found, seen[stage].flatten(2).mean(2), atol=1e-5)
        assert not found.requires_grad


def test_features_of_a_transformer_are_means_over_tokens():
    net = ml.nets.vit(4, size=8, patch=4, dim=12, depth=2, generator=seeded())
    images = torch.rand(3, 3, 8, 8, generator=seeded())
    seen = {}
    net.eval()(images, tap=lambda name, one: seen.setdefault(name, one))
    batch = [(images, torch.zeros(3, dtype=torch.int64))]
    for stage, expected in (("block1", seen["block1"].mean(1)), ("pool", seen["pool"])):
        assert torch.allclose(measure.features_of(net, batch, stage)[0], expected, atol=1e-5)


def test_a_stage_that_is_not_there():
    batch = [(torch.rand(2, 3, 8, 8), torch.tensor([0, 1]))]
    with pytest.raises(ValueError, match="stage1, .*pool, it has no 'stage7'"):
        measure.features_of(ml.nets.resnet(8, 4, width=4), batch, "stage7")
    refused(lambda: measure.features_of(torch.nn.Flatten(), batch), "taps none, it has no 'pool'")


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


test_bad_features_are_named = refusals(
    (ONE, torch.ones(3, 4), 1, r"got \(3, 2\) and \(3, 4\)"),
    (ONE, ONE, 4, "k must lie in 1…3, the rows of the bank, got 4"),
    (ONE, ONE, True, "got True"),
    (ONE.clone().fill_(torch.nan), ONE, 1, "the bank must be finite, got NaN"),
    (ONE, torch.zeros(1, 2), 1, "the queries must have a direction, got length 0 in row 0"),
    by=lambda bank, queries, k: measure.nearest(bank, queries, k),
)


def test_bad_votes_are_named():
    given = ONE, torch.tensor([0, 1, 1]), ONE, torch.tensor([0, 1, 1])
    with pytest.raises(ValueError, match="temperature must be positive and finite, got 0"):
        measure.knn_accuracy(*given, k=1, temperature=0)
    refused(lambda: measure.knn_accuracy(*given), "k must lie in 1…3, the rows of the bank, got 20")
    refused(lambda: measure.knn_accuracy(*given, k=[]), "at least one number of neighbours")
    with pytest.raises(ValueError, match=r"train_labels must be one for each of 3 images, got \(2,\)"):
        measure.knn_accuracy(ONE, torch.tensor([0, 1]), *given[2:], k=1)
    with pytest.raises(TypeError, match="labels must be integer class ids, got torch.float32"):
        measure.knn_accuracy(*given[:3], torch.ones(3), k=1)
    with pytest.raises(ValueError, match="train_labels must be 0 or more, got -1"):
        measure.knn_accuracy(ONE, torch.tensor([0, 1, -1]), *given[2:], k=1)
