"""AutoMix beside its controls, and with each of its parts taken away: chapter 5."""

from __future__ import annotations

from functools import partial
from typing import Any

from mixlearn.lab.batches import RandomMix
from mixlearn.lab.learner_automix import AutoMix
from mixlearn.lab.learner_averaged import Averaged
from mixlearn.lab.learner_samix import SAMix
from mixlearn.lab.recipes import emoji, fashion
from mixlearn.lab.twin import slow_down
from mixlearn.methods.cutmix import cutmix

# A thousand steps, not a hundred thousand: the twin remembers a hundred, and ends at ten thousand.
quick = partial(slow_down, start=0.99, end=0.9999)


def automix() -> dict[str, Any]:
    """AutoMix and SAMix on both shipped sets, their controls and ablations.

    Controls are plain training and CutMix, both with a twin that predicts, at equal epochs; and plain
    training for three times the epochs, about AutoMix's price. Ablations take away one part each.
    """
    found: dict[str, Any] = {}
    for recipe, stage, long in ((fashion, "stage2", 120), (emoji, "stage2", 45)):
        whole = partial(AutoMix, stage=stage, momentum=quick)
        average = partial(Averaged, momentum=quick)
        half = RandomMix([partial(cutmix, alpha=1.0)], p=0.5)
        ways: dict[str, Any] = {
            "automix": whole,
            "plain-averaged": average,
            "cutmix-averaged": partial(average, mix=half),
            "samix": partial(SAMix, stage=stage, momentum=quick),
            "no-attention": partial(whole, block={"attend": False}),
            "no-embedding": partial(whole, block={"embed": False}),
            "no-mask-loss": partial(whole, mask_weight=0.0),
            "no-average": partial(whole, momentum=0.0),
            "joint": partial(whole, joint=True),
            "stage1": partial(whole, stage="stage1"),
            "alpha-1": partial(whole, alpha=1.0),
        }
        setting = partial(recipe, width=8)
        for way, mix in ways.items():
            found[f"automix-{recipe.__name__}-{way}"] = partial(setting, mix=mix)
        name = f"automix-{recipe.__name__}"
        found[f"{name}-no-clean"] = partial(
            setting, mix=partial(whole, deploy_head="mixed"), ablate=("clean",)
        )
        found[f"{name}-plain-longer"] = partial(setting, mix=average, epochs=long)
    return found
