"""What is measured besides accuracy: the same as the measures say one by one, and by fixed seeds."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

import mixlearn as ml
from experiments import examine as judges
from experiments.examine import examine, examine_dense, examine_features, examine_quality, examine_robust
from experiments.recipes import fashion
from experiments.training import fine_tune
from mixlearn.data.sets import Data
from mixlearn.train.finetune import linear_layer
from tests.seeds import seeded

measure = ml.measure


@pytest.fixture(scope="module")
def shipped() -> Data:
    whole = ml.data.load("fashion")
    some = whole.train.subset(120, generator=seeded())
    rest = whole.test.subset(60, generator=seeded())
    parts = {"first": rest, "second": rest.take([0, 1])}
    return Data("some", whole.classes, some, parts, whole.mean, whole.std, "")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, shipped: Data) -> Data:
    """A few images, which are looked at in place of the whole data set."""
    monkeypatch.setattr(judges, "load", lambda name: shipped)
    return shipped


def network(seed: int = 0, channels: int = 1):
    return ml.nets.resnet(8, 10, width=4, channels=channels, generator=seeded(seed))


# -------------------------------------------------------------------------------------------- chapter 5
def test_attacks_hurt_more_the_further_they_go() -> None:
    net = fashion(images=500, epochs=6, width=4, progress=False, accelerator="cpu").model
    result = examine_robust(net, data="fashion", images=60)
    assert set(result) == {"corrupted", "attacked"} and len(result["corrupted"]) == 16
    hit = result["attacked"]
    assert list(hit) == ["fgsm 1", "fgsm 2", "fgsm 4", "fgsm 8", "pgd 2", "pgd 4"]
    assert hit["fgsm 8"] < hit["fgsm 1"] and hit["pgd 4"] <= hit["fgsm 4"] + 0.02
    assert examine_robust(net, data="fashion", images=60) == result  # PGD's starts come from the same seed


def test_objects_are_located_where_boxes_are_known(monkeypatch) -> None:
    whole = ml.data.load("emoji")
    tests = {name: part.subset(100, generator=seeded()) for name, part in whole.tests.items()}
    monkeypatch.setattr(judges, "load", lambda name: replace(whole, tests=tests))
    net = network(channels=3)
    result = examine_robust(net, data="emoji", images=10)
    for part in ("located concepts", "located designers"):
        found = result[part]
        assert 0 <= found["fixed"] <= found["best"] <= 1 and found["best 0.7"] <= found["best"]


def test_dense_tells_all_and_the_same_twice() -> None:
    given = {"train": 4, "test": 4, "epochs": 1, "segment_epochs": 1}
    result = examine_dense(network(channels=3), **given)
    parts = ["detected frozen", "detected tuned", "located scenes", "segmented frozen", "segmented tuned"]
    assert list(result) == parts
    assert list(result["detected tuned"]) == ["map", "map50"]
    assert list(result["located scenes"]) == ["best", "threshold", "fixed", "middle"]
    assert list(result["segmented frozen"]) == ["miou", "accuracy"]
    assert result["segmented frozen"] != result["segmented tuned"]
    assert examine_dense(network(channels=3), **given) == result


# -------------------------------------------------------------------------------------------- chapter 6
def test_quality_is_what_the_measures_say(few: Data) -> None:
    net, test = network(), few.tests["first"]
    result = examine_quality(net, data="fashion", pairs=40)
    quality = measure.prediction_quality(*measure.predict(net, test))
    assert result["quality"] == pytest.approx(quality._asdict(), rel=1e-5)
    way = measure.between(net, test, stage="pool", count=40, generator=seeded(0))
    lines = ("misses", "cross_entropy", "divergence", "logits", "features")
    assert list(result["between"]) == [*lines, *(f"{name} at half" for name in lines)]
    for name in lines:
        assert result["between"][name] == way.means()[name]
        assert result["between"][f"{name} at half"] == float(getattr(way, name)[5])
    state = torch.random.get_rng_state()
    assert examine_quality(net, data="fashion", pairs=40) == result
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_network_without_mistakes_has_no_means_over_them(few: Data) -> None:
    """Run records hold no NaN."""
    known, labels = few.tests["first"].batch(slice(None))

    class Right(torch.nn.Module):
        """Knows the images that it was shown."""

        stages = ("pool",)

        def forward(self, images, tap=lambda name, features: features):
            away = torch.cdist(images.flatten(1), known.flatten(1))
            return 9 * torch.eye(10)[labels[tap("pool", away).argmin(1)]]

    result = examine_quality(Right(), data="fashion", pairs=5)
    assert list(result["quality"]) == ["true", "mistakes"] and result["quality"]["mistakes"] == 0
    json.dumps(result, allow_nan=False)


# -------------------------------------------------------------------------------------------- chapter 7
@pytest.mark.parametrize("name", ["fashion", "emoji"])
def test_features_are_judged_as_the_evaluations_say(few: Data, name: str) -> None:
    net, test = network(), few.tests["first"]
    before = {key: value.clone() for key, value in net.state_dict().items()}
    draws = torch.random.get_rng_state()
    result = examine_features(net, data=name, images=80, k=[20, 1, 3], epochs=2, tune=1, tune_images=40)
    assert list(result) == ["knn", "linear", "tuned"]
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), draws)
    assert json.loads(json.dumps(result, allow_nan=False)) == result  # as run records hold it
    chosen = few.train.subset(80, generator=seeded(0))
    given = *measure.features_of(net, chosen), *measure.features_of(net, test)
    assert result["knn"] == {f"k={k}": measure.knn_accuracy(*given, k=k) for k in (20, 1, 3)}
    layer = linear_layer(*measure.features_of(net, chosen), epochs=2, standardise=True)
    assert result["linear"] == pytest.approx(measure.evaluate(layer, [measure.features_of(net, test)]))
    part = Data("some", few.classes, chosen, {"first": test}, few.mean, few.std, "")
    options: dict[str, Any] = {"images": 40, "epochs": 1, "batch_size": 64, "lr": 8e-3, "decay": 0.75}
    options |= {"augment": ml.augment.crop_and_flip if name == "emoji" else None, "progress": False}
    assert result["tuned"] == pytest.approx(fine_tune(net, part, accelerator="cpu", **options).final["first"])


# ---------------------------------------------------------------------------------------------- in a run


@pytest.mark.parametrize("judge", [examine, examine_robust, examine_quality, examine_features])
def test_another_data_set_is_refused(judge) -> None:
    with pytest.raises(ValueError, match="data must be 'fashion' or 'emoji'.*got 'cifar10'"):
        judge(torch.nn.Identity(), data="cifar10")


def test_bad_input_is_named(few: Data) -> None:
    with pytest.raises(ValueError, match="tune must be a number of epochs, 0 or more, got -1"):
        examine_features(network(), data="fashion", tune=-1)
    with pytest.raises(ValueError, match="between 1 and 120, the images of this set, got 121"):
        examine_features(network(), data="fashion", images=121)
    with pytest.raises(ValueError, match="it has no 'pool'"):
        examine_features(ml.nets.mlp(784, (4,), 10), data="fashion", images=40)
