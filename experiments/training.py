"""What all experiments share: choose images, fit, measure on every test set, say the settings; fine-tune."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from copy import copy as copied
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mixlearn.core.checks import in_words
from mixlearn.core.plan import Mixed
from mixlearn.methods.learner import Mixing, Plain
from mixlearn.nets.resnet import parameter_count
from mixlearn.train.finetune import LayerDecay, layer_groups, with_new_head
from mixlearn.train.fit import History, Optimizer, fit
from mixlearn.train.measuring import measure_all
from mixlearn.train.schedules import Schedule, Schedules, WithDecay, constant, cosine

Given = TypeVar("Given", bound="Plain | Mixing")


def told(learner: Given, num_classes: int, smoothing: float) -> Given:
    """A copy of a learner that knows the classes and the smoothing of a run.

    Args:
        learner: a `Plain` or a `Mixing` learner.
        num_classes: classes of the data.
        smoothing: share of each label spread over all classes.

    Raises:
        ValueError: smoothing of labels that are the learner's own, or of another share than the learner has.

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


def optimizer_apart(
    parameters: Iterable[Any], *, optimizer: Optimizer, part: nn.Module, **options: Any
) -> torch.optim.Optimizer:
    """An optimiser that treats one part by options of its own: `fit(optimizer=partial(optimizer_apart, …))`.

    Args:
        parameters: all that are trained; `fit` gives them.
        optimizer: makes the optimiser, as for `fit`.
        part: the module that is set apart, such as the `block` of an `AutoMix`.
        options: of the optimiser, for the part alone, such as `lr=0.01, momentum=0.0`.

    Returns:
        An optimiser of two groups, the part's the second.

    Raises:
        ValueError: none of the part's parameters is trained, or the optimiser has no such option.

    >>> net, part = nn.Linear(2, 2), nn.Linear(3, 3)
    >>> both = [*net.parameters(), *part.parameters()]
    >>> made = optimizer_apart(both, optimizer=partial(torch.optim.SGD, lr=0.1), part=part, lr=0.5)
    >>> [(len(group["params"]), group["lr"]) for group in made.param_groups]
    [(2, 0.1), (2, 0.5)]
    """
    chosen, every = {id(one) for one in part.parameters()}, list(parameters)
    own = [one for one in every if id(one) in chosen]
    if not own:
        raise ValueError(f"no parameter of the part {type(part).__name__} is trained")
    made = optimizer(
        [{"params": [one for one in every if id(one) not in chosen]}, {"params": own, **options}]
    )
    unknown = sorted(set(options) - set(made.defaults))
    if unknown:
        raise ValueError(f"{type(made).__name__} takes {', '.join(made.defaults)}, got {unknown[0]}")
    return made


def schedule_apart(step: int, total: int, *, rest: Schedule, part: Schedule) -> tuple[float, float]:
    """Two schedules, the second for the part that `optimizer_apart` sets apart.

    Args:
        step, total: as for `cosine`.
        rest: schedule of all else.
        part: schedule of the part.

    Returns:
        A factor for each group of the optimiser.

    >>> from mixlearn.train.schedules import cosine
    >>> schedule_apart(4, 4, rest=cosine, part=partial(cosine, floor=0.25))
    (0.0, 0.25)
    """
    return rest(step, total), part(step, total)


def block_apart(
    learner: Any, optimizer: Optimizer, schedule: Schedule | None, block: Mapping[str, Any]
) -> tuple[Optimizer, Schedules]:
    """What `fit` needs so that a learner's Mix Block has options of its own.

    Args:
        learner: has a Mix Block under `block`, as `AutoMix` has.
        optimizer, schedule: of all else, as for `fit`.
        block: options of the optimiser for the Mix Block, and its "schedule" if that differs too.

    Raises:
        ValueError: a learner without a Mix Block, a schedule of the weight decay.

    >>> import mixlearn as ml
    >>> learner = ml.learners.AutoMix(ml.nets.resnet(8, 4, width=4), stage="stage2", image_size=8)
    >>> optimizer, schedule = block_apart(learner, torch.optim.SGD, None, {"lr": 0.5})
    >>> optimizer([*learner.mix_head.parameters(), *learner.block.parameters()]).param_groups[1]["lr"]
    0.5
    """
    part = getattr(learner, "block", None)
    if not isinstance(part, nn.Module):
        raise ValueError(f"block holds options of a Mix Block, and {type(learner).__name__} has none")
    options, all_else = dict(block), schedule or constant
    if isinstance(all_else, WithDecay) or isinstance(options.get("schedule"), WithDecay):
        raise ValueError("a Mix Block of its own and a schedule of the weight decay do not go together")
    own = options.pop("schedule", all_else)
    apart = partial(optimizer_apart, optimizer=optimizer, part=part, **options)
    return apart, partial(schedule_apart, rest=all_else, part=own)


