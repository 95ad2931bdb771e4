"""A plan itself: how it changes and moves, what it refuses, and what it says of a mixture."""

from dataclasses import replace

import pytest
import torch

import mixlearn as ml


def test_a_plan_of_a_pair_stays_one_on_its_way():
    """Plans of two parts interpolate, and give what the sum of both parts gives."""
    partner, masks = torch.tensor([2, 0, 1]), torch.rand(3, 1, 4, 5)
    images, lam = torch.randn(3, 2, 4, 5), masks.mean((1, 2, 3))
    made = (
        ml.MixPlan.pair(partner, lam),
        ml.MixPlan.pair(partner, lam, masks),
        ml.MixPlan.masked(partner, masks),
    )
    for plan in made:
        assert plan._pair and plan.to("cpu")._pair
        spelt = ml.MixPlan(plan.sources, plan.masks, plan.weights)
        changed = replace(plan, masks=plan.masks / 2)
        assert not spelt._pair and not changed._pair
        assert torch.allclose(plan.mix(images), spelt.mix(images), atol=1e-6)
        assert torch.allclose(changed.mix(images), spelt.mix(images) / 2, atol=1e-6)


def test_only_a_move_off_the_cpu_goes_on_in_the_background(monkeypatch):
    asked, move = [], torch.Tensor.to

    def watched(tensor, device, *, non_blocking=False):
        asked.append(non_blocking)
        return move(tensor, device)

    monkeypatch.setattr(torch.Tensor, "to", watched)
    for device, background in (("cpu", False), ("meta", True)):
        moved = ml.MixPlan.identity(2).to(device)
        assert moved.weights.device.type == device
        assert asked == [background] * 4
        asked.clear()


def test_a_plan_is_checked_for_its_shapes():
    two = torch.zeros(2, 3, dtype=torch.long)
    with pytest.raises(ValueError, match=r"weights must have the shape of sources, \(2, 3\), got \(2, 4\)"):
        ml.MixPlan(two, torch.ones(2, 3, 1, 1, 1), torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"masks must have shape \(2, 3, 1, 'H', 'W'\).*got \(2, 3, 4, 4\)"):
        ml.MixPlan(two, torch.ones(2, 3, 4, 4), torch.ones(2, 3))
    plan = ml.MixPlan.identity(3)
    with pytest.raises(ValueError, match=r"images must have shape \(3, …\).*got \(4, 1\)"):
        plan.mix(torch.zeros(4, 1))
    soft = ml.MixPlan.pair(torch.tensor([1, 0]), torch.full((2,), 0.5), torch.full((2, 1, 4, 4), 0.5))
    with pytest.raises(ValueError, match=r"images must have shape \(2, …, 4, 4\).*got \(2, 3, 4, 5\)"):
        soft.mix(torch.zeros(2, 3, 4, 5))
    with pytest.raises(TypeError, match="cannot be averaged"):
        soft.mix(torch.zeros(2, 4, 4, dtype=torch.long))
    with pytest.raises(TypeError, match="values to blend must be floating point, got torch.int64"):
        soft.blend(torch.zeros(2, 4, dtype=torch.long))


def test_describe_says_it_in_one_sentence():
    plan = ml.MixPlan.pair(
        torch.tensor([1, 0, 2]),
        torch.tensor([0.63, 0.5, 0.25]),
        boxes=torch.tensor([[8, 4, 20, 16]] * 3),
    )
    assert plan.describe(0, ["cat", "dog", "owl"]) == "63 % cat + 37 % dog, box x 8–20, y 4–16"
    assert plan.describe(2, ["cat", "dog", "owl"]).startswith("100 % owl")
    assert ml.MixPlan.identity(2).describe(1) == "100 % image 1"
    with pytest.raises(IndexError, match=r"0…2 for 3 mixtures, got 3"):
        plan.describe(3)
    with pytest.raises(ValueError, match="one name for each of 3 images, got 2"):
        plan.describe(0, ["cat", "dog"])


def test_changed_weights_blend_alike_with_and_without_a_gradient():
    plan = ml.MixPlan.pair(torch.tensor([1, 0]), torch.tensor([0.5, 0.5]))
    other = plan.changed(weights=torch.tensor([[0.5, 0.5], [0.1, 0.1]]))
    values = torch.tensor([[1.0], [0.0]])
    assert torch.allclose(other.blend(values), other.blend(values.clone().requires_grad_()))


@pytest.mark.parametrize("box", [[[-2, 0, 2, 4]], [[2, 0, 8, 4]], [[3, 0, 1, 4]], [[0, 0, 1, 1]] * 3])
def test_plans_of_boxes_outside_the_image_are_refused(box):
    with pytest.raises(ValueError, match="boxes must"):
        ml.BoxPlan(torch.tensor([1, 0]), torch.tensor(box), (4, 4))
