"""The command line: train, evaluate, probe, runs, info."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch.utils.data import DataLoader

from experiments import recipes
from experiments.chapters import EXPERIMENTS, Experiment
from experiments.records import environment, record
from experiments.training import Outcome, fine_tune, loaders
from mixlearn import data as sets
from mixlearn.core.checks import check_alpha
from mixlearn.measure import evaluate, features_of, knn_accuracy
from mixlearn.measure.evaluate import InMemory
from mixlearn.methods.augment import crop_and_flip
from mixlearn.methods.mixup import mixup
from mixlearn.train import checkpoint as checkpoints
from mixlearn.train import records as runs
from mixlearn.train.finetune import linear_layer
from mixlearn.train.records import shown

ROOT = Path(__file__).resolve().parents[1]
WORKERS = 4  # processes that read pictures from files


# ----------------------------------------------------------------------------------- settings, checkpoints
def named(name: str) -> Callable[..., Outcome] | None:
    """The recipe of this name, or the setting of the record that bears it; None if there is none.

    >>> named("contrast-fashion-vit-moco").keywords["network"]
    'vit'
    """
    if name in recipes.__all__:
        recipe: Callable[..., Outcome] = getattr(recipes, name)
        return recipe
    return next((settings[name] for settings in EXPERIMENTS.values() if name in settings), None)


def _needed(name: str, options: dict[str, Any], more: Sequence[str] = ()) -> Callable[..., Outcome]:
    """`named`, or an error; and a setting must take the options that are not None."""
    function = named(name)
    if function is None:
        known = ", ".join((*more, *recipes.__all__))
        raise ValueError(
            f"recipe must be one of {known}, or the name of an experiment's record, got {name!r}"
        )
    parameters = inspect.signature(function).parameters
    for key, value in options.items():
        if value is not None and key not in parameters:
            raise ValueError(f"the recipe {name} takes no --{key.replace('_', '-')}")
    return function


def trained(recipe: str, checkpoint: Path, *, examined: bool = True, **options: Any) -> Outcome:
    """What the finished run of a recipe, or of a record's setting, left behind; it is only measured again.

    Args:
        checkpoint: one that was kept, as by `python -m experiments train RECIPE --keep`.
        examined: do what the recipe examines of its own accord, such as a linear probe, again too.
        options: of the recipe, where they were not its own; None is left out.
    """
    function = _needed(recipe, {key: options.get(key) for key in ("width", "root")})
    if not checkpoint.exists():
        raise ValueError(f"there is no checkpoint {checkpoint}")
    state = checkpoints.load(checkpoint)
    place, settings = state["place"], state["settings"]
    if place["epoch"] < settings["epochs"]:
        raise ValueError(
            f"{checkpoint.name} has done {place['epoch']} of {settings['epochs']} epochs; finish it"
        )
    parameters = {*inspect.signature(function).parameters, "ema"}
    own = {key: settings[key] for key in ("seed", "epochs", "batch_size", "images", "ema")}
    given = options | {key: value for key, value in own.items() if key in parameters}
    given = {key: value for key, value in given.items() if value is not None}
    if not examined:
        given["examine"] = None
    return function(checkpoint=checkpoint, resume=True, progress=False, **given)


# ------------------------------------------------------------------------------------------- command line
app = typer.Typer(
    help="Train networks with image mixing, measure them, and read the run records of the book.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
Recipe = Annotated[str, typer.Argument(help="The recipe or record that made the checkpoint.")]
Kept = Annotated[Path, typer.Argument(help="A checkpoint kept by `train --keep`.")]
Width = Annotated[int | None, typer.Option(help="Channels of the network's first stage.")]
Root = Annotated[Path | None, typer.Option(help="Folder of a set that is not shipped.")]
Accelerator = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


@app.command(epilog=f"Experiments: {', '.join(EXPERIMENTS)}. Recipes: {', '.join(recipes.__all__)}.")
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe, an experiment, or one of its records.")],
    seeds: Annotated[list[int], typer.Option(help="One or more: --seeds 0 1 2.")] = [0],  # noqa: B006
    alpha: Annotated[
        float | None, typer.Option(help="Train a recipe with Mixup at this α; else without.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of a recipe's record.")] = None,
    epochs: Annotated[int | None, typer.Option(help="In place of the recipe's own.")] = None,
    images: Annotated[int | None, typer.Option(help="How many training images to choose.")] = None,
    width: Width = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    precision: Annotated[str, typer.Option(help="32-true, bf16-mixed or 16-mixed.")] = "32-true",
    accelerator: Accelerator = "auto",
    devices: Annotated[int, typer.Option(help="Processes on this machine.")] = 1,
    strategy: Annotated[str, typer.Option(help="As for Lightning Fabric, such as ddp.")] = "auto",
    root: Root = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the records; else book/results.")] = None,
    unfinished: Annotated[Path, typer.Option(help="Folder that keeps runs not finished.")] = Path(
        "checkpoints"
    ),
    keep: Annotated[bool, typer.Option(help="Keep the checkpoints of finished runs too.")] = False,
    again: Annotated[bool, typer.Option(help="Begin anew where a record is there already.")] = False,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Train once a seed and write a run record. The same command goes on where it was stopped."""
    given = {"epochs": epochs, "images": images, "width": width, "batch_size": batch_size, "root": root}
    options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    options |= {"precision": precision, "accelerator": accelerator, "devices": devices, "strategy": strategy}
    options |= {"where": out, "again": again, "unfinished": unfinished, "keep": keep}
    if not progress:
        options["progress"] = False
    for title, setting in _chosen(recipe, alpha, name, given).items():
        result = record(title, setting, seeds, command=_command(), **options)
        line = ", ".join(f"{key} {value}" for key, value in result.measures())
        typer.echo(f"{title}: {line} ({len(result.runs)} seeds)")


