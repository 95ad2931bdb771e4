"""The commands behind `python -m mixlearn`."""

from __future__ import annotations

import inspect
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from mixlearn.core.checks import check_alpha
from mixlearn.lab import experiments, recipes, results, runs
from mixlearn.lab.cards import Card, shown
from mixlearn.lab.console_probe import probe
from mixlearn.lab.environment import environment
from mixlearn.lab.named import named
from mixlearn.lab.recording import record
from mixlearn.lab.trained import trained
from mixlearn.methods.mixup import mixup

app = typer.Typer(
    name="mixlearn",
    help="Train networks with image mixing, measure them, and read the run records of the book.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

_RECIPES = list(recipes.__all__)
_TARGETS = f"Experiments: {', '.join(experiments.__all__)}. Recipes: {', '.join(_RECIPES)}."


@app.command(epilog=_TARGETS)
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe, an experiment, or one of its records.")],
    seeds: Annotated[list[int], typer.Option(help="One or more: --seeds 0 1 2.")] = [0],  # noqa: B006
    alpha: Annotated[
        float | None, typer.Option(help="Train a recipe with Mixup at this α; else without.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of a recipe's record.")] = None,
    epochs: Annotated[int | None, typer.Option(help="In place of the recipe's own.")] = None,
    images: Annotated[int | None, typer.Option(help="How many training images to choose.")] = None,
    width: Annotated[int | None, typer.Option(help="Channels of the network's first stage.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    precision: Annotated[str, typer.Option(help="32-true, bf16-mixed or 16-mixed.")] = "32-true",
    accelerator: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    devices: Annotated[int, typer.Option(help="Processes on this machine.")] = 1,
    strategy: Annotated[str, typer.Option(help="As for Lightning Fabric, such as ddp.")] = "auto",
    root: Annotated[Path | None, typer.Option(help="Folder of a set that is not shipped.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the records; else book/results.")] = None,
    unfinished: Annotated[Path, typer.Option(help="Folder that keeps runs not finished.")] = Path(
        "checkpoints"
    ),
    keep: Annotated[bool, typer.Option(help="Keep the checkpoints of finished runs too.")] = False,
    again: Annotated[bool, typer.Option(help="Begin anew where a record is there already.")] = False,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Train once a seed and write a run record. The same command goes on where it was stopped."""
    facts = environment("cpu" if accelerator == "cpu" else None)
    given = {"epochs": epochs, "images": images, "width": width, "batch_size": batch_size, "root": root}
    options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    options |= {"precision": precision, "accelerator": accelerator, "devices": devices, "strategy": strategy}
    if not progress:
        options["progress"] = False
    for title, setting in _chosen(recipe, alpha, name, given).items():
        found = record(
            title,
            setting,
            seeds,
            command=_command(),
            facts=facts,
            where=out,
            again=again,
            checkpoints=unfinished,
            keep=keep,
            **options,
        )
        line = ", ".join(f"{key} {value}" for key, value in Card(found).measures())
        typer.echo(f"{title}: {line} ({len(found.runs)} seeds)")


@app.command()
def evaluate(
    recipe: Annotated[str, typer.Argument(help="The recipe or record that made the checkpoint.")],
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint kept by `train --keep`.")],
    width: Annotated[int | None, typer.Option(help="If it was not the recipe's own.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of a set that is not shipped.")] = None,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Measure a trained network on every test set of its data: accuracy, NLL, ECE and signed gap."""
    outcome = trained(recipe, checkpoint, width=width, root=root, accelerator=accelerator)
    for part, measures in outcome.final.items():
        typer.echo(f"{part}: " + ", ".join(f"{key} {value:.4f}" for key, value in measures.items()))


app.command()(probe)


@app.command("runs")
def show_runs(
    name: Annotated[str | None, typer.Argument(help="A record; without it, all of them.")] = None,
    where: Annotated[Path | None, typer.Option(help="Folder of the records; else the book's.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write the results page to this Markdown file.")] = None,
) -> None:
    """Show the run records: one as a card, or all in a line each."""
    if page is not None:
        page.write_text(results.page(runs.all(where)), encoding="utf-8")
        typer.echo(f"wrote {page.name} from {len(runs.names(where))} run records")
    elif name is not None:
        typer.echo(str(runs.load(name, where).card()))
    else:
        found = runs.all(where)
        for one in found:
            whole = one.summary
            judge = next((key for key in whole if key.endswith("/accuracy")), None)
            words = "" if judge is None else f"  {judge.replace('/', ': ')} {shown(judge, whole[judge])} %"
            typer.echo(f"{one.name}: seeds {', '.join(map(str, one.seeds))}{words}")
        if not found:
            typer.echo(
                "no run records yet; `python -m mixlearn train embedded --seeds 0 1 2` makes the first"
            )


@app.command()
def info() -> None:
    """Print what this environment is: versions, device, threads, commit."""
    for key, value in environment().items():
        typer.echo(f"{key}: {value}")


def _chosen(
    target: str, alpha: float | None, name: str | None, given: dict[str, Any]
) -> experiments.Experiment:
    """The settings to train, by the names of their records."""
    if target in experiments.__all__:
        if alpha is not None or name is not None:
            raise ValueError(f"{target} is an experiment: it sets α and names itself")
        chosen: experiments.Experiment = getattr(experiments, target)()
        return chosen
    function = named(target)
    if function is None:
        raise ValueError(
            f"recipe must be one of {', '.join((*experiments.__all__, *_RECIPES))}, or the name of an "
            f"experiment's record, got {target!r}"
        )
    known = inspect.signature(function).parameters
    for key, value in given.items():
        if value is not None and key not in known:
            raise ValueError(f"the recipe {target} takes no --{key.replace('_', '-')}")
    if target not in _RECIPES:
        if alpha is not None or name is not None:
            raise ValueError(f"{target} is of an experiment: it sets α and names itself")
        return {target: function}
    if alpha is None:
        mixes = known["mix"].default is not None  # of its own accord
        return {name or (target if mixes else f"{target}-plain"): function}
    return {name or f"{target}-mixup": partial(function, mix=partial(mixup, alpha=check_alpha(alpha)))}


def _command() -> str:
    """What was typed, without the folders of this machine."""
    words = [
        re.sub(r"^(--[\w-]+=)?.*/", r"\1", word) if os.path.isabs(word) else word for word in sys.argv[1:]
    ]
    return " ".join(["python -m mixlearn", *words])
