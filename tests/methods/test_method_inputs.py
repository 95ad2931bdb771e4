"""What a caller can get wrong, for every method: the error names what came and what was expected."""

import pytest
import torch

import mixlearn as ml
from mixlearn.methods.fmix import clouds
from tests.refused import refusals, refused

IMAGES, LABELS = torch.zeros(4, 3, 8, 12), torch.tensor([0, 1, 2, 0])
SALIENT = [ml.saliencymix, ml.attentivemix, ml.snapmix, ml.puzzlemix]
DRAWN = [ml.mixup, ml.kmixup, ml.cutmix, ml.gridmix, ml.fmix, ml.hmix, ml.gmix, *SALIENT, ml.alignmix]
PAIRED = [*DRAWN, ml.resizemix, ml.smoothmix]
MASKED = [
    *PAIRED[2:],
    ml.guidedmixup,
    ml.ricap,
    ml.mosaic,
    ml.cowmix,
    ml.cutmix_seg,
    ml.cutout,
    ml.comixup,
]  # all but Mixup and k-Mixup, which take rows of numbers too


@pytest.mark.parametrize("mix", MASKED)
def test_images_and_labels(mix):
    for images, error, words in (
        (torch.zeros(4, 3, 8, 12, dtype=torch.uint8), TypeError, "must be floating point, got torch.uint8"),
        (torch.zeros(4, 8), ValueError, r"must have rows and columns, .* got \(4, 8\)"),
        (torch.zeros(4, 3, 0, 8), ValueError, r"H, W ≥ 1, got \(4, 3, 0, 8\)"),
    ):
        with pytest.raises(error, match=words):
            mix(images)
    refused(lambda: mix(IMAGES, LABELS), "num_classes is needed")
    refused(lambda: mix(IMAGES, LABELS, num_classes=2), r"labels must lie in 0…1 \(num_classes=2\), got 2")
    plan = mix(IMAGES).plan
    refused(lambda: plan.mix(IMAGES[:3]), r"must have shape \(4, ….* got \(3, 3, 8, 12\)")


@pytest.mark.parametrize("mix", PAIRED)
def test_draws_and_partners(mix):
    if mix in DRAWN:
        refused(lambda: mix(IMAGES, alpha=0.0), "alpha must be positive and finite, got 0.0")
        refused(lambda: mix(IMAGES, lam=1.5), r"lam must lie in \[0, 1\], got 1.5")
    refused(lambda: mix(IMAGES, partner=[0, 1, 2, 4]), "partner must lie in 0…3 for 4 images, got 4")


@pytest.mark.parametrize("mix", [*SALIENT, ml.guidedmixup, ml.comixup])
def test_saliency_and_videos(mix):
    for wrong in (torch.ones(4, 3, 8, 12), torch.ones(4, 1, 12, 8)):
        words = r"saliency must have shape \(4, 1, 8, 12\), got \(" + ", ".join(map(str, wrong.shape))
        for saliency in (wrong, lambda images, wrong=wrong: wrong):
            with pytest.raises(ValueError, match=words):
                mix(IMAGES, saliency=saliency)
    with pytest.raises(ValueError, match=r"images must have shape \(B, C, H, W\), got \(2, 5, 3, 8, 8\)"):
        mix(torch.zeros(2, 5, 3, 8, 8))


