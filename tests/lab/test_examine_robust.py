"""What chapter 5 examines: on networks whose answers are known."""

from dataclasses import replace

import pytest
import torch

import mixlearn as ml
from experiments import recipes
from experiments.examine.robust import examine_robust
from mixlearn.nets.taps import WithHead
from tests.seeds import seeded


def test_every_measure_is_there_and_attacks_hurt_more_the_further_they_go():
    net = ml.nets.resnet(8, 10, width=4, channels=1, generator=seeded())
    outcome = recipes.fashion(images=500, epochs=8, width=4, progress=False)
    found = examine_robust(outcome.model, data="fashion", images=60)
    assert set(found) == {"corrupted", "attacked"} and len(found["corrupted"]) == 16
    hit = found["attacked"]
    assert list(hit) == ["fgsm 1", "fgsm 2", "fgsm 4", "fgsm 8", "pgd 2", "pgd 4"]
    assert hit["fgsm 8"] < hit["fgsm 1"] and hit["pgd 4"] <= hit["fgsm 4"] + 0.02
    again = examine_robust(outcome.model, data="fashion", images=60)
    assert again == found  # PGD's starts are drawn, by the same seed
    assert examine_robust(net, data="fashion", images=60) != found


def test_located_where_boxes_are_known_and_by_another_head_too(monkeypatch):
    whole = ml.data.load("emoji")
    few = {name: part.subset(200, generator=seeded()) for name, part in whole.tests.items()}
    some = replace(whole, tests=few)
    monkeypatch.setattr("experiments.examine.robust.load", lambda name: some)
    net = ml.nets.resnet(8, 10, width=4, generator=seeded())
    found = examine_robust(net, data="emoji", images=10)
    other = WithHead(net, torch.nn.Linear(net.features, 10))
    by_another = examine_robust(other, data="emoji", images=10)
    for part in ("located concepts", "located designers"):
        told = found[part]
        assert 0 <= told["fixed"] <= told["best"] <= 1 and told["best 0.7"] <= told["best"]
        assert by_another[part] != told


def test_another_data_set_is_refused():
    with pytest.raises(ValueError, match="data must be 'fashion' or 'emoji', got 'cifar10'"):
        examine_robust(torch.nn.Identity(), data="cifar10")
