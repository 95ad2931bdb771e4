"""Sets an optimiser's learning rates, and its weight decays where asked, for each step."""

from __future__ import annotations

import torch

from mixlearn.train.schedules import Schedule, Schedules, WithDecay


class Pace:
    """What each group of the optimiser was built with, times what the schedule says.

    Args:
        optimizer: as it was built.
        schedule: (step, steps) → factor of the rates, or one a group, or a `WithDecay`; None keeps them.

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
        """The numbers of one step.

        Args:
            step: steps done so far, from 0.
            total: steps of the whole run.
        """
        groups = self.optimizer.param_groups  # another list after a checkpoint was read
        factor = 1.0 if self.schedule is None else self.schedule(step, total)
        factors = factor if isinstance(factor, tuple) else (factor,) * len(self.rates)
        for group, rate, share in zip(groups, self.rates, factors, strict=True):
            group["lr"] = rate * share
        if isinstance(self.schedule, WithDecay):
            share = self.schedule.weight_decay(step, total)
            for group, decay in zip(groups, self.decays, strict=True):
                group["weight_decay"] = decay * share
