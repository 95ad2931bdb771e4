"""RandomMix in a loop, MixCollate in a loader."""

import math
from functools import partial

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import mixlearn as ml
from tests.seeds import seeded


def test_odds_and_p_are_kept():
    images = torch.rand(2, 4)
    mix = ml.RandomMix([partial(ml.mixup, lam=0.25), partial(ml.mixup, lam=0.75)], odds=[1, 3], p=0.8)
    g, seen = seeded(), []
    for _ in range(4_000):
        seen.append(float(mix(images, generator=g).plan.lam[0]))
    share = {lam: seen.count(lam) / len(seen) for lam in (0.25, 0.75, 1.0)}
    assert share[0.25] == pytest.approx(0.2, abs=0.03)
    assert share[0.75] == pytest.approx(0.6, abs=0.03)
    assert share[1.0] == pytest.approx(0.2, abs=0.03)


def test_an_unmixed_batch_has_one_hot_labels_and_a_plan():
    images, labels = torch.rand(5, 3, 4, 4), torch.arange(5)
    mixed = ml.RandomMix([ml.mixup], p=0.0, num_classes=5)(images, labels)
    assert torch.equal(mixed.images, images) and torch.equal(mixed.targets, torch.eye(5))
    assert torch.equal(mixed.plan.partner, torch.arange(5))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"methods": []}, "at least one mixing function"),
        ({"odds": [1]}, "one number for each of 2 methods, got 1"),
        ({"odds": [1, -1]}, "not negative"),
        ({"odds": [0, 0]}, "not all 0"),
        ({"odds": [1, math.nan]}, "finite"),
        ({"p": 1.5}, r"p must lie in \[0, 1\], got 1.5"),
        ({"p": math.nan}, r"p must lie in \[0, 1\], got nan"),
    ],
)
def test_random_mix_names_what_is_wrong(arguments, words):
    with pytest.raises(ValueError, match=words):
        ml.RandomMix(**{"methods": [ml.mixup, ml.mixup], **arguments})


def test_class_ids_need_the_number_of_classes():
    with pytest.raises(ValueError, match="num_classes is needed"):
        ml.RandomMix([ml.mixup], p=0.0)(torch.rand(2, 3), torch.tensor([0, 1]))


def loaded(workers, seed=0):
    data = TensorDataset(torch.rand(24, 3, 4, 4, generator=seeded(9)), torch.arange(24) % 4)
    mix = ml.RandomMix([ml.mixup], num_classes=4)
    loader = DataLoader(
        data,
        batch_size=6,
        num_workers=workers,
        collate_fn=ml.MixCollate(mix, seed=seed),
        generator=seeded(1),
    )
    return list(loader)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_mixing_loader_repeats_itself(workers):
    one, two, other = loaded(workers), loaded(workers), loaded(workers, seed=1)
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(one, two, strict=True))
    assert not all(torch.equal(a[0], b[0]) for a, b in zip(one, other, strict=True))
    assert one[0][1].shape == (6, 4)
    shares = {round(float(targets[targets > 0].min()), 6) for _, targets in one}
    assert len(shares) == 4  # no two batches drew alike, across workers too


def test_collate_refuses_a_schedule_that_would_stand_still():
    mix = ml.RandomMix([ml.mixup], p=lambda progress: progress, num_classes=4)
    with pytest.raises(ValueError, match=r"p must be a number in a MixCollate, got a schedule: .*MixBatches"):
        ml.MixCollate(mix)
    ml.MixCollate(ml.RandomMix([ml.mixup], p=0.5))
    ml.MixCollate(partial(ml.mixup, alpha=0.5))


def test_collate_refuses_other_batches():
    with pytest.raises(TypeError, match=r"expects batches \(images, labels\), got list of 3"):
        ml.MixCollate(ml.mixup)([(torch.zeros(2), 0, 1), (torch.ones(2), 1, 0)])
    with pytest.raises(TypeError, match=r"got dict of 1; pass collate="):
        ml.MixCollate(ml.mixup)([{"image": torch.zeros(2)}])
