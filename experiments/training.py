"""What all experiments share: choose images, fit, measure on every test set, put the settings into words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import copy as copied
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.data import DataLoader

from experiments.data import on_black, pictures, with_objects, with_wrong_labels
from mixlearn import data as sets
from mixlearn.core.checks import in_words, takes
from mixlearn.core.plan import Mixed
from mixlearn.methods.learner import Mixing, Plain
from mixlearn.nets.resnet import parameter_count
from mixlearn.train.finetune import LayerDecay, layer_groups, with_new_head
from mixlearn.train.fit import History, Optimizer, fit, torchrun
from mixlearn.train.loaders import measure_all
from mixlearn.train.schedules import Schedule, cosine

Given = TypeVar("Given", bound=Plain)
Mix = Callable[..., Mixed] | Plain
Examine = Callable[[nn.Module], dict[str, dict[str, float]]]


def weights(seed: int) -> torch.Generator:
    """The generator of a network's first weights."""
    return torch.Generator().manual_seed(seed + 7919)


def loaded(name: str, data: Any = None, **options: Any) -> Any:
    """A data set by its name, unless one is given."""
    if data is not None:
        return data
    if name == "garments":
        return on_black(sets.load("offcentre", **options))
    if name == "objects":
        return with_objects(sets.load("offcentre", **options))
    if name.startswith("fashion-wrong-"):
        return with_wrong_labels(sets.load("fashion", **options), int(name.rsplit("-", 1)[1]))
    return pictures(name=name, **options) if name in sets.GONE else sets.load(name, **options)


def loaders(data: Any, batch_size: int, workers: int, devices: Any = 1) -> dict[str, Any]:
    """The `loader` and the `test` of `train` for pictures in files; `batch_size` is that of all processes."""
    spread = torchrun()
    if spread is not None:
        processes = spread[0] * spread[1]
    else:
        processes = devices if isinstance(devices, int) and devices > 0 else max(1, torch.cuda.device_count())
    share, rest = divmod(batch_size, processes)
    if rest or not share:
        raise ValueError(f"batch_size must be a multiple of the number of processes, got {batch_size}")
    return {
        "loader": DataLoader(data.train, batch_size=share, shuffle=True, num_workers=workers, drop_last=True),
        "test": DataLoader(data.test, batch_size=share, num_workers=workers),
    }


# ------------------------------------------------------------------------------------------ what trains
def told(learner: Given, num_classes: int, smoothing: float) -> Given:
    """A copy of a learner that knows the classes and the label smoothing of a run.

    >>> told(Plain(), 4, 0.1)
    Plain(smoothing=0.1)
    """
    name = type(learner).__name__
    if smoothing and not learner.smooths:
        raise ValueError(f"{name}'s targets are its own; smoothing must be 0, got {smoothing}")
    if learner.smoothing not in (0, smoothing):
        raise ValueError(
            f"give smoothing once: it is {smoothing} for the run and {learner.smoothing} in its {name}"
        )
    knowing = copied(learner)
    knowing.num_classes, knowing.smoothing = num_classes, smoothing
    return knowing


def _learner(mix: Mix | None, net: nn.Module, data: Any, smoothing: float, seed: int) -> Any:
    """What trains. One with parts of its own, such as `partial(AutoMix, …)`, is built for the network."""
    classes = len(data.classes)
    if isinstance(mix, Plain):
        return told(mix, classes, smoothing)
    base = getattr(mix, "func", mix)
    if isinstance(base, type) and issubclass(base, nn.Module):
        first = torch.Generator().manual_seed(seed + 104_729)
        given = {"image_size": _side(data.train), "smoothing": smoothing, "generator": first}
        if smoothing and not takes(mix, "smoothing"):
            raise ValueError(f"{base.__name__}'s targets are its own; smoothing must be 0, got {smoothing}")
        return mix(net, **{key: value for key, value in given.items() if takes(mix, key)})  # type: ignore[misc]
    return Plain(classes, smoothing) if mix is None else Mixing(mix, classes, smoothing)


def _side(images: Any) -> int:
    """Pixels of a side, as the network sees them: of images in memory, else of the first that is read."""
    if hasattr(images, "images"):
        return int(images.images.shape[-1])
    with torch.random.fork_rng(devices=[]):  # reading it may crop at random
        return int(images[0][0].shape[-1])


def _without_labels(mix: Any) -> bool:
    """Whether a learner never reads a label, so that the network's head means nothing afterwards."""
    return not getattr(getattr(mix, "func", mix), "reads_labels", True)


# ---------------------------------------------------------------------------------------------- training
@dataclass
class Outcome:
    """A trained network, its history, its final measures on each test set, and the settings in words."""

    model: nn.Module
    history: History
    final: dict[str, dict[str, float]]
    settings: dict[str, Any]
    data: dict[str, str]


