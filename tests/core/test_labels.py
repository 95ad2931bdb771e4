"""Boxes, masks, patches, labels and losses on edge cases."""

import pytest
import torch
import torch.nn.functional as F

import mixlearn as ml
from tests.refused import refused
from tests.seeds import seeded


def test_boxes_and_masks_are_inverse():
    g = seeded()
    for height, width in [(7, 5), (1, 9), (16, 16)]:
        boxes = ml.sample_boxes(torch.rand(50, generator=g), height, width, generator=g)
        masks = ml.boxes_to_masks(boxes, height, width)
        assert masks.shape == (50, 1, height, width)
        assert torch.equal(masks.sum((1, 2, 3)).long(), ml.box_area(boxes))
        filled = ml.box_area(boxes) > 0
        assert torch.equal(ml.masks_to_boxes(masks)[filled], boxes[filled])
        assert bool((ml.masks_to_boxes(masks)[~filled] == 0).all())


def test_patches_go_back():
    images = torch.rand(2, 3, 6, 9)
    patches = ml.patchify(images, 3)
    assert patches.shape == (2, 6, 3, 3, 3)
    assert torch.equal(patches[1, 4], images[1, :, 3:6, 3:6])
    assert torch.equal(ml.unpatchify(patches, 6, 9), images)
    refused(lambda: ml.patchify(images, 4), "patch 4 for 6 × 9")
    refused(lambda: ml.unpatchify(patches, 9, 9), "6 patches of 3 pixels do not make an image of 9 × 9")


def test_soft_cross_entropy_in_low_precision():
    logits, targets = torch.randn(16, 10), torch.randn(16, 10).softmax(1)
    full = ml.soft_cross_entropy(logits, targets)
    assert torch.allclose(full, -(targets * logits.log_softmax(1)).sum(1).mean())
    for dtype in (torch.float16, torch.bfloat16):
        low = ml.soft_cross_entropy(logits.to(dtype), targets)
        assert low.dtype == torch.float32 and torch.allclose(low, full, atol=2e-2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(ml.soft_cross_entropy(logits, targets), full, atol=1e-5)


def test_bce_takes_soft_labels_and_refuses_ids():
    logits, targets = torch.randn(4, 3), torch.rand(4, 3)
    by_hand = -(targets * F.logsigmoid(logits) + (1 - targets) * F.logsigmoid(-logits)).mean()
    assert torch.allclose(ml.soft_bce(logits, targets), by_hand)
    for loss in (ml.soft_bce, ml.soft_cross_entropy):
        with pytest.raises(ValueError, match=r"got \(4, 3\) and \(4,\); class ids become targets"):
            loss(logits, torch.tensor([0, 1, 2, 0]))


def test_mixed_accuracy_has_its_ceiling():
    g, labels = seeded(), torch.arange(64) % 16
    mixed = ml.mixup(torch.rand(64, 2, generator=g), labels, num_classes=16, per_image=True, generator=g)
    best = ml.mixed_accuracy(mixed.targets, labels, mixed.plan)
    assert torch.allclose(best, mixed.targets.max(1).values.mean()) and best < 0.9
    assert torch.allclose(ml.mixed_accuracy(mixed.targets, mixed.targets), best)
    logits = torch.randn(64, 16, generator=g)
    plain = ml.mixed_accuracy(logits, labels, ml.MixPlan.identity(64))
    assert torch.allclose(plain, (logits.argmax(1) == labels).float().mean())


def test_smooth_checks_its_share():
    refused(lambda: ml.smooth(torch.eye(3), -0.1), r"epsilon must lie in \[0, 1\], got -0.1")
    refused(lambda: ml.smooth(torch.ones(3), 0.1), r"targets must have shape \(B, C\), got \(3,\)")
