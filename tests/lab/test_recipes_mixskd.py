"""MixSKD at full size: the published settings, and a run on tiny images."""

from functools import partial

import pytest

from experiments import recipes
from mixlearn.methods.augment import crop_and_flip
from mixlearn.methods.learners import DDGSD, MixSKD
from mixlearn.train.schedules import cosine
from tests.lab.sets import Blobs

TINY = Blobs(12, channels=3, size=32)


@pytest.mark.parametrize(
    ("network", "words"),
    [("resnet18", "ResNet-18, width 64"), ("resnet50", "ResNet-50, width 64"), ("wrn16-2", "WRN-16-2")],
)
def test_settings_are_the_published_ones(network, words):
    told = recipes.mixskd_cifar100(network=network, data=TINY, dry=True).settings
    assert told["network"] == words and told["mix"] == "MixSKD"
    assert told["epochs"] == 205 and told["batch_size"] == 64 and told["augment"] == "crop_and_flip"
    assert told["optimizer"] == "sgd(lr=0.1, momentum=0.9, weight_decay=0.0005, nesterov=True)"


def test_the_rate_rises_for_five_epochs_and_falls_a_hundred_and_a_hundred_and_fifty_after():
    outcome = {}

    def keep(*given, schedule, **options):
        outcome["schedule"] = schedule

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.recipes.mixskd.train", keep)
        recipes.mixskd_cifar100(data=TINY)
    rate = [outcome["schedule"](step, 205) for step in range(205)]
    assert rate[:5] == [0.2, 0.4, 0.6, 0.8, 1.0] and set(rate[5:105]) == {1.0}
    assert rate[105:155] == pytest.approx([0.1] * 50) and rate[155:] == pytest.approx([0.01] * 50)


def test_it_trains_on_tiny_images_and_settings_can_be_changed():
    mix, schedule = partial(MixSKD, alpha=0.4), partial(cosine, floor=0.1)
    outcome = recipes.mixskd_cifar100(
        mix, data=TINY, epochs=1, width=4, batch_size=6, schedule=schedule, progress=False
    )
    assert outcome.settings["mix"] == "MixSKD(alpha=0.4)"
    assert outcome.settings["schedule"] == "cosine(floor=0.1)"
    assert set(outcome.history.last) >= {"labels", "mixed", "features", "critic", "branches", "teacher"}


def test_a_learner_that_makes_its_own_views_can_be_given_the_images_as_they_are():
    told = recipes.mixskd_cifar100(DDGSD(crop_and_flip), augment=None, data=TINY, dry=True).settings
    assert told["augment"] == "none" and told["mix"].startswith("DDGSD(augment=crop_and_flip")
    for recipe in (
        recipes.cifar100,
        recipes.cifar10_paper,
        recipes.cifar100_pyramid,
        recipes.automix_cifar100,
    ):
        assert recipe(data=TINY, augment=None, dry=True).settings["augment"] == "none"


def test_another_network_is_refused():
    with pytest.raises(ValueError, match=r"one of resnet18, resnet50, wrn16-2, got 'vgg'"):
        recipes.mixskd_cifar100(network="vgg", data=TINY)
