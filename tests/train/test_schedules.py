"""Schedules against their closed forms; a schedule of p."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch

import mixlearn as ml
from mixlearn.methods.learners import Plain
from mixlearn.train.fit import fit
from mixlearn.train.schedules import Pace, WithDecay, constant, cosine, one_cycle, steps
from tests.refused import refusals, refused
from tests.sets import Blobs


def test_cosine_is_torchs() -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=50, eta_min=0.1)
    for step in range(51):
        assert cosine(step, 50, floor=0.1) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-9)
        optimiser.step()
        theirs.step()


def test_one_cycle_is_torchs() -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=1.0, total_steps=101, pct_start=0.31, div_factor=25, final_div_factor=1e9
    )
    # torch's turning points are 0.31 · 101 − 1 = 30.31 and 100 steps
    for step in range(101):
        assert one_cycle(step, 100, rise=0.3031) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-6)
        optimiser.step()
        if step < 100:
            theirs.step()


@pytest.mark.parametrize("shape", [constant, cosine, steps])
def test_warmup_rises_linearly_to_one(shape) -> None:
    factors = [shape(step, 100, warmup=0.1) for step in range(11)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == 1.0


def test_cosine_after_warmup_is_half_a_cosine_of_the_rest() -> None:
    for step in range(10, 101):
        expected = (1 + math.cos(math.pi * (step - 10) / 90)) / 2
        assert cosine(step, 100, warmup=0.1) == pytest.approx(expected)


def test_steps_drop_where_the_mixup_paper_drops() -> None:
    per_epoch = 3
    factors = {epoch: steps(epoch * per_epoch, 200 * per_epoch) for epoch in range(200)}
    assert all(factors[e] == 1 for e in range(100))
    assert all(factors[e] == pytest.approx(0.1) for e in range(100, 150))
    assert all(factors[e] == pytest.approx(0.01) for e in range(150, 200))


test_errors_say_what_came = refusals(
    (partial(cosine, 11, 10), "step must lie in 0 … 10, got 11"),
    (partial(cosine, 0, 10, warmup=1.0), r"warmup must be a fraction of the run in \[0, 1\), got 1.0"),
    (partial(cosine, 0, 10, floor=2.0), r"floor must lie in \[0, 1\], got 2.0"),
    (partial(steps, 0, 10, at=(150,)), r"at must hold fractions of the run in \[0, 1\], got \[150\]"),
    (partial(one_cycle, 0, 10, rise=-1.0), r"rise must lie in \[0, 1\], got -1.0"),
)


def test_weight_decay_has_a_schedule_of_its_own_after_a_checkpoint_too() -> None:
    both = WithDecay(cosine, partial(one_cycle, rise=1.0, start=0.1))
    layer = torch.nn.Linear(2, 2)
    groups = [{"params": [layer.weight], "weight_decay": 0.4}, {"params": [layer.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.5)
    pace = Pace(optimizer, both)
    for step in range(5):
        pace.set(step, 4)
        share = 0.1 + 0.9 * (1 - math.cos(math.pi * step / 4)) / 2
        assert [g["weight_decay"] for g in optimizer.param_groups] == [pytest.approx(0.4 * share), 0.0]
        assert {g["lr"] for g in optimizer.param_groups} == {0.5 * cosine(step, 4)}
        optimizer.load_state_dict(optimizer.state_dict())  # its groups are others now


def test_fit_follows_it() -> None:
    net, data = torch.nn.Linear(2, 2), torch.utils.data.TensorDataset(torch.ones(4, 2), torch.zeros(4).long())
    made: list[torch.optim.Optimizer] = []

    def build(parameters):
        made.append(torch.optim.SGD(parameters, lr=0.5, weight_decay=0.4))
        return made[0]

    both = WithDecay(cosine, partial(one_cycle, rise=1.0, start=0.1))
    fit(net, data, Plain(), epochs=1, batch_size=1, optimizer=build, schedule=both, progress=False)
    assert made[0].param_groups[0]["weight_decay"] == pytest.approx(0.4 * both.weight_decay(3, 4))


def test_p_follows_its_schedule():
    mix = ml.RandomMix([ml.cutmix], p=lambda progress: progress**2, num_classes=4)
    for progress in (0.0, 0.5, 1.0):
        mix.progress = progress
        assert mix.probability() == progress**2
    mix = ml.RandomMix([ml.cutmix], p=lambda progress: 2 * progress, num_classes=4)
    mix.progress = 0.8
    refused(lambda: mix.probability(), r"p must lie in \[0, 1\], its schedule gave 1.6 at progress 0.800")


def test_fit_and_lightning_tell_the_progress():
    seen = []

    def p(progress):
        seen.append(progress)
        return 1.0

    mix = ml.RandomMix([ml.cutmix], p=p)
    data = Blobs(40)
    net = ml.nets.resnet(8, 4, width=2, channels=1)
    ml.fit(net, data, ml.learners.Mixing(mix, 4), epochs=2, batch_size=20, progress=False)
    assert seen == [0.0, 0.25, 0.5, 0.75]
    callback = ml.lightning.MixBatches(mix, log_every=0)
    trainer = SimpleNamespace(global_step=30, estimated_stepping_batches=40, current_epoch=0, loggers=[])
    callback._mixed([torch.rand(4, 1, 8, 8), torch.eye(4)], trainer)
    assert seen[-1] == 0.75
