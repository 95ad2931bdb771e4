"""A part with its own rate and schedule: two groups, each as asked, also after a stop."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

import mixlearn as ml
from experiments.training import block_apart, optimizer_apart, schedule_apart
from mixlearn.methods.learners import AutoMix
from mixlearn.train.schedules import WithDecay, cosine
from tests.lab.sets import Blobs
from tests.seeds import seeded

sgd = partial(torch.optim.SGD, lr=0.2, momentum=0.9)


def made() -> tuple[nn.Module, AutoMix]:
    net = ml.nets.resnet(8, 4, width=2, channels=1, generator=seeded())
    return net, AutoMix(net, stage="stage2", image_size=8, generator=seeded(1))


def test_each_group_has_its_options_and_its_schedule() -> None:
    net, learner = made()
    kept: list[torch.optim.Optimizer] = []
    rates: list[list[float]] = []

    def watched(parameters):
        kept.append(optimizer_apart(parameters, optimizer=sgd, part=learner.block, lr=0.5, momentum=0.0))
        return kept[0]

    def schedule(step: int, total: int) -> tuple[float, float]:
        rates.append([group["lr"] for group in kept[0].param_groups])
        return schedule_apart(step, total, rest=partial(cosine, floor=0.25), part=partial(cosine, floor=0.1))

    history = ml.fit(
        net, Blobs(16), learner, epochs=2, batch_size=8, optimizer=watched, schedule=schedule, progress=False
    )
    groups = kept[0].param_groups
    assert {id(p) for p in groups[1]["params"]} == {id(p) for p in learner.block.parameters()}
    assert {id(p) for p in groups[0]["params"]} == {
        id(p) for p in (*net.parameters(), *learner.mix_head.parameters())
    }
    assert (groups[0]["momentum"], groups[1]["momentum"]) == (0.9, 0.0)
    expected = [[0.2 * cosine(k, 4, floor=0.25), 0.5 * cosine(k, 4, floor=0.1)] for k in range(4)]
    assert rates[1:] == expected[:3] and [g["lr"] for g in groups] == expected[3]
    assert history.last["rate"] == expected[3][0]


def test_a_stopped_run_goes_on_with_both_groups(tmp_path) -> None:
    ends = []
    for sittings in ((3,), (1, 3)):
        net, learner = made()
        file = tmp_path / f"{len(sittings)}.pt"
        for epochs in sittings:
            optimizer, schedule = block_apart(
                learner, sgd, None, {"lr": 0.5, "momentum": 0.0, "schedule": partial(cosine, floor=0.5)}
            )
            fit = partial(ml.fit, net, Blobs(16), learner, batch_size=8, optimizer=optimizer, progress=False)
            if epochs == 1:
                with pytest.raises(KeyboardInterrupt):
                    fit(epochs=3, schedule=_stops(schedule), checkpoint=file)
            else:
                fit(epochs=3, schedule=schedule, checkpoint=file, resume=True)
        ends.append(torch.cat([p.flatten() for p in (*net.parameters(), *learner.block.parameters())]))
    assert torch.equal(*ends)


def _stops(schedule):
    import os
    import signal

    def stopping(step: int, total: int):
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return schedule(step, total)

    return stopping


def test_mistakes_are_named() -> None:
    net, learner = made()
    with pytest.raises(ValueError, match="SGD takes lr, momentum, .* got rate"):
        optimizer_apart(
            [*net.parameters(), *learner.block.parameters()], optimizer=sgd, part=learner.block, rate=1
        )
    with pytest.raises(ValueError, match="no parameter of the part MixBlock is trained"):
        optimizer_apart(net.parameters(), optimizer=sgd, part=learner.block, lr=1.0)
    with pytest.raises(ValueError, match="options of a Mix Block, and Plain has none"):
        block_apart(ml.learners.Plain(), sgd, None, {"lr": 1.0})
    both = WithDecay(cosine, cosine)
    with pytest.raises(ValueError, match="a schedule of the weight decay do not go together"):
        block_apart(learner, sgd, both, {"lr": 1.0})
    with pytest.raises(ValueError, match="a schedule of the weight decay do not go together"):
        block_apart(learner, sgd, cosine, {"lr": 1.0, "schedule": both})
