"""Experiments: several recipes side by side, each with the name its record will bear."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mixlearn.lab.batches import RandomMix
from mixlearn.lab.examine import examine
from mixlearn.lab.recipes import emoji, fashion
from mixlearn.lab.training import Outcome
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.cutout import cutout
from mixlearn.methods.mixup import mixup

Experiment = dict[str, Callable[..., Outcome]]

__all__ = ["boxes", "embedded", "sweep"]


def embedded() -> Experiment:
    """Mixup on both shipped data sets, with and without: the comparison of chapter 2."""
    mix = partial(mixup, alpha=1.0)
    return {
        "fashion-plain": partial(fashion, measure_every=10),
        "fashion-mixup": partial(fashion, mix=mix, measure_every=10),
        "emoji-plain": partial(emoji, measure_every=3),
        "emoji-mixup": partial(emoji, mix=mix, measure_every=3),
    }


def sweep() -> Experiment:
    """Where mixing begins to pay: epochs × width × images on Fashion-MNIST, cheapest first."""
    mix = partial(mixup, alpha=1.0)
    grid = [
        (images, epochs, width) for images in (500, 2000) for epochs in (10, 40, 160) for width in (8, 16)
    ]
    found: Experiment = {}
    for images, epochs, width in sorted(grid, key=lambda cell: cell[0] * cell[1] * cell[2] ** 2):
        setting = partial(fashion, images=images, epochs=epochs, width=width)
        name = f"sweep-fashion-n{images}-e{epochs}-w{width}"
        found[f"{name}-plain"] = setting
        found[f"{name}-mixup"] = partial(setting, mix=mix)
    return found


def boxes() -> Experiment:
    """Nothing, Cutout, Mixup, CutMix and both, with and without smoothing, on both sets: chapter 3."""
    found: Experiment = {}
    for recipe, size in ((fashion, 14), (emoji, 16)):
        ways = {
            "plain": None,
            "cutout": partial(cutout, size=size),
            "mixup": partial(mixup, alpha=1.0),
            "cutmix": RandomMix([partial(cutmix, alpha=1.0)], p=0.5),
            "both": RandomMix([partial(mixup, alpha=1.0), partial(cutmix, alpha=1.0)]),
        }
        setting = partial(recipe, width=8, examine=partial(examine, data=recipe.__name__))
        for smoothing in (0.0, 0.1):
            for way, mix in ways.items():
                name = f"boxes-{recipe.__name__}-{way}" + ("-smoothed" if smoothing else "")
                found[name] = partial(setting, mix=mix, smoothing=smoothing)
    return found
