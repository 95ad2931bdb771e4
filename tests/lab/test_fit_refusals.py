"""What `fit` refuses: bad arguments, its own names for terms, losses and images that are not finite."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import mixlearn as ml
from mixlearn.methods.learners import Plain
from tests.lab.quick_fit import quick, small_net
from tests.lab.sets import Blobs, weights


def test_the_logs_own_names_are_not_for_terms() -> None:
    def learner(model, images, labels, *, generator, name="rate"):
        return {"labels": nn.functional.cross_entropy(model(images), labels), name: torch.tensor(1.0)}

    for name in ("rate", "loss"):
        with pytest.raises(ValueError, match=f"must not be called '{name}'"):
            quick(small_net(), Blobs(8), partial(learner, name=name))
    alone = quick(
        small_net(), Blobs(8), lambda m, x, y, *, generator: {"loss": nn.functional.cross_entropy(m(x), y)}
    )
    assert alone.last["loss"] > 0


def test_a_nan_loss_names_step_and_terms_and_spares_the_weights() -> None:
    net, steps = small_net(), []

    def learner(model, images, labels, *, generator):
        steps.append(1)
        broken = torch.tensor(float("nan") if len(steps) == 6 else 0.0)
        return {"labels": nn.functional.cross_entropy(model(images), labels), "broken": broken}

    with pytest.raises(FloatingPointError, match=r"epoch 2, batch 2 \(step 6\): labels = .*, broken = nan"):
        quick(net, Blobs(64), learner)
    assert bool(torch.isfinite(weights(net)).all())


def test_a_nan_image_is_named() -> None:
    data, net = Blobs(64), ml.nets.resnet(8, 4, width=8, channels=1)
    data.images[37, 0, 2, 3] = float("nan")
    with pytest.raises(
        ValueError,
        match=r"images must be finite.* in epoch 1, batch \d \(step \d\): image 37 of the data set",
    ):
        quick(net, data, Plain())
    assert bool(torch.isfinite(weights(net)).all())
    loader = DataLoader(data, batch_size=16)
    with pytest.raises(ValueError, match=r"in epoch 1, batch 3 \(step 3\): image 5 of the batch"):
        quick(small_net(), loader, Plain())


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"epochs": 0}, ValueError, "epochs must be a positive integer, got 0"),
        ({"batch_size": -1}, ValueError, "batch_size must be a positive integer, got -1"),
        ({"ema": 1.0}, ValueError, r"ema must be a decay in \[0, 1\), got 1.0"),
        ({"clip": 0}, ValueError, "clip must be a positive norm, got 0"),
        ({"resume": True}, ValueError, "need checkpoint="),
        ({"ablate": "size"}, TypeError, "got the string 'size'"),
        ({"data": [1, 2]}, TypeError, r"must give \(images, labels\), got Tensor"),
        ({"data": 3}, TypeError, "data must be an ImageSet, a Dataset or a DataLoader, got int"),
        (
            {"learner": lambda m, x, y, *, generator: m(x).sum()},
            TypeError,
            "must return a dict of scalar tensors",
        ),
    ],
)
def test_bad_arguments_say_what_came(options: dict, kind: type[Exception], words: str) -> None:
    given = {"data": Blobs(16), "learner": Plain(), "epochs": 1, **options}
    with pytest.raises(kind, match=words):
        quick(small_net(), given.pop("data"), given.pop("learner"), **given)
