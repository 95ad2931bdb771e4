"""CutMix: given and drawn boxes, the label's two rules, odd shapes, and everything a caller can get wrong."""

import math

import pytest
import torch
from scipy import integrate

import mixlearn as ml
from tests.refused import refusals
from tests.seeds import seeded


def pasted(images, plan):
    """The definition: image by image, the partner's pixels in its box."""
    out = images.clone()
    for i, (x0, y0, x1, y1) in enumerate(plan.boxes.tolist()):
        out[i, ..., y0:y1, x0:x1] = images[plan.partner[i], ..., y0:y1, x0:x1]
    return out


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (5, 1, 1, 1), (4, 2, 3, 6, 5)])
@pytest.mark.parametrize("per_image", [False, True])
def test_mixture_is_the_definition(shape, per_image):
    images, labels = torch.rand(shape), torch.arange(shape[0]) % 3
    before = images.clone()
    for seed in range(8):
        mixed = ml.cutmix(images, labels, num_classes=3, per_image=per_image, generator=seeded(seed))
        assert torch.equal(mixed.images, pasted(images, mixed.plan))
        area = ml.box_area(mixed.plan.boxes)
        assert torch.allclose(mixed.plan.lam, 1 - area / (shape[-1] * shape[-2]))
        own = ml.one_hot(labels, 3)
        lam = mixed.plan.lam[:, None]
        assert torch.allclose(mixed.targets, lam * own + (1 - lam) * own[mixed.plan.partner])
    assert torch.equal(images, before)
    assert mixed.images.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("size", [(3, 200, 180), (3, 12, 10)])  # pasted one by one, and by a mask
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_path_gives_the_same(size, layout, dtype):
    images = torch.rand(4, *size).to(dtype).contiguous(memory_format=layout)
    boxes = ml.sample_boxes(torch.rand(4), *size[1:], generator=seeded())
    for given in (boxes, boxes[:1]):
        mixed = ml.cutmix(images, boxes=given, partner=[2, 3, 1, 1])
        assert torch.equal(mixed.images, pasted(images, mixed.plan))
        assert mixed.images.dtype == dtype and mixed.images.is_contiguous(memory_format=layout)
        masks = mixed.plan.masks.to(dtype)
        assert torch.equal(mixed.images, masks[0] * images + masks[1] * images[mixed.plan.partner])


def test_compiled_gives_the_same():
    images = torch.rand(4, 3, 8, 8)
    plan = ml.cutmix(images, per_image=True, generator=seeded()).plan
    assert torch.equal(torch.compile(plan.mix, backend="eager")(images), plan.mix(images))


def test_class_ids_depth_and_labels_follow_the_same_boxes():
    images = torch.rand(4, 3, 9, 7)
    mixed = ml.cutmix(images, per_image=True, generator=seeded(3))
    ids = torch.randint(0, 20, (4, 9, 7))
    assert torch.equal(mixed.plan.mix(ids), pasted(ids, mixed.plan))
    assert mixed.plan.mix(ids).dtype == torch.int64
    with pytest.raises(ValueError, match=r"shape \(4, …, 9, 7\) to go with the boxes, got \(4, 3, 7, 9\)"):
        mixed.plan.mix(images.transpose(2, 3))


@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
def test_mean_realised_lam_is_the_derived_one(size):
    """E[λ] = 1 − ∫ (r − r²/4)² dΛ, r = √(1−Λ): what a side of share r keeps after clipping, squared."""
    derived = 1 - integrate.quad(lambda lam: (math.sqrt(1 - lam) - (1 - lam) / 4) ** 2, 0, 1)[0]
    assert abs(derived - 0.679) < 1e-3
    lam = ml.sample_lam(400_000, 1.0, generator=seeded(1))
    area = ml.box_area(ml.sample_boxes(lam, *size, generator=seeded(2))).double()
    assert abs(1 - float(area.mean()) / (size[0] * size[1]) - derived) < 0.005
    folded = torch.maximum(lam, 1 - lam)
    area = ml.box_area(ml.sample_boxes(folded, *size, generator=seeded(3))).double()
    assert abs(1 - float(area.mean()) / (size[0] * size[1]) - 0.816) < 0.006


def test_label_from_the_asked_lam_and_folded():
    images, labels = torch.rand(4, 1, 16, 16), torch.arange(4)
    for seed in range(20):
        asked = ml.cutmix(images, labels, num_classes=4, label_from="asked", generator=seeded(seed))
        told = ml.cutmix(images, labels, num_classes=4, generator=seeded(seed))
        assert torch.equal(asked.images, told.images)
        assert torch.equal(asked.plan.lam, asked.plan.lam_drawn)
        assert torch.equal(told.plan.lam_drawn, asked.plan.lam)
        assert float(ml.cutmix(images, fold=True, generator=seeded(seed)).plan.lam_drawn.min()) >= 0.5
    given = ml.cutmix(images, labels, num_classes=4, boxes=[0, 0, 8, 8], lam=0.3, label_from="asked")
    assert torch.allclose(given.plan.lam, torch.tensor(0.3)) and given.plan.boxes[0].tolist() == [0, 0, 8, 8]
    assert torch.allclose(ml.cutmix(images, lam=[0.0, 0.5, 0.75, 1.0]).plan.lam_drawn[1], torch.tensor(0.5))


IMAGES = torch.zeros(4, 3, 8, 10)


test_bad_options_are_named = refusals(
    ({"boxes": [0, 0, 11, 4]}, ValueError, r"0 ≤ x0 ≤ x1 ≤ 10 and 0 ≤ y0 ≤ y1 ≤ 8, got \[0, 0, 11, 4\]"),
    ({"boxes": [[0, 0, 3, 4]] * 3}, ValueError, "one box or 4, one for each image, got 3"),
    ({"boxes": [0, 0, 3]}, ValueError, r"shape \(n, 4\) as \(x0, y0, x1, y1\), got \(1, 3\)"),
    ({"boxes": [0.0, 0, 3, 4]}, TypeError, "whole pixels"),
    ({"boxes": [0, 0, 3, 4], "lam": 0.5}, ValueError, "lam and boxes were both given"),
    ({"boxes": [0, 0, 3, 4], "label_from": "asked"}, ValueError, "needs lam="),
    ({"label_from": "area"}, ValueError, "must be 'pixels' or 'asked', got 'area'"),
    by=lambda options: ml.cutmix(IMAGES, **options),
)
