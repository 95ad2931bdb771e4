"""A small vision transformer on the shipped data, for what only a transformer can show."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.optim import AdamW

from experiments.recipes.parts import loaded, weights
from experiments.training import Mix, Outcome, train
from mixlearn.methods.augment import crop_and_flip
from mixlearn.nets import vit
from mixlearn.nets.vit import ViT
from mixlearn.train.schedules import one_cycle


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
    """A vision transformer on a CPU: four layers of 64 numbers a token, patches of 4 pixels, one-cycle AdamW.

    Args:
        mix: such as `ml.cutmix` or `ml.learners.TransMixing(ml.cutmix)`; None trains on the images as they
            are.
        name: "fashion" or "emoji".
        seed, images, epochs, batch_size, options: as for `fashion`. Emoji Scenes is cropped and flipped.
        data: a loaded data set to use in place of `ml.data.load(name)`.

    Raises:
        ValueError: another name.

    Source: settings of this book.
    """
    if name not in ("fashion", "emoji"):
        raise ValueError(f"name must be 'fashion' or 'emoji', got {name!r}")
    data, colour = loaded(name, data), name == "emoji"
    net, words = tiny_vit(len(data.classes), colour, weights(seed))
    given: dict[str, Any] = {
        "augment": crop_and_flip if colour else None,
        "optimizer": partial(AdamW, lr=2e-3, weight_decay=0.05),
        "schedule": one_cycle,
    }
    return train(
        net,
        data,
        mix,
        network=words,
        seed=seed,
        images=images,
        epochs=epochs,
        batch_size=batch_size,
        **given | options,
    )


def tiny_vit(num_classes: int, colour: bool, generator: torch.Generator) -> tuple[ViT, str]:
    """The transformer of the shipped sets, and its name in words.

    Args:
        num_classes: length of its logits.
        colour: whether it sees Emoji Scenes, else Fashion-MNIST.
        generator: source of its first weights.
    """
    net = vit(
        num_classes,
        size=32 if colour else 28,
        dim=64,
        depth=4,
        heads=4,
        channels=3 if colour else 1,
        mlp_ratio=2.0,
        generator=generator,
    )
    return net, "ViT, 4 layers of 64"
