"""Mosaic, Copy-Paste, ClassMix, CutMix for segmentation and CowMix, each against its published rule."""

import math

import pytest
import torch

import mixlearn as ml
from tests.refused import refusals, refused
from tests.seeds import seeded

IMAGES = torch.rand(4, 3, 16, 16, generator=seeded())


# -------------------------------------------------------------------------------------------------- Mosaic
@pytest.mark.parametrize("seed", range(6))
def test_a_mosaic_is_the_canvas_of_ultralytics_at_half_its_size(seed):
    """A canvas of twice the size, filled with 114, whose images meet at a point between its quarters."""
    images = torch.randint(0, 99, (4, 3, 16, 12), generator=seeded(seed)).float()
    mixed = ml.mosaic(images, fill=114, generator=seeded(seed))
    plan = mixed.plan
    for i in range(4):
        x, y = plan.places[0, i, 2:].tolist()  # where the first one ends
        assert 3 <= x < 9 and 4 <= y < 12
        x, y, canvas = 2 * x, 2 * y, torch.full((3, 32, 24), 114.0)
        first, second, third, fourth = images[plan.sources[:, i]]
        up, left, down, right = min(y, 16), min(x, 12), min(32 - y, 16), min(24 - x, 12)
        canvas[:, y - up : y, x - left : x] = first[:, 16 - up :, 12 - left :]
        canvas[:, y - up : y, x : x + right] = second[:, 16 - up :, :right]
        canvas[:, y : y + down, x - left : x] = third[:, :down, 12 - left :]
        canvas[:, y : y + down, x : x + right] = fourth[:, :down, :right]
        assert torch.equal(mixed.images[i], canvas[:, ::2, ::2])
        kept = (canvas[0, ::2, ::2] != 114).sum()
        areas = torch.tensor([up * left, up * right, down * left, down * right]) / 4
        assert torch.allclose(plan.weights[:, i], areas / kept) and plan.weights[:, i].sum() == pytest.approx(
            1
        )


def test_gaps_of_a_mosaic_are_filled_whatever_was_there():
    images = IMAGES.clone()
    images[:, :, 0] = math.nan
    plan = ml.mosaic(images, centre=[12, 12]).plan
    assert plan.mix(images, fill=0.5)[:, :, :4].eq(0.5).all()
    maps = torch.arange(4)[:, None, None].expand(4, 16, 16)
    assert plan.mix(maps, fill=255)[:, :4].eq(255).all() and plan.mix(maps, fill=255)[:, 5:12, 5:].max() < 4


# ---------------------------------------------------------------------------------------------- Copy-Paste
def test_copy_paste_pastes_each_object_by_its_odds():
    masks = [torch.zeros(8, 8, 8, dtype=torch.bool) for _ in range(4)]
    for own in masks:
        own[torch.arange(8), torch.arange(8)] = True  # a row an object
    rows = [
        1
        - ml.copy_paste(torch.zeros(4, 1, 8, 8), masks=masks, odds=0.3, generator=seeded(s)).plan.masks[
            0, ..., 0
        ]
        for s in range(60)
    ]
    assert float(torch.stack(rows).mean()) == pytest.approx(0.3, abs=0.04)
    for odds in (0.0, 1.0):
        mixed = ml.copy_paste(IMAGES[..., :8, :8], masks=masks, odds=odds, partner=[1, 2, 3, 0])
        assert torch.equal(mixed.images, IMAGES[[1, 2, 3, 0] if odds else [0, 1, 2, 3], :, :8, :8])
        assert mixed.plan.lam.tolist() == [1 - odds] * 4


