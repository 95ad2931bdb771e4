"""PatchMix: equal to a loop over patches, and to index formulas where those are right; its loss."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.patches import five_steps
from mixlearn.core.fast import _gather
from mixlearn.core.plan import PatchPlan
from mixlearn.methods.contrast import contrastive_loss
from mixlearn.methods.patchmix import patchmix
from tests.refused import refusals
from tests.seeds import seeded


@st.composite
def cases(draw):
    batch, channels = draw(st.integers(1, 7)), draw(st.integers(1, 3))
    down, across, patch = draw(st.integers(1, 5)), draw(st.integers(1, 5)), draw(st.integers(1, 3))
    parts = draw(st.integers(1, down * across))
    order = draw(st.permutations(range(down * across)))
    return batch, channels, down, across, patch, parts, order


def by_a_loop(images, patch, parts, order):
    """Patch by patch, as the words say it; and who supplied what."""
    batch, _, height, width = images.shape
    across, count = width // patch, len(order)
    each, out, shares = count // parts, images.clone(), torch.zeros(batch, batch)
    for i in range(batch):
        for place in range(count):
            rank = list(order).index(place)
            group = rank // each if rank < each * parts else 0
            source = (i + group) % batch
            y, x = patch * (place // across), patch * (place % across)
            out[i, :, y : y + patch, x : x + patch] = images[source, :, y : y + patch, x : x + patch]
            shares[i, source] += 1 / count
    return out, shares


@settings(max_examples=60, deadline=None)
@given(cases())
def test_it_is_the_loop_over_patches(case):
    batch, channels, down, across, patch, parts, order = case
    images = torch.rand(batch, channels, down * patch, across * patch, generator=seeded(1))
    before = images.clone()
    mixed = patchmix(images, patch=patch, parts=parts, order=order)
    expected, shares = by_a_loop(images, patch, parts, order)
    assert torch.equal(mixed.images, expected) and torch.equal(images, before)
    published = five_steps(images, patch, parts, torch.as_tensor(order))  # its index formulas
    assert torch.equal(published, expected)
    torch.testing.assert_close(mixed.plan.source_matrix(), shares, rtol=0, atol=1e-6)
    torch.testing.assert_close(mixed.plan.source_matrix().sum(1), torch.ones(batch))
    both = mixed.plan.source_matrix() @ mixed.plan.source_matrix().T
    assert bool((both >= 0).all()) and bool((both.diagonal() >= 1 / (parts + 1) ** 2).all())


def published_targets(batch, parts):
    """Uniform over M images; between mixtures (1 − |δ| / M) / M, written one after the other."""
    origin, mixes = torch.zeros(batch, batch), torch.zeros(batch, batch)
    for i in range(batch):
        for g in range(parts):
            origin[i, (i + g) % batch] = 1 / parts
        for delta in range(1 - parts, parts):
            mixes[i, (i + delta) % batch] = (1 - abs(delta) / parts) / parts
    return origin, mixes


@pytest.mark.parametrize(("batch", "parts"), [(6, 3), (7, 4), (9, 2), (5, 3)])
def test_large_batches_have_the_published_targets(batch, parts):
    plan = patchmix(torch.rand(batch, 1, 6, 6), patch=1, parts=parts, generator=seeded()).plan
    shares = plan.source_matrix()
    origin, mixes = published_targets(batch, parts)
    torch.testing.assert_close(shares, origin, rtol=0, atol=1e-6)
    torch.testing.assert_close(shares @ shares.T, mixes, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("batch", "parts"), [(4, 4), (2, 3), (1, 4), (3, 3)])
def test_small_batches_keep_their_mass_where_the_published_targets_lose_it(batch, parts):
    plan = patchmix(torch.rand(batch, 1, 6, 6), patch=1, parts=parts, generator=seeded()).plan
    shares = plan.source_matrix()
    for target in (shares, shares @ shares.T):
        torch.testing.assert_close(target.sum(1), torch.ones(batch), rtol=0, atol=1e-6)
    assert batch < 2 * parts - 1
    assert bool((published_targets(batch, parts)[1].sum(1) < 0.95).all())


def test_left_over_patches_stay_and_count():
    images = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 2, 4)
    mixed = patchmix(images, torch.tensor([0, 1, 2]), num_classes=3, patch=1, parts=3, order=range(8))
    assert mixed.images[0].flatten().tolist() == [0, 0, 1, 1, 2, 2, 0, 0]
    assert torch.allclose(mixed.targets[0], torch.tensor([0.5, 0.25, 0.25]))


def test_draws_follow_the_generator_and_parts_may_be_drawn():
    images = torch.rand(8, 3, 8, 8)
    one, same, other = (patchmix(images, patch=2, generator=seeded(s)).images for s in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    draw, seen = seeded(), []
    for _ in range(200):
        seen.append(len(patchmix(images, patch=4, parts=[2, 4], generator=draw).plan.sources))
    assert set(seen) == {2, 4} and abs(seen.count(2) - 100) < 40


def test_shapes_types_and_layouts():
    images = torch.rand(4, 3, 8, 12).to(memory_format=torch.channels_last)
    plan = patchmix(images, patch=4, generator=seeded()).plan
    assert isinstance(plan, PatchPlan) and plan.describe(0) == "50 % image 0 + 50 % image 1"
    out = plan.mix(images)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(out, plan.mix(images.contiguous()))
    ids = torch.arange(4, dtype=torch.uint8).view(4, 1, 1).expand(4, 8, 12)
    assert torch.equal(plan.mix(ids)[1].unique(), torch.tensor([1, 2], dtype=torch.uint8))
    clip = torch.rand(4, 3, 2, 8, 12)
    assert torch.equal(plan.mix(clip)[:, :, 1], plan.mix(clip[:, :, 1]))
    assert plan.mix(images.half()).dtype == torch.float16
    values = torch.tensor([torch.nan, torch.inf, -torch.inf, 3e38, -3e38, -0.0])
    strange = values.view(6, 1, 1).expand(6, 8, 12).contiguous()
    for parts in (2, 3, 4):
        odd = patchmix(strange, patch=2, parts=parts, generator=seeded()).plan
        bits = [
            found.view(torch.int32) for found in (odd.mix(strange), _gather(strange, odd._pixels, 2, parts))
        ]
        assert torch.equal(*bits)
    for kind, patch in (
        (torch.uint8, 1),
        (torch.uint8, 4),
        (torch.bool, 2),
        (torch.float64, 1),
        (torch.half, 1),
    ):
        odd = patchmix(torch.zeros(4, 8, 12), patch=patch, parts=3, generator=seeded()).plan
        values = (
            torch.rand(1 + 4 * 96, generator=seeded(1)).mul(9).to(kind)[1:].view(4, 8, 12)
        )  # starts oddly
        before = values.clone()
        assert torch.equal(
            odd.mix(values), _gather(values, odd._pixels, odd.patch, odd.parts)
        ) and torch.equal(values, before)
    moved = plan.to("meta")
    assert moved.weights.device.type == "meta" and moved.mix(images.to("meta")).shape == images.shape
    shares = torch.tensor([[0.9], [0.1]]).expand(2, 4)
    assert torch.equal(plan.changed(weights=shares).to("cpu").weights, shares), "other weights go along"
    assert plan.masks.device.type == "cpu" and plan.to("meta").masks.device.type == "meta"
    again = patchmix(
        images.contiguous(), patch=4, generator=seeded()
    ).plan  # it has mixed, not shown its masks
    assert again.to("meta").masks.device.type == "meta"


def test_gradients_go_back_to_where_patches_came_from():
    images = torch.rand(3, 1, 4, 4, requires_grad=True)
    mixed = patchmix(images, patch=2, generator=seeded())
    (slope,) = torch.autograd.grad(mixed.images[0].sum(), images)
    assert torch.equal(slope, mixed.plan.masks[:, 0].new_zeros(3, 1, 4, 4).index_add(
        0, mixed.plan.sources[:, 0], mixed.plan.masks[:, 0]))  # fmt: skip


test_bad_input_is_named = refusals(
    ({"patch": 3}, "patch must divide height and width, got patch 3 for 8 × 8 pixels"),
    ({"patch": 4, "parts": 5}, r"parts must lie in 1…4, the number of patches, got 5"),
    ({"parts": 0}, r"parts must lie in 1…4"),
    ({"parts": []}, "an integer or a list of integers"),
    ({"parts": 2.0}, "an integer or a list"),
    ({"order": [0, 1, 2, 2]}, r"order must be a permutation of 0…3, got \[0, 1, 2, 2\]"),
    by=lambda options: patchmix(torch.rand(2, 1, 8, 8), **options),
    error=(ValueError, TypeError),
)


# -------------------------------------------------------------------------------------------- the loss
def test_the_loss_is_cross_entropy_over_cosines():
    queries, keys = torch.randn(5, 7, generator=seeded(1)), torch.randn(8, 7, generator=seeded(2))
    targets = torch.rand(5, 8, generator=seeded(3))
    targets /= targets.sum(1, keepdim=True)
    expected = 0.0
    for i in range(5):
        cosines = [float(queries[i] @ k / queries[i].norm() / k.norm()) / 0.3 for k in keys]
        total = math.log(sum(math.exp(c) for c in cosines))
        expected -= sum(float(t) * (c - total) for t, c in zip(targets[i], cosines, strict=True)) / 5
    found = contrastive_loss(queries, keys, targets, temperature=0.3)
    assert float(found) == pytest.approx(expected, abs=1e-6)
    assert torch.isclose(contrastive_loss(3 * queries, keys / 2, targets, temperature=0.3), found)
    alone = contrastive_loss(queries, keys, torch.eye(5, 8))
    assert torch.isclose(contrastive_loss(queries, keys), alone)


test_bad_features_are_named = refusals(
    (lambda q: contrastive_loss(q, q, temperature=0.0), r"temperature must lie in \(0, inf\), got 0.0"),
    (lambda q: contrastive_loss(q * math.nan, q), "queries must be finite and not of length 0"),
    (lambda q: contrastive_loss(q, q * 0), "keys must be finite and not of length 0"),
    (lambda q: contrastive_loss(q, q[:2]), "each query needs a key of its own, got 3 and 2"),
    (lambda q: contrastive_loss(q, q[:, :2]), "equally long"),
    (lambda q: contrastive_loss(q, q, torch.eye(2)), r"targets must have shape \(3, 3\)"),
    (lambda q: contrastive_loss(q, q, torch.ones(3, 3)), "targets must sum to 1 in each row"),
    by=lambda call: call(torch.randn(3, 4, generator=seeded())),
)
