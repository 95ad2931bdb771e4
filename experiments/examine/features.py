"""What a network's features are worth, by nearest neighbours, a linear probe and fine-tuning: chapter 7."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from experiments.training import fine_tune
from mixlearn.core.checks import is_count
from mixlearn.data import load
from mixlearn.data.sets import Data, ImageSet
from mixlearn.measure import evaluate, features_of, knn_accuracy
from mixlearn.methods.augment import crop_and_flip
from mixlearn.train.finetune import linear_layer


def examine_features(
    net: nn.Module,
    *,
    data: str | Data[ImageSet],
    images: int | None = 7200,
    k: Sequence[int] = (20, 1),
    epochs: int = 100,
    tune: int = 0,
    tune_images: int | None = None,
    tune_lr: float = 8e-3,
    decay: float = 0.75,
) -> dict[str, dict[str, float]]:
    """Three evaluations of a representation, for one trained network.

    Each learns from training images with their labels and is measured on the first test set. The choice of
    images, first weights and order are the same for each network.

    Args:
        net: with a tap "pool", whose features are looked at. Not changed.
        data: "fashion" or "emoji", or a loaded set whose images are in memory.
        images: a stratified choice of so many training images, by default as many as Emoji Scenes has; None
            takes all.
        k: how many neighbours vote.
        epochs: of the linear probe, on standardised features, without augmentation.
        tune: epochs of fine-tuning, which takes the longest by far; 0 leaves it out. Images in colour are
            cropped and flipped.
        tune_images: a stratified choice of so many training images to fine-tune on; None takes `images`.
        tune_lr, decay: learning rate at 256 images a step (here are 64) and its layer decay, as for
            `fine_tune`.

    Returns:
        `knn` ("k=20" and so on: accuracies), `linear` and, where asked for, `tuned` (`accuracy`, `nll`, `ece`
        and `gap`).

    Raises:
        ValueError: another data set, a network without the tap, and as for the three evaluations.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 10, width=4, channels=1)
    >>> list(examine_features(net, data="fashion", images=100, epochs=1))
    ['knn', 'linear']
    """
    if isinstance(data, str) and data not in ("fashion", "emoji"):
        raise ValueError(f"data must be 'fashion' or 'emoji', or a loaded set, got {data!r}")
    if not is_count(tune, 0):
        raise ValueError(f"tune must be a number of epochs, 0 or more, got {tune!r}")
    colour = data == "emoji" if isinstance(data, str) else len(data.mean) == 3
    loaded: Any = load(data) if isinstance(data, str) else data
    first = torch.Generator().manual_seed(0)
    train = loaded.train if images is None else loaded.train.subset(images, generator=first)
    name, test = next(iter(loaded.tests.items()))
    known, seen = features_of(net, train), features_of(net, test)
    voted = knn_accuracy(*known, *seen, k=list(k))
    layer = linear_layer(*known, epochs=epochs, standardise=True)
    found = {
        "knn": {f"k={number}": accuracy for number, accuracy in voted.items()},
        "linear": evaluate(layer, [seen]),
    }
    if tune:
        part: Any = Data(
            loaded.name, loaded.classes, train, {name: test}, loaded.mean, loaded.std, loaded.sha256
        )
        kind = next((p.device.type for p in net.parameters()), "cpu")
        outcome = fine_tune(
            net,
            part,
            images=tune_images,
            epochs=tune,
            batch_size=64,
            lr=tune_lr,
            decay=decay,
            augment=crop_and_flip if colour else None,
            accelerator=kind,
            progress=False,
        )
        found["tuned"] = outcome.final[name]
    return found
