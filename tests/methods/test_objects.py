"""Objects under every kind of plan, against painting each alone: boxes, masks and keypoints."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms import v2

import mixlearn as ml
from mixlearn.core.each import EachPlan
from mixlearn.methods.puzzlemix import PuzzlePlan
from mixlearn.methods.resizemix import ResizePlan
from mixlearn.methods.ricap import CropPlan
from tests.accelerator import alone, on_device
from tests.methods.test_mask_contract import rebuilt
from tests.refused import refusals, refused
from tests.seeds import seeded

SIZE = (12, 16)


def pasted(images, masks, generator):
    return ml.copy_paste(images, masks=masks, generator=generator)


def classes(images, masks, generator):
    """Label maps with an object a class, the last one on top."""
    maps = torch.zeros(len(images), *SIZE, dtype=torch.long)
    for i, own in enumerate(masks):
        for k, mask in enumerate(own):
            maps[i][mask] = k + 1
    return ml.classmix(images, maps, num_classes=4, generator=generator)


def plain(method, **options):
    return lambda images, masks, generator: method(images, generator=generator, **options)


def attended(images, masks, generator):
    return ml.smmix(images, attention=images.mean(1), generator=generator)


PLANS = {
    "mixup": plain(ml.mixup, per_image=True),
    "kmixup": plain(ml.kmixup, k=2),
    "cutmix": plain(ml.cutmix, per_image=True),
    "cutmix_seg": plain(ml.cutmix_seg),
    "cutout": plain(ml.cutout, size=7, holes=2),
    "gridmix": plain(ml.gridmix, per_image=True),
    "fmix": plain(ml.fmix, per_image=True),
    "fmix, soft": plain(ml.fmix, soft=0.2),
    "smoothmix": plain(ml.smoothmix),
    "cowmix": plain(ml.cowmix, sigma=(1.0, 4.0), per_image=True),
    "hmix": plain(ml.hmix),
    "saliencymix": plain(ml.saliencymix),
    "patchmix": plain(ml.patchmix, patch=2, parts=5),
    "comixup": plain(ml.comixup, grid=2),
    "puzzlemix": plain(ml.puzzlemix, move=None),
    "puzzlemix, moved": plain(ml.puzzlemix, move=0.01, gamma=0.0),
    "resizemix": plain(ml.resizemix, per_image=True),
    "snapmix": plain(ml.snapmix, per_image=True),
    "ricap": plain(ml.ricap, alpha=2.0, per_image=True),
    "smmix": attended,
    "mosaic": plain(ml.mosaic, per_image=True),
    "mosaic, whole size": plain(ml.mosaic, scale=1.0),
    "mosaic, anywhere": plain(ml.mosaic, scale=0.7, middle=(0.0, 1.0)),
    "copy_paste": pasted,
    "classmix": classes,
    "each its own": plain(
        ml.RandomMix([ml.mixup, ml.cutmix, ml.ricap, ml.mosaic, ml.resizemix], p=0.8, per_image=True)
    ),
}


def painted(plan, maps):
    """The mixture (B, H, W) of one map an image, by the definition."""
    if isinstance(plan, EachPlan):
        each = [painted(one, maps) for one in plan.plans]
        return torch.stack([each[way][i] for i, way in enumerate(plan.chosen.tolist())])
    return rebuilt(plan, maps[:, None])[:, 0]


def by_itself(plan, j, map_):
    """What every mixture shows of one map of image j, the others being empty."""
    maps = torch.zeros(len(plan), *SIZE, dtype=torch.double)
    maps[j] = map_
    return painted(plan, maps)


@st.composite
def scenes(draw):
    """A plan, and for each image up to three objects: boxes, masks within them, keypoints."""
    name, seed, batch = (
        draw(st.sampled_from(sorted(PLANS))),
        draw(st.integers(0, 2**31)),
        draw(st.integers(1, 4)),
    )
    generator = seeded(seed)
    counts = [draw(st.integers(0, 3)) for _ in range(batch)]
    boxes = [ml.sample_boxes(torch.rand(n, generator=generator), *SIZE, generator=generator) for n in counts]
    masks = [ml.boxes_to_masks(own, *SIZE)[:, 0].bool() for own in boxes]
    masks = [own & (torch.rand(own.shape, generator=generator) < 0.7) for own in masks]
    points = []
    for own in boxes:  # two keypoints in each box, with a third number above 0
        at = torch.rand(len(own), 2, 3, generator=generator)
        at[..., :2] = own[:, None, :2] + at[..., :2] * (own[:, None, 2:] - own[:, None, :2])
        points.append(at)
    images = torch.rand(batch, 3, *SIZE, generator=generator)
    plan = PLANS[name](images, masks, generator).plan
    return plan, boxes, [torch.arange(n) + 10 * j for j, n in enumerate(counts)], masks, points


def each_object(plan, boxes, found):
    """For each mixture and each object of the batch: i, j, its row, and where it is among those found."""
    for i, one in enumerate(found):
        for j, own in enumerate(boxes):
            for row in range(len(own)):
                yield i, j, row, ((one.source == j) & (one.row == row)).nonzero()[:, 0].tolist()
        assert len(one.boxes) == len(one.labels) == len(one.visible)


def around(boxes):
    return [*boxes[:, :2].amin(0).tolist(), *boxes[:, 2:].amax(0).tolist()]


def kind_of(plan, i):
    return plan.plans[int(plan.chosen[i])] if isinstance(plan, EachPlan) else plan


def zoom(plan, i, j):
    """By how much mixture i resizes image j, across and down."""
    if isinstance(plan, CropPlan):
        x0, y0, x1, y1 = plan.places[0, i].tolist()
        return (x1 - x0) / SIZE[1], (y1 - y0) / SIZE[0]
    if isinstance(plan, ResizePlan) and j != i:
        into, of = plan.boxes[i].tolist(), plan.taken.expand(len(plan), 4)[i].tolist()
        return tuple((into[d + 2] - into[d]) / (of[d + 2] - of[d]) for d in (0, 1))
    return 1, 1


steady = settings(derandomize=True, max_examples=60, deadline=None)


@steady
@given(scenes())
def test_masks_are_those_painted_alone_and_boxes_are_tight_around_them(scene):
    plan, boxes, labels, masks, _ = scene
    found = ml.mix_objects(plan, boxes, labels, masks=masks, least=0.0)
    alone_ = {(j, k): by_itself(plan, j, masks[j][k]) for j in range(len(plan)) for k in range(len(masks[j]))}
    for i, j, k, at in each_object(plan, boxes, found):
        one, seen = found[i], alone_[j, k][i]
        assert torch.equal(one.masks[at].any(0), seen > 0)  # nothing lost, nothing invented
        assert one.boxes[at].tolist() == ml.masks_to_boxes(one.masks[at, None]).tolist()
        assert one.labels[at].tolist() == [10 * j + k] * len(at)
        if len(at) == 1 and zoom(kind_of(plan, i), i, -1) == (1, 1):
            share = float(seen.sum() / masks[j][k].sum())
            assert float(one.visible[at]) == pytest.approx(share, abs=1e-5)


@steady
@given(scenes())
def test_boxes_are_those_painted_alone(scene):
    plan, boxes, labels, *_ = scene
    found = ml.mix_objects(plan, boxes, labels, least=0.0)
    for i, j, k, at in each_object(plan, boxes, found):
        x0, y0, x1, y1 = boxes[j][k].tolist()
        map_ = torch.zeros(SIZE)
        map_[y0:y1, x0:x1] = 1
        seen, one = by_itself(plan, j, map_)[i], found[i]
        assert bool(at) == bool(seen.any())
        if at:
            assert around(one.boxes[at]) == ml.masks_to_boxes((seen > 0)[None, None])[0].tolist()
        kind = kind_of(plan, i)
        copied = isinstance(kind, ResizePlan) and kind.partner[i] == i  # once as it was, once resized
        if len(at) == 1 and not copied:
            share, (width, height) = float(seen.sum() / map_.sum()), zoom(kind, i, j)
            if width == height == 1:
                assert float(one.visible[at]) == pytest.approx(share, abs=1e-5)
            else:
                wide, tall = width * (x1 - x0), height * (y1 - y0)
                off = (wide + tall + 1) / (wide * tall)  # a row and a column of pixels, more or less
                assert abs(float(one.visible[at]) - share / width / height) <= off


@steady
@given(scenes(), st.floats(0, 1))
def test_objects_below_the_threshold_are_dropped_and_no_others(scene, least):
    plan, boxes, labels, masks, points = scene
    given_ = {"masks": masks, "keypoints": points}
    before = [one.clone() for part in (boxes, labels, masks, points) for one in part]
    all_ = ml.mix_objects(plan, boxes, labels, **given_, least=0.0)
    some = ml.mix_objects(plan, boxes, labels, **given_, least=least)
    for one, other in zip(all_, some, strict=True):
        kept = one.visible >= least
        assert bool((one.visible > 0).all()) and bool((one.visible <= 1).all())
        assert all(torch.equal(a[kept], b) for a, b in zip(one, other, strict=True))
    after = [one for part in (boxes, labels, masks, points) for one in part]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@steady
@given(scenes())
def test_keypoints_go_where_their_pixels_go(scene):
    plan, boxes, labels, masks, points = scene
    found = ml.mix_objects(plan, boxes, labels, keypoints=points, least=0.0)
    places_ = torch.meshgrid(*(torch.arange(1.0, side + 1) for side in SIZE), indexing="ij")[::-1]
    for i, j, k, at in each_object(plan, boxes, found):
        one, kind = found[i], kind_of(plan, i)
        if isinstance(kind, ResizePlan) and kind.partner[i] == i:
            continue  # once as it was, once resized
        scales = zoom(kind, i, j)
        for p, place in enumerate(points[j][k, :, :2].tolist()):
            map_ = torch.zeros(SIZE)
            map_[int(place[1]), int(place[0])] = 1
            seen = by_itself(plan, j, map_)[i] > 0
            shown = [here for here in at if one.shown[here, p]]
            for here in shown:
                *new, v = one.keypoints[here, p].tolist()
                assert v > 0
                if scales == (1, 1):
                    assert seen[int(new[1]), int(new[0])]
                    assert [x % 1 for x in new] == pytest.approx([x % 1 for x in place], abs=1e-5)
                for axis, scale in enumerate(
                    scales
                ):  # the pixel shows one that is at most a step further left
                    if not isinstance(kind, (CropPlan, ResizePlan)):
                        continue
                    pixel = by_itself(plan, j, places_[axis])[i, int(new[1]), int(new[0])] - 1
                    assert -1e-4 <= place[axis] - float(pixel) <= 1 / scale + 1 + 1e-4
            if scales == (1, 1):
                assert bool(shown) == bool(seen.any())
            for here in set(at) - set(shown):
                assert one.keypoints[here, p].tolist() == [0, 0, 0]


def test_every_kind_of_plan_was_asked():
    """The plans above are of all types that there are, but for those that say nothing of pixels."""
    images, masks = torch.rand(4, 3, *SIZE, generator=seeded()), [torch.ones(1, *SIZE).bool()] * 4
    kinds = {type(method(images, masks, seeded(1)).plan) for method in PLANS.values()}
    known, waiting = set(), [ml.MixPlan]
    while waiting:
        known.add(waiting.pop())
        waiting += [kind for one in known for kind in one.__subclasses__() if kind not in known]
    mixlearn = {kind for kind in known if kind.__module__.startswith("mixlearn.")}
    assert {kind.__name__ for kind in mixlearn - kinds} == {"AlignPlan", "MomentPlan"}
    moved = PLANS["puzzlemix, moved"](images, masks, seeded(1)).plan
    assert isinstance(moved, PuzzlePlan) and moved.order is not None and len(moved.order.unique(dim=1)) > 0


# ----------------------------------------------------------------------------------- exact small cases
def test_a_mosaic_halves_four_images_and_their_objects():
    """Centre in the middle: each is seen whole, at half size, in its quarter."""
    order = [[1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]]
    plan = ml.mosaic(torch.zeros(4, 1, 8, 8), centre=[4, 4], partners=order).plan
    boxes = [torch.tensor([[2, 4, 6, 8]])] * 4
    points = [torch.tensor([[[2.0, 5.0, 2.0], [7.5, 0.5, 0.0]]])] * 4
    (found, *_) = ml.mix_objects(plan, boxes, [torch.tensor([j]) for j in range(4)], keypoints=points)
    assert found.boxes.tolist() == [[1, 2, 3, 4], [5, 2, 7, 4], [1, 6, 3, 8], [5, 6, 7, 8]]
    assert found.visible.tolist() == [1.0] * 4 and found.labels.tolist() == [0, 1, 2, 3]
    assert found.keypoints[:, 0].tolist() == [[1, 2.5, 2], [5, 2.5, 2], [1, 6.5, 2], [5, 6.5, 2]]
    assert found.shown.tolist() == [[True, False]] * 4 and found.keypoints[:, 1].sum() == 0


def test_an_object_that_a_mosaic_cuts_keeps_what_is_seen():
    plan = ml.mosaic(torch.zeros(1, 1, 8, 8), scale=1.0, centre=[6, 8]).plan  # two parts have width, no more
    boxes, labels = [torch.tensor([[1.0, 0.0, 5.0, 4.0]])], [torch.tensor([3])]
    (found,) = ml.mix_objects(plan, boxes, labels)
    assert found.boxes.tolist() == [[0.0, 0.0, 3.0, 4.0], [7.0, 0.0, 8.0, 4.0]]  # it is there twice
    assert found.visible.tolist() == [0.75, 0.25] and found.row.tolist() == [0, 0]


def test_copy_paste_pastes_only_what_was_chosen():
    masks = [torch.zeros(1, 4, 6, dtype=torch.bool), torch.zeros(2, 4, 6, dtype=torch.bool)]
    masks[0][0, 1:3, 1:4] = masks[1][0, 0:2, 0:2] = masks[1][1, 1:4, 3:6] = True
    boxes = [ml.masks_to_boxes(own[:, None]) for own in masks]
    chosen = [torch.tensor([False]), torch.tensor([False, True])]
    plan = ml.copy_paste(torch.zeros(2, 1, 4, 6), masks=masks, chosen=chosen, partner=[1, 0]).plan
    first, second = ml.mix_objects(plan, boxes, [torch.tensor([5]), torch.tensor([6, 7])], masks=masks)
    assert first.labels.tolist() == [5, 7] and first.boxes.tolist() == [[1, 1, 3, 3], [3, 1, 6, 4]]
    assert first.visible.tolist() == pytest.approx([4 / 6, 1]) and second.labels.tolist() == [6, 7]
    assert torch.equal(first.masks[0], masks[0][0] & ~masks[1][1])


# --------------------------------------------------------------------------------- torchvision's types
def test_tv_tensors_come_back_as_they_were_given():
    canvas = {"canvas_size": (8, 8)}
    given_ = tv_tensors.BoundingBoxes([[1.0, 1.0, 4.0, 4.0]], format="XYWH", **canvas)
    masks, points = tv_tensors.Mask(torch.ones(1, 8, 8)), tv_tensors.KeyPoints([[[2.0, 2.0]]], **canvas)
    plan = ml.cutmix(torch.zeros(2, 1, 8, 8), boxes=[3, 0, 8, 8], partner=[1, 0]).plan
    plain_ = {"masks": [masks, torch.zeros(0, 8, 8)], "keypoints": [points, torch.zeros(0, 1, 2)]}
    labels = [torch.tensor([1]), torch.zeros(0, dtype=torch.long)]
    own, other = ml.mix_objects(plan, [given_, torch.zeros(0, 4)], labels, **plain_)
    assert type(own.boxes) is tv_tensors.BoundingBoxes and own.boxes.format.name == "XYXY"
    assert own.boxes.canvas_size == (8, 8) and own.boxes.tolist() == [[0, 0, 3, 8]]
    assert type(own.masks) is tv_tensors.Mask and own.masks.sum() == 24
    assert type(own.keypoints) is tv_tensors.KeyPoints and own.shown.tolist() == [[True]]
    assert {type(one) for one in (other.boxes, other.masks, other.keypoints)} == {torch.Tensor}
    assert other.shown.tolist() == [[False]] and other.keypoints.tolist() == [[[2.0, 2.0]]]


@pytest.mark.parametrize("seed", range(5))
def test_boxes_of_a_crop_are_those_that_torchvision_clamps_and_sanitises(seed):
    """One image in four parts, cut by RICAP: each part is a crop, so torchvision can say what it holds."""
    generator = seeded(seed)
    plan = ml.ricap(torch.zeros(1, 1, *SIZE), alpha=3.0, generator=generator).plan
    boxes = ml.sample_boxes(torch.rand(5, generator=generator), *SIZE, generator=generator).float()
    (found,) = ml.mix_objects(plan, [boxes], [torch.arange(5)], least=0.0)
    expected = []
    for k in range(4):
        rows, columns = (plan.masks[k, 0, 0].any(d).nonzero()[:, 0] for d in (1, 0))
        if not len(rows):
            continue
        top, left = int(rows[0]), int(columns[0])
        down, across = plan.shift[k, 0].tolist()
        given_ = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=SIZE)
        cut = v2.functional.crop(given_, top + down, left + across, len(rows), len(columns))
        clean = v2.SanitizeBoundingBoxes()({"boxes": cut, "labels": torch.arange(5)})
        moved = clean["boxes"].as_subclass(torch.Tensor) + torch.tensor([left, top, left, top])
        expected += [
            (label, box) for label, box in zip(clean["labels"].tolist(), moved.tolist(), strict=True)
        ]
    ours = list(zip(found.labels.tolist(), found.boxes.tolist(), strict=True))
    assert sorted(ours) == sorted(expected) and len(ours) > 2


# ------------------------------------------------------------------------------------- what is refused
PLAN = ml.cutmix(torch.zeros(2, 1, 8, 8), boxes=[4, 0, 8, 8], partner=[1, 0]).plan
BOXES, IDS = [torch.tensor([[0, 0, 4, 4]])] * 2, [torch.tensor([1])] * 2
test_masks_and_keypoints_of_wrong_shapes_are_named = refusals(
    ({"masks": [torch.ones(1, 8, 8)]}, r"masks must hold one tensor for each of 2 images, got 1 of Tensor"),
    ({"masks": [torch.ones(1, 8, 8), [1]]}, r"masks must hold one tensor .*, got 2 of Tensor, list"),
    (
        {"masks": [torch.ones(1, 8, 8), torch.ones(2, 8, 8)]},
        r"image 1: masks must .* \(n, 8, 8\) for n = 1 .* got \(2, 8, 8\)",
    ),
    (
        {"masks": [torch.ones(1, 8, 9)] * 2},
        r"image 0: masks must have shape .* \(n, 8, 8\) .* got \(1, 8, 9\)",
    ),
    (
        {"keypoints": [torch.ones(1, 2)] * 2},
        r"image 0: keypoints must .*\(n, P, 3\).* for n = 1 .*got \(1, 2\)",
    ),
    (
        {"keypoints": [torch.ones(1, 2, 2), torch.ones(1, 3, 2)]},
        r"image 1: keypoints must .* P the same for all images, .* got \(1, 3, 2\)",
    ),
    by=lambda options: ml.mix_objects(PLAN, BOXES, IDS, **options),
)


def test_plans_of_features_are_refused():
    images = torch.rand(2, 3, 8, 8)
    for method, name in ((ml.alignmix, "AlignPlan"), (ml.moex, "MomentPlan")):
        words = f"which pixel each pixel shows, got {name}, .*train on its soft labels"
        refused(lambda method=method: ml.mix_objects(method(images).plan, BOXES, IDS), words, TypeError)


def test_label_maps_are_selected_by_hard_masks_and_refused_by_soft_ones():
    maps = torch.arange(2)[:, None, None].expand(2, 8, 8)
    assert PLAN.mix(maps)[0].tolist() == [[0] * 4 + [1] * 4] * 8
    soft = ml.mixup(torch.zeros(2, 1, 8, 8), lam=0.5, partner=[1, 0]).plan
    refused(lambda: soft.mix(maps), r"torch.int64 cannot be averaged .*one-hot them first", TypeError)


def on_an_accelerator():
    images = torch.rand(3, 1, *SIZE, generator=seeded())
    boxes = [torch.tensor([[0, 0, 9, 9], [5, 5, 15, 11]])] * 3
    labels, masks = [torch.tensor([1, 2])] * 3, [torch.rand(2, *SIZE, generator=seeded(1)) > 0.5] * 3
    points = [torch.full((2, 1, 3), 6.5)] * 3
    given_ = {"masks": masks, "keypoints": points, "least": 0.0}
    for method in (ml.mosaic, ml.ricap, ml.cutmix, ml.resizemix, ml.fmix, partial(ml.puzzlemix, move=0.01)):
        here = ml.mix_objects(method(images, generator=seeded(2)).plan, boxes, labels, **given_)
        there = ml.mix_objects(method(on_device(images), generator=seeded(2)).plan, boxes, labels, **given_)
        for one, other in zip(here, there, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_plan_on_an_accelerator_finds_the_same_objects():
    alone(on_an_accelerator)
