"""AutoMix beside its controls, and with each of its parts taken away: chapter 5."""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.examine.robust import examine_robust
from experiments.examine.transfer import examine_transfer
from experiments.recipes import emoji, fashion
from experiments.rivals import Averaged
from mixlearn.methods.automix import AutoMix
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.guided import Guided
from mixlearn.methods.learner import slow_down
from mixlearn.methods.mixup import mixup
from mixlearn.methods.puzzlemix import puzzlemix
from mixlearn.methods.random_mix import RandomMix
from mixlearn.methods.samix import SAMix

# A thousand steps, not hundreds of thousands. The twin remembers about a hundredth of training at first and
# a multiple of it in the end, as published; there is no time to leave weights of 0.01 in so small a block.
quick = partial(slow_down, start=0.9, end=0.9999)


def automix() -> dict[str, Any]:
    """AutoMix and SAMix on both shipped sets beside their controls, and on one of them without its parts.

    Controls at equal epochs: plain training, Mixup, CutMix and PuzzleMix, each with a twin that predicts. At
    about equal seconds: plain training and CutMix for three times the epochs. Ablations, on Fashion-MNIST,
    take away one part each; the last four put back what was published or released.
    """
    found: dict[str, Any] = {}
    for recipe, ways in (
        (fashion, _compared("stage2", 120)),
        (emoji, _compared("stage3", 45)),  # masks from stage 2 stay flat there
        (fashion, _ablated()),
        (emoji, {"stage2": {"mix": whole}}),
    ):
        setting = partial(recipe, width=8, examine=partial(examine_robust, data=recipe.__name__))
        for way, options in ways.items():
            found[f"automix-{recipe.__name__}-{way}"] = partial(setting, **options)
    return found


def transfer() -> dict[str, Any]:
    """What four of these networks are worth to a detector of emoji scenes, frozen and trained on."""
    ways = _compared("stage3", 45)
    setting = partial(emoji, width=8, examine=examine_transfer)
    return {
        f"transfer-emoji-{way}": partial(setting, **ways[way])
        for way in ("plain", "mixup", "cutmix", "automix")
    }


START = {"std": 0.3}
whole = partial(AutoMix, stage="stage2", momentum=quick, block=START)
average = partial(Averaged, momentum=quick)


def _compared(stage: str, long: int) -> dict[str, dict[str, Any]]:
    half = RandomMix([partial(cutmix, alpha=1.0)], p=0.5)
    return {
        "automix": {"mix": partial(whole, stage=stage)},
        "plain": {"mix": average},
        "mixup": {"mix": partial(average, mix=partial(mixup, alpha=1.0))},
        "cutmix": {"mix": partial(average, mix=half)},
        "puzzlemix": {"mix": partial(average, mix=Guided(puzzlemix))},
        "samix": {"mix": partial(SAMix, stage=stage, momentum=quick, block=START)},
        "plain-longer": {"mix": average, "epochs": long},
        "cutmix-longer": {"mix": partial(average, mix=half), "epochs": long},
    }


def _ablated() -> dict[str, dict[str, Any]]:
    return {
        "no-attention": {"mix": partial(whole, block={"attend": False} | START)},
        "no-embedding": {"mix": partial(whole, block={"embed": False} | START)},
        "no-mask-loss": {"mix": partial(whole, mask_weight=0.0)},
        "no-average": {"mix": partial(whole, momentum=0.0)},
        "no-clean": {"mix": partial(whole, deploy_head="mixed"), "ablate": ("clean",)},
        "joint": {"mix": partial(whole, joint=True)},
        "stage3": {"mix": partial(whole, stage="stage3")},  # at stage 1 a step takes ten times as long
        "no-masks": {"mix": partial(whole, plain_beyond=0.5)},  # plain Mixup all the way
        "alpha-1": {"mix": partial(whole, alpha=1.0)},
        "small-start": {"mix": partial(whole, block={})},
        "batch-mean": {"mix": partial(whole, batch_mean=True)},
        "held-mask-loss": {"mix": partial(whole, fade=False)},
        "own-buffers": {"mix": partial(whole, buffers="own")},
    }
