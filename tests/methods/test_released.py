"""Where the package departs from released code, in numbers that a formula or a small sum gives."""

import pytest
import torch

import mixlearn as ml
from experiments.chapters import mixskd
from mixlearn.methods.alignmix import sinkhorn
from mixlearn.methods.contrast import contrastive_loss
from mixlearn.methods.patchmix import Encoded, crop_terms, patchmix_terms
from tests.seeds import seeded


def test_the_released_setting_halves_the_critics_and_the_old_records_say_that_they_did_not():
    net = ml.nets.resnet(8, 4, width=4, generator=seeded())
    images, labels = torch.rand(6, 3, 16, 16, generator=seeded(1)), torch.tensor([0, 1, 2, 3, 0, 1])
    for name in ("mixskd-fashion-released", "mixskd-emoji-released"):
        setting = mixskd[name]
        assert setting(dry=True).settings["mix"] == "MixSKD(critics_learn=False, weights={'critic': 0.5})"
        half, whole = (
            make(net, generator=seeded(2))(net, images, labels, generator=seeded(3))
            for make in (setting.keywords["mix"], ml.learners.MixSKD)
        )
        assert torch.allclose(2 * half["critic"], whole["critic"])
        assert all(torch.allclose(half[term], whole[term]) for term in half if term != "critic")
        record = ml.runs.load(name)
        assert (
            record.settings["mix"] == "MixSKD(critics_learn=False)" and record.settings["ablated"] == "mixed"
        )
        assert len(record.runs) >= 3 and record.measured("accuracy").mean > 0.1


# ---------------------------------------------------------------------------------------- PatchMix's origin
def rows(seed, count=8, length=5):
    return torch.randn(count, length, generator=seeded(seed))


def test_released_origin_is_smoothed_and_mixtures_are_not():
    target = ml.smooth(torch.eye(8), 0.1)
    assert float(target[0, 0]) == pytest.approx(0.9125) and float(target[0, 1]) == pytest.approx(0.0125)
    plans = [ml.patchmix(torch.rand(8, 3, 8, 8), generator=seeded(s)).plan for s in (1, 2)]
    queries, keys = ([Encoded(rows(k + s), rows(k + 10 + s)) for s in (1, 2)] for k in (20, 40))
    plain, smoothed = (
        patchmix_terms(queries, keys, plans, symmetric=True, origin_smoothing=epsilon) for epsilon in (0, 0.1)
    )
    pairs = [(queries[0].images, keys[1].images), (queries[1].images, keys[0].images)]
    expected = sum(contrastive_loss(q, k, target) for q, k in pairs) / 2
    assert torch.allclose(smoothed["origin"], expected) and plain["origin"] != smoothed["origin"]
    assert all(torch.equal(plain[name], smoothed[name]) for name in ("mix_to_origin", "mix_to_mix"))
    ends = keys[0].images, keys[1].images
    plain, smoothed = (crop_terms(queries, ends, plans, origin_smoothing=epsilon) for epsilon in (0, 0.1))
    expected = sum(contrastive_loss(q.images, k, target) for q in queries for k in ends) / 2
    assert torch.allclose(smoothed["crops"], expected) and plain["crops"] != smoothed["crops"]
    assert torch.equal(plain["mixed_crops"], smoothed["mixed_crops"])


# ---------------------------------------------------------------------------------------- AlignMix's stop
def alternated(cost, epsilon, enough):
    """Sinkhorn's potentials in units of the cost until enough(change of the columns', (B, r)) is true."""
    v = torch.zeros(len(cost), cost.shape[2])
    for _ in range(10_000):
        u = -epsilon * torch.logsumexp((v[:, None] - cost) / epsilon, 2)
        before, v = v, -epsilon * torch.logsumexp((u[:, :, None] - cost) / epsilon, 1)
        if enough(v - before):
            break
    return torch.softmax((v[:, None] - cost) / epsilon, 2)


@pytest.mark.parametrize("side", [8])
def test_alignment_stops_before_the_released_code_does(side):
    points = torch.randn(2, 6, 16, side**2, generator=seeded(side)).relu()
    points = points / points.norm(dim=2, keepdim=True)
    cost, epsilon = torch.cdist(points[0].mT, points[1].mT).square(), 0.1
    limit = alternated(cost, epsilon, lambda change: change.abs().max() < 1e-6)

    def apart(plan):
        return float((plan - limit).abs().sum(2).mean()) / 2

    here = sinkhorn(cost, epsilon)
    assert torch.allclose(
        here, alternated(cost, epsilon, lambda change: change.abs().mean() < 0.1 * epsilon), atol=1e-4
    )
    there = alternated(cost, epsilon, lambda change: change.abs().sum(1).mean() < 0.1)
    assert 0.15 > apart(here) > 1.2 * apart(there)
