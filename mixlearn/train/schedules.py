"""Learning-rate schedules: plain functions from a step and the number of steps to a factor in [0, 1].

Give one to `fit(schedule=…)`; set its options with `functools.partial`. The factor multiplies the
learning rate of the optimiser. Places in the run are fractions of it, so a schedule fits any length.
In each, `step` counts the steps done so far, from 0, and `total` those of the whole run; `warmup` is the
fraction of the run in which the factor rises linearly to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from mixlearn.core.checks import in_words

Schedule = Callable[[int, int], float]
Schedules = Callable[[int, int], tuple[float, ...]]  # a factor for each group of the optimiser


def constant(step: int, total: int, *, warmup: float = 0.0) -> float:
    """The full rate after a linear warm-up.

    Args:
        step: steps done, from 0 to `total`.
        total: steps of the whole run.
        warmup: share of the run, in [0, 1), in which the rate rises.

    >>> [constant(step, 4, warmup=0.5) for step in range(4)]
    [0.5, 1.0, 1.0, 1.0]
    """
    return _warm(step, total, warmup)[0]


def cosine(step: int, total: int, *, warmup: float = 0.0, floor: float = 0.0) -> float:
    """Linear warm-up, then half a cosine from 1 down to `floor`, a fraction of the full rate.

    step, total, warmup: as for `constant`.

    Source: Loshchilov & Hutter, *SGDR: Stochastic Gradient Descent with Warm Restarts*, ICLR 2017, eq. 5.

    >>> [round(cosine(step, 4), 3) for step in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    rise, length = _warm(step, total, warmup)
    _in_unit(floor=floor)
    if step < length:
        return rise
    return _arc(1.0, floor, (step - length) / max(1, total - length))


def steps(
    step: int, total: int, *, at: Sequence[float] = (0.5, 0.75), gamma: float = 0.1, warmup: float = 0.0
) -> float:
    """Linear warm-up, then a drop by `gamma` at each fraction `at` of the run.

    step, total, warmup: as for `constant`.

    The default is the Mixup paper's on CIFAR (epochs 100 and 150 of 200).

    >>> [round(steps(step, 4), 3) for step in range(4)]
    [1.0, 1.0, 0.1, 0.01]
    """
    if any(not 0 <= place <= 1 for place in at):
        raise ValueError(f"at must hold fractions of the run in [0, 1], got {list(at)}")
    factor: float = _warm(step, total, warmup)[0] * gamma ** sum(step >= place * total for place in at)
    return factor


def one_cycle(step: int, total: int, *, rise: float = 0.3, start: float = 0.04, end: float = 0.0) -> float:
    """Half a cosine up from `start` to 1 in the first `rise` of the run, then half a cosine down to `end`.

    step, total: as for `constant`.

    Source: Smith & Topin, *Super-Convergence*, 2019, with the cosine arms usual since.

    >>> [round(one_cycle(step, 10), 3) for step in (0, 3, 10)]
    [0.04, 1.0, 0.0]
    """
    _warm(step, total, 0.0)
    _in_unit(rise=rise, start=start, end=end)
    top = rise * total
    if step < top:
        return _arc(start, 1.0, step / top)
    return _arc(1.0, end, (step - top) / max(1e-12, total - top))


@dataclass(frozen=True, repr=False)
class WithDecay:
    """A schedule of the learning rate together with one of the weight decay of each group.

    Source: Caron et al., *Emerging Properties in Self-Supervised Vision Transformers*, ICCV 2021, where the
    weight decay rises by half a cosine.

    >>> from functools import partial
    >>> both = WithDecay(cosine, partial(one_cycle, rise=1.0, start=0.1))
    >>> [round(both.weight_decay(step, 4), 3) for step in range(5)]
    [0.1, 0.232, 0.55, 0.868, 1.0]
    """

    rate: Schedule
    weight_decay: Schedule

    def __call__(self, step: int, total: int) -> float:
        return self.rate(step, total)

    def __repr__(self) -> str:
        return f"WithDecay({in_words(self.rate)}, {in_words(self.weight_decay)})"


class Pace:
    """Sets the learning rates of an optimiser's groups: their initial rates times the schedule's factor.

    >>> layer = torch.nn.Linear(1, 1)
    >>> optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    >>> Pace(optimizer, lambda step, total: step / total).set(1, 4)
    >>> optimizer.param_groups[0]["lr"]
    0.125
    """

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: Schedule | Schedules | None) -> None:
        self.optimizer, self.schedule = optimizer, schedule
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.decays = [group.get("weight_decay", 0.0) for group in optimizer.param_groups]

    def set(self, step: int, total: int) -> None:
        """The rates of one step, and the weight decays where they have a schedule."""
        groups = self.optimizer.param_groups  # another list after a checkpoint was read
        factor = 1.0 if self.schedule is None else self.schedule(step, total)
        factors = factor if isinstance(factor, tuple) else (factor,) * len(self.rates)
        for group, rate, share in zip(groups, self.rates, factors, strict=True):
            group["lr"] = rate * share
        if isinstance(self.schedule, WithDecay):
            share = self.schedule.weight_decay(step, total)
            for group, decay in zip(groups, self.decays, strict=True):
                group["weight_decay"] = decay * share


def _arc(first: float, last: float, done: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * done)) / 2


def _warm(step: int, total: int, warmup: float) -> tuple[float, int]:
    """The factor of a linear warm-up, and how many steps it takes."""
    if not 0 <= step <= total:
        raise ValueError(f"step must lie in 0 … {total}, got {step}")
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup must be a fraction of the run in [0, 1), got {warmup}")
    length = round(warmup * total)
    return (step + 1) / length if step < length else 1.0, length


def _in_unit(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie in [0, 1], got {value}")
