"""Chapter 5: AutoMix and SAMix next to their controls, and AutoMix with each of its parts taken away.

Controls at equal epochs: plain training, Mixup, CutMix and PuzzleMix, each with a twin that predicts. At
about equal arithmetic: plain training and CutMix for three times the epochs. Ablations, on Fashion-MNIST,
take away one part each; the last four put back what was published or released.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.examine import examine_robust, examine_transfer
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
START = {"std": 0.3}
whole = partial(AutoMix, stage="stage2", momentum=quick, block=START)
average = partial(Averaged, momentum=quick)
half = RandomMix([partial(cutmix, alpha=1.0)], p=0.5)


def compared(stage: str, longer: int) -> dict[str, dict[str, Any]]:
    """AutoMix with its Mix Block at a stage, and its controls; `longer` epochs cost about as much."""
    return {
        "automix": {"mix": partial(whole, stage=stage)},
        "plain": {"mix": average},
        "mixup": {"mix": partial(average, mix=partial(mixup, alpha=1.0))},
        "cutmix": {"mix": partial(average, mix=half)},
        "puzzlemix": {"mix": partial(average, mix=Guided(puzzlemix))},
        "samix": {"mix": partial(SAMix, stage=stage, momentum=quick, block=START)},
        "plain-longer": {"mix": average, "epochs": longer},
        "cutmix-longer": {"mix": partial(average, mix=half), "epochs": longer},
    }


ABLATED: dict[str, dict[str, Any]] = {
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

on_fashion = partial(fashion, width=8, examine=partial(examine_robust, data="fashion"))
on_emoji = partial(emoji, width=8, examine=partial(examine_robust, data="emoji"))
FASHION = compared("stage2", 120) | ABLATED
EMOJI = compared("stage3", 45) | {"stage2": {"mix": whole}}  # masks from stage 2 stay flat there

automix = {f"automix-fashion-{way}": partial(on_fashion, **options) for way, options in FASHION.items()} | {
    f"automix-emoji-{way}": partial(on_emoji, **options) for way, options in EMOJI.items()
}

# what four of these networks are worth to a detector of emoji scenes, frozen and trained on
transfer = {
    f"transfer-emoji-{way}": partial(emoji, width=8, examine=examine_transfer, **EMOJI[way])
    for way in ("plain", "mixup", "cutmix", "automix")
}
