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
    with pytest.raises(ValueError, match="at least 3 images, got 2"):
        probe(swapped, batch=2)
    with pytest.raises(ValueError, match="mixtures must have shape"):
        probe(lambda images, labels: (images[:, :1], None))
