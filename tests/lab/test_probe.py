"""The linear probe: the network stays as it is, the layer is the one of the definition."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from mixlearn.train.finetune import linear_layer
from tests.seeds import seeded


def test_steps_are_those_of_the_definition() -> None:
    """Nesterov's momentum and a cosine, by hand, in double precision."""
    generator = seeded(3)
    features, labels = torch.randn(10, 3, generator=generator), torch.arange(10) % 3
    layer = linear_layer(features, labels, epochs=3, batch_size=4, lr=2.0, seed=5)
    draws = torch.Generator().manual_seed(5)
    weight = 0.01 * torch.randn(3, 3, generator=draws).double()
    bias, pace = torch.zeros(3).double(), [torch.zeros(3, 3).double(), torch.zeros(3).double()]
    step, total, rate = 0, 9, 2.0 * 4 / 256
    for _ in range(3):
        order = torch.randperm(10, generator=draws)
        for index in (order[:4], order[4:8], order[8:]):
            x, y = features[index].double(), F.one_hot(labels[index], 3).double()
            wrong = ((x @ weight.T + bias).softmax(1) - y) / len(index)
            slopes = [wrong.T @ x, wrong.sum(0)]
            now = rate * (1 + math.cos(math.pi * step / total)) / 2
            for k, values in enumerate((weight, bias)):
                pace[k] = 0.9 * pace[k] + slopes[k]
                values -= now * (slopes[k] + 0.9 * pace[k])
            step += 1
    assert torch.allclose(layer.weight.double(), weight, atol=1e-6)
    assert torch.allclose(layer.bias.double(), bias, atol=1e-6)


def test_standardised_features_make_their_size_no_matter() -> None:
    features, labels = torch.randn(40, 5, generator=seeded(4)), torch.arange(40) % 4
    features[:, 0] += labels
    features[:, 4] = 7.0  # never differs
    other = features * torch.tensor([1.0, 100.0, 1e-3, 5.0, 1.0]) + torch.tensor([0.0, 50.0, 0.0, -3.0, 0.0])
    kept = other.clone()
    one, two = (
        linear_layer(some, labels, epochs=5, batch_size=8, standardise=True) for some in (features, other)
    )
    assert torch.allclose(one(features), two(other), atol=1e-3)
    assert torch.equal(other, kept)
    away = (features - features.mean(0)) / features.std(0, correction=0).where(
        features.std(0) > 1e-4, torch.ones(5)
    )
    same = linear_layer(away, labels, epochs=5, batch_size=8)
    assert torch.allclose(one(features), same(away), atol=1e-4)
    assert not torch.allclose(
        linear_layer(other, labels, epochs=5, batch_size=8)(other), two(other), atol=0.1
    )


ROWS, LABELS = torch.rand(4, 2, generator=seeded()), torch.tensor([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("features", "labels", "options", "words"),
    [
        (ROWS, LABELS, {"epochs": 0}, "epochs must be a positive integer, got 0"),
        (ROWS, LABELS, {"batch_size": 1.5}, "batch_size must be a positive integer, got 1.5"),
        (ROWS, LABELS, {"lr": -1.0}, "lr must be positive and finite, got -1.0"),
        (ROWS, LABELS[:3], {}, r"got \(4, 2\) and \(3,\)"),
        (ROWS[0], LABELS, {}, r"got \(2,\) and \(4,\)"),
        (ROWS * torch.nan, LABELS, {}, "features must be finite"),
        (ROWS, LABELS - 1, {}, "labels must be 0 or more, got -1"),
    ],
)
def test_bad_input_is_named(features, labels, options, words) -> None:
    with pytest.raises(ValueError, match=words):
        linear_layer(features, labels, **options)


def test_other_mistakes_are_named() -> None:
    with pytest.raises(TypeError, match="integer class ids, got torch.float32"):
        linear_layer(ROWS, LABELS.float())
    with pytest.raises(FloatingPointError, match="beyond all bounds at lr = 1e\\+30"):
        linear_layer(1e10 * ROWS, LABELS, lr=1e30, epochs=5)
