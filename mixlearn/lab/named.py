"""What can be trained by name: a recipe, or one setting of an experiment."""

from __future__ import annotations

from collections.abc import Callable

from mixlearn.lab import experiments, recipes
from mixlearn.lab.training import Outcome


def named(name: str) -> Callable[..., Outcome] | None:
    """The recipe of this name, or the setting of an experiment whose record bears it; None if there is none.

    Args:
        name: such as "fashion" or "contrast-fashion-vit-moco".

    >>> named("contrast-fashion-vit-moco").keywords["network"]
    'vit'
    >>> named("nothing of the kind") is None
    True
    """
    if name in recipes.__all__:
        recipe: Callable[..., Outcome] = getattr(recipes, name)
        return recipe
    for each in experiments.__all__:
        settings: experiments.Experiment = getattr(experiments, each)()
        if name in settings:
            return settings[name]
    return None
