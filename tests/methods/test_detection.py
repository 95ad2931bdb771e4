"""Object boxes under CutMix, against counting pixels."""

import pytest
import torch

import mixlearn as ml


def test_objects_are_what_the_pixels_show():
    """Paint each object in its own colour, mix the pictures, and look where the colour is left."""
    generator = torch.Generator().manual_seed(4)
    for _ in range(60):
        size = (20, 26)
        objects = [ml.sample_boxes(torch.full((1,), 0.8), *size, generator=generator) for _ in range(3)]
        paint = torch.cat([ml.boxes_to_masks(found, *size) for found in objects])
        paint = paint * torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1)
        mixed = ml.cutmix(paint, per_image=True, generator=generator)
        labels = [torch.tensor([k + 1]) for k in range(3)]
        told = ml.mix_objects(mixed.plan, objects, labels, least=0.0)
        for i in range(3):
            seen = mixed.images[i, 0]
            assert sorted(told[i].labels.tolist()) == sorted(int(v) for v in seen.unique() if v)
            for box, label, visible in zip(*told[i], strict=True):
                tight = ml.masks_to_boxes((seen == label).float()[None, None])[0]
                assert box.tolist() == tight.tolist()
                whole = int((paint[label - 1] > 0).sum())
                assert abs(float(visible) - int((seen == label).sum()) / whole) < 1e-6


def test_hardly_visible_objects_are_dropped():
    plan = ml.cutmix(torch.zeros(2, 1, 10, 10), boxes=[0, 0, 10, 9], partner=[1, 0]).plan
    boxes, labels = (
        [torch.tensor([[0, 0, 4, 10]]), torch.zeros(0, 4, dtype=torch.long)],
        [
            torch.tensor([5]),
            torch.zeros(0, dtype=torch.long),
        ],
    )
    assert len(ml.mix_objects(plan, boxes, labels, least=0.2)[0].boxes) == 0
    assert ml.mix_objects(plan, boxes, labels, least=0.05)[0].boxes.tolist() == [[0, 9, 4, 10]]
    assert ml.mix_objects(plan, boxes, labels)[1].boxes.tolist() == [[0, 0, 4, 9]]
    alone = ml.cutmix(torch.zeros(2, 1, 10, 10), boxes=[0, 0, 10, 9], partner=[0, 1]).plan
    assert ml.mix_objects(alone, boxes, labels)[0].boxes.tolist() == [[0, 0, 4, 10]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.float16, torch.bfloat16])
def test_areas_do_not_overflow_the_type_of_the_boxes(dtype):
    """Boxes of 240 × 240 = 57 600 pixels and more, of which the pasted box hides a quarter."""
    size = 240 if dtype == torch.uint8 else 512  # 512² is beyond float16 too
    plan = ml.cutmix(torch.zeros(2, 1, size, size), boxes=[0, 0, size // 2, size // 2], partner=[1, 0]).plan
    boxes, labels = [torch.tensor([[0, 0, size, size]], dtype=dtype)] * 2, [torch.tensor([1])] * 2
    for found in ml.mix_objects(plan, boxes, labels):
        assert found.visible.tolist() == [0.75, 0.25]
        assert found.boxes.tolist() == [[0, 0, size, size], [0, 0, size // 2, size // 2]]
        assert found.boxes.dtype == (torch.float32 if dtype.is_floating_point else torch.int64)
    assert boxes[0].dtype == dtype  # the caller's are as they were
    still = ml.cutmix(torch.zeros(2, 1, size, size), boxes=[0, 0, 9, 9], partner=[0, 1]).plan
    assert ml.mix_objects(still, boxes, labels)[0].boxes.dtype == found.boxes.dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_objects_smaller_than_a_pixel_have_shares_too(dtype):
    plan = ml.cutmix(torch.zeros(2, 1, 8, 8), boxes=[2, 0, 8, 8], partner=[1, 0]).plan
    boxes = [
        torch.tensor([[1.75, 3.0, 2.25, 3.5], [5.0, 5.0, 5.0, 6.0]], dtype=dtype),
        torch.zeros(0, 4, dtype=dtype),
    ]
    labels = [torch.tensor([4, 5]), torch.zeros(0, dtype=torch.long)]
    own, come = ml.mix_objects(plan, boxes, labels)
    assert own.visible[0] == 0.5 and own.boxes[0].tolist() == [1.75, 3.0, 2.0, 3.5]
    assert come.visible.tolist() == [0.5] and come.boxes.tolist() == [[2.0, 3.0, 2.25, 3.5]]


def test_wrong_plans_and_lists_are_named():
    images = torch.zeros(2, 1, 8, 8)
    boxes, labels = [torch.zeros(1, 4, dtype=torch.long)] * 2, [torch.zeros(1, dtype=torch.long)] * 2
    with pytest.raises(TypeError, match="plan must be one of cutmix, .* got MixPlan"):
        ml.mix_objects(ml.mixup(images).plan, boxes, labels)
    with pytest.raises(TypeError, match="got ResizePlan"):
        ml.mix_objects(ml.resizemix(images).plan, boxes, labels)
    plan = ml.cutmix(images).plan
    with pytest.raises(ValueError, match="one tensor for each of 2 images, got 1 and 2"):
        ml.mix_objects(plan, boxes[:1], labels)
    with pytest.raises(ValueError, match=r"image 0: expected boxes \(n, 4\) and labels \(n,\)"):
        ml.mix_objects(plan, [torch.zeros(1, 3, dtype=torch.long)] * 2, labels)
    with pytest.raises(ValueError, match=r"least must lie in \[0, 1\], got 2"):
        ml.mix_objects(plan, boxes, labels, least=2)
