"""The command that tells what a trained network's features are worth: `python -m mixlearn probe`."""

from __future__ import annotations

from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import nn
from torch.utils.data import DataLoader

from mixlearn.lab import data as sets
from mixlearn.lab.augment import crop_and_flip
from mixlearn.lab.probe import linear_layer
from mixlearn.lab.recipes.parts import loaders
from mixlearn.lab.trained import trained
from mixlearn.lab.tuning import fine_tune
from mixlearn.measure import evaluate, features_of, knn_accuracy
from mixlearn.measure.evaluate import InMemory

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
    loaded: Any = sets.load(name) if root is None else sets.load(name, root=root)
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
