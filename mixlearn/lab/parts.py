"""A part of what is trained, such as AutoMix's Mix Block, with a rate and a schedule of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from mixlearn.lab.fit import Optimizer
from mixlearn.lab.schedules import Schedule, Schedules, WithDecay, constant
from mixlearn.lab.words import in_words


def optimizer_apart(
    parameters: Iterable[Any], *, optimizer: Optimizer, part: nn.Module, **options: Any
) -> torch.optim.Optimizer:
    """An optimiser that treats one part by options of its own: `fit(optimizer=partial(optimizer_apart, …))`.

    Args:
        parameters: all that are trained; `fit` gives them.
        optimizer: makes the optimiser, as for `fit`.
        part: the module that is set apart, such as the `block` of an `AutoMix`.
        options: of the optimiser, for the part alone, such as `lr=0.01, momentum=0.0`.

    Returns:
        An optimiser of two groups, the part's the second.

    Raises:
        ValueError: none of the part's parameters is trained, or the optimiser has no such option.

    >>> net, part = nn.Linear(2, 2), nn.Linear(3, 3)
    >>> both = [*net.parameters(), *part.parameters()]
    >>> made = optimizer_apart(both, optimizer=partial(torch.optim.SGD, lr=0.1), part=part, lr=0.5)
    >>> [(len(group["params"]), group["lr"]) for group in made.param_groups]
    [(2, 0.1), (2, 0.5)]
    """
    chosen, every = {id(one) for one in part.parameters()}, list(parameters)
    own = [one for one in every if id(one) in chosen]
    if not own:
        raise ValueError(f"no parameter of the part {type(part).__name__} is trained")
    made = optimizer(
        [{"params": [one for one in every if id(one) not in chosen]}, {"params": own, **options}]
    )
    unknown = sorted(set(options) - set(made.defaults))
    if unknown:
        raise ValueError(f"{type(made).__name__} takes {', '.join(made.defaults)}, got {unknown[0]}")
    return made


def schedule_apart(step: int, total: int, *, rest: Schedule, part: Schedule) -> tuple[float, float]:
    """Two schedules, the second for the part that `optimizer_apart` sets apart.

    Args:
        step, total: as for `cosine`.
        rest: schedule of all else.
        part: schedule of the part.

    Returns:
        A factor for each group of the optimiser.

    >>> from mixlearn.lab.schedules import cosine
    >>> schedule_apart(4, 4, rest=cosine, part=partial(cosine, floor=0.25))
    (0.0, 0.25)
    """
    return rest(step, total), part(step, total)


def block_apart(
    learner: Any, optimizer: Optimizer, schedule: Schedule | None, block: Mapping[str, Any]
) -> tuple[Optimizer, Schedules]:
    """What `fit` needs so that a learner's Mix Block has options of its own.

    Args:
        learner: has a Mix Block under `block`, as `AutoMix` has.
        optimizer, schedule: of all else, as for `fit`.
        block: options of the optimiser for the Mix Block, and its "schedule" if that differs too.

    Raises:
        ValueError: a learner without a Mix Block, a schedule of the weight decay.

    >>> import mixlearn as ml
    >>> learner = ml.learners.AutoMix(ml.nets.resnet(8, 4, width=4), stage="stage2", image_size=8)
    >>> optimizer, schedule = block_apart(learner, torch.optim.SGD, None, {"lr": 0.5})
    >>> optimizer([*learner.mix_head.parameters(), *learner.block.parameters()]).param_groups[1]["lr"]
    0.5
    """
    part = getattr(learner, "block", None)
    if not isinstance(part, nn.Module):
        raise ValueError(f"block holds options of a Mix Block, and {type(learner).__name__} has none")
    options, all_else = dict(block), schedule or constant
    if isinstance(all_else, WithDecay) or isinstance(options.get("schedule"), WithDecay):
        raise ValueError("a Mix Block of its own and a schedule of the weight decay do not go together")
    own = options.pop("schedule", all_else)
    apart = partial(optimizer_apart, optimizer=optimizer, part=part, **options)
    return apart, partial(schedule_apart, rest=all_else, part=own)


def block_in_words(block: Mapping[str, Any]) -> str:
    """A Mix Block's own options, for a record.

    >>> block_in_words({"lr": 0.1, "schedule": partial(constant, warmup=0.5)})
    'lr=0.1, schedule=constant(warmup=0.5)'
    """
    return ", ".join(
        f"{name}={in_words(value) if callable(value) else repr(value)}" for name, value in block.items()
    )
