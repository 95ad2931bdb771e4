"""AlignMix finds who moved where; TransMix counts the attention that each part gets."""

import pytest
import torch

import mixlearn as ml
from mixlearn.core.plan import BoxPlan
from mixlearn.methods.alignmix import sinkhorn
from tests.refused import refused
from tests.seeds import seeded


def sinkhorn_by_scaling(cost, epsilon, steps):
    """Rows and columns of exp(−cost / ε) scaled in turn to sum to 1; float64, rows last."""
    kernel = (-cost.double() / epsilon).exp()
    for _ in range(steps):
        kernel = kernel / kernel.sum(1, keepdim=True)
        kernel = kernel / kernel.sum(0, keepdim=True)
    return kernel / kernel.sum(1, keepdim=True)


@pytest.mark.parametrize(("epsilon", "count"), [(0.1, 49), (2.0, 1)])
def test_rows_of_a_transport_plan_sum_to_one(epsilon, count):
    points = torch.rand(6, 2, count, 3, generator=seeded(count))
    found = sinkhorn(torch.cdist(points[:, 0], points[:, 1]).square(), epsilon)
    assert torch.allclose(found.sum(2), torch.ones(6, count), atol=1e-5)
    assert float((found.sum(1) - 1).abs().mean()) < 0.1
    assert float(found.min()) >= 0


@pytest.mark.parametrize("epsilon", [0.2, 1.0])
def test_a_transport_plan_is_the_one_by_scaling(epsilon):
    cost = torch.rand(4, 5, 5, generator=seeded())
    for one in cost:
        limit = sinkhorn_by_scaling(one, epsilon, 2000)
        found = sinkhorn(one[None], epsilon)[0].double()
        assert float((found - limit).abs().max()) < 0.1
        once = sinkhorn(one[None], epsilon, steps=1)[0].double()
        assert torch.allclose(once, sinkhorn_by_scaling(one, epsilon, 1), atol=1e-5)


@pytest.mark.parametrize("size", [(2, 6)])
def test_a_permuted_partner_is_permuted_back(size):
    features = 3 * torch.randn(1, 8, *size, generator=seeded())
    count = size[0] * size[1]
    order = torch.randperm(count, generator=seeded(1))
    other = features.flatten(2)[:, :, order].view_as(features)
    both = torch.cat([features, other])
    for moves_partner in (True, False):
        known = {"lam": 0.3, "partner": [1, 0], "moves_partner": moves_partner}
        mixed = ml.alignmix(both, epsilon=0.01, **known)
        assert torch.allclose(mixed.images, both if moves_partner else both.flip(0), atol=1e-4)
        assert torch.equal(mixed.plan.alignment[0].argmax(0), order)
    one_way = {ml.alignmix(both, generator=seeded(s)).plan.moves_partner for s in range(12)}
    assert one_way == {True, False}


def test_gradients_pass_through_features_alone():
    features = torch.randn(3, 4, 2, 3, dtype=torch.float64, generator=seeded(), requires_grad=True)
    mixed = ml.alignmix(features, lam=0.4, partner=[1, 2, 0], moves_partner=True)
    assert not mixed.plan.alignment.requires_grad
    (found,) = torch.autograd.grad(mixed.images.sum(), features)
    # a position of the partner gets what its column of the alignment sums to
    to_partner = torch.zeros(3, 6, dtype=torch.float64)
    to_partner[[1, 2, 0]] = mixed.plan.alignment.sum(1).double()
    assert torch.allclose(found.flatten(2), (0.4 + 0.6 * to_partner)[:, None].expand(3, 4, 6), atol=1e-6)


# ------------------------------------------------------------------------------------------ TransMix
def test_weights_lie_between_pixels_and_attention():
    images = torch.rand(6, 3, 16, 24, generator=seeded())
    attention = torch.rand(6, 4, 6, generator=seeded(1))
    for mix in (ml.cutmix, ml.fmix, ml.comixup):
        plan = mix(images, generator=seeded(2)).plan
        seen = plan.masks[:, :, 0, ::4, ::4]  # of each patch its first pixel, as nearest neighbours are taken
        looked = (seen * attention).sum((2, 3)) / attention.sum((1, 2))
        for share in (0.0, 0.25, 0.5, 1.0):
            changed = ml.transmix(plan, attention, share)
            assert torch.allclose(changed.weights, (1 - share) * plan.weights + share * looked, atol=1e-5)
            assert torch.allclose(changed.weights.sum(0), torch.ones(6), atol=1e-5)
        assert torch.allclose(ml.transmix(plan, attention).weights, (plan.weights + looked) / 2, atol=1e-5)
        assert torch.equal(changed.mix(images), ml.MixPlan.mix(changed, images))


def test_bad_attention_is_named():
    plan = BoxPlan(torch.tensor([1, 0]), torch.tensor([[0, 0, 4, 8]]), (8, 8))
    for wrong in (torch.rand(3, 4, 4), torch.rand(2, 16)):
        words = r"attention must have shape \(2, n, m\), got \(" + ", ".join(map(str, wrong.shape))
        with pytest.raises(ValueError, match=words):
            ml.transmix(plan, wrong)
    refused(lambda: ml.transmix(plan, -torch.ones(2, 4, 4)), "attention must be at least 0, got -1.0")
    refused(lambda: ml.transmix(plan, torch.rand(2, 4, 4), 1.5), r"share must lie in \[0, 1\], got 1.5")


def test_any_kind_of_plan_stays_what_it_is() -> None:
    """A plan that moves blocks or resizes boxes mixes the same images under new weights, on any device."""
    images = torch.rand(4, 3, 32, 32, generator=seeded(0))
    attention = torch.rand(4, 8, 8, generator=seeded(1))
    for method in (ml.puzzlemix, ml.comixup, ml.resizemix, ml.snapmix, ml.cutmix):
        plan = method(images, generator=seeded(2)).plan
        again = ml.transmix(plan, attention)
        assert type(again) is type(plan)
        assert torch.equal(again.mix(images), plan.mix(images))
        assert torch.equal(again.to("cpu").weights, again.weights)
        asked = (again.lam_drawn, plan.lam_drawn)
        assert asked == (None, None) or torch.equal(*asked)
        assert not torch.equal(again.weights, plan.weights)
