"""What all learners keep to: settings that are checked and shown, and subclasses that users write."""

import pytest
import torch
from torch import nn

import mixlearn as ml
from mixlearn.methods.learner import Twin
from mixlearn.methods.learners import AutoMix, Guided, Mixing, MixingInside, Plain, TransMixing
from mixlearn.train.finetune import with_new_head
from tests.refused import refused
from tests.seeds import seeded
from tests.sets import Blobs

IMAGES, LABELS = torch.rand(6, 3, 16, 16, generator=seeded(1)), torch.tensor([0, 1, 2, 3, 0, 1])


def automix(kind=AutoMix, **options):
    net = ml.nets.resnet(8, 4, width=4, generator=seeded())
    return net, kind(net, stage="stage2", image_size=16, generator=seeded(1), **options)


def fit(net, learner, images=6, **options):
    data = Blobs(images, channels=3, size=16)
    return ml.fit(net, data, learner, epochs=1, batch_size=6, accelerator="cpu", progress=False, **options)


@pytest.mark.parametrize(
    ("learner", "words"),
    [
        (Plain(), "Plain()"),
        (Mixing(ml.mixup, smoothing=0.1), "Mixing(mixup, smoothing=0.1)"),
        (Mixing(ml.mixup, loss=ml.soft_bce), "Mixing(mixup, loss=soft_bce)"),
        (Guided(ml.puzzlemix, smoothing=0.1), "Guided(puzzlemix, gradient_saliency, smoothing=0.1)"),
        (TransMixing(ml.cutmix, share=1.0, smoothing=0.1), "TransMixing(cutmix, share=1.0, smoothing=0.1)"),
        (TransMixing(ml.cutmix), "TransMixing(cutmix)"),
        (ml.learners.RegMixup(alpha=20.0, smoothing=0.1), "RegMixup(alpha=20.0, smoothing=0.1)"),
        (ml.learners.Decoupled(ml.cutmix), "Decoupled(cutmix, weight=0.1)"),
        (ml.learners.AugMix(ml.augmix, smoothing=0.1), "AugMix(augment=augmix, weight=12.0, smoothing=0.1)"),
        (MixingInside(ml.mixup, ["stem"], smoothing=0.1), "MixingInside(stem: mixup, smoothing=0.1)"),
    ],
    ids=repr,
)
def test_words_name_what_differs_from_the_usual(learner, words):
    assert repr(learner) == words


@pytest.mark.parametrize("make", [Plain, lambda classes: Mixing(ml.mixup, classes)])
def test_a_smoothing_in_the_place_of_the_classes_is_refused(make):
    refused(lambda: make(0.1), "num_classes must be a whole number, got 0.1", TypeError)


class Rewritten(AutoMix):
    """A user's subclass that writes `forward` anew, with a term that AutoMix lacks."""

    def forward(self, *given, **options):
        return super().forward(*given, **options) | {"mine": self.mix_head.weight.square().sum()}


def test_a_subclass_that_rewrites_the_call_is_taken_at_its_word():
    assert "mine" in fit(*automix(Rewritten), ablate=("mine",)).last


@pytest.mark.parametrize("options", [{}, {"joint": True}])
def test_terms_to_leave_out_are_checked_before_training_starts(options):
    net, learner = automix(**options)
    net.register_forward_pre_hook(lambda *given: pytest.fail("training has started"))
    for one in (learner, Plain(), Mixing(ml.mixup, 4), ml.learners.MixSKD(net)):
        with pytest.raises(ValueError, match=r"ablate names \['lables'\], but the learner's terms are \["):
            fit(net, one, ablate=("lables",))


class Named(nn.Module):
    """A network that returns a dict."""

    def __init__(self):
        super().__init__()
        self.net = ml.nets.resnet(8, 4, width=4, generator=seeded())

    def forward(self, images):
        return {"features": images, "logits": self.net(images)}


class Mine(Plain):
    """A user's subclass."""


def test_a_subclass_takes_a_network_that_returns_a_dict():
    assert fit(Named(), Mine()).last["labels"] > 0
    assert Guided(ml.puzzlemix, num_classes=4)(Named(), IMAGES, LABELS)["mixed_labels"] > 0


def test_a_last_batch_of_one_image_without_a_partner_is_refused_before_training():
    with pytest.raises(ValueError, match="the last batch holds one image, with nothing to be compared with"):
        fit(*automix(fixed_points=False), images=7)


def test_a_deployed_twin_trains_on_as_documented():
    net, learner = automix()
    copy = with_new_head(learner.deployed(net), 4)
    before = copy.stem[1].running_mean.clone()
    copy(IMAGES)
    assert not torch.equal(before, copy.stem[1].running_mean)
    assert all(parameter.requires_grad for parameter in copy.parameters())


def test_a_schedule_s_momentum_is_checked_at_each_step():
    twin = Twin({"layer": nn.Linear(1, 1)}, momentum=lambda progress: 0.9 + progress)
    refused(lambda: twin.advance(1.0), r"momentum must lie in \[0, 1\], got 1.9")