ONE = [torch.ones(1, 16, 16)] * 4
test_copy_paste_names_what_is_wrong = refusals(
    ({"masks": ONE[:3]}, "masks must hold one tensor for each of 4 images, got 3"),
    ({"masks": [*ONE[:3], torch.ones(1, 8, 16)]}, r"image 3: masks .* \(n, 16, 16\), got \(1, 8, 16\)"),
    ({"masks": ONE, "odds": 2}, r"odds must lie in \[0, 1\], got 2"),
    ({"masks": ONE, "chosen": ONE[:1]}, "chosen must hold one tensor for each of 4 images, got 1"),
    (
        {"masks": ONE, "chosen": [torch.ones(2) > 0] * 4},
        r"image 0: chosen must be \(1,\) of torch.bool, got \(2,\)",
    ),
    by=lambda options: ml.copy_paste(IMAGES, **options),
)


# ------------------------------------------------------------------------------------------------ ClassMix
def test_classmix_pastes_half_of_the_classes_that_are_there():
    taken = set()
    for seed in range(40):
        maps = (
            torch.randint(0, 5, (4, 16, 16), generator=seeded(seed)) * 2 + 1
        )  # 1, 3, 5, 7, 9: two are pasted
        maps[0] = 7  # half of one is none
        maps[1, :4] = 255
        mixed = ml.classmix(IMAGES, maps, num_classes=11, partner=[1, 2, 3, 0], generator=seeded(seed))
        assert torch.equal(mixed.targets, mixed.plan.mix(maps)) and torch.equal(mixed.targets[3], maps[3])
        for i in range(3):
            pasted = mixed.plan.masks[0, i, 0] == 0
            chosen = maps[i + 1][pasted].unique().tolist()
            assert len(chosen) == 2 and 255 not in chosen
            assert torch.equal(pasted, torch.isin(maps[i + 1], torch.tensor(chosen)))  # whole classes
            assert torch.equal(mixed.images[i], torch.where(pasted, IMAGES[i + 1], IMAGES[i]))
            taken |= set(chosen)
    assert taken == {1, 3, 5, 7, 9}


MAPS = torch.zeros(4, 16, 16, dtype=torch.long)
test_classmix_names_what_is_wrong = refusals(
    ({"maps": MAPS.float()}, TypeError, r"integer class ids, got torch.float32; of logits take argmax\(1\)"),
    ({"maps": [1]}, TypeError, "maps must be a tensor of integer class ids, got list"),
    ({"maps": MAPS[:, 1:]}, ValueError, r"maps must have shape \(4, 16, 16\) .*, got \(4, 15, 16\)"),
    ({"maps": MAPS + 9}, ValueError, r"labels must lie in 0…2 \(num_classes=3\), got 9"),
    (
        {"maps": MAPS, "chosen": torch.ones(4, 2) > 0},
        ValueError,
        r"chosen must be \(4, 3\) .*, got \(4, 2\) of torch.b",
    ),
    by=lambda options: ml.classmix(IMAGES, num_classes=3, **options),
)


# -------------------------------------------------------------------------------- CutMix for segmentation
def test_boxes_have_their_share_and_any_shape_and_place():
    images = torch.zeros(400, 1, 60, 40)
    plan = ml.cutmix_seg(images, share=0.3, generator=seeded()).plan
    sides = (plan.boxes[:, 2:] - plan.boxes[:, :2]).float()  # (B, 2), width and height
    assert torch.allclose(sides.prod(1) / 2400, torch.tensor(0.3), atol=0.03)
    tall = (sides[:, 1] / 60).log() / math.log(0.3)  # uniform in [0, 1]
    assert float(tall.mean()) == pytest.approx(0.5, abs=0.05) and float(tall.std()) == pytest.approx(
        12**-0.5, abs=0.03
    )
    room = torch.tensor([40, 60]) - sides
    place = (plan.boxes[:, :2] / room)[room.amin(1) > 9]
    assert float(place.mean()) == pytest.approx(0.5, abs=0.06) and place.amin() < 0.05 and place.amax() > 0.95
    assert len(ml.cutmix_seg(images, per_image=False, generator=seeded()).plan.boxes.unique(dim=0)) == 1
    assert ml.cutmix_seg(images, share=1.0, partner=list(range(400))).plan.lam.eq(0).all()


