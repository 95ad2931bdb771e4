"""What all recipes share: choose the images, fit, measure on every test set, and say the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mixlearn.core.mixed import Mixed
from mixlearn.lab.fit import History, Optimizer, fit
from mixlearn.lab.learners import Mixing, Plain
from mixlearn.lab.learners.base import told
from mixlearn.lab.measuring import measure_all
from mixlearn.lab.nets import parameter_count
from mixlearn.lab.parts import block_apart, block_in_words
from mixlearn.lab.schedules import Schedule, Schedules
from mixlearn.lab.words import in_words

Mix = Callable[..., Mixed] | Mixing | Plain
Examine = Callable[[nn.Module], dict[str, dict[str, float]]]


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
    block: Mapping[str, Any] | None = None,
    measure_every: int | None = None,
    smoothing: float = 0.0,
    examine: Examine | None = None,
    untrained: bool = False,
    dry: bool = False,
    **options: Any,
) -> Outcome:
    """What all recipes share: choose the images, fit, and measure on every test set.

    A learner without labels leaves a network that names nothing; that one is left to `examine` too.

    Args:
        net: the network, trained in place.
        data: a loaded data set.
        mix: as for `fashion`.
        network: the network in words, for the record.
        images: a stratified choice of so many training images; None takes all.
        loader, test: DataLoaders in place of `data.train` and `data.tests`.
        block: options of the optimiser for the learner's Mix Block alone, such as {"lr": 0.01}, and its own
            "schedule"; None treats it as all else.
        measure_every: measure the first test set each so many epochs too; None only at the end.
        smoothing: share of each label spread over all classes.
        examine: further measures of the trained network, `examine(net)` → {part: {measure: value}}.
        untrained: do not train; measure the network as it was drawn, by `examine` alone.
        dry: do not train; the outcome holds the settings alone.
        seed, epochs, batch_size, augment, optimizer, schedule, options: as for `fit`.
    """
    if isinstance(mix, nn.Module) and not isinstance(mix, (Mixing, Plain)):
        raise TypeError(
            f"{type(mix).__name__} is built for the network to be trained: give the class, or a partial of it"
        )
    _check_unlabelled(mix, untrained, augment, measure_every, smoothing, block, options)
    choice = torch.Generator().manual_seed(seed)
    train_set = data.train if images is None else data.train.subset(images, generator=choice)
    settings = {
        "network": network,
        "parameters": parameter_count(net),
        "mix": "nothing" if untrained else "none" if mix is None else in_words(mix),
        "images": len(train_set),
        "epochs": epochs,
        "batch_size": batch_size,
        "augment": "none" if augment is None else in_words(augment),
        "optimizer": in_words(optimizer),
        "schedule": in_words(schedule),
        "precision": str(options.get("precision", "32-true")),
    }
    if block is not None:
        settings["block"] = block_in_words(block)
    if smoothing:
        settings["smoothing"] = smoothing
    if options.get("ablate"):
        settings["ablated"] = ", ".join(options["ablate"])
    if examine is not None:
        settings["examined"] = in_words(examine)
    if untrained:
        settings |= {"images": 0, "epochs": 0}
        for key in ("batch_size", "augment", "optimizer", "schedule", "precision"):
            del settings[key]
    source = {"name": str(data.name), "sha256": str(getattr(data, "sha256", ""))}
    if dry:
        return Outcome(net, History(), {}, settings, source)
    if untrained:
        return Outcome(net, History(), {} if examine is None else examine(net), settings, source)
    sets = dict(getattr(data, "tests", None) or {"test": data.test}) if test is None else {"test": test}
    if measure_every is not None:
        options |= {"validate": next(iter(sets.values())), "validate_every": measure_every}
    learner = _learner(mix, net, data, smoothing, seed)
    rates: Schedule | Schedules = schedule
    if block is not None:
        optimizer, rates = block_apart(learner, optimizer, schedule, block)
    alone = batch_size > 1 and len(train_set) % batch_size == 1
    if getattr(learner, "compares", False) and loader is None and alone:
        raise ValueError(
            f"{len(train_set)} images in batches of {batch_size} leave one that nothing can be compared with"
        )
    history = fit(
        net,
        train_set if loader is None else loader,
        learner,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        augment=augment,
        optimizer=optimizer,
        schedule=rates,
        **options,
    )
    if hasattr(learner, "deployed"):  # the part that predicts, declared before training
        net = learner.deployed(net)
    final = {} if _without_labels(mix) else {name: measure_all(net, part) for name, part in sets.items()}
    if examine is not None:
        final |= examine(net)
    return Outcome(net, history, final, settings, source)


def _without_labels(mix: Any) -> bool:
    """Whether a learner never reads a label, so that the network's head says nothing afterwards."""
    return not getattr(getattr(mix, "func", mix), "reads_labels", True)


def _check_unlabelled(
    mix: Any,
    untrained: bool,
    augment: Any,
    measure_every: int | None,
    smoothing: float,
    block: Any,
    options: Mapping[str, Any],
) -> None:
    """Refuse what would be ignored without labels, or without training."""
    given = {"measure_every": measure_every, "validate": options.get("validate"), "augment": augment}
    if untrained:
        given |= {"mix": mix, "smoothing": smoothing, "block": block, "ablate": options.get("ablate")}
    elif not _without_labels(mix):
        return
    useless = [name for name, value in given.items() if value]
    if useless:
        why = (
            "a network that is not trained"
            if untrained
            else "a learner without labels, which makes its views"
        )
        raise ValueError(f"{', '.join(useless)} cannot go with {why}")


def _learner(mix: Mix | None, net: nn.Module, data: Any, smoothing: float, seed: int) -> Any:
    """What trains: a learner that was given, told of classes and smoothing; one that has parts of
    its own, such as `partial(AutoMix, stage="stage3")`, is built for the network."""
    classes = len(data.classes)
    if isinstance(mix, (Mixing, Plain)):
        return told(mix, classes, smoothing)
    kind = getattr(mix, "func", mix)
    if isinstance(kind, type) and issubclass(kind, nn.Module):
        size = _side(data.train)
        first = torch.Generator().manual_seed(seed + 104_729)
        return mix(net, image_size=size, smoothing=smoothing, generator=first)  # type: ignore[misc]
    return Plain(classes, smoothing) if mix is None else Mixing(mix, classes, smoothing)


def _side(images: Any) -> int:
    """Pixels of a side, as the network sees them: of images in memory, else of the first that is read."""
    if hasattr(images, "images"):
        return int(images.images.shape[-1])
    with torch.random.fork_rng(devices=[]):  # what reads it may crop by lot
        return int(images[0][0].shape[-1])
