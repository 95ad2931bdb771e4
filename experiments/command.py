"""What a run ran on: the commit, the versions, the device. Nothing that names a machine or a folder."""

from __future__ import annotations

import inspect
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import nn
from torch.utils.data import DataLoader

from experiments import chapters as experiments
from experiments import recipes
from experiments.recipes.parts import loaded as load
from experiments.recipes.parts import loaders
from experiments.training import Outcome, fine_tune
from mixlearn.core.checks import check_alpha
from mixlearn.measure import evaluate, features_of, knn_accuracy
from mixlearn.measure.evaluate import InMemory
from mixlearn.methods.augment import crop_and_flip
from mixlearn.methods.mixup import mixup
from mixlearn.train import checkpoint as checkpoints
from mixlearn.train import records as runs
from mixlearn.train.finetune import linear_layer
from mixlearn.train.records import Card, shown

_ROOT = Path(__file__).resolve().parents[2]


def environment(device: torch.device | str | None = None) -> dict[str, Any]:
    """The facts a run record keeps: commit and whether the code differs from it, versions, device, threads.

    Args:
        device: the device of the run; None takes the accelerator if there is one.

    >>> facts = environment("cpu")
    >>> sorted(facts)
    ['commit', 'cuda', 'device', 'dirty', 'mixlearn', 'python', 'threads', 'torch']
    """
    import mixlearn

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", "mixlearn", "data", "pyproject.toml")
    return {
        "commit": commit,
        "dirty": None if commit is None else bool(changed),
        "mixlearn": mixlearn.__version__,
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda if torch.device(device).type == "cuda" else None,
        "python": platform.python_version(),
        "device": device_name(torch.device(device)),
        "threads": torch.get_num_threads(),
    }


def device_name(device: torch.device) -> str:
    """The maker's name of a device, such as "NVIDIA A100" or "AMD EPYC (CPU)"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()} (CPU)"


def _git(*words: str) -> str | None:
    """The answer of git in the checkout, or None outside one."""
    if not (_ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", *words], cwd=_ROOT, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def record(
    name: str,
    recipe: Callable[..., Outcome],
    seeds: Sequence[int],
    *,
    command: str,
    facts: dict[str, Any] | None = None,
    where: str | os.PathLike[str] | None = None,
    again: bool = False,
    checkpoints: str | os.PathLike[str] | None = None,
    keep: bool = False,
    **options: Any,
) -> runs.Record:
    """Train a recipe once a seed. The record is written after each; seeds it already holds are kept.

    Args:
        name: of the record.
        recipe: `recipe(seed=…, **options)` → `Outcome`.
        seeds: whole numbers.
        command: what to type to get the record again.
        facts: the environment, read before anything else could change; None reads it now.
        where: folder of the record; None takes the book's.
        again: begin a new record in place of one that is there.
        checkpoints: folder that keeps a run which is not finished, so that the same call goes on with it.
        keep: leave the checkpoints of finished runs there.
        options: handed to the recipe.

    Raises:
        RecordError: a record of that name with other settings or other data.
        ValueError: no seeds, or seeds twice.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be one or more different whole numbers, got {list(seeds)}")
    main = int(os.environ.get("RANK", "0")) == 0
    known = facts or environment(_device(options))
    done: list[dict[str, Any]] = []
    if not again and name in runs.names(where):
        old = runs.load(name, where)
        planned = recipe(seed=seeds[0], dry=True, **options)
        for what, now, then in (
            ("settings", planned.settings, old.settings),
            ("data", planned.data, old.data),
        ):
            changed = sorted(key for key in {*now, *then} if now.get(key) != then.get(key))
            if changed:
                key = changed[0]
                raise runs.RecordError(
                    f"the record {name!r} has other {what}: {key} was {then.get(key)!r}, is now "
                    f"{now.get(key)!r}; give it another name, or begin it again"
                )
        done = list(old.runs)
    result = None
    for seed in seeds:
        if any(run["seed"] == seed for run in done):
            continue
        progress: dict[str, Any] = {"progress": f"{name}, seed {seed}"} | options
        file = None if checkpoints is None else Path(checkpoints) / f"{name}-{seed}.pt"
        if file is not None:
            progress |= {"checkpoint": file, "resume": True}
        outcome = recipe(seed=seed, **progress)
        done.append(
            {
                "seed": seed,
                "environment": known,
                "seconds": round(outcome.history.seconds, 2),
                "peak_memory": outcome.history.peak_memory,
                "epochs": [_rounded(epoch) for epoch in outcome.history.epochs],
                "final": outcome.final,
            }
        )
        result = runs.Record(name, command, outcome.settings, outcome.data, tuple(done))
        if main:
            runs.write(result, where)
            if file is not None and not keep and outcome.final:  # else it is all there is
                file.unlink(missing_ok=True)
    return result or runs.load(name, where)


def _device(options: dict[str, Any]) -> str | None:
    return "cpu" if options.get("accelerator") == "cpu" else None


def _rounded(epoch: dict[str, float]) -> dict[str, float]:
    return {name: value if isinstance(value, int) else float(f"{value:.6g}") for name, value in epoch.items()}


def named(name: str) -> Callable[..., Outcome] | None:
    """The recipe of this name, or the setting of an experiment whose record bears it; None if there is none.

    Args:
        name: such as "fashion" or "contrast-fashion-vit-moco".

    >>> named("contrast-fashion-vit-moco").keywords["network"]
    'vit'
    >>> named("nothing of the kind") is None
    True
    """
    if name in recipes.__all__:
        recipe: Callable[..., Outcome] = getattr(recipes, name)
        return recipe
    for each in experiments.__all__:
        settings: experiments.Experiment = getattr(experiments, each)()
        if name in settings:
            return settings[name]
    return None


