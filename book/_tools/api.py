"""The reference page: every public name of the package, room by room, from its docstring."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType
from typing import Any

ROOMS = {
    "The algebra of mixing": [
        *("MixPlan", "BoxPlan", "PatchPlan", "Mixed"),
        *("sample_lam", "sample_partner", "sample_boxes", "sample_squares"),
        *("one_hot", "smooth", "soft_cross_entropy", "pair_cross_entropy"),
        *("soft_bce", "mixed_accuracy"),
        *(
            "box_area",
            "boxes_to_masks",
            "masks_to_boxes",
            "patchify",
            "unpatchify",
        ),
    ],
    "Methods": [
        *("mixup", "cutout", "cutmix", "resizemix", "mix_objects", "Objects"),
        *(
            "gridmix",
            "fmix",
            "smoothmix",
            "saliencymix",
            "attentivemix",
            "snapmix",
        ),
        *(
            "puzzlemix",
            "comixup",
            "alignmix",
            "transmix",
            "MixBlock",
            "mask_loss",
        ),
        *("patchmix", "contrastive_loss"),
        *("spectral_residual", "gradient_saliency", "feature_attention"),
    ],
    "Mixing in a loop, in a loader, as a callback": [
        "RandomMix",
        "MixCollate",
        "lightning",
    ],
    "Data": [
        "data",
        "augment",
        "data.scenes.Scenes",
        "data.scenes.emoji_scenes",
    ],
    "Networks": ["nets"],
    "Training": ["fit", "train.fit.History", "learners", "train.schedules"],
    "Run records": ["runs"],
    "Measures": [
        *(
            "measure",
            "train.finetune.linear_layer",
            "train.finetune.with_new_head",
        ),
        *("train.finetune.LayerDecay", "train.finetune.layer_groups"),
    ],
    "Coursework": ["course"],
    "Pictures": ["figures"],
    "Widgets": [
        *("widgets", "page.film.recorded_block", "page.film.film_facts"),
        *("page.ledger.arrows", "page.ledger.learning", "page.ledger.Arrow"),
        *("page.ledger.effects", "page.ledger.Effect", "page.ledger.parts_of"),
    ],
}


def documented(value: Any) -> bool:
    """Classes and functions have docstrings; aliases of types have none."""
    return inspect.isclass(value) or inspect.isfunction(value)


def public(module: ModuleType) -> list[str]:
    """The names that a module offers: its `__all__`, else what it defines without a leading underscore."""
    if hasattr(module, "__all__"):
        return list(module.__all__)

    def own(value: Any) -> bool:
        return documented(value) and value.__module__ == module.__name__

    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and own(value)
    ]


def entries() -> dict[str, list[str]]:
    """The dotted name of each public class and function, under its room's title."""
    found: dict[str, list[str]] = {}
    for title, names in ROOMS.items():
        found[title] = []
        for name in names:
            value = value_of(f"mixlearn.{name}")
            if isinstance(value, ModuleType):
                inners = [
                    inner
                    for inner in public(value)
                    if documented(getattr(value, inner))
                ]
                found[title] += [
                    f"{value.__name__}.{inner}" for inner in inners
                ]
            else:
                found[title].append(f"mixlearn.{name}")
    return found


def value_of(dotted: str) -> Any:
    """The object of a dotted name in `entries`."""
    module, _, name = dotted.rpartition(".")
    parent = import_module(module)
    return (
        getattr(parent, name)
        if hasattr(parent, name)
        else import_module(dotted)
    )


def directive(dotted: str) -> str:
    """What documents one name: a class with its public methods, or a function."""
    if inspect.isclass(value_of(dotted)):
        return f".. autoclass:: {dotted}\n   :members:\n"
    return f".. autofunction:: {dotted}\n"


def page() -> str:
    """The sections of the reference page, in Markdown."""
    parts = []
    for title, names in entries().items():
        parts.append(f"## {title}\n")
        for name in names:
            parts.append("```{eval-rst}\n" + directive(name) + "```\n")
    return "\n".join(parts)
