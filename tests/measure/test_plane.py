"""The plane of largest variance against its definition, and features read off a network."""

import pytest
import torch
from torch.nn import functional as F

import mixlearn as ml
from tests.seeds import seeded

measure = ml.measure


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


@pytest.mark.parametrize(
    ("values", "dims", "words"),
    [
        (torch.zeros(1, 3), 1, r"got \(1, 3\)"),
        (torch.zeros(4, 3), 4, r"1…3 for features \(4, 3\), got 4"),
        (torch.full((4, 3), torch.inf), 2, "finite, got"),
        (torch.full((4, 3), 0.1), 2, "must differ, got 4 equal rows"),
    ],
)
def test_bad_features_are_named(values, dims, words):
    with pytest.raises(ValueError, match=words):
        measure.principal_plane(values, dims)


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
    with pytest.raises(ValueError, match="taps none, it has no 'pool'"):
        measure.features_of(torch.nn.Flatten(), batch)