test_options = refusals(
    (ml.gridmix, {"cells": (4, 3)}, r"cells must satisfy 1 ≤ least ≤ most, got \(4, 3\)"),
    (ml.gridmix, {"window": (0.5, 1.1)}, r"least ≤ most ≤ 1, most above 0, got \(0.5, 1.1\)"),
    (ml.gridmix, {"window": (0, 0)}, r"least ≤ most ≤ 1, most above 0, got \(0, 0\)"),
    (ml.resizemix, {"scale": (0.9, 0.2)}, r"0 < least ≤ most ≤ 1, got \(0.9, 0.2\)"),
    (ml.fmix, {"soft": 0.6}, r"soft must lie in \[0, 0.5\], got 0.6"),
    (ml.fmix, {"decay": -1.0, "spectrum": "released"}, r"decay must lie in \[0, inf\), got -1.0"),
    (ml.fmix, {"spectrum": "odd"}, "spectrum must be 'even' or 'released', got 'odd'"),
    (ml.smoothmix, {"spread": (0.0, 0.25)}, r"spread must satisfy 0 < least ≤ most, got \(0.0, 0.25\)"),
    (ml.hmix, {"ratio": 1.5}, r"ratio must lie in \[0, 1\], got 1.5"),
    (ml.ricap, {"alpha": 0.0}, "alpha must be positive and finite, got 0.0"),
    (ml.mosaic, {"scale": 0.0}, r"scale must lie in \(0, 1\], got 0.0"),
    (ml.mosaic, {"middle": (0.8, 0.2)}, r"middle must satisfy 0 ≤ least ≤ most ≤ 1, got \(0.8, 0.2\)"),
    (ml.mosaic, {"centre": [13, 0]}, r"centre must be \(x, y\) inside 8 × 12 \(H × W\), got \[13, 0\]"),
    (ml.mosaic, {"partners": [[1, 2, 3, 0]]}, "partners must be three lists of 4 indices, got 1"),
    (ml.mosaic, {"partners": [[0, 1, 2, 4]] * 3}, "partner must lie in 0…3 for 4 images, got 4"),
    (ml.cowmix, {"share": (0.8, 0.2)}, r"share must lie in \[0.8, 1\], got 0.2"),
    (ml.cowmix, {"sigma": (0.0, 2.0)}, r"sigma must lie in \(0, inf\), got 0.0"),
    (ml.cowmix, {"lam": 1.5}, r"lam must lie in \[0, 1\], got 1.5"),
    (ml.cutmix_seg, {"share": 0.0}, r"share must lie in \(0, 1\], got 0.0"),
    (ml.moex, {"lam": 1.5}, r"lam must lie in \[0, 1\], got 1.5"),
    (ml.mixstyle, {"alpha": -1.0}, "alpha must be positive and finite, got -1.0"),
    (ml.kmixup, {"k": 0}, "k must be at least 1, got 0"),
    (ml.augmix, {"severity": 0.0}, r"severity must lie in \[0.1, 10\], got 0.0"),
    (
        ml.pixmix,
        {"pictures": IMAGES[..., :8]},
        r"pictures must be like images \[3, 8, 12\], got \[4, 3, 8, 8\]",
    ),
    (ml.pixmix, {"pictures": IMAGES, "beta": 0.0}, r"beta must lie in \(0, inf\), got 0.0"),
    (ml.attentivemix, {"grid": 0}, "grid must be at least 1, got 0"),
    (ml.puzzlemix, {"blocks": [2, 3]}, r"numbers that divide 8 × 12 pixels, got \[2, 3\]"),
    (ml.puzzlemix, {"blocks": []}, r"one or more numbers that divide 8 × 12 pixels, got \[\]"),
    (ml.puzzlemix, {"move": -1.0}, r"cost must lie in \[0, inf\), got -1.0"),
    (ml.comixup, {"alpha": True}, "alpha must be a number, got bool"),
    (ml.comixup, {"grid": 3}, "grid must divide 8 × 12 pixels, got 3"),
    (ml.comixup, {"part": 0}, "part must be at least 1, got 0"),
    (ml.alignmix, {"epsilon": 0.0}, r"epsilon must lie in \(0, inf\), got 0.0"),
    by=lambda mix, options: mix(IMAGES, **options),
    error=(ValueError, TypeError),
)


def test_shapes_that_some_methods_need():
    clip = torch.zeros(2, 5, 3, 8, 8)
    refused(lambda: ml.alignmix(clip), r"features must have shape \(B, C, H, W\), got \(2, 5, 3, 8, 8\)")
    with pytest.raises(ValueError, match=r"divide 17 × 8 pixels, got \[2, .*16\]; resize the images"):
        ml.puzzlemix(torch.zeros(2, 3, 17, 8))
    refused(lambda: clouds(1, 4, 4, -0.5), "decay must lie in .*, got -0.5")
    for mix in (ml.gridmix, ml.fmix, ml.smoothmix, ml.ricap, ml.hmix, ml.gmix):  # and others take any
        assert mix(clip).images.shape == clip.shape
