"""Label noise against counting by hand, and the probe of libraries and of calls made wrong on purpose."""

from functools import partial

import numpy as np
import pytest
import torch

import mixlearn as ml
from benchmarks import whose_lam
from mixlearn.measure import label_noise, probe, visible
from tests.refused import refused
from tests.seeds import seeded


def scene(batch=4):
    objects = torch.zeros(batch, 1, 8, 8)
    objects[0, :, :4, :4] = objects[1, :, 4:, 4:] = objects[2, :, 2:6, 2:6] = objects[3, :, :, :2] = 1
    return torch.rand(batch, 3, 8, 8, generator=seeded()), torch.arange(batch), objects


def test_visible_follows_any_plan():
    images, _, objects = scene()
    for call in (ml.fmix, ml.gridmix, ml.smoothmix, partial(ml.mixup, lam=0.3)):
        plan = call(images, generator=seeded(3)).plan
        masks = plan.masks.expand(2, 4, 1, 8, 8)
        by_hand = (masks * objects[plan.sources]).sum((2, 3, 4)) / objects[plan.sources].sum((2, 3, 4))
        assert torch.allclose(visible(plan, objects), by_hand, atol=1e-5)


def test_a_shrunken_object_counts_as_whole():
    images, _, objects = scene()
    plan = ml.resizemix(images, boxes=[0, 0, 4, 4], partner=[1, 0, 3, 2]).plan
    assert torch.allclose(visible(plan, objects)[1], torch.ones(4))


def test_moved_blocks_are_followed():
    images, _, objects = scene()
    maps = objects / objects.sum((1, 2, 3), keepdim=True)
    plan = ml.puzzlemix(images, saliency=maps, partner=[1, 0, 3, 2], move=0.01).plan
    own = (plan.parts(objects) * plan.masks).sum((2, 3, 4)) / objects[plan.sources].sum((2, 3, 4))
    assert torch.allclose(visible(plan, objects), own, atol=1e-5)


def test_a_true_label_has_no_noise_and_a_false_one_all():
    images, labels, objects = scene()
    halves = torch.zeros(4, 1, 8, 8)
    halves[..., :4] = 1
    known = {"num_classes": 4, "generator": seeded()}

    def left_half_for(weight, images, labels, *, num_classes, generator):
        masks = torch.ones(4, 1, 8, 8)
        masks[..., 4:] = 0
        plan = ml.MixPlan.pair(torch.tensor([1, 0, 3, 2]), torch.full((4,), weight), masks)
        return ml.Mixed(plan.mix(images), plan.soften(labels, num_classes), plan)

    true = label_noise(partial(left_half_for, 1.0), images, labels, halves, **known)
    false = label_noise(partial(left_half_for, 0.0), images, labels, halves, **known)
    assert true == (0.0, 0.0, 0.0) and false == (1.0, 1.0, 1.0)


def test_pairs_of_one_class_are_left_out():
    images, _, objects = scene()
    found = label_noise(ml.cutmix, images, torch.zeros(4, dtype=torch.long), objects, num_classes=1)
    assert found == (0.0, 0.0, 0.0)


def test_bad_input_is_named():
    images, labels, objects = scene()
    with pytest.raises(ValueError, match="as many labels and objects as images, got 4, 3, 4"):
        label_noise(ml.mixup, images, labels[:3], objects, num_classes=4)
    with pytest.raises(ValueError, match=r"objects must have shape \(4, 1, H, W\), got \(4, 3, 8, 8\)"):
        visible(ml.mixup(images).plan, images)


def test_installed_libraries_do_what_the_book_says():
    calls = {name: call for name, (_, call) in whose_lam.libraries().items()}
    seen = {name: probe(call, rounds=150) for name, call in calls.items()}
    assert {name.split()[0] for name in calls} >= {"mixlearn", "torchvision", "timm", "kornia"}
    for name, found in seen.items():
        by_partner = name in ("kornia RandomMixUpV2", "kornia RandomCutMixV2")
        assert found.lam_weighs == ("partner" if by_partner else "own"), name
        assert found.changes_input == (name.startswith("timm") or name == "fastai CutMix"), name
    assert seen["torchvision v2.MixUp"].partner == seen["torchvision v2.CutMix"].partner == "i − 1"
    assert seen["timm Mixup"].partner == "B − 1 − i" and seen["timm Mixup"].draws_from == "numpy"
    assert (
        seen["mixlearn cutmix"].draws_from == "its own" and seen["torchvision v2.MixUp"].draws_from == "torch"
    )
    assert seen["kornia RandomCutMixV2"].lam_for_each == "image"
    assert seen["mixlearn cutmix"].lam_for_each == "batch"
    # boxes that are placed inside the image lose nothing to its border
    assert seen["kornia RandomCutMixV2"].own_share == pytest.approx(0.5, abs=0.05)
    assert seen["torchvision v2.CutMix"].own_share == pytest.approx(0.69, abs=0.07)


def test_wrong_calls_are_seen_through():
    def swapped(images, labels):
        mixed = ml.mixup(images, labels, num_classes=8)
        return mixed.images, 1 - mixed.plan.lam

    def lying(images, labels):
        return ml.cutmix(images, labels, num_classes=8).images, torch.rand(8)

    def in_place(images, labels):
        mixed = ml.mixup(images, lam=float(np.random.rand()), partner=torch.arange(8).roll(-1))
        return images.copy_(mixed.images), None

    assert probe(swapped, rounds=30).lam_weighs == "partner"
    assert probe(lying, rounds=30).lam_weighs == "neither"
    found = probe(in_place, rounds=30)
    assert found.changes_input and found.partner == "i + 1" and found.lam_weighs == "unknown"
    assert found.draws_from == "numpy"
    with pytest.raises(ValueError, match="the call never mixed an image with another in 5 rounds"):
        probe(lambda images, labels: (images.clone(), torch.ones(8)), rounds=5)
    refused(lambda: probe(swapped, rounds=0), "rounds must be at least 1, got 0")
    refused(lambda: probe(swapped, batch=2), "at least 3 images, got 2")
    refused(lambda: probe(lambda images, labels: (images[:, :1], None)), "mixtures must have shape")


@pytest.mark.parametrize(
    ("rule", "order"),
    [("i + 1", lambda n: n.roll(-1)), ("i − 1", lambda n: n.roll(1)), ("B − 1 − i", lambda n: n.flip(0))],
)
def test_fixed_partners_are_named_whatever_the_batch(rule, order):
    """In a flip the middle image of an odd batch is its own partner; chance may leave some images alone."""
    batch = 7
    partner, generator = order(torch.arange(batch)), torch.Generator().manual_seed(0)

    def always(images, labels):
        return ml.mixup(images, partner=partner, generator=generator).images, None

    def some(images, labels):
        lam = torch.rand(batch, generator=generator).masked_fill(
            torch.rand(batch, generator=generator) < 0.4, 1
        )
        return ml.mixup(images, lam=lam, partner=partner).images, None

    assert probe(always, batch=batch, rounds=20).partner == rule
    assert probe(some, batch=batch, rounds=60).partner == rule
    assert (
        probe(lambda x, y: ml.mixup(x, generator=generator)[:2], batch=batch, rounds=20).partner == "random"
    )
