"""Pilots: in which settings CutMix and Mixup pay on Off-centre Fashion and on CIFAR-10, cheapest first.

All but those with "asis" in the name see crops and flips; an s after the width stands for a first convolution
of stride 2. For CIFAR-10 `--root` names the archive's folder, or images by class.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.oracles import Piped, learned_from, oracle
from experiments.recipes import cifar10_small, offcentre
from mixlearn.methods.automix import AutoMix
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.learner import slow_down
from mixlearn.methods.mixup import mixup
from mixlearn.methods.random_mix import RandomMix

WAYS: dict[str, Any] = {
    "plain": None,
    "cutmix": RandomMix([partial(cutmix, alpha=1.0)], p=0.5),
    "mixup": RandomMix([partial(mixup, alpha=1.0)], p=0.5),
}
OFFCENTRE: dict[str, dict[str, Any]] = {
    "n5000-e60-asis": {"images": 5000, "epochs": 60, "measure_every": 10, "augment": None},
    "n5000-e60": {"images": 5000, "epochs": 60, "measure_every": 10},
    "n2000-e150": {"images": 2000, "epochs": 150, "measure_every": 25},
    "n5000-e200": {"images": 5000, "epochs": 200, "measure_every": 33},
    "n20000-e50": {"images": 20_000, "epochs": 50, "measure_every": 8},
}
CIFAR = (  # depth, width, images, epochs, whether the first convolution has stride 2
    (8, 32, 2500, 100, True),
    (18, 16, 2500, 100, True),
    (18, 16, 2500, 200, False),
    (18, 32, 2500, 200, True),
    (18, 16, 5000, 200, False),
    (18, 32, 10_000, 100, True),
)

pilot_offcentre = {
    f"pilot-offcentre-{name}-{way}": partial(offcentre, mix=mix, **options)
    for name, options in OFFCENTRE.items()
    for way, mix in WAYS.items()
}
pilot_cifar = {
    f"pilot-cifar10-r{depth}w{width}{'s' if strided else ''}-n{images}-e{epochs}-{way}": partial(
        cifar10_small,
        mix=mix,
        depth=depth,
        width=width,
        images=images,
        epochs=epochs,
        strided=strided,
        measure_every=epochs // 5,
    )
    for depth, width, images, epochs, strided in CIFAR
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
