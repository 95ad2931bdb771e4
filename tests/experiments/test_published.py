"""Published settings: what a mixing adds to them, and every recipe runs on tiny images."""

from functools import partial
from typing import Any

import pytest
from torch import nn

import mixlearn as ml
from experiments import published, recipes
from experiments.rivals import Averaged
from mixlearn.methods.learners import DDGSD, AutoMix, MixSKD, MoCo, SAMix
from mixlearn.nets import vit
from mixlearn.nets.drops import ShakeDrop
from mixlearn.train.schedules import cosine
from tests.refused import refusals
from tests.sets import Blobs

TINY = Blobs(12, channels=3, size=32)
TINY.mean, TINY.std = (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)
QUICK = {"data": TINY, "epochs": 1, "batch_size": 6, "progress": False, "accelerator": "cpu"}
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


def stated(recipe: Any, *args: Any, **options: Any) -> dict[str, Any]:
    settings: dict[str, Any] = recipe(*args, data=TINY, dry=True, **options).settings
    return settings


def test_a_mixing_is_given_only_what_it_does_not_say() -> None:
    cifar = recipes.automix_cifar100
    mix = partial(SAMix, alpha=1.0, stage="stage1")
    assert stated(cifar, mix)["mix"] == "SAMix(stage='stage1', alpha=1.0)"
    control = stated(recipes.fine_grained, Averaged)
    assert control["mix"] == "Averaged(momentum=slow_down(end=0.99999))" and "block" not in control
    assert stated(recipes.tiny_imagenet, Averaged)["schedule"] == "cosine(floor=0.25)"  # a twin predicts
    for mix in (None, partial(ml.mixup, alpha=1.0)):
        plain = stated(recipes.tiny_imagenet, mix)
        assert plain["schedule"] == "cosine" and "block" not in plain
    own = stated(cifar, schedule=cosine, block={"lr": 1.0}, network="wrn28-8")
    assert (own["schedule"], own["block"]) == ("cosine", "lr=1.0")
    views = stated(recipes.mixskd_cifar100, DDGSD(ml.augment.crop_and_flip), augment=None)
    assert views["augment"] == "none" and views["mix"].startswith("DDGSD(augment=crop_and_flip")


TRAINED: list[tuple[str, dict[str, Any], set[str]]] = [
    ("cifar100", {"width": 4, "mix": ml.mixup}, {"mixed_labels"}),
    ("cifar10_paper", {"width": 4}, {"labels"}),
    ("cifar100_pyramid", {"depth": 11, "alpha": 6, "drop": ShakeDrop}, {"labels"}),
    ("automix_cifar100", {"network": "wrn28-8", "width": 1}, {"generator", "mask"}),
    ("tiny_imagenet", {"width": 2, "workers": 0, "mix": AutoMix}, {"generator", "mask"}),
    ("fine_grained", {"name": "places365", "network": "resnet18", "workers": 0, "mix": SAMix}, {"mask"}),
    ("mixskd_cifar100", {"width": 4, "mix": partial(MixSKD, alpha=0.4)}, {"features", "critic", "teacher"}),
]


@pytest.mark.parametrize("case", range(len(TRAINED)))
def test_it_trains(case: int) -> None:
    name, options, terms = TRAINED[case]
    outcome = getattr(recipes, name)(**QUICK | options)
    assert terms <= set(outcome.history.last)
    if "mask" in terms:
        assert not any(p.requires_grad for p in outcome.model.parameters()), "the twin predicts"


def test_weights_of_imagenet_are_taken_for_birds_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def make(name: str, classes: int, *, weights: str | None, **options: Any) -> nn.Module:
        made.append((name, weights))
        return ml.nets.resnet(18, classes, width=2)

    monkeypatch.setattr(published, "torchvision_resnet", make)
    for name in ("cub200", "aircraft", "inaturalist2018"):
        recipes.fine_grained(name=name, workers=0, **QUICK)
    assert made == [("resnet18", "IMAGENET1K_V1")] * 2 + [("resnet50", None)]


