"""Everything a caller can get wrong, for every method: the error names what came and what was expected."""

import pytest
import torch

import mixlearn as ml
from mixlearn.methods.alignmix import sinkhorn
from mixlearn.methods.fmix import clouds

IMAGES, LABELS = torch.zeros(4, 3, 8, 12), torch.tensor([0, 1, 2, 0])
SALIENT = [ml.saliencymix, ml.attentivemix, ml.snapmix, ml.puzzlemix, ml.comixup]
PAIRED = [
    *(
        ml.gridmix,
        ml.fmix,
        ml.smoothmix,
        ml.saliencymix,
        ml.attentivemix,
        ml.snapmix,
        ml.puzzlemix,
        ml.alignmix,
    )
]
DRAWN = [mix for mix in PAIRED if mix is not ml.smoothmix]


@pytest.mark.parametrize("mix", [*PAIRED, ml.comixup])
@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (torch.zeros(4, 3, 8, 12, dtype=torch.uint8), TypeError, "must be floating point, got torch.uint8"),
        ([[1.0]], TypeError, "must be a torch.Tensor, got list"),
        (torch.zeros(4, 8), ValueError, r"must have rows and columns, .* got \(4, 8\)"),
        (torch.zeros(0, 3, 8, 8), ValueError, r"with B ≥ 1, .* got \(0, 3, 8, 8\)"),
        (torch.zeros(4, 3, 0, 8), ValueError, r"H, W ≥ 1, got \(4, 3, 0, 8\)"),
    ],
)
def test_images(mix, images, error, words):
    with pytest.raises(error, match=words):
        mix(images)


@pytest.mark.parametrize("mix", [*PAIRED, ml.comixup])
@pytest.mark.parametrize(
    ("labels", "classes", "error", "words"),
    [
        (LABELS, None, ValueError, "num_classes is needed"),
        (LABELS, 2, ValueError, r"labels must lie in 0…1 \(num_classes=2\), got 2"),
        (LABELS.float(), 3, TypeError, "must be integer class ids, got torch.float32"),
        (LABELS[:3], 3, ValueError, r"labels must have shape \(4,\) or \(4, C\) .* got \(3,\)"),
        (torch.eye(4), 3, ValueError, "soft labels have 4 columns but num_classes is 3"),
    ],
)
def test_labels(mix, labels, classes, error, words):
    with pytest.raises(error, match=words):
        mix(IMAGES, labels, num_classes=classes)


@pytest.mark.parametrize("mix", DRAWN)
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"alpha": 0.0}, ValueError, "alpha must be positive and finite, got 0.0"),
        ({"alpha": "1"}, TypeError, "alpha must be a number, got str"),
        ({"lam": 1.5}, ValueError, r"lam must lie in \[0, 1\], got 1.5"),
        ({"lam": float("nan")}, ValueError, r"lam must lie in \[0, 1\], got nan"),
        ({"lam": [0.5, 0.5]}, ValueError, "one number or 4 numbers"),
    ],
)
def test_draws(mix, options, error, words):
    with pytest.raises(error, match=words):
        mix(IMAGES, **options)


@pytest.mark.parametrize("mix", PAIRED)
@pytest.mark.parametrize(
    ("partner", "error", "words"),
    [
        ([0.0, 1.0, 2.0, 3.0], TypeError, "partner must hold integer indices .* got torch.float32"),
        ([0, 1, 2], ValueError, r"partner must have shape \(4,\) for 4 images, got \(3,\)"),
        ([0, 1, 2, 4], ValueError, "partner must lie in 0…3 for 4 images, got 4"),
        ([0, -1, 2, 3], ValueError, "partner must lie in 0…3 for 4 images, got -1"),
    ],
)
def test_partners(mix, partner, error, words):
    with pytest.raises(error, match=words):
        mix(IMAGES, partner=partner)


@pytest.mark.parametrize("mix", SALIENT)
def test_saliency_of_another_shape(mix):
    for wrong in (torch.ones(4, 3, 8, 12), torch.ones(4, 1, 12, 8), torch.ones(3, 1, 8, 12)):
        words = r"saliency must have shape \(4, 1, 8, 12\), got \(" + ", ".join(map(str, wrong.shape))
        with pytest.raises(ValueError, match=words):
            mix(IMAGES, saliency=wrong)
        with pytest.raises(ValueError, match=words):
            mix(IMAGES, saliency=lambda images, wrong=wrong: wrong)


