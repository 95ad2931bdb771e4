"""What chapter 6 examines: the same as the measures say one by one, and by fixed seeds."""

import json
from functools import partial
from types import SimpleNamespace

import pytest
import torch

import mixlearn as ml
from experiments.examine.quality import examine_quality
from experiments.training import train
from mixlearn.data.sets import Data
from mixlearn.nets.taps import WithHead
from mixlearn.train.schedules import cosine
from tests.seeds import seeded

measure = ml.measure


@pytest.fixture(scope="module")
def shipped():
    return ml.data.load("fashion")


@pytest.fixture
def few(monkeypatch, shipped):
    """A few images, which are examined in place of the whole test set."""
    some = shipped.test.subset(60, generator=seeded())
    monkeypatch.setattr("experiments.examine.quality.load", lambda name: SimpleNamespace(test=some))
    return some


def test_what_the_measures_say(few):
    net = ml.nets.resnet(8, 10, width=4, channels=1, generator=seeded())
    found = examine_quality(net, data="fashion", pairs=40)
    assert list(found) == ["quality", "between"]
    quality = measure.prediction_quality(*measure.predict(net, few))
    assert found["quality"] == pytest.approx(quality._asdict(), rel=1e-5)
    way = measure.between(net, few, stage="pool", count=40, generator=seeded(0))
    lines = ("misses", "cross_entropy", "divergence", "logits", "features")
    assert list(found["between"]) == [*lines, *(f"{name} at half" for name in lines)]
    for name in lines:
        assert found["between"][name] == way.means()[name]
        assert found["between"][f"{name} at half"] == float(getattr(way, name)[5])
    assert json.loads(json.dumps(found, allow_nan=False)) == found  # as run records hold it
    state = torch.random.get_rng_state()
    assert examine_quality(net, data="fashion", pairs=40) == found
    assert torch.equal(torch.random.get_rng_state(), state)
    other = WithHead(net, torch.nn.Linear(net.features, 10))
    assert examine_quality(other, data="fashion", pairs=40)["quality"] != found["quality"]


@pytest.mark.parametrize("name", ["emoji", "fashion"])
def test_the_first_test_set_is_looked_at(monkeypatch, few, name):
    asked = []
    parts = {"first": few, "second": few.take([0, 1])}
    whole = Data(name, ("",) * 10, few, parts, few.mean, few.std, "")
    monkeypatch.setattr("experiments.examine.quality.load", lambda name: (asked.append(name), whole)[1])
    net = ml.nets.resnet(8, 10, width=4, channels=1, generator=seeded())
    found = examine_quality(net, data=name, pairs=2)
    assert asked == [name]
    assert found["quality"]["true"] == measure.prediction_quality(*measure.predict(net, few, 128)).true


def test_a_network_without_mistakes_has_no_means_over_them(few):
    """Run records hold no NaN."""
    known, labels = few.batch(slice(None))

    class Right(torch.nn.Module):
        """Knows the images that it was shown."""

        stages = ("pool",)

        def forward(self, images, tap=lambda name, features: features):
            away = torch.cdist(images.flatten(1), known.flatten(1))
            return 9 * torch.eye(10)[labels[tap("pool", away).argmin(1)]]

    found = examine_quality(Right(), data="fashion", pairs=5)
    assert list(found["quality"]) == ["true", "mistakes"] and found["quality"]["mistakes"] == 0
    json.dumps(found, allow_nan=False)


def test_in_a_run_it_stands_beside_the_test_sets(few, shipped):
    small = SimpleNamespace(name="few", classes=shipped.classes, train=few, test=few)
    net = ml.nets.resnet(8, 10, width=4, channels=1, generator=seeded())
    outcome = train(
        net,
        small,
        network="ResNet-8",
        epochs=1,
        batch_size=20,
        optimizer=partial(torch.optim.SGD, lr=0.1),
        schedule=cosine,
        examine=partial(examine_quality, data="fashion", pairs=10),
        accelerator="cpu",
        progress=False,
    )
    assert list(outcome.final) == ["test", "quality", "between"]
    wrong = outcome.final["quality"]["mistakes"] / len(few)
    assert outcome.final["test"]["accuracy"] == pytest.approx(1 - wrong)
    assert "examine_quality" in outcome.settings["examined"]


def test_another_data_set_or_no_taps(few):
    with pytest.raises(ValueError, match="data must be 'fashion' or 'emoji', got 'cifar10'"):
        examine_quality(torch.nn.Identity(), data="cifar10")
    with pytest.raises(ValueError, match="it has no 'pool'"):
        examine_quality(torch.nn.Flatten(), data="fashion")
