"""Learning without labels by recipe: the published settings, what a learner is told, and short runs."""

from functools import partial

import pytest
import torch

from mixlearn.lab import experiments, recipes
from mixlearn.lab.learners import MaskedImages, MixCo, MoCo, PatchMix, SimCLR, SimSiam
from mixlearn.lab.nets import resnet, vit
from mixlearn.lab.recipes.contrast import _told
from tests.lab.sets import Blobs

COLOUR = Blobs(12, channels=3, size=32)
COLOUR.mean, COLOUR.std = (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)
seen = []


def look(net):
    seen.append(net)
    return {"linear": {"accuracy": 0.5, "nll": 1.0}}


def quick(mix=PatchMix, **options):
    given = {"data": COLOUR, "epochs": 1, "width": 4, "batch_size": 6, "examine": look, "progress": False}
    return recipes.pretrain(mix, images=12, **given | options)


@pytest.mark.parametrize("kind", [PatchMix, MoCo, SimCLR, SimSiam, MixCo, partial(PatchMix, parts=3)])
def test_learners_without_labels_are_told_of_views_and_judged_by_their_features_alone(kind):
    outcome = quick(kind)
    assert outcome.final == {"linear": {"accuracy": 0.5, "nll": 1.0}} and seen[-1] is outcome.model
    assert "labels" not in outcome.history.last
    fresh = resnet(8, 4, width=4, channels=3, generator=torch.Generator().manual_seed(7919))
    assert not torch.equal(outcome.model.stem[0].weight, fresh.stem[0].weight)
    assert torch.equal(outcome.model.head.weight, fresh.head.weight)


def test_what_is_set_already_stays():
    view, net = partial(torch.Tensor.flip, dims=(3,)), resnet(8, 4, width=4)
    mix = partial(PatchMix, parts=3, outside=5, augment=COLOUR.batch)
    told = _told(mix, view, {"hidden": 8, "outside": 4, "predictor": 6})(net)
    assert told.parts == 3 and told.augment == COLOUR.batch
    assert told.projector[0].out_features == 8 and told.projector[-1].num_features == 5
    alone = _told(SimCLR, view, {"hidden": 8, "outside": 4, "predictor": 6, "momentum": 0.9})(net)
    assert alone.predictor is None and alone.twin is None and alone.augment is view
    slow = _told(MoCo, view, {"hidden": 8, "outside": 4, "predictor": 6, "momentum": 0.9})(net)
    assert slow.twin.momentum == 0.9
    assert _told(None, view, {}) is None


def test_a_transformer_may_hide_patches():
    outcome = quick(MaskedImages, network="vit")
    assert set(outcome.history.last) >= {"pixels"} and outcome.settings["network"] == "ViT, 4 layers of 64"


def test_the_controls_have_labels_or_no_training():
    taught = quick(None)
    assert list(taught.final) == ["same", "again", "linear"]
    assert taught.settings["augment"] == "crop_and_flip" and "labels" in taught.history.last
    drawn = quick("nothing")
    assert drawn.settings["mix"] == "nothing" and not drawn.history.epochs and list(drawn.final) == ["linear"]
    fresh = resnet(8, 4, width=4, channels=3, generator=torch.Generator().manual_seed(7919))
    assert torch.equal(drawn.model.stem[0].weight, fresh.stem[0].weight)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "cifar10"}, "name must be 'fashion' or 'emoji', got 'cifar10'"),
        ({"network": "vgg"}, "network must be 'resnet8' or 'vit', got 'vgg'"),
    ],
)
def test_other_names_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        quick(**options)


@pytest.mark.parametrize(
    ("size", "dim", "heads", "rate", "decay"),
    [("tiny", 192, 3, 4e-3, 0.2), ("small", 384, 12, 1e-3, 0.4), ("base", 768, 12, 1.5e-3, 0.4)],
)
def test_the_published_settings_of_cifar(monkeypatch, size, dim, heads, rate, decay):
    kept = {}
    monkeypatch.setattr("mixlearn.lab.recipes.contrast.train", lambda **given: kept.update(given))
    recipes.patchmix_cifar(size=size, data=COLOUR)
    net, schedule = kept["net"], kept["schedule"]
    assert (net.features, net.patch, len(net.layers), net.layers[0].heads) == (dim, 2, 12, heads)
    assert (kept["epochs"], kept["batch_size"]) == (800, 512)
    groups = kept["optimizer"](net.parameters()).param_groups
    assert {group["lr"] for group in groups} == {rate}
    assert {group["weight_decay"] for group in groups} == {0.0, decay}
    assert all(p.dim() > 1 for group in groups if group["weight_decay"] for p in group["params"])
    assert schedule(99, 800) == 1.0 and schedule(50, 800) == pytest.approx(51 / 100)
    assert schedule(800, 800) == pytest.approx(1e-6 / rate)
    assert schedule.weight_decay(0, 800) == pytest.approx(0.1)
    assert schedule.weight_decay(400, 800) == pytest.approx(0.55)
    mix = kept["mix"](vit(4, size=8, patch=2, dim=12, depth=1), hidden=4, outside=4, predictor=4)
    assert (mix.twin is None) == (size == "tiny") and mix.temperature == 0.2 and mix.parts == 2
    assert mix.patch == 2 and mix.augment.keywords["least"] == 0.1


def test_imagenet_sees_two_views_of_whole_size(monkeypatch):
    kept = {}
    monkeypatch.setattr("mixlearn.lab.recipes.contrast.train", lambda **given: kept.update(given))
    large = Blobs(4, channels=3, size=224)
    recipes.patchmix_imagenet(data=large, batch_size=2, workers=0)
    assert (kept["net"].patch, kept["net"].size, kept["epochs"]) == (16, 224, 300)
    assert kept["schedule"](9, 300) == 1.0 and kept["loader"].batch_size == 2
    with pytest.raises(ValueError, match="size must be one of tiny, small, base, got 'huge'"):
        recipes.patchmix_imagenet(data=large, size="huge")


def test_the_full_recipe_trains_where_there_is_time(monkeypatch):
    monkeypatch.setattr(
        "mixlearn.lab.recipes.contrast.vit",
        lambda classes, **options: vit(classes, **options | {"depth": 1, "dim": 12, "heads": 2}),
    )
    mix = partial(PatchMix, hidden=8, outside=4, predictor=8)
    outcome = recipes.patchmix_cifar(mix, data=COLOUR, epochs=2, batch_size=6, progress=False)
    assert list(outcome.history.last)[1:4] == ["origin", "mix_to_origin", "mix_to_mix"]
    assert outcome.settings["network"] == "ViT-S/2" and outcome.final == {}
    assert outcome.settings["schedule"].startswith("WithDecay(")


def test_the_experiment_has_its_controls():
    found = experiments.contrast()
    for name in ("fashion", "emoji"):
        told = {way: found[f"contrast-{name}-{way}"](dry=True).settings for way in ("labels", "scratch")}
        assert told["labels"]["mix"] == "none" and told["scratch"]["mix"] == "nothing"
        assert "decay=1.0" in told["scratch"]["examined"] and "tune=10" in told["labels"]["examined"]
    told = found["contrast-fashion-patchmix-no-mix-to-mix"](dry=True).settings
    assert told["ablated"] == "mix_to_mix"
