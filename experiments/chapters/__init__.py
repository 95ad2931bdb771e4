"""Experiments: several recipes side by side, each with the name its record will bear."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from experiments.chapters.chapter_5 import automix, transfer
from experiments.chapters.chapter_6 import dense, mixskd
from experiments.chapters.chapter_7 import contrast
from experiments.chapters.pilots import pilot_cifar, pilot_offcentre
from experiments.examine.boxes import examine
from experiments.recipes import emoji, fashion, small_vit
from experiments.training import Mix, Outcome
from mixlearn.methods.alignmix import alignmix
from mixlearn.methods.attentivemix import attentivemix
from mixlearn.methods.comixup import comixup
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.cutout import cutout
from mixlearn.methods.fmix import fmix
from mixlearn.methods.gridmix import gridmix
from mixlearn.methods.learners import Guided, MixingInside, TransMixing
from mixlearn.methods.mixup import mixup
from mixlearn.methods.puzzlemix import puzzlemix
from mixlearn.methods.random_mix import RandomMix
from mixlearn.methods.resizemix import resizemix
from mixlearn.methods.saliency import feature_attention
from mixlearn.methods.saliencymix import saliencymix
from mixlearn.methods.smoothmix import smoothmix
from mixlearn.methods.snapmix import snapmix

Experiment = dict[str, Callable[..., Outcome]]

__all__ = [
    "automix",
    "boxes",
    "contrast",
    "dense",
    "embedded",
    "masks",
    "mixskd",
    "pilot_cifar",
    "pilot_offcentre",
    "sweep",
    "transfer",
]


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


def masks() -> Experiment:
    """Every method of chapter 4 on both sets; those that paste do so in half of the batches.

    The networks without mixing, with Mixup and with CutMix are those of `boxes`. A ViT, plain, with CutMix
    and with TransMix, comes last. AlignMix takes fewer steps than published, for a CPU's sake.
    """
    found: Experiment = {}
    for recipe in (fashion, emoji):
        name = recipe.__name__
        for way, mix in _mask_ways().items():
            found[f"masks-{name}-{way}"] = partial(recipe, mix=mix, width=8)
    for name, images, epochs in (("fashion", 2000, 40), ("emoji", None, 15)):
        setting = partial(small_vit, name=name, images=images, epochs=epochs)
        half = RandomMix([cutmix], p=0.5)
        found[f"masks-{name}-vit-plain"] = setting
        found[f"masks-{name}-vit-cutmix"] = partial(setting, mix=half)
        found[f"masks-{name}-vit-transmix"] = partial(setting, mix=TransMixing(half))
    return found


def _mask_ways() -> dict[str, Mix]:
    """The methods by their names, each as its paper uses it but for the odds of one half."""
    pasting = (resizemix, gridmix, fmix, smoothmix, saliencymix, attentivemix)
    ways: dict[str, Mix] = {method.__name__: RandomMix([method], p=0.5) for method in pasting}
    ways["snapmix"] = Guided(snapmix, class_activation)
    ways["puzzlemix"] = Guided(puzzlemix)
    ways["comixup"] = Guided(partial(comixup, part=16))
    ways["manifold"] = MixingInside(partial(mixup, alpha=2.0), ("input", "stage1", "stage2"))
    ways["alignmix"] = MixingInside(
        {"input": partial(mixup, alpha=2.0), "stage3": partial(alignmix, steps=20)}
    )
    return ways


def class_activation(model: Any, images: Tensor, labels: Tensor) -> Tensor:
    """What a network's last features say for each image's own class, as `feature_attention` maps it.

    Args:
        model, images, labels: the network, a batch, and its class ids.

    Returns:
        (B, 1, H, W), at least 0, each map summing to 1.

    >>> import torch
    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 10, width=4)
    >>> images, labels = torch.rand(2, 3, 32, 32), torch.tensor([0, 1])
    >>> maps = class_activation(net, images, labels)
    >>> maps.shape, round(maps.sum().item(), 3)
    (torch.Size([2, 1, 32, 32]), 2.0)
    """
    return feature_attention(model, images, "stage3", labels)