@app.command("evaluate")
def evaluate_checkpoint(
    recipe: Recipe,
    checkpoint: Kept,
    width: Width = None,
    root: Root = None,
    accelerator: Accelerator = "auto",
) -> None:
    """Measure a trained network on every test set of its data: accuracy, NLL, ECE and signed gap."""
    _tell(trained(recipe, checkpoint, width=width, root=root, accelerator=accelerator).final)


class How(str, Enum):
    """What learns from the features."""

    knn = "knn"
    linear = "linear"
    tune = "tune"


@app.command()
def probe(
    recipe: Recipe,
    checkpoint: Kept,
    how: Annotated[
        How,
        typer.Option(
            help="knn: nearest neighbours vote. linear: a linear layer on frozen features. "
            "tune: a copy is trained on, with a new head and layer-decayed rates."
        ),
    ] = How.knn,
    data: Annotated[str | None, typer.Option(help="A data set; else the recipe's own.")] = None,
    images: Annotated[int | None, typer.Option(help="How many training images to choose.")] = None,
    k: Annotated[list[int] | None, typer.Option(help="Neighbours: -k 1 -k 20; else 20.")] = None,
    temperature: Annotated[float, typer.Option(help="Of the neighbours' votes.")] = 0.07,
    stage: Annotated[str, typer.Option(help="The network's tap for knn and linear.")] = "pool",
    standardise: Annotated[bool, typer.Option(help="Of linear: features of mean 0 and deviation 1.")] = False,
    epochs: Annotated[int, typer.Option(help="Of linear and tune.")] = 100,
    batch_size: Annotated[int, typer.Option(help="Images a step, of linear and tune.")] = 256,
    lr: Annotated[
        float | None, typer.Option(help="At 256 images a step; else 0.05 for linear, 0.0005 for tune.")
    ] = None,
    decay: Annotated[float, typer.Option(help="Of the rate from layer to layer, of tune.")] = 0.75,
    crop: Annotated[bool, typer.Option(help="Crop and flip the images, of tune.")] = False,
    seed: Annotated[int, typer.Option(help="Of the choice of images, first weights and order.")] = 0,
    width: Width = None,
    root: Root = None,
    accelerator: Accelerator = "auto",
) -> None:
    """Tell what a network's features are worth: by neighbours, by a linear layer, or trained on.

    The training images of the data set are learnt from with their labels; every test set is measured.
    """
    outcome = trained(recipe, checkpoint, examined=False, width=width, root=root, accelerator=accelerator)
    net, name = outcome.model, data or outcome.data["name"]
    known: Any = sets.load(name) if root is None else sets.load(name, root=root)
    _check_fits(net, known, name, images)
    options: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "seed": seed}
    if how is How.tune:
        options |= {"images": images, "lr": 5e-4 if lr is None else lr, "decay": decay, "progress": False}
        if not isinstance(known.train, InMemory):
            options |= loaders(known, batch_size, WORKERS)
        augment = crop_and_flip if crop else None
        _tell(fine_tune(net, known, augment=augment, accelerator=accelerator, **options).final)
        return
    train = known.train
    if images is not None:
        train = train.subset(images, generator=torch.Generator().manual_seed(seed))
    bank = features_of(net, _batches(train), stage)
    seen = {part: features_of(net, _batches(test), stage) for part, test in known.tests.items()}
    if how is How.linear:
        layer = linear_layer(*bank, lr=0.05 if lr is None else lr, standardise=standardise, **options)
        _tell({part: evaluate(layer, [features]) for part, features in seen.items()})
        return
    for part, features in seen.items():
        votes = knn_accuracy(*bank, *features, k=k or [20], temperature=temperature)
        _tell({part: {f"k={number} accuracy": accuracy for number, accuracy in votes.items()}})