def test_a_student_is_held_to_its_teacher_mixed_by_the_same_plan():
    student, teacher = torch.randn(2, 4, 3, 16, 16, generator=seeded(1)) * 2
    student.requires_grad_(True), teacher.requires_grad_(True)
    plan = ml.cutmix_seg(IMAGES, generator=seeded(2)).plan
    loss = ml.segmentation_consistency(student, teacher, plan, confidence=0.8)
    inside, total, sure = plan.masks[1, :, 0].bool(), 0.0, 0
    for i in range(4):
        answers = torch.where(inside[i], teacher[plan.partner[i]], teacher[i]).softmax(0)  # of logits alike
        total += float((student[i].detach().softmax(0) - answers.detach()).square().sum(0).mean()) / 4
        sure += float((answers.detach().amax(0) >= 0.8).float().mean()) / 4
    assert float(loss.detach()) == pytest.approx(total * sure, abs=1e-6) and 0.05 < sure < 0.95
    loss.backward()
    assert bool(student.grad.any()) and teacher.grad is None
    words = r"both have shape \(B, C, H, W\), got \(4, 3, 16, 16\) and \(4, 3, 8, 16\)"
    refused(lambda: ml.segmentation_consistency(student, teacher[:, :, :8], plan), words)


# -------------------------------------------------------------------------------------------------- CowMix
def test_a_cow_mask_is_smoothed_noise_below_its_quantile():
    """The authors' rule: noise, smoothed by a Gaussian, at most mean + deviation · √2 · erfinv(2 p − 1)."""
    height, width = 11, 14
    plan = ml.cowmix(
        torch.zeros(3, 1, height, width), sigma=(1.0, 3.0), per_image=True, generator=seeded(4)
    ).plan
    generator = seeded(4)
    partner = torch.randperm(3, generator=generator)
    share = 0.2 + 0.6 * torch.rand(3, generator=generator)
    sigma = (torch.rand(3, generator=generator) * math.log(3)).exp()
    noise = torch.randn(3, height, width, generator=generator)
    assert torch.equal(plan.partner, partner) and torch.allclose(plan.lam_drawn, share)
    for i in range(3):
        steps = torch.arange(-20.0, 21.0)
        kernel = (-0.5 * steps**2 / sigma[i] ** 2).exp()
        kernel = kernel / (sigma[i] * math.sqrt(2 * math.pi))
        field = torch.nn.functional.conv2d(noise[i, None, None], kernel.view(1, 1, -1, 1), padding=(20, 0))
        field = torch.nn.functional.conv2d(field, kernel.view(1, 1, 1, -1), padding=(0, 20))[0, 0]
        factor = math.sqrt(2) * torch.erfinv(2 * share[i] - 1)
        own = field <= field.mean() + factor * field.std(correction=0)
        assert torch.equal(plan.masks[0, i, 0] > 0, own) and 0 < own.sum() < own.numel()


def test_cow_masks_keep_about_their_share_and_get_coarser_with_sigma():
    images, edges = torch.zeros(200, 1, 32, 32), []
    for sigma in (1.0, 4.0, 16.0):
        plan = ml.cowmix(images, lam=0.3, sigma=(sigma, sigma), per_image=True, generator=seeded()).plan
        assert float(plan.lam.mean()) == pytest.approx(
            0.3, abs=0.03 if sigma < 16 else 0.06
        )  # one slope, no spots
        edges.append(float((plan.masks[0, :, 0, 1:] != plan.masks[0, :, 0, :-1]).float().mean()))
    assert edges[0] > 3 * edges[1] > 4 * edges[2] > 0
    for lam in (0.0, 1.0):
        assert ml.cowmix(images[:2, :, :1, :1], lam=lam).plan.lam.tolist() == [lam] * 2
