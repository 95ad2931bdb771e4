"""Recipes: whole training runs as plain functions, with the published settings as their defaults.

Each takes the mixing (None trains on the images as they are), a seed, and any option of `fit`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.recipes.automix import automix_cifar100, fine_grained, tiny_imagenet
from experiments.recipes.contrast import pretrain
from experiments.recipes.contrast_full import patchmix_cifar, patchmix_imagenet
from experiments.recipes.large import cifar100_pyramid, imagenet
from experiments.recipes.mixskd import mixskd_cifar100
from experiments.recipes.parts import loaded, weights
from experiments.recipes.small import cifar10_small, offcentre
from experiments.recipes.vit import small_vit
from experiments.training import Mix, Outcome, train
from mixlearn.methods.augment import crop_and_flip
from mixlearn.nets.resnet import preact_resnet, resnet
from mixlearn.train.fit import sgd
from mixlearn.train.schedules import cosine, one_cycle, steps

__all__ = [
    "automix_cifar100",
    "cifar100",
    "cifar100_pyramid",
    "cifar10_paper",
    "cifar10_small",
    "emoji",
    "fashion",
    "fine_grained",
    "imagenet",
    "mixskd_cifar100",
    "offcentre",
    "patchmix_cifar",
    "patchmix_imagenet",
    "pretrain",
    "small_vit",
    "tiny_imagenet",
]


def fashion(
    mix: Mix | None = None,
    *,
    seed: int = 0,
    images: int | None = 2000,
    epochs: int = 40,
    width: int = 16,
    batch_size: int = 64,
    augment: Any = None,
    data: Any = None,
    **options: Any,
) -> Outcome:
    """Fashion-MNIST on a CPU: a ResNet-8 and so few images that it learns them by heart.

    Args:
        mix: such as `ml.mixup` or `partial(ml.mixup, alpha=0.2)`; None trains on the images as they are.
        seed: of the choice of images, the first weights, the order and the draws.
        images: how many training images, the same number of each class; None takes all 60 000.
        epochs, batch_size, augment: as for `fit`.
        width: channels of the first stage.
        data: a loaded data set to use in place of `ml.data.load("fashion")`.
        options: any other option of `fit`.

    Source: settings of this book.
    """
    given = {"images": images, "epochs": epochs, "batch_size": batch_size, "augment": augment}
    return _resnet8(loaded("fashion", data), mix, 1, width, seed, given | options)


def emoji(
    mix: Mix | None = None,
    *,
    seed: int = 0,
    images: int | None = None,
    epochs: int = 15,
    width: int = 16,
    batch_size: int = 64,
    augment: Any = crop_and_flip,
    data: Any = None,
    **options: Any,
) -> Outcome:
    """Emoji Scenes at 32 × 32 on a CPU: a ResNet-8, one-cycle SGD, random crops and flips.

    Args:
        mix, seed, images, epochs, width, batch_size, augment, data, options: as for `fashion`.

    Source: settings of this book.
    """
    given = {"images": images, "epochs": epochs, "batch_size": batch_size, "augment": augment}
    return _resnet8(loaded("emoji", data), mix, 3, width, seed, given | options)


def _resnet8(
    data: Any, mix: Mix | None, channels: int, width: int, seed: int, options: dict[str, Any]
) -> Outcome:
    """What the two recipes of the shipped sets share: the network and one-cycle SGD."""
    net = resnet(8, len(data.classes), width=width, channels=channels, generator=weights(seed))
    optimizer = partial(sgd, lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    network = f"ResNet-8, width {width}"
    return train(
        net, data, mix, network=network, seed=seed, optimizer=optimizer, schedule=one_cycle, **options
    )


def cifar100(
    mix: Mix | None = None,
    *,
    seed: int = 0,
    epochs: int = 200,
    batch_size: int = 100,
    width: int = 64,
    data: Any = None,
    **options: Any,
) -> Outcome:
    """CIFAR-100 with a ResNet-18, the setting of OpenMixup's tables (Mixup with α = 1).

    SGD at 0.1 with momentum 0.9 and weight decay 1e-4, cosine to 0, crops with reflected borders and flips.

    Args:
        mix, seed, epochs, batch_size, width, data, options: as for `fashion`.

    Source: OpenMixup, configs of CIFAR-100 (Li et al., *OpenMixup*, 2022).
    """
    data = loaded("cifar100", data)
    classes = len(data.classes)
    net = resnet(18, classes, width=width, zero_init=True, generator=weights(seed))
    given: dict[str, Any] = {
        "augment": partial(crop_and_flip, mode="reflect"),
        "optimizer": partial(sgd, lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=False),
        "schedule": cosine,
    }
    return train(
        net,
        data,
        mix,
        network=f"ResNet-18, width {width}",
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        **given | options,
    )


def cifar10_paper(
    mix: Mix | None = None,
    *,
    seed: int = 0,
    epochs: int = 200,
    batch_size: int = 128,
    width: int = 64,
    data: Any = None,
    **options: Any,
) -> Outcome:
    """CIFAR-10 with a PreAct ResNet-18, the setting of the Mixup paper (α = 1).

    SGD at 0.1 with momentum 0.9 and weight decay 1e-4, divided by ten after epochs 100 and 150 of 200.

    Args:
        mix, seed, epochs, batch_size, width, data, options: as for `fashion`.

    Source: Zhang et al., *mixup*, ICLR 2018, section 3.2, and the authors' published code.
    """
    data = loaded("cifar10", data)
    net = preact_resnet(18, len(data.classes), width=width, generator=weights(seed))
    given: dict[str, Any] = {
        "augment": crop_and_flip,
        "optimizer": partial(sgd, lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=False),
        "schedule": steps,
    }
    return train(
        net,
        data,
        mix,
        network=f"PreAct ResNet-18, width {width}",
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        **given | options,
    )
