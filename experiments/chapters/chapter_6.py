"""MixSKD beside its controls and with each of its terms taken away: chapter 6."""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.examine.quality import examine_quality
from experiments.examine.transfer import examine_dense
from experiments.recipes import emoji, fashion
from experiments.rivals import BYOT, CSKD, PSKD, TFKD
from mixlearn.methods.augment import crop_and_flip
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.learners import DDGSD, MixSKD
from mixlearn.methods.mixskd import TERMS
from mixlearn.methods.mixup import mixup
from mixlearn.methods.random_mix import RandomMix


def mixskd() -> dict[str, Any]:
    """MixSKD on both shipped sets beside its controls and without each of its terms; on one of them other
    self-distillation too.

    Controls at equal epochs: plain training, label smoothing, DDGSD, Mixup of the same α, CutMix. At about
    equal seconds: plain training and CutMix for four and a half times the epochs. DDGSD needs two views of
    each image; Fashion-MNIST, trained on here without crops and flips, therefore has plain training with them
    too. "labels-and-mixed" has branches and self-teacher, and none of the other four terms. "released" is the
    authors' script: the term of the mixtures left out, critics that do not learn, half of their term. The
    records that come with the book were made before the last of these was known, with all of that term.
    """
    found: dict[str, Any] = {}
    for recipe, ways in (
        (fashion, _compared(180)),
        (emoji, _compared(68)),
        (fashion, _ablated()),
        (emoji, _ablated()),
        (fashion, {"augmented": {"augment": crop_and_flip}} | _others(40)),
    ):
        setting = partial(recipe, width=8, examine=partial(examine_quality, data=recipe.__name__))
        for way, options in ways.items():
            found[f"mixskd-{recipe.__name__}-{way}"] = partial(setting, **options)
    return found


def dense() -> dict[str, Any]:
    """What four of these networks are worth to a detector and a segmenter of emoji scenes."""
    ways = _compared(68)
    setting = partial(emoji, width=8, examine=examine_dense)
    return {
        f"dense-emoji-{way}": partial(setting, **ways[way]) for way in ("plain", "mixup", "cutmix", "mixskd")
    }


def _compared(long: int) -> dict[str, dict[str, Any]]:
    half = RandomMix([partial(cutmix, alpha=1.0)], p=0.5)
    return {
        "mixskd": {"mix": MixSKD},
        "plain": {},
        "smoothed": {"smoothing": 0.1},
        "ddgsd": {"mix": DDGSD(crop_and_flip), "augment": None},
        "mixup": {"mix": partial(mixup, alpha=0.2)},
        "cutmix": {"mix": half},
        "plain-longer": {"epochs": long},
        "cutmix-longer": {"mix": half, "epochs": long},
    }


def _ablated() -> dict[str, dict[str, Any]]:
    without = {f"no-{term}": {"mix": MixSKD, "ablate": (term,)} for term in TERMS}
    return without | {
        "labels-and-mixed": {"mix": MixSKD, "ablate": TERMS[2:]},
        "adversarial": {"mix": partial(MixSKD, adversarial=True)},
        "released": {
            "mix": partial(MixSKD, critics_learn=False, weights={"critic": 0.5}),
            "ablate": ("mixed",),
        },
    }


def _others(epochs: int) -> dict[str, dict[str, Any]]:
    return {
        "tfkd": {"mix": TFKD()},
        "cskd": {"mix": CSKD()},
        "pskd": {"mix": partial(PSKD, epochs=epochs)},
        "byot": {"mix": BYOT},
    }
