"""The laws that every plan keeps, whatever is drawn (Hypothesis)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mixlearn as ml


@st.composite
def plans(draw, spatial=None):
    """A plan of 2 to 4 parts with constant, soft or hard masks over B images of H × W pixels."""
    batch = draw(st.integers(1, 7))
    parts = draw(st.integers(2, 4))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    kind = draw(st.sampled_from(["constant", "soft", "hard"])) if spatial is None else spatial
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    own = torch.arange(batch)[None]
    others = torch.randint(0, batch, (parts - 1, batch), generator=g)
    if kind == "constant":
        weights = torch.rand(parts, batch, generator=g) + 1e-3
        weights = weights / weights.sum(0)
        masks = weights[:, :, None, None, None]
    else:
        logits = 3 * torch.randn(parts, batch, 1, height, width, generator=g)
        masks = logits.softmax(0)
        if kind == "hard":
            masks = (masks == masks.amax(0)).float()
        weights = masks.mean((2, 3, 4))
    plan = ml.MixPlan(torch.cat([own, others]), masks, weights)
    return plan, (batch, height, width), g


def naive(plan, images):
    """The formula as it is written in the book."""
    out = torch.zeros_like(images)
    for source, mask in zip(plan.sources, plan.masks, strict=True):
        for i, j in enumerate(source.tolist()):
            out[i] += mask[i].to(images.dtype) * images[j]
    return out


@st.composite
def free_plans(draw, hard=False):
    """A plan of 1 to 4 parts, none of them the image itself, whose masks and weights sum to anything."""
    batch, parts = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    size = draw(st.sampled_from([(1, 1), (4, 3)]))
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    sources = torch.randint(0, batch, (parts, batch), generator=g)
    masks = torch.rand(parts, batch, 1, *size, generator=g)
    if hard:  # at each pixel one part or none
        masks = (masks == masks.amax(0)).float() * (torch.rand(1, batch, 1, *size, generator=g) < 0.7)
    return ml.MixPlan(sources, masks, torch.rand(parts, batch, generator=g)), size, g


@given(free_plans())
def test_the_formula_holds_for_any_masks_and_sources(case):
    """With a gradient to take and without, for images and for labels."""
    plan, size, g = case
    images = torch.randn(len(plan), 2, *size, generator=g, dtype=torch.float64)
    values = images.mean((2, 3))
    blended = (plan.weights[..., None] * values[plan.sources]).sum(0)
    for learnt in (False, True):
        mixed = plan.mix(images.clone().requires_grad_(learnt))
        assert mixed.requires_grad == learnt
        assert torch.allclose(mixed, naive(plan, images), atol=1e-6)
        assert torch.allclose(plan.blend(values.clone().requires_grad_(learnt)), blended, atol=1e-6)


@given(free_plans(hard=True), st.sampled_from([torch.uint8, torch.int64, torch.uint16]))
def test_erased_pixels_of_integer_maps_become_0(case, dtype):
    plan, size, g = case
    ids = torch.randint(0, 20, (len(plan), 2, *size), generator=g)
    mixed = plan.mix(ids.to(dtype))
    assert mixed.dtype == dtype
    assert torch.equal(mixed.long(), plan.mix(ids.double()).round().long())


def test_integer_maps_refuse_masks_that_overlap():
    plan = ml.MixPlan(torch.tensor([[0, 1], [1, 0]]), torch.ones(2, 2, 1, 4, 4), torch.full((2, 2), 0.5))
    with pytest.raises(TypeError, match="torch.int64 cannot be averaged .* or masks that overlap"):
        plan.mix(torch.zeros(2, 4, 4, dtype=torch.long))


@given(plans())
def test_mix_is_the_formula_and_leaves_its_input(case):
    plan, (batch, height, width), g = case
    images = torch.randn(batch, 3, height, width, generator=g)
    before = images.clone()
    assert torch.allclose(plan.mix(images), naive(plan, images), atol=1e-6)
    assert torch.equal(images, before)


@given(plans())
def test_masks_and_weights_sum_to_one(case):
    plan, _, _ = case
    assert torch.allclose(plan.masks.sum(0), torch.ones(()), atol=1e-6)
    assert torch.allclose(plan.weights.sum(0), torch.ones(()), atol=1e-6)
    assert torch.allclose(plan.source_matrix().sum(1), torch.ones(()), atol=1e-6)


@given(plans())
def test_mixing_is_linear(case):
    plan, (batch, height, width), g = case
    a, b = (torch.randn(batch, 2, height, width, generator=g) for _ in "ab")
    assert torch.allclose(plan.mix(a) + plan.mix(b), plan.mix(a + b), atol=1e-5)
    assert torch.allclose(plan.mix(3 * a), 3 * plan.mix(a), atol=1e-5)


@given(plans())
def test_constant_images_return_the_weights(case):
    """Image j is 1 in channel j and 0 elsewhere: the mean of the mixture's channel j is j's share."""
    plan, (batch, height, width), _ = case
    images = torch.eye(batch)[:, :, None, None].expand(batch, batch, height, width).contiguous()
    assert torch.allclose(plan.mix(images).mean((2, 3)), plan.source_matrix(), atol=1e-5)


@given(plans(), st.integers(1, 6))
def test_soften_is_the_two_loss_form(case, classes):
    plan, (batch, _, _), g = case
    labels = torch.randint(0, classes, (batch,), generator=g)
    logits = torch.randn(batch, classes, generator=g)
    soft = ml.soft_cross_entropy(logits, plan.soften(labels, classes))
    assert torch.allclose(soft, ml.pair_cross_entropy(logits, labels, plan), atol=1e-5)
    targets = plan.soften(labels, classes)
    assert torch.allclose(targets.sum(1), torch.ones(batch), atol=1e-6)
    assert torch.allclose(targets, plan.source_matrix() @ ml.one_hot(labels, classes), atol=1e-6)


@given(plans(), st.floats(0, 1))
def test_smoothing_and_mixing_may_be_swapped(case, epsilon):
    plan, (batch, _, _), g = case
    targets = torch.rand(batch, 5, generator=g).softmax(1)
    one = ml.smooth(plan.soften(targets), epsilon)
    other = plan.soften(ml.smooth(targets, epsilon))
    assert torch.allclose(one, other, atol=1e-6)


@given(plans(spatial="hard"))
def test_integer_maps_follow_hard_masks(case):
    plan, (batch, height, width), g = case
    ids = torch.randint(0, 20, (batch, height, width), generator=g)
    assert torch.equal(plan.mix(ids), plan.mix(ids[:, None].double())[:, 0].round().long())


@given(plans(), st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]))
def test_every_float_type_is_kept(case, dtype):
    plan, (batch, height, width), g = case
    images = torch.rand(batch, 3, height, width, generator=g).to(dtype)
    mixed = plan.mix(images)
    assert mixed.dtype == dtype
    assert torch.allclose(
        mixed.double(), naive(plan, images.double()), atol={2: 2e-2}.get(dtype.itemsize, 1e-5)
    )


@given(plans(), st.sampled_from([lambda scores: scores.softmax(0), torch.sigmoid]))
def test_gradients_are_those_of_the_formula(case, share):
    """For the images and for masks, whether they sum to 1 or not."""
    plan, (batch, height, width), g = case
    weight = torch.rand(batch, 2, height, width, generator=g, dtype=torch.float64)
    found = []
    for mix in (ml.MixPlan.mix, naive):
        scores = (plan.masks.double() + 0.1).log().requires_grad_()
        images = torch.linspace(-1, 1, weight.numel(), dtype=torch.float64).view_as(weight).requires_grad_()
        learnt = ml.MixPlan(plan.sources, share(scores), plan.weights)
        (weight * mix(learnt, images)).sum().backward()
        found.append((images.grad, scores.grad))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-9)


@given(plans(), st.integers(1, 3))
def test_extra_axes_share_the_masks(case, frames):
    """A clip (B, T, C, H, W) mixes as each of its frames."""
    plan, (batch, height, width), g = case
    clip = torch.rand(batch, frames, 2, height, width, generator=g)
    each = torch.stack([plan.mix(clip[:, t]) for t in range(frames)], 1)
    assert torch.allclose(plan.mix(clip), each, atol=1e-6)
    depth = clip[:, 0, 0]
    assert torch.allclose(plan.mix(depth), plan.mix(depth[:, None])[:, 0], atol=1e-6)


@given(plans())
def test_channels_last_is_kept(case):
    plan, (batch, height, width), g = case
    images = torch.rand(batch, 3, height, width, generator=g)
    last = images.to(memory_format=torch.channels_last)
    mixed = plan.mix(last)
    assert torch.allclose(mixed, plan.mix(images), atol=1e-6)
    assert mixed.is_contiguous(memory_format=torch.channels_last)
