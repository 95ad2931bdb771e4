"""The moving average of the weights, alone and in `fit`."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mixlearn.methods.learners import Plain
from mixlearn.train.fit import WeightAverage
from tests.lab.quick_fit import quick, small_net
from tests.lab.sets import Blobs, weights


def test_average_is_its_closed_form() -> None:
    net = nn.Linear(1, 1, bias=False)
    values = [1.0, 2.0, -1.0, 0.5, 4.0]
    net.weight.data.fill_(values[0])
    average = WeightAverage(net, 0.9)
    for value in values[1:]:
        net.weight.data.fill_(value)
        average.update(net)
    expected = 0.9**4 * values[0] + sum(0.1 * 0.9 ** (4 - k) * v for k, v in enumerate(values) if k)
    assert average.weights["weight"].item() == pytest.approx(expected)
    with average.within(net):
        assert net.weight.item() == pytest.approx(expected)
    assert net.weight.item() == values[-1]


def test_fit_averages_after_each_step() -> None:
    net, track = small_net(), []

    def optimizer(parameters):
        made = torch.optim.SGD(parameters, lr=0.1)
        made.register_step_post_hook(lambda *_: track.append(weights(net)))
        return made

    start = weights(net)
    history = quick(net, Blobs(32), Plain(), optimizer=optimizer, ema=0.5, validate=Blobs(8))
    expected = start
    for now in track:
        expected = 0.5 * expected + 0.5 * now
    averaged = torch.cat([value.double().flatten() for value in history.averaged.values()])
    torch.testing.assert_close(averaged, expected, rtol=1e-5, atol=1e-6)
    assert "ema/accuracy" in history.last
