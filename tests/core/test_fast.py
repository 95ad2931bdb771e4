"""Each quick way gives what the formula gives, `plan.weighted_sum`."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mixlearn as ml
from mixlearn.core import fast
from mixlearn.core.plan import weighted_sum
from tests.seeds import seeded


def formula(plan, images):
    """The formula with the masks that a plan has, for images (B, C, H, W)."""
    return weighted_sum(images, plan.sources, plan.masks)


@given(st.integers(1, 6), st.integers(1, 4), st.sampled_from([(1, 1), (4, 3)]), st.integers(0, 2**31))
def test_the_formula_holds_for_any_masks_and_sources(batch, parts, size, seed):
    """None of the parts need be the image itself, and masks and weights may sum to anything."""
    g = seeded(seed)
    sources = torch.randint(0, batch, (parts, batch), generator=g)
    masks = torch.rand(parts, batch, 1, *size, generator=g, dtype=torch.float64)
    images = torch.randn(batch, 2, *size, generator=g, dtype=torch.float64)
    plan = ml.MixPlan(sources, masks, masks.mean((2, 3, 4)))
    expected = (masks * images[sources]).sum(0)
    torch.testing.assert_close(formula(plan, images), expected)
    values = images.mean((2, 3))
    blended = (plan.weights[..., None] * values[sources]).sum(0)
    for learnt in (False, True):
        mixed = plan.mix(images.clone().requires_grad_(learnt))
        assert mixed.requires_grad == learnt
        torch.testing.assert_close(mixed.detach(), expected)
        torch.testing.assert_close(plan.blend(values.clone().requires_grad_(learnt)).detach(), blended)


@given(st.sampled_from([None, (1, 1), (4, 5)]), st.booleans(), st.integers(0, 2**31))
def test_a_pair_is_one_interpolation(size, last, seed):
    g = seeded(seed)
    images = torch.randn(3, 2, 4, 5, generator=g)
    images = images.to(memory_format=torch.channels_last) if last else images
    masks = None if size is None else torch.rand(3, 1, *size, generator=g)
    plan = ml.MixPlan.pair(torch.tensor([1, 2, 0]), torch.rand(3, generator=g), masks)
    for values in (images, images.clone().requires_grad_()):
        quick = fast.quick_sum(values, plan.sources, plan.masks[:, :, 0, None], pair=True)
        torch.testing.assert_close(quick, formula(plan, values), rtol=1e-5, atol=1e-6)


@given(st.sampled_from([torch.uint8, torch.int64, torch.uint16]), st.integers(0, 2**31))
def test_integer_maps_are_picked(dtype, seed):
    """At each pixel one part or none; erased pixels become 0."""
    g = seeded(seed)
    masks = torch.rand(3, 4, 1, 5, 6, generator=g)
    masks = (masks == masks.amax(0)).float() * (torch.rand(1, 4, 1, 5, 6, generator=g) < 0.7)
    plan = ml.MixPlan(torch.randint(0, 4, (3, 4), generator=g), masks, masks.mean((2, 3, 4)))
    ids = torch.randint(0, 20, (4, 2, 5, 6), generator=g)
    mixed = plan.mix(ids.to(dtype))
    assert mixed.dtype == dtype and torch.equal(mixed.long(), formula(plan, ids.double()).round().long())
    assert torch.equal(plan.mix(ids[:, 0]), mixed[:, 0].long())


def test_integer_maps_refuse_masks_that_overlap():
    plan = ml.MixPlan(torch.tensor([[0, 1], [1, 0]]), torch.ones(2, 2, 1, 4, 4), torch.full((2, 2), 0.5))
    with pytest.raises(TypeError, match="torch.int64 cannot be averaged .* or masks that overlap"):
        plan.mix(torch.zeros(2, 4, 4, dtype=torch.long))


@pytest.mark.parametrize("shape", [(4, 3, 8, 6), (4, 3, 64, 48)])  # a mask, and box after box
@pytest.mark.parametrize("boxes", [1, 4])
@pytest.mark.parametrize("learnt", [False, True])
def test_boxes_are_pasted(shape, boxes, learnt):
    images = torch.randn(shape, generator=seeded()).requires_grad_(learnt)
    drawn = ml.sample_boxes(torch.rand(boxes, generator=seeded(1)), *shape[2:], generator=seeded(2))
    plan = ml.BoxPlan(torch.tensor([1, 2, 3, 0]), drawn, shape[2:])
    assert torch.equal(plan.mix(images), formula(plan, images))
    assert torch.allclose(plan.lam, plan.masks[0].mean((1, 2, 3)))


@pytest.mark.parametrize("parts", [2, 6])  # laid over each other, and gathered
@pytest.mark.parametrize("patch", [1, 3, 4])
@pytest.mark.parametrize("batch", [1, 5])
def test_patches_are_shifted(parts, patch, batch):
    groups = torch.randint(0, parts, (6,), generator=seeded())
    images = torch.randn(batch, 2, 2 * patch, 3 * patch, generator=seeded(1))
    plan = ml.PatchPlan(groups, batch, patch, (2 * patch, 3 * patch), parts)
    for given_images in (images, images.clone().requires_grad_()):
        assert torch.equal(plan.mix(given_images), formula(plan, given_images))
