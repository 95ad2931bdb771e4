"""Chapter 6: MixSKD next to its controls, with each of its terms taken away, and other self-distillation.

Controls at equal epochs: plain training, label smoothing, DDGSD, Mixup of the same α, CutMix. At about equal
arithmetic: plain training and CutMix for four and a half times the epochs. DDGSD needs two views of each
image; Fashion-MNIST, trained on here without crops and flips, therefore has plain training with them too.
"labels-and-mixed" has branches and self-teacher, and none of the other four terms. "released" is the authors'
script: the term of the mixtures left out, critics that do not learn, half of their term. The records that
come with the book were made before the last of these was known, with all of that term.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.examine import examine_dense, examine_quality
from experiments.recipes import emoji, fashion
from experiments.rivals import BYOT, CSKD, PSKD, TFKD
from mixlearn.methods.augment import crop_and_flip
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.learners import DDGSD, MixSKD
from mixlearn.methods.mixskd import TERMS
from mixlearn.methods.mixup import mixup
from mixlearn.methods.random_mix import RandomMix

half = RandomMix([partial(cutmix, alpha=1.0)], p=0.5)

COMPARED: dict[str, dict[str, Any]] = {
    "mixskd": {"mix": MixSKD},
    "plain": {},
    "smoothed": {"smoothing": 0.1},
    "ddgsd": {"mix": DDGSD(crop_and_flip), "augment": None},
    "mixup": {"mix": partial(mixup, alpha=0.2)},
    "cutmix": {"mix": half},
    **{f"no-{term}": {"mix": MixSKD, "ablate": (term,)} for term in TERMS},
    "labels-and-mixed": {"mix": MixSKD, "ablate": TERMS[2:]},
    "adversarial": {"mix": partial(MixSKD, adversarial=True)},
    "released": {"mix": partial(MixSKD, critics_learn=False, weights={"critic": 0.5}), "ablate": ("mixed",)},
}

FASHION = COMPARED | {
    "plain-longer": {"epochs": 180},
    "cutmix-longer": {"mix": half, "epochs": 180},
    "augmented": {"augment": crop_and_flip},
    "tfkd": {"mix": TFKD()},
    "cskd": {"mix": CSKD()},
    "pskd": {"mix": partial(PSKD, epochs=40)},
    "byot": {"mix": BYOT},
}

EMOJI: dict[str, dict[str, Any]] = COMPARED | {
    "plain-longer": {"epochs": 68},
    "cutmix-longer": {"mix": half, "epochs": 68},
}

on_fashion = partial(fashion, width=8, examine=partial(examine_quality, data="fashion"))
on_emoji = partial(emoji, width=8, examine=partial(examine_quality, data="emoji"))

mixskd = {f"mixskd-fashion-{way}": partial(on_fashion, **options) for way, options in FASHION.items()} | {
    f"mixskd-emoji-{way}": partial(on_emoji, **options) for way, options in EMOJI.items()
}

# what four of these networks are worth to a detector and a segmenter of emoji scenes
dense = {
    f"dense-emoji-{way}": partial(emoji, width=8, examine=examine_dense, **EMOJI[way])
    for way in ("plain", "mixup", "cutmix", "mixskd")
}

dense["dense-emoji-untrained"] = partial(emoji, width=8, untrained=True, augment=None, examine=examine_dense)

# distillation and its control on seeds that nothing was chosen on
confirmed = {f"confirmed-{way}": mixskd[f"mixskd-fashion-{way}"] for way in ("mixskd", "labels-and-mixed")}
