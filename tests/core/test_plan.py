"""A plan itself: how it changes and moves, what it refuses, and what it says of a mixture."""

from dataclasses import replace

import pytest
import torch

import mixlearn as ml
from mixlearn.core.each import EachPlan
from mixlearn.methods.comixup import CellPlan
from mixlearn.methods.resizemix import ResizePlan
from tests.refused import refusals, refused

SWAP, LAM, BOX = torch.tensor([1, 0]), torch.full((2,), 0.5), torch.tensor([[0, 0, 1, 2]])
SOFT = ml.MixPlan.pair(torch.tensor([1, 0]), torch.full((2,), 0.5), torch.full((2, 1, 4, 4), 0.5))


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


test_a_plan_refuses_what_does_not_belong_together = refusals(
    (
        lambda two: ml.MixPlan(two, torch.ones(2, 3, 1, 1, 1), torch.ones(2, 4)),
        ValueError,
        r"weights must have the shape of sources, \(2, 3\), got \(2, 4\)",
    ),
    (
        lambda two: ml.MixPlan(two, torch.ones(2, 3, 4, 4), torch.ones(2, 3)),
        ValueError,
        r"masks must have shape \(2, 3, 1, 'H', 'W'\).*got \(2, 3, 4, 4\)",
    ),
    (lambda two: ml.MixPlan.pair(torch.tensor([1, 2]), LAM), ValueError, "sources must lie in 0…1 .* got 2"),
    (lambda two: ml.MixPlan.pair(SWAP, 8 * LAM), ValueError, r"weights must lie in \[0, 1\], got -3 to 4"),
    (lambda two: ml.BoxPlan(SWAP + 1, BOX, (2, 4)), ValueError, "partner must lie in 0…1 .* got 2"),
    (lambda two: ml.BoxPlan(SWAP, BOX, (2, 4), -6 * LAM), ValueError, r"lam must lie in \[0, 1\], got -3"),
    (lambda two: ml.MixPlan.identity(3).mix(torch.zeros(4, 1)), ValueError, r"\(3, …\).*got \(4, 1\)"),
    (lambda two: SOFT.mix(torch.zeros(2, 3, 4, 5)), ValueError, r"\(2, …, 4, 4\).*got \(2, 3, 4, 5\)"),
    (lambda two: SOFT.mix(torch.zeros(2, 4, 4).long()), TypeError, "cannot be averaged"),
    (lambda two: SOFT.blend(torch.zeros(2, 4).long()), TypeError, "floating point, got torch.int64"),
    (lambda two: SOFT.describe(3), IndexError, "0…1 for 2 mixtures, got 3"),
    (lambda two: SOFT.describe(0, ["cat"]), ValueError, "one name for each of 2 images, got 1"),
    (lambda two: EachPlan([SOFT], torch.zeros(3)), ValueError, r"one or more for 3 images, got \[2\]"),
    by=lambda make: make(torch.zeros(2, 3, dtype=torch.long)),
)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([[-2, 0, 2, 4]], r"0 ≤ x0 ≤ x1 ≤ 4 and .* got \[-2, 0, 2, 4\]"),
        ([[2, 0, 8, 4]], r"got \[2, 0, 8, 4\]"),
        ([[3, 0, 1, 4]], r"got \[3, 0, 1, 4\]"),
        ([[0, 0, 1, 1]] * 3, "one or 2, one for each image, got 3"),
        ([[0, 0, 1]], r"shape \(n, 4\) .* got \(1, 3\)"),
        ([[0.0, 0.0, 2.0, 4.0]], "whole pixels .* got torch.float32"),
    ],
)
def test_plans_of_boxes_outside_the_image_are_refused(box, words):
    with pytest.raises((ValueError, TypeError), match=f"boxes must .*{words}"):
        ml.BoxPlan(SWAP, torch.tensor(box), (4, 4))


def test_describe_says_it_in_one_sentence():
    shares, boxes = torch.tensor([0.63, 0.5, 0.25]), torch.tensor([[8, 4, 20, 16]] * 3)
    plan = ml.MixPlan.pair(torch.tensor([1, 0, 2]), shares, boxes=boxes)
    assert plan.describe(0, ["cat", "dog", "owl"]) == "63 % cat + 37 % dog, box x 8–20, y 4–16"
    assert plan.describe(2, ["cat", "dog", "owl"]).startswith("100 % owl")
    assert ml.MixPlan.identity(2).describe(1) == "100 % image 1"


def test_changed_weights_blend_alike_with_and_without_a_gradient():
    plan = ml.MixPlan.pair(torch.tensor([1, 0]), torch.tensor([0.5, 0.5]))
    other = plan.changed(weights=torch.tensor([[0.5, 0.5], [0.1, 0.1]]))
    values = torch.tensor([[1.0], [0.0]])
    assert torch.allclose(other.blend(values), other.blend(values.clone().requires_grad_()))


BOXES = ml.BoxPlan(SWAP, BOX, (2, 4))
PATCHES = ml.PatchPlan(torch.tensor([0, 1, 1, 0]), 2, 1, (2, 2), 2)


@pytest.mark.parametrize("plan", [SOFT, BOXES, PATCHES, EachPlan([SOFT, BOXES], torch.tensor([0, 1]))])
def test_other_weights_leave_the_drawn_lam_whether_it_was_read_before_or_not(plan):
    drawn, other = plan.to("cpu").lam_drawn, torch.tensor([[0.1, 0.2], [0.9, 0.8]])
    changed = plan.to("cpu").changed(weights=other)
    assert torch.equal(changed.lam_drawn, drawn) and torch.equal(changed.lam, other[0])
    assert torch.equal(plan.changed(lam_drawn=other[0]).lam_drawn, other[0])
    assert not torch.equal(plan.lam, other[0]), "the plan itself is as it was"
    with pytest.raises(AttributeError):
        plan.weights = other
    refused(lambda: plan.changed(masks=other), "weights and lam_drawn can be changed, got masks")


@pytest.mark.parametrize("kind", [ml.MixPlan, ml.BoxPlan, ml.PatchPlan])
def test_every_kind_makes_plain_plans_of_pairs(kind):
    for plan in (kind.identity(2), kind.pair(SWAP, LAM), kind.masked(SWAP, SOFT.masks[0])):
        assert type(plan) is ml.MixPlan and len(plan) == 2
    assert len(kind.identity(0)) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda **old: ml.MixPlan(SOFT.sources, SOFT.masks, SOFT.weights, **old),
        lambda **old: ml.MixPlan.pair(SWAP, LAM / 2, **old),
        lambda **old: ml.MixPlan.masked(SWAP, SOFT.masks[0], **old),
        lambda **old: SOFT.changed(**old),
        lambda **old: ml.BoxPlan(SWAP, BOX, (2, 4), **old),
        lambda **old: ResizePlan(SWAP, BOX, (2, 4), **old),
    ],
)
def test_lam_asked_is_the_old_name_of_lam_drawn(make):
    with pytest.warns(DeprecationWarning, match="lam_asked is now lam_drawn"):
        plan = make(lam_asked=LAM)
    assert torch.equal(plan.lam_drawn, LAM)
    with pytest.warns(DeprecationWarning, match="lam_asked is now lam_drawn"):
        assert plan.lam_asked is plan.lam_drawn


@pytest.mark.parametrize("plan", [SOFT, CellPlan(torch.tensor([[[0]], [[1]]]), (1, 1))])
def test_soft_labels_hold_no_id_to_ignore(plan):
    with pytest.raises(ValueError, match="hold no id to ignore, got ignore_index=1; give .* a row of zeros"):
        plan.soften(torch.eye(2), ignore_index=1)
