"""AutoMix at full size: every recipe states the published settings, and runs on tiny images."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

import mixlearn as ml
from experiments import chapters as experiments
from experiments import recipes
from experiments.command import _chosen
from experiments.data import PictureSet, random_crop
from experiments.recipes.automix import _CIFAR, _told
from experiments.rivals import Averaged
from experiments.training import _side
from mixlearn.data.sets import Data
from mixlearn.methods.learner import slow_down
from mixlearn.methods.learners import AutoMix, SAMix
from mixlearn.train.schedules import cosine
from tests.lab.sets import Blobs


class Tiny(Blobs):
    """Four classes of 32 × 32 colour images, under the name of a data set that is not here."""

    def __init__(self, size: int = 32) -> None:
        super().__init__(12, channels=3, size=size)


def settings(recipe: Any, *args: Any, **options: Any) -> dict[str, Any]:
    planned: dict[str, Any] = recipe(*args, data=Tiny(), dry=True, **options).settings
    return planned


def sgd(rate: str, decay: str) -> str:
    return f"sgd(lr={rate}, momentum=0.9, weight_decay={decay}, nesterov=False)"


CIFAR = {"epochs": 400, "batch_size": 100, "augment": "crop_and_flip(mode='reflect')"}
PUBLISHED = [
    (
        recipes.automix_cifar100,
        {},
        CIFAR
        | {
            "network": "ResNet-18, width 64",
            "mix": "AutoMix(stage='stage3')",
            "optimizer": sgd("0.1", "0.0001"),
            "schedule": "cosine(floor=0.5)",
            "block": None,
        },
    ),
    (
        recipes.automix_cifar100,
        {"network": "resnext50"},
        CIFAR
        | {
            "network": "ResNeXt-50 32×4d, width 64",
            "mix": "AutoMix(stage='stage3')",
            "optimizer": sgd("0.1", "0.0001"),
            "schedule": "cosine(floor=0.5)",
            "block": None,
        },
    ),
    (
        recipes.automix_cifar100,
        {"network": "wrn28-8"},
        CIFAR
        | {
            "network": "WRN-28-8",
            "mix": "AutoMix(stage='stage2')",
            "optimizer": sgd("0.03", "0.001"),
            "schedule": f"cosine(floor={1e-3 / 0.03})",
            "block": f"lr=0.03, momentum=0.0, schedule=cosine(floor={1e-3 / 0.03})",
        },
    ),
    (
        recipes.tiny_imagenet,
        {"mix": AutoMix},
        {
            "network": "ResNet-18, width 64",
            "mix": "AutoMix(stage='stage3')",
            "epochs": 400,
            "batch_size": 100,
            "optimizer": sgd("0.2", "0.0001"),
            "schedule": "cosine(floor=0.25)",
            "block": "lr=0.1, momentum=0.9, schedule=cosine(floor=0.01)",
        },
    ),
    (
        recipes.fine_grained,
        {"mix": AutoMix},
        {
            "network": "resnet18, weights IMAGENET1K_V1",
            "mix": "AutoMix(stage='stage3', fixed_points=False, momentum=slow_down(end=0.99999))",
            "epochs": 200,
            "batch_size": 16,
            "optimizer": sgd("0.001", "0.0005"),
            "schedule": "cosine",
            "block": "lr=0.01, momentum=0.9, schedule=cosine(floor=0.05)",
        },
    ),
    (
        recipes.fine_grained,
        {"mix": AutoMix, "name": "inaturalist2017"},
        {
            "network": "resnet50, new weights",
            "epochs": 100,
            "batch_size": 256,
            "optimizer": sgd("0.1", "0.0001"),
            "schedule": "cosine",
            "block": "lr=0.1, momentum=0.9, schedule=cosine(floor=0.001)",
        },
    ),
    (
        recipes.fine_grained,
        {"mix": AutoMix, "name": "places205", "network": "resnet18"},
        {
            "network": "resnet18, new weights",
            "epochs": 100,
            "batch_size": 256,
            "optimizer": sgd("0.1", "0.0001"),
            "schedule": "cosine",
            "block": "lr=0.1, momentum=0.9, schedule=cosine(floor=0.01)",
        },
    ),
    (
        recipes.imagenet,
        {
            "mix": partial(AutoMix, momentum=partial(slow_down, end=0.99999)),
            "block": {"momentum": 0.0, "schedule": partial(cosine, floor=0.01)},
            "depth": 101,
        },
        {
            "network": "ResNet-101, width 64",
            "mix": "AutoMix(momentum=slow_down(end=0.99999))",
            "epochs": 100,
            "batch_size": 256,
            "optimizer": sgd("0.1", "0.0001"),
            "schedule": "cosine",
            "block": "momentum=0.0, schedule=cosine(floor=0.01)",
        },
    ),
]


@pytest.mark.parametrize("case", range(len(PUBLISHED)))
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_dry_run_states_what_is_published(case: int) -> None:
    recipe, options, expected = PUBLISHED[case]
    found = settings(recipe, **options)
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_birds_by_a_resnext_get_decided_masks() -> None:
    birds = settings(recipes.fine_grained, AutoMix, network="resnext50_32x4d")["mix"]
    assert "fixed_points=False, variance=2.0" in birds
    planes = settings(recipes.fine_grained, AutoMix, name="aircraft", network="resnet50")["mix"]
    assert "fixed_points=False" in planes and "variance" not in planes
    nature = settings(recipes.fine_grained, AutoMix, name="inaturalist2018", network="resnext50_32x4d")["mix"]
    assert "fixed_points" not in nature and "variance" not in nature


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_small_network_ends_higher_on_inaturalist() -> None:
    found = settings(recipes.fine_grained, AutoMix, name="inaturalist2017", network="resnet18")
    assert found["block"] == "lr=0.1, momentum=0.9, schedule=cosine(floor=0.01)"


@pytest.mark.parametrize(("network", "last"), [("resnet18", 0.05), ("resnext50", 0.05), ("wrn28-8", 1e-3)])
def test_rates_fall_to_the_published_ones(network: str, last: float) -> None:
    told = _told(AutoMix, _CIFAR[network])
    assert told["optimizer"].keywords["lr"] * told["schedule"](9, 9) == pytest.approx(last)
    own = told.get("block", {"lr": last, "schedule": lambda step, total: 1.0})
    assert own["lr"] * own["schedule"](9, 9) == pytest.approx(last)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_mixing_is_told_only_what_it_does_not_say() -> None:
    cifar = recipes.automix_cifar100
    assert (
        settings(cifar, partial(SAMix, alpha=1.0, stage="stage1"))["mix"]
        == "SAMix(stage='stage1', alpha=1.0)"
    )
    control = settings(recipes.fine_grained, Averaged)
    assert control["mix"] == "Averaged(momentum=slow_down(end=0.99999))" and "block" not in control
    assert settings(recipes.tiny_imagenet, Averaged)["schedule"] == "cosine(floor=0.25)"  # a twin predicts
    for mix in (None, partial(ml.mixup, alpha=1.0)):
        plain = settings(recipes.tiny_imagenet, mix)
        assert plain["schedule"] == "cosine" and "block" not in plain
    own = settings(cifar, schedule=cosine, block={"lr": 1.0}, network="wrn28-8")
    assert (own["schedule"], own["block"]) == ("cosine", "lr=1.0")


TRAINED: list[tuple[Any, dict[str, Any], int]] = [
    (recipes.automix_cifar100, {"width": 2}, 32),
    (recipes.automix_cifar100, {"network": "wrn28-8", "width": 1}, 16),
    (recipes.tiny_imagenet, {"width": 2, "workers": 0, "mix": AutoMix}, 32),
    (recipes.fine_grained, {"name": "places365", "network": "resnet18", "workers": 0, "mix": SAMix}, 32),
    (
        recipes.imagenet,
        {"width": 2, "depth": 18, "workers": 0, "mix": AutoMix, "block": {"lr": 0.2, "momentum": 0.0}},
        32,
    ),
]


@pytest.mark.parametrize("case", range(len(TRAINED)))
def test_it_trains_and_its_twin_predicts(case: int) -> None:
    recipe, options, size = TRAINED[case]
    outcome = recipe(data=Tiny(size), epochs=1, batch_size=6, progress=False, accelerator="cpu", **options)
    assert {"clean", "mixed", "generator", "mask"} <= set(outcome.history.last)
    assert not any(p.requires_grad for p in outcome.model.parameters()), "the twin predicts"


def test_the_side_of_pictures_in_files_is_that_of_their_view(tmp_path: Any) -> None:
    from PIL import Image

    files = tuple(tmp_path / f"{k}.png" for k in range(4))
    for file in files:
        Image.new("RGB", (40, 40)).save(file)
    part = PictureSet(files, torch.arange(4) % 2, random_crop(32, 0.5), (0.5,) * 3, (0.5,) * 3)
    data = Data("mine", ("a", "b"), part, {"test": part}, (0.5,) * 3, (0.5,) * 3, "")
    before = torch.get_rng_state()
    assert _side(part) == 32 and torch.equal(before, torch.get_rng_state())
    outcome = recipes.imagenet(
        AutoMix,
        data=data,
        width=2,
        depth=18,
        epochs=1,
        batch_size=2,
        workers=0,
        progress=False,
        accelerator="cpu",
    )
    assert {"generator", "mask"} <= set(outcome.history.last) and set(outcome.final) == {"test"}


def test_weights_of_imagenet_are_taken_for_birds_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def make(name: str, classes: int, *, weights: str | None, generator: torch.Generator) -> nn.Module:
        asked.append((name, weights))
        return ml.nets.resnet(18, classes, width=2)

    monkeypatch.setattr("experiments.recipes.automix.torchvision_resnet", make)
    for name in ("cub200", "aircraft", "inaturalist2018"):
        given = {"epochs": 1, "batch_size": 6, "workers": 0, "progress": False, "accelerator": "cpu"}
        recipes.fine_grained(name=name, data=Tiny(), **given)
    assert asked == [("resnet18", "IMAGENET1K_V1")] * 2 + [("resnet50", None)]


def test_training_views_show_what_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def load(name: str, **options: Any) -> Tiny:
        crop = options["train_transform"].transforms[0]
        asked[name] = (list(crop.size), crop.scale, options["root"])
        return Tiny()

    monkeypatch.setattr("experiments.recipes.parts.pictures", load)
    for name in ("aircraft", "places205"):
        recipes.fine_grained(name=name, root="here", dry=True, workers=0)
    recipes.tiny_imagenet(root="there", dry=True, workers=0)
    assert asked == {
        "aircraft": ([224, 224], (0.5, 1), "here"),
        "places205": ([224, 224], (0.08, 1), "here"),
        "tiny-imagenet": ([64, 64], (0.08, 1), "there"),
    }


def test_a_record_is_named_after_what_is_trained() -> None:
    given = dict.fromkeys(("epochs", "images"))
    assert list(_chosen("automix_cifar100", None, None, given)) == ["automix_cifar100"]
    assert list(_chosen("tiny_imagenet", None, None, given)) == ["tiny_imagenet-plain"]
    assert not set(recipes.__all__) & set(experiments.__all__)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (partial(recipes.automix_cifar100, network="resnet50"), "one of resnet18, resnext50, wrn28-8, got"),
        (partial(recipes.tiny_imagenet, network="wrn28-8"), "'resnet18' or 'resnext50', got 'wrn28-8'"),
        (partial(recipes.fine_grained, name="cars"), "name must be one of cub200, aircraft, .* got 'cars'"),
        (partial(recipes.tiny_imagenet, data=Tiny(), batch_size=5, devices=2), "multiple of the number of"),
        (
            partial(recipes.cifar100, data=Tiny(), width=2, block={"lr": 1.0}, epochs=1),
            "options of a Mix Block, and Plain has none",
        ),
    ],
)
def test_errors_say_what_came(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
