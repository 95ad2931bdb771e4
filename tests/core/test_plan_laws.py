"""The laws that every plan keeps, whatever is drawn (Hypothesis)."""

import torch
from hypothesis import given
from hypothesis import strategies as st

import mixlearn as ml
from tests.seeds import seeded


@st.composite
def plans(draw, spatial=None):
    """A plan of 2 to 4 parts with constant, soft or hard masks over B images of H × W pixels."""
    batch, parts = draw(st.integers(1, 7)), draw(st.integers(2, 4))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    kind = draw(st.sampled_from(["constant", "soft", "hard"])) if spatial is None else spatial
    g = seeded(draw(st.integers(0, 2**31)))
    others = torch.randint(0, batch, (parts - 1, batch), generator=g)
    if kind == "constant":
        height, width = (1, 1)
    masks = (3 * torch.randn(parts, batch, 1, height, width, generator=g)).softmax(0)
    if kind == "hard":
        masks = (masks == masks.amax(0)).float()
    plan = ml.MixPlan(torch.cat([torch.arange(batch)[None], others]), masks, masks.mean((2, 3, 4)))
    if kind == "constant":
        height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    return plan, (batch, height, width), g


def naive(plan, images):
    """The formula as it is written in the book."""
    out = torch.zeros_like(images)
    for source, mask in zip(plan.sources, plan.masks, strict=True):
        for i, j in enumerate(source.tolist()):
            out[i] += mask[i].to(images.dtype) * images[j]
    return out


@given(plans(), st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]))
def test_mix_is_the_formula_and_leaves_its_input(case, dtype):
    plan, (batch, height, width), g = case
    images = torch.rand(batch, 3, height, width, generator=g).to(dtype)
    before, mixed = images.clone(), plan.mix(images)
    assert mixed.dtype == dtype and torch.equal(images, before)
    within = {2: 2e-2}.get(dtype.itemsize, 1e-5)
    assert torch.allclose(mixed.double(), naive(plan, images.double()), atol=within)


@given(plans(), st.integers(1, 6))
def test_soften_is_the_two_loss_form(case, classes):
    plan, (batch, _, _), g = case
    labels = torch.randint(0, classes, (batch,), generator=g)
    logits, targets = torch.randn(batch, classes, generator=g), plan.soften(labels, classes)
    soft = ml.soft_cross_entropy(logits, targets)
    assert torch.allclose(soft, ml.pair_cross_entropy(logits, labels, plan), atol=1e-5)
    assert torch.allclose(targets, plan.source_matrix() @ ml.one_hot(labels, classes), atol=1e-6)


@given(plans(), st.floats(0, 1))
def test_smoothing_and_mixing_may_be_swapped(case, epsilon):
    plan, (batch, _, _), g = case
    targets = torch.rand(batch, 5, generator=g).softmax(1)
    one = ml.smooth(plan.soften(targets), epsilon)
    assert torch.allclose(one, plan.soften(ml.smooth(targets, epsilon)), atol=1e-6)


@given(plans(), st.sampled_from([lambda scores: scores.softmax(0), torch.sigmoid]))
def test_gradients_are_those_of_the_formula(case, share):
    """For the images and for masks, whether they sum to 1 or not."""
    plan, (batch, height, width), g = case
    weight = torch.rand(batch, 2, height, width, generator=g, dtype=torch.float64)
    slopes = []
    for mix in (ml.MixPlan.mix, naive):
        scores = (plan.masks.double() + 0.1).log().requires_grad_()
        images = torch.linspace(-1, 1, weight.numel(), dtype=torch.float64).view_as(weight).requires_grad_()
        learnt = ml.MixPlan(plan.sources, share(scores), plan.weights)
        (weight * mix(learnt, images)).sum().backward()
        slopes.append((images.grad, scores.grad))
    for one, other in zip(*slopes, strict=True):
        assert torch.allclose(one, other, atol=1e-9)


@given(plans(), st.integers(1, 3))
def test_extra_axes_share_the_masks(case, frames):
    """A clip (B, T, C, H, W) mixes as each of its frames, and a depth map as one of its channels."""
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
    mixed = plan.mix(images.to(memory_format=torch.channels_last))
    assert torch.allclose(mixed, plan.mix(images), atol=1e-6)
    assert mixed.is_contiguous(memory_format=torch.channels_last)
