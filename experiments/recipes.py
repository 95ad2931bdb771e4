"""Recipes: whole training runs as functions. Those of this book are here, the published ones in `published`.

Each takes the mixing (such as `ml.mixup`, a partial of it or a learner; None trains on the images as they
are), `seed` (of the choice of images, the first weights, the order and the draws), `images` (a stratified
choice of so many training images; None takes all), `data` (a loaded set in place of the named one), and any
option of `train` and of `ml.fit`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.optim import AdamW

from experiments.examine import examine_features
from experiments.nets import Pixels
from experiments.published import cifar100, cifar100_pyramid, imagenet
from experiments.rivals import SimSiam
from experiments.training import Mix, Outcome, loaded, train, weights
from mixlearn.core.checks import in_words
from mixlearn.methods.augment import contrastive_view, crop_and_flip
from mixlearn.methods.contrast import Contrast, SimCLR, Unlabelled
from mixlearn.methods.learner import slow_down
from mixlearn.methods.patchmix import PatchMix
from mixlearn.nets import cifar_stem, strided_stem, vit
from mixlearn.nets.resnet import resnet
from mixlearn.nets.vit import ViT
from mixlearn.train.fit import sgd
from mixlearn.train.schedules import cosine, one_cycle

__all__ = [
    "cifar100",
    "cifar100_pyramid",
    "cifar10_small",
    "emoji",
    "fashion",
    "imagenet",
    "offcentre",
    "pretrain",
    "small_vit",
]


def fashion(
    mix: Mix | None = None,
    *,
    seed: int = 0,
    images: int | None = 2000,
    epochs: int = 40,
    width: int = 16,
    depth: int = 8,
    batch_size: int = 64,
    augment: Any = None,
    name: str = "fashion",
    data: Any = None,
    **options: Any,
) -> Outcome:
    """Fashion-MNIST on a CPU: a ResNet-8 and so few images that it learns them by heart.

    In the set named "fashion-wrong-20", 20 % of the training labels are drawn at random.
    """
    options |= {"images": images, "epochs": epochs, "batch_size": batch_size, "augment": augment}
    return _small(loaded(name, data), mix, depth, width, seed, channels=1, **options)


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
    """Emoji Scenes at 32 × 32 on a CPU: a ResNet-8, random crops and flips."""
    options |= {"images": images, "epochs": epochs, "batch_size": batch_size, "augment": augment}
    return _small(loaded("emoji", data), mix, 8, width, seed, **options)


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
    name: str = "offcentre",
    data: Any = None,
    **options: Any,
) -> Outcome:
    """Off-centre Fashion on a CPU: a ResNet whose first convolution has stride 2, random crops and flips.

    The set named "objects" has the true masks in a fourth channel, for learners that take them.
    """
    options |= {"images": images, "epochs": epochs, "batch_size": batch_size, "augment": augment}
    return _small(loaded(name, data), mix, depth, width, seed, strided=True, **options)


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
    """A part of CIFAR-10 on a CPU: a narrow ResNet-18. With `strided` a step is four times as fast."""
    options |= {"images": images, "epochs": epochs, "batch_size": batch_size, "augment": augment}
    return _small(loaded("cifar10", data, root=root), mix, depth, width, seed, strided=strided, **options)


def _small(
    data: Any,
    mix: Mix | None,
    depth: int,
    width: int,
    seed: int,
    channels: int = 3,
    strided: bool = False,
    drop: Any = None,
    **options: Any,
) -> Outcome:
    """A small ResNet that is trained by one-cycle SGD."""
    given: dict[str, Any] = {"stem": strided_stem if strided else cifar_stem, "generator": weights(seed)}
    net = resnet(depth, len(data.classes), width=width, channels=channels, drop=drop, **given)
    network = f"ResNet-{depth}, width {width}" + (", stride 2 at first" if strided else "")
    network += f", {in_words(drop)}" if drop else ""
    optimizer = partial(sgd, lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    settings: dict[str, Any] = {"optimizer": optimizer, "schedule": one_cycle} | options
    return train(net, data, mix, network=network, seed=seed, **settings)


def small_vit(
    mix: Mix | None = None,
    *,
    name: str = "fashion",
    seed: int = 0,
    images: int | None = None,
    epochs: int = 40,
    batch_size: int = 64,
    data: Any = None,
    **options: Any,
) -> Outcome:
    """A vision transformer on Fashion-MNIST or Emoji Scenes on a CPU, one-cycle AdamW."""
    if name not in ("fashion", "emoji"):
        raise ValueError(f"name must be 'fashion' or 'emoji', got {name!r}")
    colour = name == "emoji"
    data = loaded(name, data)
    net, network = tiny_vit(len(data.classes), colour, weights(seed))
    given: dict[str, Any] = {
        "augment": crop_and_flip if colour else None,
        "optimizer": partial(AdamW, lr=2e-3, weight_decay=0.05),
        "schedule": one_cycle,
    }
    given |= {"images": images, "epochs": epochs, "batch_size": batch_size} | options
    return train(net, data, mix, network=network, seed=seed, **given)


def tiny_vit(
    num_classes: int, colour: bool, generator: torch.Generator, side: int | None = None
) -> tuple[ViT, str]:
    """The transformer of the shipped sets, four layers of 64 numbers a token, and its name in words."""
    usual, channels = (32, 3) if colour else (28, 1)
    net = vit(
        num_classes,
        size=usual if side is None else side,
        dim=64,
        depth=4,
        heads=4,
        channels=channels,
        mlp_ratio=2.0,
        generator=generator,
    )
    return net, "ViT, 4 layers of 64"


def with_views(mix: Any, view: Any, sizes: dict[str, Any]) -> Any:
    """A learner without labels that knows how to make views, and those of `sizes` that it takes.

    >>> sorted(with_views(SimSiam, crop_and_flip, {"outside": 64, "momentum": 0.99}).keywords.items())[1:]
    [('outside', 64), ('predictor', 16)]
    """
    base = getattr(mix, "func", mix)
    if not (isinstance(base, type) and issubclass(base, Unlabelled)):
        words = repr(mix) if isinstance(mix, str) else in_words(mix)
        raise ValueError(f"mix must be a learner without labels, such as PatchMix, or a partial, got {words}")
    wanted = {"augment": view}
    if issubclass(base, Contrast):
        lacking = ("momentum", "predictor") if issubclass(base, (SimCLR, SimSiam)) else ()
        lacking = lacking if issubclass(base, PatchMix) else (*lacking, "small")
        wanted |= {name: value for name, value in sizes.items() if name not in lacking}
    if issubclass(base, SimSiam) and "outside" in wanted:
        wanted["predictor"] = wanted["outside"] // 4  # a bottleneck, as published
    return partial(mix, **wanted | getattr(mix, "keywords", {}))


# A thousand steps in all: a twin with the published memory would be made of its first weights for long.
quick = partial(slow_down, start=0.9, end=0.99, hold=0.0)


def pretrain(
    mix: Any = PatchMix,
    *,
    name: str = "emoji",
    network: str = "resnet8",
    seed: int = 0,
    images: int | None = 7200,
    epochs: int = 20,
    width: int | None = None,
    batch_size: int = 128,
    lr: float = 5e-3,
    data: Any = None,
    **options: Any,
) -> Outcome:
    """Learning without labels on a CPU: a ResNet-8 or a small transformer, AdamW, warm-up and cosine.

    Args:
        mix: a learner without labels, or a partial of one; projectors are small, twins quick and τ is 0.2, as
            far as they are not set. For comparison, None trains the same network with labels; "nothing"
            leaves it as it was drawn.
        name: "fashion", "emoji", "offcentre", or "garments": those of the last on black.
        network: "resnet8", "vit" (`tiny_vit`), or "pixels", which are not trained, as a control.
        width: channels of the ResNet's first stage, in place of 8.
        lr: learning rate.
        seed, images, epochs, batch_size, data, options: as for the other recipes. Without another `examine`
            the features are judged by `examine_features`, on the same data.
    """
    if name not in ("fashion", "emoji", "offcentre", "garments"):
        raise ValueError(f"name must be 'fashion', 'emoji', 'offcentre' or 'garments', got {name!r}")
    untrained = mix == "nothing"
    judged = {"data": name} if data is None else {"data": data, "images": None}
    data, first = loaded(name, data), weights(seed)
    colour, side = len(data.mean) == 3, data.train.images.shape[-1]
    net: Any
    if network == "pixels":
        if not untrained:
            raise ValueError('pixels learn nothing: mix must be "nothing"')
        net, words = Pixels(len(data.mean) * side**2, len(data.classes)), "none: the pixels themselves"
    elif network == "vit":
        if width is not None:
            raise ValueError(f"width is that of a ResNet; the transformer has one size, got {width}")
        net, words = tiny_vit(len(data.classes), colour, first, side)
    elif network == "resnet8":
        width, channels = 8 if width is None else width, 3 if colour else 1
        net = resnet(8, len(data.classes), width=width, channels=channels, generator=first)
        words = f"ResNet-8, width {width}"
    else:
        raise ValueError(f"network must be 'resnet8', 'vit' or 'pixels', got {network!r}")
    if mix is not None and not untrained:
        view = partial(contrastive_view, mean=data.mean, std=data.std)
        sizes = {"hidden": 256, "outside": 64, "predictor": 256, "momentum": quick, "temperature": 0.2}
        learner = with_views(mix, view, sizes)
    else:
        learner = None
    given: dict[str, Any] = {
        "optimizer": partial(AdamW, lr=lr, weight_decay=0.05),
        "schedule": partial(cosine, warmup=0.1),
        "examine": partial(examine_features, **judged),
        "augment": crop_and_flip if colour and mix is None else None,
        "untrained": untrained,
    }
    given |= {"images": images, "epochs": epochs, "batch_size": batch_size} | options
    return train(net, data, learner, network=words, seed=seed, **given)
