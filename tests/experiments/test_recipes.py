"""The recipes of this book: the shipped sets with their real files, views and judges, and the same seed."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

import mixlearn as ml
from experiments import recipes
from experiments.examine import examine_features
from experiments.recipes import with_views
from experiments.rivals import MixCo, SimSiam
from mixlearn.methods.learners import MoCo, PatchMix, SimCLR
from mixlearn.nets.resnet import resnet
from tests.refused import refusals
from tests.sets import Blobs, weights

COLOUR = Blobs(12, channels=3, size=32)
COLOUR.mean, COLOUR.std = (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)
QUICK = {"epochs": 1, "width": 4, "batch_size": 6, "progress": False, "accelerator": "cpu"}


# ------------------------------------------------------------------------------------------- with labels
@pytest.mark.parametrize("name", ["fashion", "emoji", "offcentre"])
def test_shipped_sets_train_on_their_real_files(name: str) -> None:
    data = ml.data.load(name)
    data = replace(data, tests={part: images.subset(40) for part, images in data.tests.items()})
    outcome = getattr(recipes, name)(partial(ml.mixup, alpha=1.0), images=60, data=data, **QUICK)
    assert outcome.data == {"name": name, "sha256": data.sha256} and len(data.sha256) == 64
    assert outcome.settings["images"] == 60 and outcome.settings["mix"] == "mixup(alpha=1.0)"
    assert set(outcome.final) == set(data.tests) and "mixed_labels" in outcome.history.last
    for measures in outcome.final.values():
        assert set(measures) == {"accuracy", "nll", "ece", "gap"} and 0 <= measures["accuracy"] <= 1


def test_the_same_seed_gives_the_same_images_weights_and_end() -> None:
    ends = [recipes.emoji(ml.mixup, images=8, seed=seed, data=COLOUR, **QUICK) for seed in (3, 3, 4)]
    first, again, other = (weights(end.model) for end in ends)
    assert torch.equal(first, again) and not torch.equal(first, other)


# ---------------------------------------------------------------------------------------- without labels
seen: list[Any] = []


def look(net: Any) -> dict[str, dict[str, float]]:
    seen.append(net)
    return {"linear": {"accuracy": 0.5, "nll": 1.0}}


def pretrained(mix: Any = PatchMix, **options: Any) -> Any:
    return recipes.pretrain(mix, **{"images": 12, "data": COLOUR, "examine": look} | QUICK | options)


def fresh() -> Any:
    return resnet(8, 4, width=4, channels=3, generator=torch.Generator().manual_seed(7919))


@pytest.mark.parametrize("learner", [PatchMix, MoCo, SimCLR, SimSiam, MixCo, partial(PatchMix, parts=3)])
def test_learners_without_labels_are_judged_by_their_features_alone(learner: Any) -> None:
    outcome = pretrained(learner)
    assert outcome.final == {"linear": {"accuracy": 0.5, "nll": 1.0}} and seen[-1] is outcome.model
    assert "labels" not in outcome.history.last
    assert not torch.equal(outcome.model.stem[0].weight, fresh().stem[0].weight)
    assert torch.equal(outcome.model.head.weight, fresh().head.weight)


def test_one_image_left_over_stops_those_who_compare() -> None:
    with pytest.raises(ValueError, match="7 images in batches of 6 leave one that nothing can be compared"):
        pretrained(MoCo, network="vit", width=None, images=7)


def test_the_controls_have_labels_or_no_training() -> None:
    taught = pretrained(None)
    assert list(taught.final) == ["same", "again", "linear"]
    assert taught.settings["augment"] == "crop_and_flip" and "labels" in taught.history.last
    drawn = pretrained("nothing")
    assert drawn.settings["mix"] == "nothing" and not drawn.history.epochs and list(drawn.final) == ["linear"]
    assert drawn.settings["epochs"] == drawn.settings["images"] == 0 and "optimizer" not in drawn.settings
    assert torch.equal(drawn.model.stem[0].weight, fresh().stem[0].weight)


def test_options_that_are_set_already_stay() -> None:
    view, net = partial(torch.Tensor.flip, dims=(3,)), resnet(8, 4, width=4)
    sizes = {"hidden": 8, "outside": 4, "predictor": 6, "momentum": 0.9}
    mix = partial(PatchMix, parts=3, outside=5, augment=COLOUR.batch)
    given = with_views(mix, view, sizes)(net)
    assert given.parts == 3 and given.augment == COLOUR.batch and given.twin.momentum == 0.9
    assert given.projector[0].out_features == 8 and given.projector[-1].num_features == 5
    alone = with_views(SimCLR, view, sizes)(net)
    assert alone.predictor is None and alone.twin is None and alone.augment is view
    pair = with_views(SimSiam, view, sizes | {"outside": 8})(net)
    assert pair.predictor[0].out_features == 2 and pair.twin is None


def test_features_are_judged_on_the_data_that_were_given() -> None:
    mine = Blobs(24, channels=3, size=32, seed=3)
    mine.mean, mine.std = COLOUR.mean, COLOUR.std
    outcome = recipes.pretrain(data=mine, **QUICK | {"images": None, "batch_size": 8})
    assert outcome.final == examine_features(outcome.model, data=mine, images=None)


test_mistakes_are_named = refusals(
    ({"name": "cifar10"}, "name must be 'fashion', 'emoji', 'offcentre' or 'garments', got 'cifar10'"),
    ({"network": "vgg"}, "network must be 'resnet8', 'vit' or 'pixels', got 'vgg'"),
    ({"network": "vit"}, "width is that of a ResNet; the transformer has one size, got 4"),
    ({"mix": "noting"}, "mix must be a learner without labels, .* got 'noting'"),
    ({"mix": partial(ml.mixup, alpha=1.0)}, r"mix must be a learner .* got mixup\(alpha=1.0\)"),
    by=lambda options: pretrained(**options),
)
