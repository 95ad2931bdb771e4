"""A trained network again, from its recipe and its checkpoint."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from mixlearn.lab import checkpoints, recipes
from mixlearn.lab.named import named
from mixlearn.lab.training import Outcome


def trained(recipe: str, checkpoint: Path, *, examined: bool = True, **options: Any) -> Outcome:
    """What a recipe's finished run left behind: the network is not trained, only measured again.

    Args:
        recipe: the name of the recipe that made the checkpoint, or of the experiment's setting.
        checkpoint: one that was kept, as by `python -m mixlearn train RECIPE --keep`.
        examined: do what the recipe examines of its own accord, such as a linear probe, again too.
        options: of the recipe, where they were not its own, such as `width=8`; None is left out.

    Returns:
        The recipe's outcome: the network under `model`, the measures under `final`.

    Raises:
        ValueError: no such recipe or file, an option that the recipe lacks, a run that is not finished.
        CheckpointError: a truncated or foreign checkpoint.
    """
    function = named(recipe)
    if function is None:
        raise ValueError(
            f"recipe must be one of {', '.join(recipes.__all__)}, or the name of an experiment's record, got "
            f"{recipe!r}"
        )
    if not checkpoint.exists():
        raise ValueError(f"there is no checkpoint {checkpoint}")
    state = checkpoints.load(checkpoint)
    place, settings = state["place"], state["settings"]
    if place["epoch"] < settings["epochs"]:
        raise ValueError(
            f"{checkpoint.name} has done {place['epoch']} of {settings['epochs']} epochs; finish it"
        )
    known = inspect.signature(function).parameters
    given = {key: value for key, value in options.items() if value is not None}
    for key in ("width", "root"):
        if key in given and key not in known:
            raise ValueError(f"the recipe {recipe} takes no --{key}")
    kept = {key: settings[key] for key in ("seed", "epochs", "batch_size", "images", "ema")}
    given |= {
        key: value for key, value in kept.items() if value is not None and (key in known or key == "ema")
    }
    if not examined:
        given["examine"] = None
    return function(checkpoint=checkpoint, resume=True, progress=False, **given)
