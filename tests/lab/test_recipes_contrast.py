"""Learning without labels by recipe: the published settings, what a learner is told, and short runs."""

from functools import partial

import pytest
import torch

from experiments import chapters as experiments
from experiments import recipes
from experiments.examine.features import examine_features
from experiments.recipes.contrast import told
from experiments.rivals import MaskedImages, MixCo, SimSiam
from experiments.training import train
from mixlearn.methods.augment import crop_and_flip
from mixlearn.methods.learners import MoCo, PatchMix, SimCLR
from mixlearn.methods.mixup import mixup
from mixlearn.nets import vit
from mixlearn.nets.resnet import resnet
from tests.lab.sets import Blobs

COLOUR = Blobs(12, channels=3, size=32)
COLOUR.mean, COLOUR.std = (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)
seen = []


def look(net):
    seen.append(net)
    return {"linear": {"accuracy": 0.5, "nll": 1.0}}


BASE = {"data": COLOUR, "epochs": 1, "width": 4, "batch_size": 6, "examine": look, "progress": False}


def quick(mix=PatchMix, **options):
    return recipes.pretrain(mix, images=12, **BASE | options)


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
    given = told(mix, view, {"hidden": 8, "outside": 4, "predictor": 6})(net)
    assert given.parts == 3 and given.augment == COLOUR.batch
    assert given.projector[0].out_features == 8 and given.projector[-1].num_features == 5
    alone = told(SimCLR, view, {"hidden": 8, "outside": 4, "predictor": 6, "momentum": 0.9})(net)
    assert alone.predictor is None and alone.twin is None and alone.augment is view
    slow = told(MoCo, view, {"hidden": 8, "outside": 4, "predictor": 6, "momentum": 0.9})(net)
    assert slow.twin.momentum == 0.9
    pair = told(SimSiam, view, {"hidden": 8, "outside": 8, "predictor": 6, "momentum": 0.9})(net)
    assert pair.predictor[0].out_features == 2 and pair.twin is None

    class Mine(SimCLR):
        pass

    assert told(Mine, view, {"predictor": 6, "momentum": 0.9})(net, hidden=8, outside=4).twin is None


def test_a_transformer_may_hide_patches():
    outcome = quick(MaskedImages, network="vit", width=None)
    assert (
        set(outcome.history.last) >= {"pixels"}
        and list(outcome.final) == ["linear"]
        and outcome.settings["network"] == "ViT, 4 layers of 64"
    )


def test_one_image_left_over_stops_only_those_who_compare():
    given = {"network": "vit", "width": None, "images": 7}
    assert "pixels" in recipes.pretrain(MaskedImages, **BASE | given).history.last
    with pytest.raises(ValueError, match="7 images in batches of 6 leave one that nothing can be compared"):
        recipes.pretrain(MoCo, **BASE | given)
    with pytest.raises(ValueError, match="batch_size must be"):
        recipes.pretrain(MoCo, **BASE | given | {"batch_size": 0})


def test_the_controls_have_labels_or_no_training():
    taught = quick(None)
    assert list(taught.final) == ["same", "again", "linear"]
    assert taught.settings["augment"] == "crop_and_flip" and "labels" in taught.history.last
    drawn = quick("nothing")
    assert drawn.settings["mix"] == "nothing" and not drawn.history.epochs and list(drawn.final) == ["linear"]
    assert drawn.settings["epochs"] == drawn.settings["images"] == 0 and "optimizer" not in drawn.settings
    fresh = resnet(8, 4, width=4, channels=3, generator=torch.Generator().manual_seed(7919))
    assert torch.equal(drawn.model.stem[0].weight, fresh.stem[0].weight)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "cifar10"}, "name must be 'fashion' or 'emoji', got 'cifar10'"),
        ({"network": "vgg"}, "network must be 'resnet8' or 'vit', got 'vgg'"),
        ({"network": "vit"}, "width is that of a ResNet; the transformer has one size, got 4"),
        ({"mix": "noting"}, "mix must be a learner without labels, .* got 'noting'"),
        ({"mix": partial(mixup, alpha=1.0)}, r"mix must be a learner .* got mixup\(alpha=1.0\)"),
        ({"measure_every": 1}, "measure_every cannot go with a learner without labels"),
        ({"augment": crop_and_flip}, "augment cannot go with a learner without labels"),
        ({"batch_size": 11}, "12 images in batches of 11 leave one"),
        ({"mix": "nothing", "smoothing": 0.1}, "smoothing cannot go with a network that is not trained"),
        ({"mix": "nothing", "ablate": ("origin",)}, "ablate cannot go with a network that is not trained"),
    ],
)
def test_what_would_be_ignored_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        quick(**options)


def test_one_that_is_built_already_is_refused():
    with pytest.raises(TypeError, match="PatchMix is built for the network to be trained"):
        train(resnet(8, 4, width=4), COLOUR, PatchMix(resnet(8, 4, width=4)), network="", epochs=1,
              batch_size=6, optimizer=torch.optim.SGD, schedule=None, dry=True)  # fmt: skip


def test_the_settings_of_the_book_in_words():
    told = recipes.pretrain(data=COLOUR, images=12, dry=True, examine=None).settings
    assert told["network"] == "ResNet-8, width 8" and told["schedule"] == "cosine(warmup=0.1)"
    assert told["optimizer"] == "AdamW(lr=0.005, weight_decay=0.05)" and told["epochs"] == 20
    assert told["mix"] == (
        "PatchMix(augment=contrastive_view(mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)), hidden=256, "
        "outside=64, predictor=256, momentum=slow_down(start=0.9, end=0.99, hold=0.0), temperature=0.2)"
    )
    judged = recipes.pretrain(name="fashion", dry=True).settings["examined"]
    assert judged == "examine_features(data='fashion')"