def block_in_words(block: Mapping[str, Any]) -> str:
    """A Mix Block's own options, for a record.

    >>> block_in_words({"lr": 0.1, "schedule": partial(constant, warmup=0.5)})
    'lr=0.1, schedule=constant(warmup=0.5)'
    """
    return ", ".join(
        f"{name}={in_words(value) if callable(value) else repr(value)}" for name, value in block.items()
    )


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


def fine_tune(
    net: nn.Module,
    data: Any,
    *,
    mix: Mix | None = None,
    images: int | None = None,
    epochs: int = 100,
    batch_size: int = 256,
    lr: float = 5e-4,
    decay: float = 0.75,
    weight_decay: float = 0.05,
    warmup: float = 0.1,
    smoothing: float = 0.1,
    augment: Callable[..., Tensor] | None = None,
    seed: int = 0,
    **options: Any,
) -> Outcome:
    """Train a copy of a network, with a new head, on labels, and measure it on every test set.

    AdamW, the learning rate smaller from layer to layer towards the image (`layer_groups`), a linear warm-up
    and a cosine down to 0. To compare with training from scratch give a fresh network: the call is the same,
    usually with `decay=1`, since there is nothing yet in the first layers that is to be kept.

    Args:
        net: of `ml.nets`, a `Tapped`, or one of them that predicts by another head. Not changed; weights that
            were not trained before, as those of a momentum network, are trained in the copy.
        data: a loaded data set: `.train`, `.tests`, `.classes`.
        mix: such as `ml.cutmix`, or a learner; None trains on the images as they are.
        images: a stratified choice of so many training images; None takes all.
        epochs: passes over the training images.
        batch_size: images a step.
        lr: the highest learning rate of the head at 256 images a step; it grows in proportion to them.
        decay: of the rate from a layer to the one before, in (0, 1].
        weight_decay: of matrices and filters; biases, scales and positions have none.
        warmup: share of the run in which the rate rises.
        smoothing: share of each label spread over all classes.
        augment: `augment(images, *, generator)` on each batch.
        seed: of the head's first weights, the choice of images, the order and the draws.
        options: any other option of `ml.recipes` or of `ml.fit`, such as `examine=` or `accelerator=`.

    Returns:
        An `Outcome`: the trained copy under `model`, its history, `final` measures on each test set, and the
        settings in words, as a run record wants them.

    Raises:
        TypeError: a network of another kind.
        ValueError: numbers out of range, and what `fit` refuses.

    Source: settings of the authors' code of PatchMix for its ViT-S and ViT-B, from He et al., *Masked
    Autoencoders*, CVPR 2022; it draws RandAugment, and Mixup or CutMix with the same chance, besides.

    >>> from torch.utils.data import TensorDataset
    >>> from types import SimpleNamespace
    >>> import mixlearn as ml
    >>> few = TensorDataset(torch.rand(8, 3, 8, 8), torch.arange(8) % 2)
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> data = SimpleNamespace(name="few", train=few, test=[few[:]], tests=None, classes=("a", "b"))
    >>> outcome = fine_tune(net, data, epochs=1, batch_size=4, progress=False)
    >>> outcome.model.head.out_features, net.head.out_features, list(outcome.final)
    (2, 4, ['test'])
    """
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be positive and finite, got {lr}")
    first = torch.Generator().manual_seed(seed + 7919)
    copy = with_new_head(net, len(data.classes), generator=first)
    layer_groups(copy, decay)  # refuses before any work is done
    return train(
        copy,
        data,
        mix,
        network=f"{type(net).__name__}, fine-tuned",
        images=images,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        augment=augment,
        optimizer=LayerDecay(copy, lr * batch_size / 256, decay, weight_decay),
        schedule=partial(cosine, warmup=warmup),
        smoothing=smoothing,
        **options,
    )
