"""CIFAR-10: where mixing pays (a pilot), and twelve ways of training there.

All see crops and flips; an s after the width stands for a first convolution of stride 2. `--root` names the
archive's folder, or images by class. The setting of the twelve was chosen on seed 0 of the pilot, so their
records are of other seeds. Declared before they ran: the primary comparison is CutMix with no mixing, by
accuracy; of the ten others, each with no mixing, the p-values are corrected by Holm's method.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.chapters.chapter_4 import WAYS as MASKS
from experiments.chapters.chapter_5 import compared
from experiments.chapters.chapter_6 import COMPARED
from experiments.chapters.curves import WAYS
from experiments.recipes import cifar10_small
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.cutout import cutout
from mixlearn.methods.mixup import mixup
from mixlearn.methods.random_mix import RandomMix

small = partial(cifar10_small, images=2500, strided=True)
CELLS: dict[str, dict[str, Any]] = {
    "r8w16s-n2500-e60": {"depth": 8, "epochs": 60},
    "r18w16s-n2500-e30": {"epochs": 30},
    "r18w16s-n2500-e100": {"epochs": 100},
    "r18w16s-n1000-e100": {"epochs": 100, "images": 1000},
}
pilot_cifar: dict[str, Any] = {
    f"pilot-cifar10-{name}-{way}": partial(small, mix=mix, measure_every=options["epochs"] // 5, **options)
    for name, options in CELLS.items()
    for way, mix in WAYS.items()
}

mixes = (partial(mixup, alpha=1.0), partial(cutmix, alpha=1.0))
TWELVE: dict[str, dict[str, Any]] = {
    "cutout": {"mix": partial(cutout, size=16)},
    "mixup": {"mix": mixes[0]},
    "both": {"mix": RandomMix(mixes)},
    **{way: {"mix": MASKS[way]} for way in ("fmix", "puzzlemix")},
    **{way: COMPARED[way] for way in ("plain", "smoothed", "cutmix", "ddgsd", "mixskd")},
    **{way: compared("stage2", 0)[way] for way in ("automix", "samix")},
}
cifar = {f"cifar10-{way}": partial(small, epochs=100, **options) for way, options in TWELVE.items()}
