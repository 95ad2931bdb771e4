"""The same λ and partners through torchvision, timm and kornia give the same images and labels."""

import kornia.augmentation as kornia_augmentation
import numpy as np
import pytest
import torch
from timm.data import Mixup as TimmMixup
from timm.data import mixup as timm_mixup
from torchvision.transforms import v2

import mixlearn as ml

SHAPES = [(8, 3, 32, 32), (6, 1, 20, 28)]


def same(mixed, images, targets):
    assert (mixed.images - images).abs().max() <= 1e-6
    assert (mixed.targets - targets).abs().max() <= 1e-6


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lam", [0.0, 0.13, 0.5, 0.88, 1.0])
def test_torchvision(shape, lam, monkeypatch):
    images, labels = torch.rand(shape), torch.arange(shape[0]) % 5
    peer = v2.MixUp(num_classes=5)
    monkeypatch.setattr(peer, "make_params", lambda flat: {**type(peer).make_params(peer, flat), "lam": lam})
    expected, expected_targets = peer(images, labels)
    mixed = ml.mixup(images, labels, num_classes=5, lam=lam, partner=torch.arange(shape[0]).roll(1))
    same(mixed, expected, expected_targets)


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
        same(mixed, expected, expected_targets.float())


@pytest.mark.parametrize("shape", SHAPES)
def test_kornia(shape):
    """kornia's λ weighs the partner and differs from image to image."""
    images, labels = torch.rand(shape), torch.arange(shape[0]) % 5
    peer = kornia_augmentation.RandomMixUpV2(p=1.0, data_keys=["input", "class"])
    expected, marks = peer(images.clone(), labels)
    share = peer._params["mixup_lambdas"]
    partner = peer._params["mixup_pairs"].long()
    mixed = ml.mixup(images, labels, num_classes=5, lam=1 - share, partner=partner)
    marks = marks.reshape(-1, 3)
    assert torch.equal(marks[:, 1].long(), labels[partner])
    own, other = (ml.one_hot(marks[:, k].long(), 5) for k in (0, 1))
    same(mixed, expected, own * (1 - marks[:, 2:]) + other * marks[:, 2:])


# ------------------------------------------------------------------------------------------------- CutMix
@pytest.mark.parametrize("shape", SHAPES)
def test_cutmix_of_torchvision(shape):
    images, labels = torch.rand(shape), torch.arange(shape[0]) % 5
    for seed in range(8):
        torch.manual_seed(seed)
        peer = v2.CutMix(num_classes=5)
        drawn = {}

        def keep(flat, peer=peer, drawn=drawn):
            drawn.update(v2.CutMix.make_params(peer, flat))
            return drawn

        peer.make_params = keep
        expected, expected_targets = peer(images, labels)
        mixed = ml.cutmix(
            images, labels, num_classes=5, boxes=drawn["box"], partner=torch.arange(shape[0]).roll(1)
        )
        same(mixed, expected, expected_targets)
        assert abs(float(mixed.plan.lam[0]) - drawn["lam_adjusted"]) <= 1e-6


@pytest.mark.parametrize("shape", SHAPES)
def test_cutmix_of_timm(shape, monkeypatch):
    images, labels = torch.rand(shape), torch.arange(shape[0]) % 5
    peer = TimmMixup(mixup_alpha=0.0, cutmix_alpha=1.0, label_smoothing=0.0, num_classes=5)
    drawn = {}
    draw = timm_mixup.cutmix_bbox_and_lam

    def keep(*given, **options):
        drawn["box"], lam = draw(*given, **options)
        return drawn["box"], lam

    monkeypatch.setattr(timm_mixup, "cutmix_bbox_and_lam", keep)
    for seed in range(8):
        np.random.seed(seed)
        expected, expected_targets = peer(images.clone(), labels)
        y0, y1, x0, x1 = (int(corner) for corner in drawn["box"])
        partner = torch.arange(shape[0]).flip(0)
        mixed = ml.cutmix(images, labels, num_classes=5, boxes=[x0, y0, x1, y1], partner=partner)
        same(mixed, expected, expected_targets.float())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.filterwarnings("ignore:RandomCutMixV2 currently uses")
def test_cutmix_of_kornia(shape, own):
    """Each image has a box of its own; λ weighs the partner unless `use_correct_lambda` is set."""
    images, labels = torch.rand(shape), torch.arange(shape[0]) % 5
    for seed in range(8):
        torch.manual_seed(seed)
        peer = kornia_augmentation.RandomCutMixV2(p=1.0, data_keys=["input", "class"], use_correct_lambda=own)
        expected, marks = peer(images.clone(), labels)
        partner = peer._params["mix_pairs"][0].long()
        corners = peer._params["crop_src"][0].long()  # four corners, the last pixel included
        boxes = torch.cat([corners[:, 0], corners[:, 2] + 1], dim=1)
        mixed = ml.cutmix(images, labels, num_classes=5, boxes=boxes, partner=partner)
        lam = marks[0, :, 2] if own else 1 - marks[0, :, 2]
        assert (mixed.plan.lam - lam).abs().max() <= 1e-6
        theirs = ml.one_hot(marks[0, :, 0].long(), 5) * lam[:, None]
        theirs += ml.one_hot(marks[0, :, 1].long(), 5) * (1 - lam[:, None])
        same(mixed, expected, theirs)
