"""What chapter 7 examines: the same as the three evaluations say one by one, and by fixed seeds."""

import json
from functools import partial

import pytest
import torch

import mixlearn as ml
from experiments.examine.features import examine_features
from experiments.training import fine_tune, train
from mixlearn.data.sets import Data
from mixlearn.train.finetune import linear_layer
from mixlearn.train.schedules import cosine
from tests.seeds import seeded

measure = ml.measure
asked: list[str] = []


@pytest.fixture(scope="module")
def shipped():
    whole = ml.data.load("fashion")
    some = whole.train.subset(120, generator=seeded())
    rest = whole.test.subset(50, generator=seeded())
    parts = {"first": rest, "second": rest.take([0, 1])}
    return Data("some", whole.classes, some, parts, whole.mean, whole.std, "")


@pytest.fixture
def few(monkeypatch, shipped):
    """A few images, which are examined in place of the whole data set."""
    asked.clear()
    monkeypatch.setattr("experiments.examine.features.load", lambda name: (asked.append(name), shipped)[1])
    return shipped


def network():
    return ml.nets.resnet(8, 7, width=4, channels=1, generator=seeded())


@pytest.mark.parametrize("name", ["fashion", "emoji"])
def test_what_the_evaluations_say(few, name) -> None:
    net, test = network(), few.tests["first"]
    before = {key: value.clone() for key, value in net.state_dict().items()}
    net.head.eval()
    draws = torch.random.get_rng_state()
    found = examine_features(net, data=name, images=80, k=[20, 1, 3], epochs=2, tune=1, tune_images=40)
    assert asked == [name] and list(found) == ["knn", "linear", "tuned"]
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), draws)
    assert [net.training, net.head.training] == [True, False]
    assert json.loads(json.dumps(found, allow_nan=False)) == found  # as run records hold it
    chosen = few.train.subset(80, generator=seeded(0))
    given = *measure.features_of(net, chosen), *measure.features_of(net, test)
    assert found["knn"] == {f"k={k}": measure.knn_accuracy(*given, k=k) for k in (20, 1, 3)}
    layer = linear_layer(*measure.features_of(net, chosen), epochs=2, standardise=True)
    judged = measure.evaluate(layer, [measure.features_of(net, test)])
    assert found["linear"] == pytest.approx(judged)
    part = Data("some", few.classes, chosen, {"first": test}, few.mean, few.std, "")
    augment = ml.augment.crop_and_flip if name == "emoji" else None
    options = {"images": 40, "epochs": 1, "batch_size": 64, "accelerator": "cpu", "progress": False}
    options |= {"lr": 8e-3, "decay": 0.75}
    assert found["tuned"] == pytest.approx(fine_tune(net, part, augment=augment, **options).final["first"])


def test_rates_of_tuning(few) -> None:
    options = {"data": "fashion", "images": 64, "k": [1], "epochs": 1, "tune": 1}
    plain, quick, alike = (
        examine_features(network(), **options, **more)["tuned"]["nll"]
        for more in ({}, {"tune_lr": 0.1}, {"decay": 1.0})
    )
    assert len({plain, quick, alike}) == 3


def test_all_images_and_no_tuning(few) -> None:
    net = network()
    found = examine_features(net, data="fashion", images=None, epochs=1)
    given = *measure.features_of(net, few.train), *measure.features_of(net, few.test)
    assert list(found) == ["knn", "linear"]
    assert found["knn"] == {f"k={k}": measure.knn_accuracy(*given, k=k) for k in (20, 1)}
    assert found == examine_features(net, data="fashion", images=None, epochs=1)


def test_after_a_training_run(few) -> None:
    examine = partial(examine_features, data="fashion", images=40, k=[1], epochs=1)
    optimizer = partial(torch.optim.SGD, lr=0.1)
    options = {"network": "small", "epochs": 1, "batch_size": 40, "optimizer": optimizer, "schedule": cosine}
    net = ml.nets.resnet(8, 10, width=4, channels=1, generator=seeded())
    outcome = train(net, few, examine=examine, accelerator="cpu", progress=False, **options)
    assert list(outcome.final) == ["first", "second", "knn", "linear"]
    assert outcome.settings["examined"] == ("examine_features(data='fashion', images=40, k=[1], epochs=1)")


def test_bad_input_is_named(few) -> None:
    with pytest.raises(ValueError, match="data must be 'fashion' or 'emoji', or a loaded set, got 'cifar10'"):
        examine_features(network(), data="cifar10")
    with pytest.raises(ValueError, match="tune must be a number of epochs, 0 or more, got -1"):
        examine_features(network(), data="fashion", tune=-1)
    with pytest.raises(ValueError, match="between 1 and 120, the images of this set, got 121"):
        examine_features(network(), data="fashion", images=121)
    with pytest.raises(ValueError, match="it has no 'pool'"):
        examine_features(ml.nets.mlp(784, (4,), 10), data="fashion", images=40)
