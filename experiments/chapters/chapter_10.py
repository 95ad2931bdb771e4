"""Chapter 10: objects in scenes; few, wrong and uneven labels, on Fashion-MNIST.

Few labels: 2,000 images, 40, 250 or 1,000 with a label; all ways take equally many steps. Wrong labels:
half of 1,000. Uneven labels: 1,000 images of the commonest class, 10 of the rarest.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from experiments.data import half_labelled, long_tailed, with_wrong_labels
from experiments.examine import examine_classes, examine_scenes
from experiments.recipes import emoji, fashion
from experiments.training import Outcome, loaded
from mixlearn.measure import predict
from mixlearn.methods.augment import crop_and_flip
from mixlearn.methods.classmix import classmix
from mixlearn.methods.copy_paste import copy_paste
from mixlearn.methods.cowmix import cowmix
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.cutmix_seg import cutmix_seg
from mixlearn.methods.dividemix import clean_probability
from mixlearn.methods.ict import ICT
from mixlearn.methods.learner import Plain
from mixlearn.methods.mixmatch import MixMatch
from mixlearn.methods.mixup import mixup
from mixlearn.methods.mosaic import mosaic
from mixlearn.methods.random_mix import RandomMix
from mixlearn.methods.remix import remix
from mixlearn.methods.unimix import balanced_partner, unimix

by_class = partial(classmix, num_classes=1 + 20)
DETECTED = {"plain": None, "mixup": mixup, "cutmix": cutmix, "mosaic": mosaic, "copy-paste": copy_paste}
SEGMENTED = {"plain": None, "cutmix": cutmix_seg, "classmix": by_class, "copy-paste": copy_paste}
CONSISTENT = {"plain": None, "cutmix": cutmix_seg, "classmix": by_class, "cowmix": cowmix}
TASKS: dict[str, Any] = {
    "detected": {"mixes": DETECTED},
    "segmented": {"mixes": SEGMENTED, "few": 600},
    "segmented-few": {"mixes": SEGMENTED, "few": 60},
    "consistent-few": {"mixes": CONSISTENT, "few": 60, "consistent": True},
}
examined = {task: partial(examine_scenes, **options) for task, options in TASKS.items()}
scenes = {f"scenes-{task}": partial(emoji, width=8, examine=examine) for task, examine in examined.items()}


class Matching(MixMatch):
    """MixMatch with crops and flips for views; at the published weight, 75, so short a training fails."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__(crop_and_flip, weight=10.0, ramp=0.5)


def few_labels(mix: Any = None, *, count: int, seed: int = 0, alone: bool = True, **options: Any) -> Outcome:
    """2,000 images, half of a step with a label; with `alone` only those that have one."""
    data, draws = loaded("fashion"), torch.Generator().manual_seed(seed)
    part = data.train.subset(2000, generator=draws)
    known = part.subset(count, generator=draws)
    data = replace(data, name=f"fashion-few-{count}", train=half_labelled(part, known, alone=alone))
    given: dict[str, Any] = {"augment": crop_and_flip, "epochs": 15, "width": 8, "images": None, "ema": 0.99}
    return fashion(mix, data=data, seed=seed, **given | options)


UNLABELLED: dict[str, dict[str, Any]] = {
    "plain": {},
    "mixup": {"mix": mixup},
    "ict": {"mix": partial(ICT, momentum=0.99), "alone": False, "ema": None},
    "mixmatch": {"mix": Matching, "alone": False, "augment": None},
}
few: dict[str, Any] = {
    f"few-{count}-{way}": partial(few_labels, count=count, **options)
    for count in (40, 250, 1000)
    for way, options in UNLABELLED.items()
}


def split(mix: Any = None, *, seed: int = 0, clean: str = "all", dry: bool = False, **more: Any) -> Outcome:
    """1,000 images, half of the labels random; of those that are not "clean" the label is taken away.

    Args:
        clean: "all"; "true", those that are right; "found", those that `clean_probability` takes to be right
            by the losses of a network that was trained plainly for ten epochs.
        mix: learns without the other labels, unless all are kept.
    """
    data = loaded("fashion")
    right = data.train.subset(1000, generator=torch.Generator().manual_seed(seed))
    data = with_wrong_labels(replace(data, train=right), 50)
    given: dict[str, Any] = {
        "seed": seed,
        "width": 8,
        "images": None,
        "augment": crop_and_flip,
        "ema": 0.99,
    } | more
    if clean != "all":
        kept = data.train.labels == right.labels
        if clean == "found" and not dry:
            net = fashion(data=data, seed=seed, width=8, images=None, epochs=10, progress=False).model
            losses = F.cross_entropy(*predict(net, data.train, batch_size=500), reduction="none")
            kept = clean_probability(losses) > 0.5
        known = data.train.take(kept.nonzero()[:, 0])
        data = replace(data, name=f"{data.name}-{clean}", train=half_labelled(data.train, known))
    given = {"epochs": 40 if clean == "all" else 20} | given
    return fashion(mix, data=data, dry=dry, **given)


DIVIDED: dict[str, dict[str, Any]] = {
    "plain": {},
    "mixup": {"mix": mixup},
    "found": {"mix": Matching, "clean": "found", "augment": None},
    "true": {"mix": Matching, "clean": "true", "augment": None},
}
divided: dict[str, Any] = {f"divide-{way}": partial(split, **options) for way, options in DIVIDED.items()}


COUNTS = tuple(round(1000 * 100 ** (-k / 9)) for k in range(10))


def uneven_labels(mix: Any = None, *, seed: int = 0, **options: Any) -> Outcome:
    """Fashion-MNIST with `COUNTS` images of each class."""
    data = loaded("fashion")
    train = long_tailed(data.train, COUNTS, torch.Generator().manual_seed(seed))
    data = replace(data, name="fashion-tail", train=train)
    examine = partial(examine_classes, data="fashion", counts=COUNTS)
    given: dict[str, Any] = {"images": None, "epochs": 25, "width": 8, "examine": examine}
    return fashion(mix, data=data, seed=seed, **given | options)


def weighted(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy in which each class counts the same."""
    return F.cross_entropy(logits, labels, torch.tensor([100 / count for count in COUNTS]).to(logits))


def balanced(images: torch.Tensor, labels: torch.Tensor, *, generator: Any = None, **options: Any) -> Any:
    """Mixup with partners that favour the rarer classes."""
    partner = balanced_partner(labels, counts=COUNTS, generator=generator)
    return mixup(images, labels, partner=partner, generator=generator, **options)


UNEVEN: dict[str, Any] = {
    "plain": None,
    "weighted": Plain(loss=weighted),
    "mixup": mixup,
    "cutmix": RandomMix([cutmix], p=0.5),
    "remix": partial(remix, counts=COUNTS),
    "remix-cutmix": RandomMix([partial(remix, counts=COUNTS, mix=cutmix)], p=0.5),
    "unimix": partial(unimix, counts=COUNTS),
    "balanced": balanced,
}
uneven: dict[str, Any] = {f"uneven-{way}": partial(uneven_labels, mix) for way, mix in UNEVEN.items()}
