"""Every recipe runs; the shipped sets with their real files, the published settings on tiny images."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

import mixlearn as ml
from experiments import chapters as experiments
from experiments import recipes
from experiments.training import Outcome, in_words
from mixlearn.nets.drops import ShakeDrop
from tests.lab.sets import Blobs


class Tiny(Blobs):
    """Four classes of 32 × 32 colour images, under the name of a data set that is not here."""

    def __init__(self) -> None:
        super().__init__(12, channels=3, size=32)


def _small(name: str):
    """A shipped set with fewer test images."""
    data = ml.data.load(name)
    return replace(data, tests={part: images.subset(40) for part, images in data.tests.items()})


@pytest.mark.parametrize("name", ["fashion", "emoji", "offcentre"])
@pytest.mark.parametrize("mix", [None, partial(ml.mixup, alpha=1.0)])
def test_embedded_recipes_train_on_the_real_files(name: str, mix) -> None:
    data = _small(name)
    outcome = getattr(recipes, name)(
        mix, images=60, epochs=1, width=8, data=data, progress=False, accelerator="cpu"
    )
    assert outcome.data == {"name": name, "sha256": data.sha256} and len(data.sha256) == 64
    assert outcome.settings["images"] == 60
    assert outcome.settings["mix"] == ("none" if mix is None else "mixup(alpha=1.0)")
    assert set(outcome.final) == set(data.tests)
    for measures in outcome.final.values():
        assert set(measures) == {"accuracy", "nll", "ece", "gap"} and 0 <= measures["accuracy"] <= 1


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        (
            recipes.cifar100,
            {
                "network": "ResNet-18, width 8",
                "epochs": 200,
                "batch_size": 100,
                "augment": "crop_and_flip(mode='reflect')",
                "optimizer": "sgd(lr=0.1, momentum=0.9, weight_decay=0.0001, nesterov=False)",
                "schedule": "cosine",
            },
        ),
        (
            recipes.cifar10_paper,
            {
                "network": "PreAct ResNet-18, width 8",
                "epochs": 200,
                "batch_size": 128,
                "augment": "crop_and_flip",
                "optimizer": "sgd(lr=0.1, momentum=0.9, weight_decay=0.0001, nesterov=False)",
                "schedule": "steps",
            },
        ),
        (
            partial(recipes.imagenet, workers=0),
            {
                "network": "ResNet-50, width 8",
                "epochs": 100,
                "batch_size": 256,
                "augment": "none",
                "optimizer": "sgd(lr=0.1, momentum=0.9, weight_decay=0.0001, nesterov=False)",
                "schedule": "cosine",
            },
        ),
    ],
)
def test_published_recipes_have_their_settings_and_run(recipe, settings: dict) -> None:
    planned = recipe(ml.mixup, width=8, data=Tiny(), dry=True)
    assert {key: planned.settings[key] for key in settings} == settings
    assert planned.settings["mix"] == "mixup"
    outcome: Outcome = recipe(
        partial(ml.mixup, alpha=0.2),
        width=8,
        data=Tiny(),
        epochs=1,
        batch_size=6,
        progress=False,
        accelerator="cpu",
    )
    assert len(outcome.history.epochs) == 1 and "mixed_labels" in outcome.history.last


def test_pyramid_recipe_is_cutmixs_and_runs_with_shakedrop() -> None:
    settings = {
        "network": "PyramidNet-200, widening 240",
        "mix": "none",
        "epochs": 300,
        "batch_size": 64,
        "augment": "crop_and_flip",
        "optimizer": "sgd(lr=0.25, momentum=0.9, weight_decay=0.0001, nesterov=True)",
        "schedule": "steps",
    }
    planned = recipes.cifar100_pyramid(data=Tiny(), dry=True).settings
    assert {key: planned[key] for key in settings} == settings
    ends = [
        recipes.cifar100_pyramid(
            partial(ml.mixup, alpha=0.2),
            seed=seed,
            depth=11,
            alpha=6,
            drop=ShakeDrop,
            data=Tiny(),
            epochs=1,
            batch_size=6,
            progress=False,
            accelerator="cpu",
        )
        for seed in (3, 3, 4)
    ]
    assert ends[0].settings["network"] == "PyramidNet-11, widening 6, ShakeDrop down to 0.5"
    assert "mixed_labels" in ends[0].history.last
    state = [torch.cat([p.flatten() for p in end.model.parameters()]) for end in ends]
    assert torch.equal(state[0], state[1]) and not torch.equal(state[0], state[2])


def test_full_size_networks_are_the_published_ones() -> None:
    first = {
        name: getattr(recipes, name)(data=Tiny(), dry=True).model for name in ("cifar100", "cifar10_paper")
    }
    assert [first[name].features for name in first] == [512, 512]
    last = [m.last_norm.weight for m in first["cifar100"].modules() if hasattr(m, "last_norm")]
    assert all(not bool(weight.any()) for weight in last)
    assert isinstance(first["cifar10_paper"].last, nn.BatchNorm2d)


def test_the_same_seed_gives_the_same_images_weights_and_end() -> None:
    given = {
        "data": Tiny(),
        "epochs": 1,
        "batch_size": 6,
        "width": 8,
        "progress": False,
        "accelerator": "cpu",
    }
    ends = [recipes.emoji(ml.mixup, images=8, seed=seed, **given) for seed in (3, 3, 4)]
    state = [torch.cat([p.flatten() for p in end.model.parameters()]) for end in ends]
    assert torch.equal(state[0], state[1]) and not torch.equal(state[0], state[2])


def test_experiments_name_each_setting_once() -> None:
    assert list(experiments.embedded()) == ["fashion-plain", "fashion-mixup", "emoji-plain", "emoji-mixup"]
    sweep = experiments.sweep()
    assert len(sweep) == 24
    cost = [
        call.keywords["images"] * call.keywords["epochs"] * call.keywords["width"] ** 2
        for call in sweep.values()
    ]
    assert cost == sorted(cost)
    assert all(("mix" in call.keywords) == name.endswith("-mixup") for name, call in sweep.items())


@pytest.mark.parametrize("pilot", [experiments.pilot_offcentre, experiments.pilot_cifar])
def test_pilots_give_every_way_the_same_setting(pilot) -> None:
    found = pilot()
    cells: dict[str, list[dict]] = {}
    for name, call in found.items():
        cell, _, way = name.rpartition("-")
        settings = call(data=Tiny(), images=None, dry=True).settings
        assert (settings.pop("mix") == "none") == (way == "plain")
        cells.setdefault(cell, []).append(settings)
        assert f"-n{call.keywords['images']}-e{settings['epochs']}" in name
    for settings in cells.values():
        assert len(settings) == 3 and settings[0] == settings[1] == settings[2]


def test_measures_during_training_where_asked() -> None:
    outcome = recipes.emoji(
        data=Tiny(), epochs=3, batch_size=6, width=8, measure_every=2, progress=False, accelerator="cpu"
    )
    assert ["accuracy" in row for row in outcome.history.epochs] == [False, True, True]
    assert outcome.history.last["accuracy"] == outcome.final["same"]["accuracy"]


def test_imagenets_batch_is_shared_among_processes() -> None:
    with pytest.raises(ValueError, match="batch_size must be a multiple of the number of processes, got 6"):
        recipes.imagenet(width=8, data=Tiny(), batch_size=6, devices=4)


def test_in_words() -> None:
    assert (
        in_words(partial(partial(ml.mixup, alpha=0.2), per_image=True)) == "mixup(alpha=0.2, per_image=True)"
    )
    assert in_words(ml.RandomMix([ml.mixup], num_classes=3)).startswith("RandomMix(")
