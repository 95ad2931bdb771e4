"""The same λ and partners through torchvision, timm and kornia give the same images and labels."""

import kornia.augmentation as kornia_augmentation
import numpy as np
import pytest
import torch
from timm.data import Mixup as TimmMixup
from torchvision.transforms import v2

import mixlearn as ml

SHAPES = [(8, 3, 32, 32), (6, 1, 20, 28)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lam", [0.0, 0.13, 0.5, 0.88, 1.0])
def test_torchvision(shape, lam, monkeypatch):
    images, labels = torch.rand(shape), torch.arange(shape[0]) % 5
    peer = v2.MixUp(num_classes=5)
    monkeypatch.setattr(peer, "make_params", lambda flat: {**type(peer).make_params(peer, flat), "lam": lam})
    expected, expected_targets = peer(images, labels)
    mixed = ml.mixup(images, labels, num_classes=5, lam=lam, partner=torch.arange(shape[0]).roll(1))
    assert (mixed.images - expected).abs().max() <= 1e-6
    assert (mixed.targets - expected_targets).abs().max() <= 1e-6


@pytest.mark.parametrize("shape", SHAPES)
def test_timm(shape, monkeypatch):
    images, labels = torch.rand(shape), torch.arange(shape[0]) % 5
    peer = TimmMixup(mixup_alpha=0.7, cutmix_alpha=0.0, label_smoothing=0.0, num_classes=5)
    drawn = {}
    draw = peer._params_per_batch
    monkeypatch.setattr(peer, "_params_per_batch", lambda: drawn.setdefault("lam", draw()))
    for seed in range(5):
        np.random.seed(seed)
        drawn.clear()
        expected, expected_targets = peer(images.clone(), labels)
        lam = float(drawn["lam"][0])
        partner = torch.arange(shape[0]).flip(0)
        mixed = ml.mixup(images, labels, num_classes=5, lam=lam, partner=partner)
        assert (mixed.images - expected).abs().max() <= 1e-6
        assert (mixed.targets - expected_targets.float()).abs().max() <= 1e-6


@pytest.mark.parametrize("shape", SHAPES)
def test_kornia(shape):
    """kornia's λ weighs the partner and differs from image to image."""
    images, labels = torch.rand(shape), torch.arange(shape[0]) % 5
    peer = kornia_augmentation.RandomMixUpV2(p=1.0, data_keys=["input", "class"])
    expected, marks = peer(images.clone(), labels)
    share = peer._params["mixup_lambdas"]
    partner = peer._params["mixup_pairs"].long()
    mixed = ml.mixup(images, labels, num_classes=5, lam=1 - share, partner=partner)
    assert (mixed.images - expected).abs().max() <= 1e-6
    marks = marks.reshape(-1, 3)
    assert torch.equal(marks[:, 1].long(), labels[partner])
    theirs = (
        ml.one_hot(marks[:, 0].long(), 5) * (1 - marks[:, 2:])
        + ml.one_hot(marks[:, 1].long(), 5) * marks[:, 2:]
    )
    assert (mixed.targets - theirs).abs().max() <= 1e-6