def _tell(final: dict[str, dict[str, float]]) -> None:
    for part, measures in final.items():
        typer.echo(f"{part}: " + ", ".join(f"{key} {value:.4f}" for key, value in measures.items()))


def _batches(part: Any) -> Any:
    """Images in memory as they are; pictures in files by several processes that read them."""
    return part if isinstance(part, InMemory) else DataLoader(part, batch_size=128, num_workers=WORKERS)


def _check_fits(net: torch.nn.Module, data: Any, name: str, images: int | None) -> None:
    """The network must be able to look at the images, and they must be in memory where some are chosen."""
    first = next((weight for weight in net.parameters() if weight.dim() == 4), None)
    channels = data.train[0][0].shape[0]
    if first is not None and first.shape[1] != channels:
        raise ValueError(
            f"the network sees images of {first.shape[1]} channels, those of {name} have {channels}"
        )
    if images is not None and not isinstance(data.train, InMemory):
        raise ValueError(f"--images chooses among images in memory, those of {name} are read from files")


@app.command("runs")
def show_runs(
    name: Annotated[str | None, typer.Argument(help="A record; without it, all of them.")] = None,
    where: Annotated[Path | None, typer.Option(help="Folder of the records; else the book's.")] = None,
) -> None:
    """Show the run records: one as a card, or all in a line each."""
    if name is not None:
        typer.echo(str(runs.load(name, where).card()))
        return
    for one in runs.all(where):
        judge = next((key for key in one.summary if key.endswith("/accuracy")), None)
        words = "" if judge is None else f"  {judge.replace('/', ': ')} {shown(judge, one.summary[judge])} %"
        typer.echo(f"{one.name}: seeds {', '.join(map(str, one.seeds))}{words}")


@app.command()
def info() -> None:
    """Print what this environment is: versions, device, threads, commit."""
    for key, value in environment().items():
        typer.echo(f"{key}: {value}")


def _chosen(target: str, alpha: float | None, name: str | None, given: dict[str, Any]) -> Experiment:
    """The settings to train, by the names of their records."""
    if target not in recipes.__all__ and (alpha is not None or name is not None):
        what = "is an experiment" if target in EXPERIMENTS else "is of an experiment"
        raise ValueError(f"{target} {what}: it sets α and names itself")
    if target in EXPERIMENTS:
        return EXPERIMENTS[target]
    function = _needed(target, given, more=list(EXPERIMENTS))
    if target not in recipes.__all__:
        return {target: function}
    if alpha is None:
        mixes = inspect.signature(function).parameters["mix"].default is not None  # of its own accord
        return {name or (target if mixes else f"{target}-plain"): function}
    return {name or f"{target}-mixup": partial(function, mix=partial(mixup, alpha=check_alpha(alpha)))}


def _command() -> str:
    """What was typed, without the folders of this machine."""
    words = [
        re.sub(r"^(--[\w-]+=)?.*/", r"\1", word) if os.path.isabs(word) else word for word in sys.argv[1:]
    ]
    return " ".join(["python -m experiments", *words])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 if all went well. A user's mistake is answered in one line.

    `python -m experiments automix --seeds 0 1 2` is short for `python -m experiments train automix …`.

    >>> main(["runs", "no-such-run"])
    1
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in (*EXPERIMENTS, *recipes.__all__):
        words.insert(0, "train")
    try:
        return int(app(spread(words), prog_name="python -m experiments", standalone_mode=True) or 0)
    except SystemExit as end:
        return int(end.code or 0) if not isinstance(end.code, str) else 1
    except KeyboardInterrupt as stop:
        print(f"stopped: {stop}" if str(stop) else "stopped", file=sys.stderr)
        return 130
    except (ValueError, TypeError, FloatingPointError, ImportError, OSError, RuntimeError) as wrong:
        print(f"error: {' '.join(str(wrong).split())}", file=sys.stderr)
        return 1


def spread(words: list[str]) -> list[str]:
    """Let one `--seeds` take several numbers.

    >>> spread(["--seeds", "0", "1", "--keep"])
    ['--seeds', '0', '--seeds', '1', '--keep']
    """
    result: list[str] = []
    several = False
    for word in words:
        if word == "--seeds":
            several = True
        elif several and word.lstrip("-").isdigit():
            result += ["--seeds", word]
        else:
            several = False
            result.append(word)
    return result
