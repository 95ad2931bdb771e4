"""How a trained network bears corruptions and attacks, and where it looks: chapter 5."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from experiments.examine.boxes import corrupted_sets
from mixlearn.data import load
from mixlearn.data.sets import Data, ImageSet
from mixlearn.measure import activations, attacked, fgsm, localization, pgd

STEPS = (1, 2, 4, 8)  # of FGSM, in 255ths


def examine_robust(net: nn.Module, *, data: str, images: int = 500) -> dict[str, dict[str, float]]:
    """Corruptions, FGSM, PGD and, where the true boxes are known, localisation, for one trained network.

    Args:
        net: trained on the data set, with taps, "stage3" its last.
        data: "fashion" or "emoji".
        images: how many test images are corrupted and attacked.

    Returns:
        `corrupted` (accuracy under each corruption, mean over severities), `attacked` (accuracy after "fgsm
        ε" and "pgd ε", ε in 255ths; PGD makes ten steps of ε / 4) and, for Emoji Scenes, `located …` for each
        test set (MaxBoxAcc, its threshold, and the share at a fifth of the peak; also where boxes must
        overlap by 0.7 and not 0.5).

    Raises:
        ValueError: another data set.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 10, width=4, channels=1)
    >>> list(examine_robust(net, data="fashion", images=10))
    ['corrupted', 'attacked']
    """
    corrupted = corrupted_sets(data, images)
    robust, few = corrupted.robustness(net), corrupted.clean
    found = {"corrupted": {"accuracy": robust.mean} | {name: robust.of(name) for name in robust.names}}
    found["attacked"] = {
        f"fgsm {step}": attacked(net, few, partial(fgsm, epsilon=step / 255)) for step in STEPS
    }
    for step in STEPS[1:3]:
        again = partial(
            pgd, epsilon=step / 255, step=step / 4 / 255, generator=torch.Generator().manual_seed(0)
        )
        found["attacked"][f"pgd {step}"] = attacked(net, few, again)
    if data == "emoji":
        scenes: Data[ImageSet] = load("emoji")
        for name, part in scenes.tests.items():
            assert part.boxes is not None
            maps = activations(net, part)
            told, strict = localization(maps, part.boxes), localization(maps, part.boxes, overlap=0.7)
            found[f"located {name}"] = {
                "best": told.best,
                "threshold": told.threshold,
                "fixed": told.fixed,
                "best 0.7": strict.best,
                "fixed 0.7": strict.fixed,
            }
    return found
