"""Object boxes of mixed images, against counting pixels; boxes as users have them."""

import math
from functools import partial

import pytest
import torch
from torchvision.transforms.v2.functional import convert_bounding_box_format
from torchvision.tv_tensors import BoundingBoxes

import mixlearn as ml
from tests.refused import refusals, refused
from tests.seeds import seeded


def test_hardly_visible_objects_are_dropped():
    plan = ml.cutmix(torch.zeros(2, 1, 10, 10), boxes=[0, 0, 10, 9], partner=[1, 0]).plan
    boxes = [torch.tensor([[0, 0, 4, 10]]), torch.zeros(0, 4, dtype=torch.long)]
    labels = [torch.tensor([5]), torch.zeros(0, dtype=torch.long)]
    assert len(ml.mix_objects(plan, boxes, labels, least=0.2)[0].boxes) == 0
    assert ml.mix_objects(plan, boxes, labels, least=0.05)[0].boxes.tolist() == [[0, 9, 4, 10]]
    assert ml.mix_objects(plan, boxes, labels)[1].boxes.tolist() == [[0, 0, 4, 9]]
    alone = ml.cutmix(torch.zeros(2, 1, 10, 10), boxes=[0, 0, 10, 9], partner=[0, 1]).plan
    assert ml.mix_objects(alone, boxes, labels)[0].boxes.tolist() == [[0, 0, 4, 10]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float16])
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


@pytest.mark.parametrize("dtype", [torch.float64])
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


def painted(generator, size=(20, 26)):
    """Three images with two objects each, and one map per object, 1 where it is."""
    boxes = [ml.sample_boxes(torch.full((2,), 0.7), *size, generator=generator) for _ in range(3)]
    return boxes, [ml.boxes_to_masks(found, *size)[:, 0] for found in boxes]


METHODS = {
    "fmix": ml.fmix,
    "smoothmix": ml.smoothmix,
    "cutmix": partial(ml.cutmix, per_image=True),
    "cutout": partial(ml.cutout, size=9),
    "comixup": partial(ml.comixup, grid=2),
    "puzzlemix": partial(ml.puzzlemix, move=None),
    "mixup": partial(ml.mixup, per_image=True),
    "patchmix": partial(ml.patchmix, patch=2, parts=3),
}


@pytest.mark.parametrize("name", METHODS)
def test_any_plan_that_leaves_pixels_in_place_tells_what_is_seen_of_each_object(name):
    generator = seeded(5)
    for _ in range(3):
        boxes, maps = painted(generator)
        boxes, maps = boxes[:2] + [boxes[2][:0]], maps[:2] + [maps[2][:0]]  # the last image is empty
        plan = METHODS[name](torch.rand(3, 3, 20, 26, generator=generator), generator=generator).plan
        labels = [torch.tensor([10 * k, 10 * k + 1])[: len(boxes[k])] for k in range(3)]
        for i, found in enumerate(ml.mix_objects(plan, boxes, labels, least=0.0)):
            told = {}
            for box, label, visible, source, row in zip(*found[:5], strict=True):
                told[int(source), int(row)] = box.tolist(), float(visible)
                assert label == labels[source][row]
            for j in range(2):
                for k in range(2):
                    alone = torch.zeros(3, 1, 20, 26)
                    alone[j] = maps[j][k]
                    seen = plan.mix(alone)[i, 0]
                    share = float(seen.sum() / maps[j][k].sum().clamp_min(1))
                    if share == 0:
                        assert (j, k) not in told
                        continue
                    box, visible = told.pop((j, k))
                    assert visible == pytest.approx(share, abs=1e-5)
                    assert box == ml.masks_to_boxes((seen > 0)[None, None])[0].tolist()
            assert not told


def test_a_batch_that_was_not_mixed_keeps_its_objects():
    boxes = [torch.tensor([[1, 2, 5, 6], [3, 3, 3, 3]]), torch.zeros(0, 4, dtype=torch.long)]
    labels = [torch.tensor([4, 5]), torch.zeros(0, dtype=torch.long)]
    mix = ml.RandomMix([ml.cutmix], p=0.0, num_classes=2)
    plan = mix(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])).plan
    one, none = ml.mix_objects(plan, boxes, labels)
    assert one.boxes.tolist() == boxes[0].tolist() and one.labels.tolist() == [4, 5]
    assert one.visible.tolist() == [1, 1] and one.row.tolist() == [0, 1] and one.source.tolist() == [0, 0]
    assert none.boxes.shape == (0, 4) and len(none.labels) == len(none.visible) == 0


