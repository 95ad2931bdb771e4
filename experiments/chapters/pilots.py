"""Pilots: when CutMix and Mixup pay on CIFAR-10, cheapest first, and masks on Off-centre Fashion.

All see crops and flips; an s after the width stands for a first convolution of stride 2. For CIFAR-10
`--root` names the archive's folder, or images by class.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.chapters.curves import WAYS
from experiments.oracles import Piped, learned_from, oracle
from experiments.recipes import cifar10_small, offcentre
from mixlearn.methods.automix import AutoMix
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.learner import slow_down
from mixlearn.methods.mixup import mixup

CIFAR: dict[str, dict[str, Any]] = {
    "r8w16s-n2500-e60": {"depth": 8, "images": 2500, "epochs": 60, "strided": True},
    "r18w16s-n2500-e100": {"width": 16, "images": 2500, "epochs": 100, "strided": True},
    "r18w16-n5000-e200": {"width": 16, "images": 5000, "epochs": 200},
    "r18w32s-n10000-e100": {"width": 32, "images": 10_000, "epochs": 100, "strided": True},
}
pilot_cifar: dict[str, Any] = {
    f"pilot-cifar10-{name}-{way}": partial(
        cifar10_small, mix=mix, measure_every=options["epochs"] // 5, **options
    )
    for name, options in CIFAR.items()
    for way, mix in WAYS.items()
}

# Where do better masks pay at all? The same pipeline around no mixing, Mixup, CutMix and true masks.
quick = partial(slow_down, start=0.9, end=0.9999)
PIPED: dict[str, Any] = {
    "plain": None,
    "mixup": partial(mixup, alpha=2.0),
    "cutmix": partial(cutmix, alpha=1.0),
    "true-masks": oracle,
}
pilot_masks: dict[str, Any] = {
    f"pilot-masks-n{images}-e{epochs}-{way}": partial(
        offcentre,
        mix=partial(Piped, mix=mix, momentum=quick),  # type: ignore[arg-type]
        name="objects",
        images=images,
        epochs=epochs,
    )
    for images, epochs in ((500, 150), (2000, 40))
    for way, mix in PIPED.items()
}

# ... and masks that are learned: by AutoMix while it trains, or beforehand against a frozen network.
short = partial(offcentre, images=2000, epochs=40)
piped = partial(Piped, momentum=quick)
block: dict[str, Any] = {"stage": "stage2", "momentum": quick, "block": {"std": 0.3}}
pilot_masks |= {
    "pilot-masks-n2000-e40-automix": partial(short, mix=partial(AutoMix, **block)),
    "pilot-masks-n2000-e40-automix-strict": partial(short, mix=partial(AutoMix, mask_weight=1.0, **block)),
    "pilot-masks-n2000-e40-judge-masks": partial(learned_from, short, mix=piped),
    "pilot-masks-n2000-e40-own-masks": partial(
        learned_from, short, mix=piped, teacher=partial(short, partial(piped, mix=PIPED["mixup"]))
    ),
}
