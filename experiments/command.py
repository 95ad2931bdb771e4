"""The command line: train, runs, info."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments import recipes
from experiments.chapters import EXPERIMENTS, Experiment
from experiments.records import environment, record
from experiments.training import Outcome
from mixlearn.core.checks import check_alpha
from mixlearn.methods.mixup import mixup
from mixlearn.train import records as runs
from mixlearn.train.records import shown


# ----------------------------------------------------------------------------------------------- settings
def named(name: str) -> Callable[..., Outcome] | None:
    """The recipe of this name, or the setting of the record that bears it; None if there is none.

    >>> named("contrast-fashion-vit-moco").keywords["network"]
    'vit'
    """
    if name in recipes.__all__:
        recipe: Callable[..., Outcome] = getattr(recipes, name)
        return recipe
    return next((settings[name] for settings in EXPERIMENTS.values() if name in settings), None)


def _needed(name: str, options: dict[str, Any]) -> Callable[..., Outcome]:
    """`named`, or an error; and a setting must take the options that are not None."""
    function = named(name)
    if function is None:
        known = ", ".join((*EXPERIMENTS, *recipes.__all__))
        raise ValueError(
            f"recipe must be one of {known}, or the name of an experiment's record, got {name!r}"
        )
    parameters = inspect.signature(function).parameters
    for key, value in options.items():
        if value is not None and key not in parameters:
            raise ValueError(f"the recipe {name} takes no --{key.replace('_', '-')}")
    return function


# ------------------------------------------------------------------------------------------- command line
app = typer.Typer(
    help="Train networks with image mixing, and read the run records of the book.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
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
    function = _needed(target, given)
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
