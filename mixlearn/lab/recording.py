"""Run a recipe for several seeds and keep what came of it as a run record, seed by seed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mixlearn.lab import runs
from mixlearn.lab.environment import environment
from mixlearn.lab.training import Outcome


def record(
    name: str,
    recipe: Callable[..., Outcome],
    seeds: Sequence[int],
    *,
    command: str,
    facts: dict[str, Any] | None = None,
    where: str | os.PathLike[str] | None = None,
    again: bool = False,
    checkpoints: str | os.PathLike[str] | None = None,
    keep: bool = False,
    **options: Any,
) -> runs.Record:
    """Train a recipe once a seed. The record is written after each; seeds it already holds are kept.

    Args:
        name: of the record.
        recipe: `recipe(seed=…, **options)` → `Outcome`.
        seeds: whole numbers.
        command: what to type to get the record again.
        facts: the environment, read before anything else could change; None reads it now.
        where: folder of the record; None takes the book's.
        again: begin a new record in place of one that is there.
        checkpoints: folder that keeps a run which is not finished, so that the same call goes on with it.
        keep: leave the checkpoints of finished runs there.
        options: handed to the recipe.

    Raises:
        RecordError: a record of that name with other settings or other data.
        ValueError: no seeds, or seeds twice.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be one or more different whole numbers, got {list(seeds)}")
    main = int(os.environ.get("RANK", "0")) == 0
    known = facts or environment(_device(options))
    done: list[dict[str, Any]] = []
    if not again and name in runs.names(where):
        old = runs.load(name, where)
        planned = recipe(seed=seeds[0], dry=True, **options)
        for what, now, then in (
            ("settings", planned.settings, old.settings),
            ("data", planned.data, old.data),
        ):
            changed = sorted(key for key in {*now, *then} if now.get(key) != then.get(key))
            if changed:
                key = changed[0]
                raise runs.RecordError(
                    f"the record {name!r} has other {what}: {key} was {then.get(key)!r}, is now "
                    f"{now.get(key)!r}; give it another name, or begin it again"
                )
        done = list(old.runs)
    result = None
    for seed in seeds:
        if any(run["seed"] == seed for run in done):
            continue
        progress: dict[str, Any] = {"progress": f"{name}, seed {seed}"} | options
        file = None if checkpoints is None else Path(checkpoints) / f"{name}-{seed}.pt"
        if file is not None:
            progress |= {"checkpoint": file, "resume": True}
        outcome = recipe(seed=seed, **progress)
        done.append(
            {
                "seed": seed,
                "environment": known,
                "seconds": round(outcome.history.seconds, 2),
                "peak_memory": outcome.history.peak_memory,
                "epochs": [_rounded(epoch) for epoch in outcome.history.epochs],
                "final": outcome.final,
            }
        )
        result = runs.Record(name, command, outcome.settings, outcome.data, tuple(done))
        if main:
            runs.write(result, where)
            if file is not None and not keep and outcome.final:  # else it is all there is
                file.unlink(missing_ok=True)
    return result or runs.load(name, where)


def _device(options: dict[str, Any]) -> str | None:
    return "cpu" if options.get("accelerator") == "cpu" else None


def _rounded(epoch: dict[str, float]) -> dict[str, float]:
    return {name: value if isinstance(value, int) else float(f"{value:.6g}") for name, value in epoch.items()}