def trained(recipe: str, checkpoint: Path, *, examined: bool = True, **options: Any) -> Outcome:
    """What a recipe's finished run left behind: the network is not trained, only measured again.

    Args:
        recipe: the name of the recipe that made the checkpoint, or of the experiment's setting.
        checkpoint: one that was kept, as by `python -m mixlearn train RECIPE --keep`.
        examined: do what the recipe examines of its own accord, such as a linear probe, again too.
        options: of the recipe, where they were not its own, such as `width=8`; None is left out.

    Returns:
        The recipe's outcome: the network under `model`, the measures under `final`.

    Raises:
        ValueError: no such recipe or file, an option that the recipe lacks, a run that is not finished.
        CheckpointError: a truncated or foreign checkpoint.
    """
    function = named(recipe)
    if function is None:
        raise ValueError(
            f"recipe must be one of {', '.join(recipes.__all__)}, or the name of an experiment's record, got "
            f"{recipe!r}"
        )
    if not checkpoint.exists():
        raise ValueError(f"there is no checkpoint {checkpoint}")
    state = checkpoints.load(checkpoint)
    place, settings = state["place"], state["settings"]
    if place["epoch"] < settings["epochs"]:
        raise ValueError(
            f"{checkpoint.name} has done {place['epoch']} of {settings['epochs']} epochs; finish it"
        )
    known = inspect.signature(function).parameters
    given = {key: value for key, value in options.items() if value is not None}
    for key in ("width", "root"):
        if key in given and key not in known:
            raise ValueError(f"the recipe {recipe} takes no --{key}")
    kept = {key: settings[key] for key in ("seed", "epochs", "batch_size", "images", "ema")}
    given |= {
        key: value for key, value in kept.items() if value is not None and (key in known or key == "ema")
    }
    if not examined:
        given["examine"] = None
    return function(checkpoint=checkpoint, resume=True, progress=False, **given)


WORKERS = 4  # processes that read pictures from files


class How(str, Enum):
    """What learns from the features."""

    knn = "knn"
    linear = "linear"
    tune = "tune"


def probe(
    recipe: Annotated[str, typer.Argument(help="The recipe or record that made the checkpoint.")],
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint kept by `train --keep`.")],
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
    width: Annotated[int | None, typer.Option(help="If it was not the recipe's own.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of a set that is not shipped.")] = None,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Tell what a network's features are worth: by neighbours, by a linear layer, or trained on.

    The training images of the data set are learnt from with their labels; every test set is measured.
    """
    outcome = trained(recipe, checkpoint, examined=False, width=width, root=root, accelerator=accelerator)
    name = data or outcome.data["name"]
    loaded: Any = load(name, None, **({} if root is None else {"root": root}))
    _fits(outcome.model, loaded.train, name)
    in_memory = isinstance(loaded.train, InMemory)
    if images is not None and not in_memory:
        raise ValueError(f"--images chooses among images in memory, those of {name} are read from files")
    if how is How.tune:
        feeds = {} if in_memory else loaders(loaded, batch_size, WORKERS)
        tuned = fine_tune(
            outcome.model,
            loaded,
            images=images,
            epochs=epochs,
            batch_size=batch_size,
            lr=5e-4 if lr is None else lr,
            decay=decay,
            augment=crop_and_flip if crop else None,
            seed=seed,
            accelerator=accelerator,
            progress=False,
            **feeds,
        )
        found = tuned.final
    else:
        train = loaded.train
        if images is not None:
            train = train.subset(images, generator=torch.Generator().manual_seed(seed))
        known = features_of(outcome.model, _batches(train), stage)
        if how is How.knn:
            judge: Any = partial(_voted, *known, k=k or [20], temperature=temperature)
        else:
            rate = 0.05 if lr is None else lr
            layer = linear_layer(
                *known, epochs=epochs, batch_size=batch_size, lr=rate, standardise=standardise, seed=seed
            )
            judge = partial(_judged, layer)
        found = {
            part: judge(*features_of(outcome.model, _batches(test), stage))
            for part, test in loaded.tests.items()
        }
    for part, measures in found.items():
        typer.echo(f"{part}: " + ", ".join(f"{key} {value:.4f}" for key, value in measures.items()))


def _batches(part: Any) -> Any:
    """Images in memory as they are; pictures in files by several processes that read them."""
    return part if isinstance(part, InMemory) else DataLoader(part, batch_size=128, num_workers=WORKERS)


def _voted(*known_and_seen: Any, k: list[int], temperature: float) -> dict[str, float]:
    said = knn_accuracy(*known_and_seen, k=k, temperature=temperature)
    return {f"k={number} accuracy": accuracy for number, accuracy in said.items()}


def _judged(layer: nn.Linear, features: Any, labels: Any) -> dict[str, float]:
    return evaluate(layer, [(features, labels)])


def _fits(net: nn.Module, train: Any, name: str) -> None:
    """The network must be able to look at the images."""
    first = next((weight for weight in net.parameters() if weight.dim() == 4), None)
    channels = train[0][0].shape[0]
    if first is not None and first.shape[1] != channels:
        raise ValueError(
            f"the network sees images of {first.shape[1]} channels, those of {name} have {channels}"
        )


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


@app.command("evaluate")
def evaluate_checkpoint(
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
        page.write_text(runs.page(runs.all(where)), encoding="utf-8")
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
