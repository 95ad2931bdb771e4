"""Published settings: what a mixing adds to them, and every recipe runs on tiny images."""

from __future__ import annotations

from typing import Any

import pytest

import mixlearn as ml
from experiments import recipes
from mixlearn.nets.drops import ShakeDrop
from tests.sets import Blobs

TINY = Blobs(12, channels=3, size=32)
TINY.mean, TINY.std = (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)
QUICK = {"data": TINY, "epochs": 1, "batch_size": 6, "progress": False, "accelerator": "cpu"}
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


def stated(recipe: Any, *args: Any, **options: Any) -> dict[str, Any]:
    settings: dict[str, Any] = recipe(*args, data=TINY, dry=True, **options).settings
    return settings


TRAINED: list[tuple[str, dict[str, Any], set[str]]] = [
    ("cifar100", {"width": 4, "mix": ml.mixup}, {"mixed_labels"}),
    ("cifar100_pyramid", {"depth": 11, "alpha": 6, "drop": ShakeDrop}, {"labels"}),
]


@pytest.mark.parametrize("case", range(len(TRAINED)))
def test_it_trains(case: int) -> None:
    name, options, terms = TRAINED[case]
    outcome = getattr(recipes, name)(**QUICK | options)
    assert terms <= set(outcome.history.last)
    if "mask" in terms:
        assert not any(p.requires_grad for p in outcome.model.parameters()), "the twin predicts"
