"""Cutout erases and keeps the label; ResizeMix pastes the whole partner, never clipped."""

import pytest
import torch

import mixlearn as ml
from tests.refused import refused
from tests.seeds import seeded


def test_cutout_erases_clipped_squares_and_keeps_the_label():
    images, labels = torch.ones(400, 2, 12, 9), torch.arange(400) % 3
    mixed = ml.cutout(images, labels, num_classes=3, size=4, generator=seeded())
    gone = (mixed.images[:, 0] == 0).flatten(1).sum(1)
    assert torch.equal(gone, ml.box_area(mixed.plan.boxes)) and int(gone.max()) == 16 and int(gone.min()) < 16
    assert torch.equal(mixed.targets, ml.one_hot(labels, 3))
    assert torch.equal(mixed.plan.mix(images), mixed.images) and bool((images == 1).all())
    # the covered length of a side r is r − r²/4 on average: a fifth to a quarter of the square is lost
    kept = float(gone.float().mean()) / (12 * 9)
    derived = (4 / 12 - (4 / 12) ** 2 / 4) * (4 / 9 - (4 / 9) ** 2 / 4)
    assert abs(kept - derived) < 0.006


def test_cutout_of_several_holes_and_of_given_boxes():
    images = torch.ones(5, 1, 16, 16)
    one, three = (ml.cutout(images, size=5, holes=k, generator=seeded()).images.sum() for k in (1, 3))
    assert three < one < images.sum()
    given = ml.cutout(images, boxes=[2, 3, 4, 8])
    assert float(given.images.sum()) == 5 * (256 - 10)
    assert torch.equal(ml.cutout(images, size=0).images, images)
    refused(lambda: ml.cutout(images, holes=0), "holes must be at least 1, got 0")
    with pytest.raises(ValueError, match=r"holes .* boxes hold one for each image, got holes = 3 with boxes"):
        ml.cutout(images, holes=3, boxes=[2, 3, 4, 8])
    refused(lambda: ml.cutout(images, size=-1), "size must be at least 0, got -1")


def test_cutout_erases_whatever_was_there():
    images = torch.ones(2, 3, 4, 6).to(memory_format=torch.channels_last)
    images[:, :, 1:3, 2:5] = float("nan")
    mixed = ml.cutout(images, torch.tensor([0, 1]), num_classes=2, boxes=[2, 1, 5, 3])
    expected = torch.ones(2, 3, 4, 6)
    expected[:, :, 1:3, 2:5] = 0
    assert torch.equal(mixed.images, expected) and torch.equal(mixed.plan.mix(images), expected)
    assert mixed.images.is_contiguous(memory_format=torch.channels_last)
    assert not bool(images[:, :, 1:3, 2:5].isfinite().any())  # left as it was


def test_the_plan_of_cutout_erases_like_any_plan():
    plan = ml.cutout(torch.zeros(2, 1, 4, 6), boxes=[[2, 1, 5, 3], [0, 0, 1, 1]]).plan
    spelt, values = ml.MixPlan(plan.sources, plan.masks, plan.weights), torch.randn(2, 3, 4, 6)
    assert torch.equal(plan.mix(values), spelt.mix(values))
    for ids in (torch.randint(9, (2, 4, 6)), torch.randint(9, (2, 5, 1, 4, 6), dtype=torch.uint8)):
        assert torch.equal(plan.mix(ids), spelt.mix(ids)) and plan.mix(ids).dtype == ids.dtype
    assert type(plan.to("cpu")) is type(plan)
    one = ml.cutout(torch.ones(2, 3, 1, 1), boxes=[[0, 0, 1, 1], [0, 0, 0, 0]]).plan
    assert one.mix(torch.ones(2)).tolist() == [0, 1] and one.mix(torch.ones(2, 3)).sum(1).tolist() == [0, 3]
    assert torch.autograd.gradcheck(plan.mix, values.double().requires_grad_())
    with pytest.raises(ValueError, match=r"images must have shape \(2, …, 4, 6\).*got \(2, 3, 6, 4\)"):
        plan.mix(values.transpose(2, 3))


@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("size", [(9, 21)])
def test_resizemix_pastes_the_whole_partner(per_image, size):
    images, labels = torch.rand(6, 3, *size), torch.arange(6)
    for seed in range(10):
        mixed = ml.resizemix(images, labels, num_classes=6, per_image=per_image, generator=seeded(seed))
        for i, (x0, y0, x1, y1) in enumerate(mixed.plan.boxes.tolist()):
            assert 0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0]
            small = torch.nn.functional.interpolate(
                images[mixed.plan.partner[i]][None], size=(y1 - y0, x1 - x0), mode="nearest"
            )[0]
            assert torch.equal(mixed.images[i, :, y0:y1, x0:x1], small)
            outside = torch.ones(size, dtype=torch.bool)
            outside[y0:y1, x0:x1] = False
            assert torch.equal(mixed.images[i][:, outside], images[i][:, outside])
        assert torch.allclose(mixed.plan.lam, 1 - ml.box_area(mixed.plan.boxes) / (size[0] * size[1]))
        assert torch.equal(mixed.plan.mix(images), mixed.images)


def test_resizemix_shares_are_those_of_the_paper():
    """E[τ²] for τ uniform in (0.1, 0.8)."""
    mixed = ml.resizemix(torch.zeros(4_000, 1, 64, 64), per_image=True, generator=seeded())
    assert abs(float(1 - mixed.plan.lam.mean()) - (0.8**3 - 0.1**3) / (3 * 0.7)) < 0.02
    ids = torch.arange(2 * 16).view(2, 4, 4)
    assert ml.resizemix(torch.zeros(2, 1, 4, 4), boxes=[0, 0, 2, 2], partner=[1, 0]).plan.mix(ids)[
        0
    ].tolist() == [[16, 18, 2, 3], [24, 26, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]