def test_features_are_judged_on_the_data_that_were_given():
    assert quick(examine=None).final == {}
    mine = Blobs(24, channels=3, size=32, seed=3)
    mine.mean, mine.std = COLOUR.mean, COLOUR.std
    given = {"images": None, "width": 4, "batch_size": 8, "epochs": 1, "progress": False}
    outcome = recipes.pretrain(data=mine, **given)
    assert outcome.final == examine_features(outcome.model, data=mine, images=None)


def test_no_setting_holds_an_address_in_memory():
    recipe = partial(recipes.patchmix_cifar, data=COLOUR, dry=True)
    told = [recipe(size=size).settings for size in ("tiny", "base")]
    told += [setting(dry=True).settings for setting in experiments.contrast().values()]
    assert not any(" at 0x" in str(value) for one in told for value in one.values())
    assert told[0]["schedule"] == (
        "WithDecay(cosine(warmup=0.125, floor=0.00025), one_cycle(rise=1.0, start=0.1))"
    )


@pytest.mark.parametrize(
    ("size", "dim", "heads", "rate", "decay"),
    [("tiny", 192, 3, 4e-3, 0.2), ("small", 384, 12, 1e-3, 0.4), ("base", 768, 12, 1.5e-3, 0.4)],
)
def test_the_published_settings_of_cifar(monkeypatch, size, dim, heads, rate, decay):
    kept = {}
    monkeypatch.setattr("experiments.recipes.contrast_full.train", lambda **given: kept.update(given))
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
    assert mix.patch == 2
    view = mix.augment.keywords
    assert view == {"mean": COLOUR.mean, "std": COLOUR.std, "least": 0.1, "solarise": 0.1}
    assert kept["examine"].keywords["data"] is COLOUR


def test_imagenet_sees_two_views_of_whole_size(monkeypatch):
    kept = {}
    monkeypatch.setattr("experiments.recipes.contrast_full.train", lambda **given: kept.update(given))
    large = Blobs(4, channels=3, size=224)
    recipes.patchmix_imagenet(data=large, batch_size=2, workers=0)
    assert (kept["net"].patch, kept["net"].size, kept["epochs"]) == (16, 224, 300)
    assert kept["schedule"](9, 300) == 1.0 and kept["loader"].batch_size == 2
    view, small = (kept["mix"].keywords[name].keywords for name in ("augment", "small"))
    assert view["least"] == 0.35 and small["size"] == 96 and (small["least"], small["most"]) == (0.05, 0.35)
    assert kept["net"].any_size and kept["mix"].func(kept["net"]).crops == 8
    recipes.patchmix_imagenet(partial(PatchMix, small=None), data=large, batch_size=2, workers=0)
    assert kept["mix"].keywords["small"] is None
    recipes.patchmix_imagenet(MoCo, data=large, batch_size=2, workers=0)
    assert "small" not in kept["mix"].keywords
    with pytest.raises(ValueError, match="batch_size must be a positive integer, got 0"):
        recipes.patchmix_cifar(data=COLOUR, batch_size=0)
    with pytest.raises(ValueError, match="size must be one of tiny, small, base, got 'huge'"):
        recipes.patchmix_imagenet(data=large, size="huge")


def test_the_full_recipe_trains_where_there_is_time(monkeypatch):
    monkeypatch.setattr(
        "experiments.recipes.contrast_full.vit",
        lambda classes, **options: vit(classes, **options | {"depth": 1, "dim": 12, "heads": 2}),
    )
    mix = partial(PatchMix, hidden=8, outside=4, predictor=8)
    outcome = recipes.patchmix_cifar(mix, data=COLOUR, epochs=2, batch_size=6, progress=False, examine=None)
    assert list(outcome.history.last)[1:4] == ["origin", "mix_to_origin", "mix_to_mix"]
    assert outcome.settings["network"] == "ViT-S/2" and outcome.final == {}


def test_the_experiment_is_what_the_chapter_says():
    found = {name: setting(dry=True).settings for name, setting in experiments.contrast().items()}
    kinds = {"simclr": "SimCLR", "moco": "MoCo", "patchmix": "PatchMix", "labels": "none"}
    for data in ("fashion", "emoji"):
        for way, kind in kinds.items():
            told = found[f"contrast-{data}-{way}"]
            assert told["mix"].split("(")[0] == kind and told["images"] == 3600 and told["epochs"] == 20
            assert told["examined"] == f"examine_features(data={data!r}, tune=10)"
        scratch = found[f"contrast-{data}-scratch"]
        assert scratch["mix"] == "nothing"
        assert scratch["examined"] == f"examine_features(data={data!r}, tune=10, decay=1.0)"
        for way in ("moco", "patchmix", "masked", "scratch"):
            assert found[f"contrast-{data}-vit-{way}"]["network"] == "ViT, 4 layers of 64"
    varied = {name.removeprefix("contrast-fashion-"): told for name, told in found.items()}
    assert "symmetric=True" in varied["patchmix-symmetric"]["mix"]
    assert "parts=3" in varied["patchmix-three"]["mix"] and "parts=4" in varied["patchmix-four"]["mix"]
    assert "momentum=None" in varied["patchmix-alone"]["mix"]
    assert varied["simsiam"]["mix"].startswith("SimSiam(") and varied["mixco"]["mix"].startswith("MixCo(")
    for term in ("origin", "mix_to_origin", "mix_to_mix"):
        assert varied[f"patchmix-no-{term.replace('_', '-')}"]["ablated"] == term