def train(
    net: nn.Module,
    data: Any,
    mix: Mix | None = None,
    *,
    network: str,
    images: int | None = None,
    loader: Any = None,
    test: Any = None,
    seed: int = 0,
    epochs: int,
    batch_size: int,
    augment: Any = None,
    optimizer: Optimizer,
    schedule: Schedule,
    measure_every: int | None = None,
    smoothing: float = 0.0,
    examine: Examine | None = None,
    untrained: bool = False,
    dry: bool = False,
    **options: Any,
) -> Outcome:
    """Choose the images, fit, and measure on every test set; a learner without labels is left to `examine`.

    Args:
        net: the network, trained in place; `network` names it in words.
        data: a loaded data set; `loader` and `test` replace its `train` and its `tests`.
        mix: such as `ml.mixup`, a partial of it or a learner; None trains on the images as they are.
        images: a stratified choice of so many training images; None takes all.
        measure_every: measure the first test set each so many epochs too.
        smoothing: share of each label spread over all classes.
        examine: further measures of the trained network, `examine(net)` → {part: {measure: value}}.
        untrained: do not train; measure the network as it was drawn, by `examine` alone.
        dry: do not train; the outcome holds the settings alone.
        seed, epochs, batch_size, augment, optimizer, schedule, options: as for `fit`.
    """
    if isinstance(mix, nn.Module) and not isinstance(mix, Plain):
        raise TypeError(
            f"{type(mix).__name__} is built for the network to be trained: give the class, or a partial of it"
        )
    unread = {"measure_every": measure_every, "validate": options.get("validate"), "augment": augment}
    if untrained:
        unread |= {"mix": mix, "smoothing": smoothing, "ablate": options.get("ablate")}
    _refuse(unread, mix, untrained)
    choice = torch.Generator().manual_seed(seed)
    train_set = data.train if images is None else data.train.subset(images, generator=choice)
    run = {"images": len(train_set), "epochs": epochs, "batch_size": batch_size}
    means = {"augment": augment, "optimizer": optimizer, "schedule": schedule}
    means = {key: "none" if value is None else in_words(value) for key, value in means.items()}
    means["precision"] = str(options.get("precision", "32-true"))
    name = "nothing" if untrained else "none" if mix is None else in_words(mix)
    settings = {"network": network, "parameters": parameter_count(net), "mix": name}
    settings |= {"images": 0, "epochs": 0} if untrained else run | means
    settings |= _special(smoothing, options.get("ablate"), examine)
    outcome = Outcome(
        net, History(), {}, settings, {"name": str(data.name), "sha256": str(getattr(data, "sha256", ""))}
    )
    if dry:
        return outcome
    if not untrained:
        tests = dict(getattr(data, "tests", None) or {"test": data.test}) if test is None else {"test": test}
        if measure_every is not None:
            options |= {"validate": next(iter(tests.values())), "validate_every": measure_every}
        learner = _learner(mix, net, data, smoothing, seed)
        if loader is None:
            _check_last(learner, len(train_set), batch_size)
        options |= {"seed": seed, "epochs": epochs, "batch_size": batch_size, "augment": augment}
        feed = train_set if loader is None else loader
        outcome.history = fit(net, feed, learner, optimizer=optimizer, schedule=schedule, **options)
        if hasattr(learner, "deployed"):  # the part that predicts, declared before training
            outcome.model = learner.deployed(net)
        if not _without_labels(mix):
            outcome.final = {name: measure_all(outcome.model, part) for name, part in tests.items()}
    if examine is not None:
        outcome.final |= examine(outcome.model)
    return outcome


def _special(smoothing: float, ablate: Any, examine: Any) -> dict[str, Any]:
    """The settings that only some runs have."""
    found: dict[str, Any] = {}
    if smoothing:
        found["smoothing"] = smoothing
    if ablate:
        found["ablated"] = ", ".join(ablate)
    if examine is not None:
        found["examined"] = in_words(examine)
    return found


def _refuse(unread: Mapping[str, Any], mix: Any, untrained: bool) -> None:
    """Refuse what would be ignored without labels, or without training."""
    useless = [name for name, value in unread.items() if value]
    if useless and (untrained or _without_labels(mix)):
        why = (
            "a network that is not trained"
            if untrained
            else "a learner without labels, which makes its views"
        )
        raise ValueError(f"{', '.join(useless)} cannot go with {why}")


def _check_last(learner: Any, images: int, batch_size: int) -> None:
    """A learner that compares images needs two in an epoch's last batch."""
    if getattr(learner, "compares", False) and batch_size > 1 and images % batch_size == 1:
        raise ValueError(
            f"{images} images in batches of {batch_size} leave one that nothing can be compared with"
        )


def fine_tune(
    net: nn.Module,
    data: Any,
    *,
    epochs: int = 100,
    batch_size: int = 256,
    lr: float = 5e-4,
    decay: float = 0.75,
    weight_decay: float = 0.05,
    warmup: float = 0.1,
    smoothing: float = 0.1,
    seed: int = 0,
    **options: Any,
) -> Outcome:
    """Train a copy of a network, with a new head, on labels, and measure it on every test set.

    To compare with training from scratch give a fresh network, with `decay=1`.

    Args:
        net: of `ml.nets`, a `Tapped`, or one of them that predicts by another head. Not changed.
        data: a loaded data set: `.train`, `.tests`, `.classes`.
        lr: of the head at 256 images a step, for AdamW; it grows in proportion to them. The rate falls from
            layer to layer towards the image by `decay`; it warms up for the share `warmup` of the run, then
            follows a cosine down to 0.
        weight_decay: of matrices and filters; biases, scales and positions have none.
        epochs, batch_size, smoothing, seed, options: as for `train`.

    Source: settings of the authors' code of PatchMix for its ViT-S and ViT-B, from He et al., *Masked
    Autoencoders*, CVPR 2022; it draws RandAugment, and Mixup or CutMix with the same chance, besides.
    """
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be positive and finite, got {lr}")
    copy = with_new_head(net, len(data.classes), generator=weights(seed))
    layer_groups(copy, decay)  # refuses before any work is done
    return train(
        copy,
        data,
        network=f"{type(net).__name__}, fine-tuned",
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=LayerDecay(copy, lr * batch_size / 256, decay, weight_decay),
        schedule=partial(cosine, warmup=warmup),
        smoothing=smoothing,
        **options,
    )