@pytest.mark.parametrize(
    ("mix", "options", "words"),
    [
        (ml.gridmix, {"cells": (0, 3)}, r"cells must satisfy 1 ≤ least ≤ most, got \(0, 3\)"),
        (ml.gridmix, {"cells": (4, 3)}, r"cells must satisfy 1 ≤ least ≤ most, got \(4, 3\)"),
        (ml.gridmix, {"window": (0.5, 1.1)}, r"window must satisfy 0 ≤ least ≤ most ≤ 1, got \(0.5, 1.1\)"),
        (ml.gridmix, {"window": (0.9, 0.5)}, r"window must satisfy 0 ≤ least ≤ most ≤ 1, got \(0.9, 0.5\)"),
        (ml.gridmix, {"window": (0, 0)}, r"window must satisfy 0 ≤ least ≤ most ≤ 1, got \(0, 0\)"),
        (ml.fmix, {"soft": 0.6}, r"soft must lie in \[0, 0.5\], got 0.6"),
        (ml.fmix, {"soft": -0.1}, r"soft must lie in \[0, 0.5\], got -0.1"),
        (ml.fmix, {"decay": -1.0}, "decay must be at least 0, got -1.0"),
        (ml.fmix, {"decay": -1.0, "spectrum": "released"}, "decay must be at least 0, got -1.0"),
        (ml.fmix, {"spectrum": "odd"}, "spectrum must be 'even' or 'released', got 'odd'"),
        (ml.smoothmix, {"spread": (0.5, 0.25)}, r"spread must satisfy 0 < least ≤ most, got \(0.5, 0.25\)"),
        (ml.smoothmix, {"spread": (0.0, 0.25)}, r"spread must satisfy 0 < least ≤ most, got \(0.0, 0.25\)"),
        (ml.attentivemix, {"grid": 0}, "grid must be at least 1, got 0"),
        (ml.puzzlemix, {"blocks": [2, 3]}, r"numbers that divide 8 × 12, got \[2, 3\]"),
        (ml.puzzlemix, {"blocks": []}, r"one or more numbers that divide 8 × 12, got \[\]"),
        (ml.puzzlemix, {"blocks": [0]}, r"numbers that divide 8 × 12, got \[0\]"),
        (ml.puzzlemix, {"move": -1.0}, "cost must be at least 0, got -1.0"),
        (ml.comixup, {"alpha": -1.0}, "alpha must be positive and finite, got -1.0"),
        (ml.comixup, {"alpha": True}, "alpha must be a number, got bool"),
        (ml.comixup, {"grid": 3}, "grid must divide 8 × 12 pixels, got 3"),
        (ml.comixup, {"grid": 0}, "grid must divide 8 × 12 pixels, got 0"),
        (ml.comixup, {"part": 0}, "part and sweeps must be at least 1, got 0 and 6"),
        (ml.comixup, {"sweeps": 0}, "part and sweeps must be at least 1, got 20 and 0"),
        (ml.alignmix, {"epsilon": 0.0}, "epsilon must be positive, got 0.0"),
    ],
)
def test_options(mix, options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        mix(IMAGES, **options)


def test_shapes_that_some_methods_need():
    clip = torch.zeros(2, 5, 3, 8, 8)
    for mix in (ml.puzzlemix, ml.saliencymix, ml.attentivemix, ml.snapmix, ml.comixup):
        with pytest.raises(ValueError, match=r"images must have shape \(B, C, H, W\), got \(2, 5, 3, 8, 8\)"):
            mix(clip)
    with pytest.raises(ValueError, match=r"features must have shape \(B, C, H, W\), got \(2, 5, 3, 8, 8\)"):
        ml.alignmix(clip)
    with pytest.raises(ValueError, match="no number of blocks from 2 to 16 divides 17 × 8 pixels; resize"):
        ml.puzzlemix(torch.zeros(2, 3, 17, 8))
    with pytest.raises(ValueError, match="decay must be at least 0, got -0.5"):
        clouds(1, 4, 4, -0.5)
    with pytest.raises(ValueError, match="epsilon must be positive, got -1.0"):
        sinkhorn(torch.zeros(1, 2, 2), -1.0)
    for mix in (ml.gridmix, ml.fmix, ml.smoothmix):  # and others take any
        assert mix(clip).images.shape == clip.shape


@pytest.mark.parametrize("mix", [*PAIRED, ml.comixup])
def test_a_plan_refuses_other_images(mix):
    plan = mix(IMAGES).plan
    with pytest.raises(ValueError, match=r"must have shape \(4, ….* got \(3, 3, 8, 12\)"):
        plan.mix(IMAGES[:3])
