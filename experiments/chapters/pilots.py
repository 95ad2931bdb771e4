"""Pilots: in which settings mixing pays on Off-centre Fashion and on CIFAR-10."""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.recipes import cifar10_small, offcentre
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.mixup import mixup
from mixlearn.methods.random_mix import RandomMix

WAYS: dict[str, Any] = {
    "plain": None,
    "cutmix": RandomMix([partial(cutmix, alpha=1.0)], p=0.5),
    "mixup": RandomMix([partial(mixup, alpha=1.0)], p=0.5),
}


def pilot_offcentre() -> dict[str, Any]:
    """No mixing, CutMix and Mixup on Off-centre Fashion: images × epochs, cheapest first.

    All but those with "asis" in the name see crops and flips.
    """
    found: dict[str, Any] = {}
    for images, epochs, augmented in (
        (5000, 60, False),
        (5000, 60, True),
        (2000, 150, True),
        (5000, 200, True),
        (20_000, 50, True),
    ):
        setting = partial(offcentre, images=images, epochs=epochs, measure_every=max(1, epochs // 6))
        name = f"pilot-offcentre-n{images}-e{epochs}"
        if not augmented:
            setting, name = partial(setting, augment=None), f"{name}-asis"
        found |= {f"{name}-{way}": partial(setting, mix=mix) for way, mix in WAYS.items()}
    return found


def pilot_cifar() -> dict[str, Any]:
    """No mixing, CutMix and Mixup on parts of CIFAR-10: network × images × epochs, cheapest first.

    All see crops and flips; an s in the name stands for a first convolution of stride 2. `--root` names the
    archive's folder, or images by class.
    """
    found: dict[str, Any] = {}
    for depth, width, images, epochs, strided in (
        (8, 32, 2500, 100, True),
        (18, 16, 2500, 100, True),
        (18, 16, 2500, 200, False),
        (18, 32, 2500, 200, True),
        (18, 16, 5000, 200, False),
        (18, 32, 10_000, 100, True),
    ):
        setting = partial(
            cifar10_small,
            depth=depth,
            width=width,
            images=images,
            epochs=epochs,
            strided=strided,
            measure_every=epochs // 5,
        )
        name = f"pilot-cifar10-r{depth}w{width}{'s' if strided else ''}-n{images}-e{epochs}"
        found |= {f"{name}-{way}": partial(setting, mix=mix) for way, mix in WAYS.items()}
    return found
