"""RandomMix in a loop, for a batch or for each image."""

import math
from functools import partial

import pytest
import torch

import mixlearn as ml
from tests.refused import refusals, refused
from tests.seeds import seeded

test_random_mix_names_what_is_wrong = refusals(
    ({"methods": []}, "at least one mixing function"),
    ({"odds": [1]}, "one number for each of 2 methods, got 1"),
    ({"odds": [1, -1]}, "not negative"),
    ({"odds": [1, math.nan]}, "finite"),
    ({"p": 1.5}, r"p must lie in \[0, 1\], got 1.5"),
    by=lambda arguments: ml.RandomMix(**{"methods": [ml.mixup, ml.mixup], **arguments}),
)


ALL = {
    "mixup": partial(ml.mixup, lam=0.75),
    "cutmix": ml.cutmix,
    "fmix": ml.fmix,
    "resizemix": ml.resizemix,
    "cutout": partial(ml.cutout, size=3),
    "puzzlemix": ml.puzzlemix,
    "comixup": ml.comixup,
}


def test_each_image_draws_whether_and_how_it_is_mixed():
    images, labels = torch.rand(500, 1, 2, 2, generator=seeded()), torch.arange(500) % 4
    ways = [partial(ml.mixup, lam=0.25), partial(ml.mixup, lam=0.75)]
    mix = ml.RandomMix(ways, odds=[1, 3], p=0.8, num_classes=4, per_image=True)
    assert repr(mix).endswith("p=0.8, per_image=True)")
    g, seen = seeded(), []
    for _ in range(8):
        mixed = mix(images, labels, generator=g)
        seen += mixed.plan.lam.tolist()
        still = mixed.plan.lam == 1
        assert torch.equal(mixed.images[still], images[still])
        assert torch.equal(mixed.targets[still], torch.eye(4)[labels][still])
    share = {lam: seen.count(lam) / len(seen) for lam in (0.25, 0.75, 1.0)}
    assert share[0.25] == pytest.approx(0.2, abs=0.03)
    assert share[0.75] == pytest.approx(0.6, abs=0.03)
    assert share[1.0] == pytest.approx(0.2, abs=0.03)


def test_what_each_image_draws_is_one_plan():
    images, labels = torch.rand(24, 3, 8, 8, generator=seeded()), torch.arange(24) % 5
    mix = ml.RandomMix(list(ALL.values()), p=0.8, num_classes=5, per_image=True)
    mixed = mix(images, labels, generator=seeded(1))
    again = mix(images, labels, generator=seeded(1))
    assert torch.equal(mixed.images, again.images) and torch.equal(mixed.targets, again.targets)
    other = mix(images, labels, generator=seeded(2))
    assert not torch.equal(mixed.images, other.images)
    plan = mixed.plan
    assert len(plan) == 24 and len(set(plan.chosen.tolist())) >= 6
    assert torch.equal(plan.mix(images), mixed.images)  # no other draw, and nothing of the images is kept
    torch.testing.assert_close(plan.soften(labels, 5), mixed.targets)
    torch.testing.assert_close(plan.source_matrix() @ torch.eye(5)[labels], mixed.targets)
    torch.testing.assert_close(plan.blend(torch.eye(5)[labels]), mixed.targets)
    torch.testing.assert_close(mixed.targets.sum(1), torch.ones(24))
    for i in range(24):
        own = plan.plans[plan.chosen[i]]
        assert torch.equal(mixed.images[i], own.mix(images)[i])
        assert torch.equal(plan.lam[i], own.lam[i]) and plan.describe(i) == own.describe(i)
    moved = plan.to("cpu")
    assert torch.equal(moved.mix(images), mixed.images) and torch.equal(moved.weights, plan.weights)
    refused(lambda: plan.describe(24), "i must lie in 0…23 for 24 mixtures, got 24", IndexError)
    assert "image 0" in plan.changed(weights=plan.weights).describe(0)


@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_a_last_batch_of_one_image_is_itself(p, per_image):
    images, labels = torch.rand(1, 3, 8, 8, generator=seeded()), torch.tensor([2])
    mix = ml.RandomMix([ml.mixup, ml.cutmix, ml.fmix], p=p, num_classes=4, per_image=per_image)
    for seed in range(6):
        mixed = mix(images, labels, generator=seeded(seed))
        torch.testing.assert_close(mixed.images, images)
        torch.testing.assert_close(mixed.targets, torch.eye(4)[2:3])


def test_the_draws_of_a_whole_batch_are_as_they_were():
    """A batch draws whether, then which, then what the method draws."""
    images, labels = torch.rand(6, 3, 8, 8, generator=seeded()), torch.arange(6) % 4
    mix = ml.RandomMix([ml.mixup, ml.cutmix], odds=[1, 2], p=0.7, num_classes=4)
    for seed in range(20):
        g, found = seeded(seed), mix(images, labels, generator=seeded(seed))
        if float(torch.rand((), generator=g)) >= 0.7:
            assert torch.equal(found.images, images)
            continue
        way = mix.methods[int(torch.multinomial(torch.tensor([1.0, 2.0]), 1, generator=g))]
        expected = way(images, labels, num_classes=4, generator=g)
        assert torch.equal(found.images, expected.images) and torch.equal(found.targets, expected.targets)


class Fading:
    """A user's schedule: α goes from 1 to 1/2."""

    progress = 0.0

    def __call__(self, images, labels, **options):
        self.alpha = 1 - self.progress / 2
        return ml.mixup(images, labels, alpha=self.alpha, **options)


@pytest.mark.parametrize(
    "around",
    [
        lambda mix: mix,
        lambda mix: partial(mix, per_image=True),
        lambda mix: ml.RandomMix([partial(mix, per_image=True)]),
        lambda mix: partial(ml.RandomMix([ml.RandomMix([mix])]), num_classes=3),
    ],
)
def test_progress_reaches_a_mix_through_what_is_around_it(around):
    fading = Fading()
    learner = ml.learners.Mixing(around(fading), num_classes=3)
    for progress, alpha in ((0.0, 1.0), (0.5, 0.75)):
        learner.advance(progress)
        learner(lambda x: x.flatten(1)[:, :3], torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 0]))
        assert fading.alpha == alpha
