"""Chapter 3: nothing, Cutout, Mixup, CutMix and both, with and without label smoothing, on both sets."""

from __future__ import annotations

from functools import partial

from experiments.examine import examine
from experiments.recipes import emoji, fashion
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.cutout import cutout
from mixlearn.methods.mixup import mixup
from mixlearn.methods.random_mix import RandomMix

WAYS = {
    "plain": None,
    "mixup": partial(mixup, alpha=1.0),
    "cutmix": RandomMix([partial(cutmix, alpha=1.0)], p=0.5),
    "both": RandomMix([partial(mixup, alpha=1.0), partial(cutmix, alpha=1.0)]),
}

boxes = {
    f"boxes-{recipe.__name__}-{way}{name}": partial(
        recipe, width=8, examine=partial(examine, data=recipe.__name__), mix=mix, smoothing=smoothing
    )
    for recipe, size in ((fashion, 14), (emoji, 16))
    for name, smoothing in (("", 0.0), ("-smoothed", 0.1))
    for way, mix in (WAYS | {"cutout": partial(cutout, size=size)}).items()
}