def test_training_views_show_what_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    views = {}

    def load(name: str, **options: Any) -> Blobs:
        crop = options["train_transform"].transforms[0]
        views[name] = (list(crop.size), crop.scale, options["root"])
        return TINY

    monkeypatch.setattr("experiments.training.pictures", load)
    for name in ("aircraft", "places205"):
        recipes.fine_grained(name=name, root="here", dry=True, workers=0)
    recipes.tiny_imagenet(root="there", dry=True, workers=0)
    assert views == {
        "aircraft": ([224, 224], (0.5, 1), "here"),
        "places205": ([224, 224], (0.08, 1), "here"),
        "tiny-imagenet": ([64, 64], (0.08, 1), "there"),
    }


# ---------------------------------------------------------------------------------------------- PatchMix
@pytest.mark.parametrize(
    ("size", "dim", "heads", "rate", "decay"), [("tiny", 192, 3, 4e-3, 0.2), ("small", 384, 12, 1e-3, 0.4)]
)
def test_patchmix_on_cifar(monkeypatch, size: str, dim: int, heads: int, rate: float, decay: float) -> None:
    kept: dict[str, Any] = {}
    monkeypatch.setattr(published, "train", lambda **given: kept.update(given))
    recipes.patchmix_cifar(size=size, data=TINY)
    net, schedule = kept["net"], kept["schedule"]
    assert (net.features, net.patch, len(net.layers), net.layers[0].heads) == (dim, 2, 12, heads)
    assert (kept["epochs"], kept["batch_size"]) == (800, 512)
    groups = kept["optimizer"](net.parameters()).param_groups
    assert {(group["lr"], group["weight_decay"]) for group in groups} == {(rate, decay), (rate, 0.0)}
    assert schedule(99, 800) == 1.0 and schedule(800, 800) == pytest.approx(1e-6 / rate)
    assert schedule.weight_decay(0, 800) == pytest.approx(0.1)
    assert schedule.weight_decay(400, 800) == pytest.approx(0.55)
    mix = kept["mix"](vit(4, size=8, patch=2, dim=12, depth=1), hidden=4, outside=4, predictor=4)
    assert (mix.twin is None) == (size == "tiny") and mix.temperature == 0.2 and mix.parts == mix.patch == 2
    assert mix.augment.keywords == {"mean": TINY.mean, "std": TINY.std, "least": 0.1, "solarise": 0.1}
    assert kept["examine"].keywords["data"] is TINY


def test_patchmix_on_imagenet_sees_two_views_of_whole_size(monkeypatch) -> None:
    kept: dict[str, Any] = {}
    monkeypatch.setattr(published, "train", lambda **given: kept.update(given))
    run = partial(recipes.patchmix_imagenet, data=Blobs(4, channels=3, size=224), batch_size=2, workers=0)
    run()
    assert (kept["net"].patch, kept["net"].size, kept["epochs"]) == (16, 224, 300)
    assert kept["schedule"](9, 300) == 1.0 and kept["loader"].batch_size == 2
    view, small = (kept["mix"].keywords[name].keywords for name in ("augment", "small"))
    assert view["least"] == 0.35 and small["size"] == 96 and (small["least"], small["most"]) == (0.05, 0.35)
    assert kept["net"].any_size and kept["mix"].func(kept["net"]).crops == 8
    run(MoCo)
    assert "small" not in kept["mix"].keywords


test_errors_say_what_came = refusals(
    ("automix_cifar100", {"network": "resnet50"}, "one of resnet18, resnext50, wrn28-8, got"),
    ("fine_grained", {"name": "cars"}, "name must be one of cub200, aircraft, .* got 'cars'"),
    ("mixskd_cifar100", {"network": "vgg"}, "one of resnet18, resnet50, wrn16-2, got 'vgg'"),
    ("patchmix_cifar", {"batch_size": 0}, "batch_size must be a positive integer, got 0"),
    ("patchmix_cifar", {"size": "huge"}, "size must be one of tiny, small, base, got 'huge'"),
    by=lambda name, options: getattr(recipes, name)(**{"data": TINY} | options),
)
