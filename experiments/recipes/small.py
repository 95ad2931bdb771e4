"""Small residual networks that a CPU trains, on Off-centre Fashion and on CIFAR-10."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from experiments.recipes.parts import loaded, weights
from experiments.training import Mix, Outcome, train
from mixlearn.methods.augment import crop_and_flip
from mixlearn.nets import cifar_stem, strided_stem
from mixlearn.nets.resnet import resnet
from mixlearn.train.fit import sgd
from mixlearn.train.schedules import one_cycle


def offcentre(
    mix: Mix | None = None,
    *,
    seed: int = 0,
    images: int | None = 5000,
    epochs: int = 60,
    width: int = 16,
    depth: int = 8,
    batch_size: int = 64,
    augment: Any = crop_and_flip,
    data: Any = None,
    **options: Any,
) -> Outcome:
    """Off-centre Fashion on a CPU: a ResNet whose first convolution has stride 2, one-cycle SGD.

    Args:
        mix, seed, epochs, width, batch_size, data, options: as for `fashion`.
        images: how many training images, the same number of each class; None takes all 60 000.
        depth: of the network, see `ml.nets.resnet`.
        augment: crops and flips by default; None trains on the images as they are.

    Source: settings of this book.
    """
    given = {"images": images, "epochs": epochs, "batch_size": batch_size, "augment": augment, "seed": seed}
    return _small(loaded("offcentre", data), mix, depth, width, strided=True, **given | options)


def cifar10_small(
    mix: Mix | None = None,
    *,
    seed: int = 0,
    images: int | None = 5000,
    epochs: int = 60,
    width: int = 16,
    depth: int = 18,
    strided: bool = False,
    batch_size: int = 64,
    augment: Any = crop_and_flip,
    data: Any = None,
    root: str | Path | None = None,
    **options: Any,
) -> Outcome:
    """A part of CIFAR-10 on a CPU: a narrow ResNet-18, one-cycle SGD, crops and flips.

    Args:
        mix, seed, epochs, width, batch_size, data, options: as for `fashion`.
        images, depth, augment: as for `offcentre`.
        strided: whether the first convolution has stride 2, which makes a step four times as fast.
        root: as for `ml.data.load("cifar10")`.

    Source: settings of this book.
    """
    given = {"images": images, "epochs": epochs, "batch_size": batch_size, "augment": augment, "seed": seed}
    return _small(loaded("cifar10", data, root=root), mix, depth, width, strided, **given | options)


def _small(data: Any, mix: Mix | None, depth: int, width: int, strided: bool, **options: Any) -> Outcome:
    stem = strided_stem if strided else cifar_stem
    first = weights(options["seed"])
    net = resnet(depth, len(data.classes), width=width, channels=3, stem=stem, generator=first)
    network = f"ResNet-{depth}, width {width}" + (", stride 2 at first" if strided else "")
    optimizer = partial(sgd, lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    settings: dict[str, Any] = {"optimizer": optimizer, "schedule": one_cycle} | options
    return train(net, data, mix, network=network, **settings)
