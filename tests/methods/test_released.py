"""Where the package departs from released code, in numbers that a formula or a small sum gives."""

import math

import pytest
import torch
from torch.nn import functional as F

import mixlearn as ml
from experiments.chapters import mixskd
from mixlearn.methods.alignmix import sinkhorn
from mixlearn.methods.contrast import contrastive_loss
from mixlearn.methods.mixskd import Critic, SelfTeacher, Views, mixskd_terms
from mixlearn.methods.patchmix import Encoded, crop_terms, patchmix_terms
from tests.seeds import seeded

# ---------------------------------------------------------------------------------------- CutMix's box


# ---------------------------------------------------------------------------------------- SnapMix, one class
def test_snapmix_counts_a_pair_of_one_class_once_and_the_release_twice():
    images, maps = torch.rand(2, 1, 8, 8, generator=seeded()), torch.rand(2, 1, 8, 8, generator=seeded(1))
    maps = maps / maps.sum((1, 2, 3), keepdim=True)
    labels, logits = torch.tensor([2, 2]), torch.randn(2, 3, generator=seeded(2))
    given = {"saliency": maps, "lam": 0.4, "partner": [1, 0], "generator": seeded(3)}
    mixed = ml.snapmix(images, labels, num_classes=3, **given)
    own, gained = mixed.plan.weights
    each = F.cross_entropy(logits, labels, reduction="none")
    assert torch.allclose(mixed.targets.sum(1), own + gained)
    assert torch.allclose(ml.soft_cross_entropy(logits, mixed.targets), ((own + gained) * each).mean())
    both = own + gained  # as released: on either label
    twice = (both * each + both * each).mean()
    assert torch.allclose(twice, 2 * ml.soft_cross_entropy(logits, mixed.targets))


# ---------------------------------------------------------------------------------------- MixSKD's critics
def released_critic(critic, between, mixed):
    """Two outputs z and −z, targets [1, 0] and [0, 1]; one mean over both halves and both outputs."""
    z = torch.cat([critic(between), critic(mixed)])
    first = torch.cat([torch.ones(len(between)), torch.zeros(len(mixed))])
    answers, targets = torch.stack([z, -z], 1), torch.stack([first, 1 - first], 1)
    return F.binary_cross_entropy_with_logits(answers, targets)


def test_the_critics_weigh_twice_what_was_released():
    sides = [
        Views(
            [torch.randn(5, 6, 2, 2, generator=seeded(10 * s + k)).requires_grad_() for k in range(3)],
            [torch.randn(5, 4, generator=seeded(10 * s + k)) for k in range(3)],
        )
        for s in (1, 2)
    ]
    plan = ml.MixPlan.pair(torch.tensor([1, 2, 3, 4, 0]), torch.tensor([0.2, 0.9, 0.5, 0.4, 0.7]))
    critics = [Critic(6, generator=seeded(k)) for k in range(3)]
    teacher, labels = SelfTeacher(6, 3, 4, generator=seeded()), torch.tensor([0, 1, 2, 3, 0])
    here = mixskd_terms(*sides, plan, labels, teacher, critics)["critic"]
    between = sides[0].blended(plan)
    there = torch.stack(
        [released_critic(*parts) for parts in zip(critics, between.maps, sides[1].maps, strict=True)]
    ).sum()
    assert float(here.detach()) == pytest.approx(2 * float(there.detach()), rel=1e-6)
    maps = [*sides[0].maps, *sides[1].maps]
    for one, other in zip(torch.autograd.grad(here, maps), torch.autograd.grad(there, maps), strict=True):
        assert torch.allclose(one, 2 * other, atol=1e-7)


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


# ---------------------------------------------------------------------------------------- what chapter 2 says


def test_a_binarised_target_parts_the_two_forms_of_the_loss():
    labels, logits = torch.tensor([0, 1, 2]), torch.randn(3, 4, generator=seeded())
    own, other = (ml.one_hot(ids, 4) for ids in (labels, labels.roll(-1)))

    def forms(share, threshold=None):
        plan = ml.MixPlan.pair(torch.tensor([1, 2, 0]), torch.full((3,), share))
        soft = plan.soften(labels, 4)
        target = soft if threshold is None else (soft > threshold).float()
        pair = share * ml.soft_bce(logits, own) + (1 - share) * ml.soft_bce(logits, other)
        return float(ml.soft_bce(logits, target)), float(pair)

    assert forms(0.7)[0] == pytest.approx(forms(0.7)[1], abs=1e-6)
    both = float(ml.soft_bce(logits, own + other))  # each class that was mixed in counts fully
    for share in (0.3, 0.7):
        found, pair = forms(share, 0.2)
        assert found == pytest.approx(both, abs=1e-6) and abs(found - pair) > 0.01
    alone = float(ml.soft_bce(logits, own))
    assert forms(0.9, 0.2)[0] == pytest.approx(alone, abs=1e-6)  # a share below the threshold is dropped
    assert math.isclose(forms(1.0, 0.2)[0], forms(1.0)[0], abs_tol=1e-6)
