"""The probe tells libraries apart, and calls made wrong on purpose."""

import numpy as np
import pytest
import torch

import mixlearn as ml
from benchmarks import whose_lam
from mixlearn.measure import probe


def test_installed_libraries_do_what_the_book_says():
    calls = {name: call for name, (_, call) in whose_lam.libraries().items()}
    seen = {name: probe(call, rounds=150) for name, call in calls.items()}
    assert {name.split()[0] for name in calls} >= {"mixlearn", "torchvision", "timm", "kornia"}
    for name, found in seen.items():
        by_partner = name in ("kornia RandomMixUpV2", "kornia RandomCutMixV2")
        assert found.lam_weighs == ("partner" if by_partner else "own"), name
        assert found.changes_input == (name.startswith("timm") or name == "fastai CutMix"), name
    assert seen["torchvision v2.MixUp"].partner == seen["torchvision v2.CutMix"].partner == "i − 1"
    assert seen["timm Mixup"].partner == "B − 1 − i" and seen["timm Mixup"].draws_from == "numpy"
    assert (
        seen["mixlearn cutmix"].draws_from == "its own" and seen["torchvision v2.MixUp"].draws_from == "torch"
    )
    assert seen["kornia RandomCutMixV2"].lam_for_each == "image"
    assert seen["mixlearn cutmix"].lam_for_each == "batch"
    # boxes that are placed inside the image lose nothing to its border
    assert seen["kornia RandomCutMixV2"].own_share == pytest.approx(0.5, abs=0.05)
    assert seen["torchvision v2.CutMix"].own_share == pytest.approx(0.69, abs=0.07)


def test_wrong_calls_are_seen_through():
    def swapped(images, labels):
        mixed = ml.mixup(images, labels, num_classes=8)
        return mixed.images, 1 - mixed.plan.lam

    def lying(images, labels):
        return ml.cutmix(images, labels, num_classes=8).images, torch.rand(8)

    def in_place(images, labels):
        mixed = ml.mixup(images, lam=float(np.random.rand()), partner=torch.arange(8).roll(-1))
        return images.copy_(mixed.images), None

    assert probe(swapped, rounds=30).lam_weighs == "partner"
    assert probe(lying, rounds=30).lam_weighs == "neither"
    found = probe(in_place, rounds=30)
    assert found.changes_input and found.partner == "i + 1" and found.lam_weighs == "unknown"
    assert found.draws_from == "numpy"
    with pytest.raises(ValueError, match="the call never mixed an image with another in 5 rounds"):
        probe(lambda images, labels: (images.clone(), torch.ones(8)), rounds=5)
    with pytest.raises(ValueError, match="rounds must be at least 1, got 0"):
        probe(swapped, rounds=0)
    with pytest.raises(ValueError, match="at least 3 images, got 2"):
        probe(swapped, batch=2)
    with pytest.raises(ValueError, match="mixtures must have shape"):
        probe(lambda images, labels: (images[:, :1], None))


@pytest.mark.parametrize(
    ("rule", "order"),
    [("i + 1", lambda n: n.roll(-1)), ("i − 1", lambda n: n.roll(1)), ("B − 1 − i", lambda n: n.flip(0))],
)
def test_fixed_partners_are_named_whatever_the_batch(rule, order):
    """In a flip the middle image of an odd batch is its own partner; chance may leave some images alone."""
    batch = 7
    partner, generator = order(torch.arange(batch)), torch.Generator().manual_seed(0)

    def always(images, labels):
        return ml.mixup(images, partner=partner, generator=generator).images, None

    def some(images, labels):
        lam = torch.rand(batch, generator=generator).masked_fill(
            torch.rand(batch, generator=generator) < 0.4, 1
        )
        return ml.mixup(images, lam=lam, partner=partner).images, None

    assert probe(always, batch=batch, rounds=20).partner == rule
    assert probe(some, batch=batch, rounds=60).partner == rule
    assert (
        probe(lambda x, y: ml.mixup(x, generator=generator)[:2], batch=batch, rounds=20).partner == "random"
    )