def test_mixup_shows_the_objects_of_both_by_their_shares():
    plan = ml.mixup(torch.zeros(3, 1, 8, 8), lam=[0.75, 0.95, 0.5], partner=[1, 0, 2]).plan
    boxes = [torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.tensor([[1.0, 2.0, 3.0, 8.0]]), torch.zeros(0, 4)]
    labels = [torch.tensor([7]), torch.tensor([8]), torch.tensor([])]
    first, second, third = ml.mix_objects(plan, boxes, labels)
    assert first.boxes.tolist() == [[0, 0, 4, 4], [1, 2, 3, 8]] and first.labels.tolist() == [7, 8]
    assert first.visible.tolist() == [0.75, 0.25] and first.source.tolist() == [0, 1]
    assert second.labels.tolist() == [8]  # 5 % of its partner is less than `least`
    assert len(third.boxes) == 0 and third.labels.dtype == torch.int64
    (_, own, _) = ml.mix_objects(plan, boxes[:1] + [boxes[0], boxes[1]], labels[:2] + labels[:1], least=0)
    assert own.visible.tolist() == pytest.approx([0.95, 0.05])
    alone = ml.mix_objects(plan, boxes[2:] * 2 + boxes[:1], labels[2:] * 2 + labels[:1])[2]
    assert alone.visible.tolist() == [1.0] and len(alone.boxes) == 1  # its own partner: each object once


CUT = {"boxes": [0, 0, 16, 16], "partner": [1, 0]}


def one_box(box, plan=None, **options):
    """What becomes of one box in the second of two images of 32 × 64, whose first is empty."""
    plan = ml.cutmix(torch.zeros(2, 3, 32, 64), **CUT).plan if plan is None else plan
    boxes = [torch.zeros(0, 4), box if isinstance(box, torch.Tensor) else torch.tensor([box])]
    return ml.mix_objects(plan, boxes, [torch.zeros(0).long(), torch.tensor([3])], **options)[1]


test_boxes_that_cannot_be_corners_in_pixels_are_named = refusals(
    ([40.0, 20.0, 20.0, 10.0], r"image 1, box 0: .* y0 ≤ y1; .*box_convert.*, got \[40.0, 20.0, 20.0, 10"),
    ([30, 2, 65, 10], r"image 1, box 0: .*inside the image, x ≤ 64 and y ≤ 32; .*box_convert.*clip_boxes"),
    ([-3, 2, 30, 10], r"image 1, box 0: .*none below 0; .*got \[-3, 2, 30, 10\]"),
    ([math.nan, 2.0, 30.0, 10.0], r"image 1, box 0: corners must be finite, got \[nan, 2.0"),
    ([0.1, 0.2, 0.4, 1.0], r"image 1, box 0: .* 32 × 64 .*by \(W, H, W, H\) = \(64, 32, 64, 32\), got \[0.1"),
    by=lambda box: one_box(box),
)


def test_float_boxes_may_stick_out_by_rounding():
    found = one_box([16.0, -0.3, 64.25, 32.5])
    assert found.boxes.tolist() == [[16.0, 0.0, 64.0, 32.0]] and found.visible.tolist() == [1.0]
    refused(lambda: one_box([16.0, 0.0, 64.6, 32.0]), "x ≤ 64 and y ≤ 32")


@pytest.mark.parametrize(("style", "dtype"), [("XYWH", torch.uint8), ("CXCYWH", torch.float32)])
def test_boxes_that_say_their_format_are_converted(style, dtype):
    corners = BoundingBoxes(
        torch.tensor([[8, 4, 40, 12]], dtype=dtype), format="XYXY", canvas_size=(32, 64)
    )  # a quarter of it is covered
    found = one_box(convert_bounding_box_format(corners, new_format=style))
    assert type(found.boxes) is BoundingBoxes and found.boxes.tolist() == [[16, 4, 40, 12]]
    assert found.visible.tolist() == [0.75] and found.boxes.format.name == "XYXY"
    mixed = one_box(corners, ml.mixup(torch.zeros(2, 3, 32, 64)).plan, least=0)
    assert type(mixed.boxes) is BoundingBoxes and mixed.boxes.canvas_size == (32, 64)


def test_boxes_of_another_canvas_or_rotated_are_refused():
    box = torch.tensor([[8.0, 4.0, 40.0, 12.0]])
    with pytest.raises(
        ValueError, match=r"image 1: .*\(H, W\) = \(64, 32\), the mixed images have \(32, 64\)"
    ):
        one_box(BoundingBoxes(box, format="XYXY", canvas_size=(64, 32)))
    turned = torch.tensor([[8.0, 4.0, 20.0, 12.0, 45.0]])
    with pytest.raises(ValueError, match="image 1: boxes must be upright, .* got XYWHR"):
        one_box(BoundingBoxes(turned, format="XYWHR", canvas_size=(32, 64)))


def test_wrong_lists_are_named():
    boxes, labels = [torch.zeros(1, 4, dtype=torch.long)] * 2, [torch.zeros(1, dtype=torch.long)] * 2
    plan = ml.cutmix(torch.zeros(2, 1, 8, 8)).plan
    refused(lambda: ml.mix_objects(plan, boxes[:1], labels), "one tensor for each of 2 images, got 1 and 2")
    with pytest.raises(ValueError, match=r"image 1: .*got \(0,\) and \(1,\)"):
        ml.mix_objects(plan, [boxes[0], torch.tensor([])], labels)
    with pytest.raises(TypeError, match="image 1: boxes and labels must be tensors, got list and Tensor"):
        ml.mix_objects(plan, [boxes[0], [[0, 0, 1, 1]]], labels)
    refused(lambda: ml.mix_objects(plan, boxes, labels, least=2), r"least must lie in \[0, 1\], got 2")
