"""Label noise against counting by hand."""

from functools import partial

import pytest
import torch

import mixlearn as ml
from mixlearn.measure import label_noise, visible
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
