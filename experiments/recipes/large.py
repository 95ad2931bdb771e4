"""Recipes of large runs, meant for accelerators; used through `experiments.recipes`."""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.recipes.parts import loaded, loaders, weights
from experiments.training import Mix, Outcome, train
from mixlearn.core.checks import in_words
from mixlearn.methods.augment import crop_and_flip
from mixlearn.nets import imagenet_stem, pyramidnet
from mixlearn.nets.drops import Drop
from mixlearn.nets.resnet import resnet
from mixlearn.train.fit import sgd
from mixlearn.train.schedules import cosine, steps


def cifar100_pyramid(
    mix: Mix | None = None,
    *,
    seed: int = 0,
    epochs: int = 300,
    batch_size: int = 64,
    depth: int = 200,
    alpha: float = 240,
    bottleneck: bool = True,
    drop: Drop | None = None,
    drop_survival: float = 0.5,
    data: Any = None,
    **options: Any,
) -> Outcome:
    """CIFAR-100 with PyramidNet-200, the setting of the CutMix paper (CutMix with α = 1 on half the batches).

    SGD at 0.25 with Nesterov momentum 0.9 and weight decay 1e-4, divided by ten after epochs 150 and 225
    of 300, crops and flips. The paper's lighter network is `depth=110, alpha=64`; with ShakeDrop it is
    `drop=ShakeDrop`.

    Args:
        mix, seed, epochs, batch_size, data, options: as for `fashion`.
        depth, alpha, bottleneck, drop, drop_survival: as for `pyramidnet`.

    Source: Yun et al., *CutMix*, ICCV 2019, section 4.2, and the authors' published code.
    """
    data = loaded("cifar100", data)
    net = pyramidnet(
        depth,
        len(data.classes),
        alpha=alpha,
        bottleneck=bottleneck,
        drop=drop,
        drop_survival=drop_survival,
        generator=weights(seed),
    )
    network = f"PyramidNet-{depth}, widening {alpha}" + ("" if bottleneck else ", without bottlenecks")
    if drop is not None:
        network += f", {in_words(drop)} down to {drop_survival}"
    given: dict[str, Any] = {
        "augment": crop_and_flip,
        "optimizer": partial(sgd, lr=0.25, momentum=0.9, weight_decay=1e-4, nesterov=True),
        "schedule": steps,
    }
    return train(
        net,
        data,
        mix,
        network=network,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        **given | options,
    )


def imagenet(
    mix: Mix | None = None,
    *,
    root: Any = None,
    seed: int = 0,
    epochs: int = 100,
    batch_size: int = 256,
    depth: int = 50,
    width: int = 64,
    workers: int = 8,
    data: Any = None,
    **options: Any,
) -> Outcome:
    """ImageNet with a ResNet-50, the setting of OpenMixup's tables (Mixup with α = 0.2).

    SGD at 0.1 for 256 images a step, weight decay 1e-4, cosine to 0; the folder's own crops and flips. The
    same tables train AutoMix so, with `mix=partial(AutoMix, momentum=partial(slow_down, end=0.99999))` and
    `block={"schedule": partial(cosine, floor=0.01)}`, the latter with `"momentum": 0.0` too for ResNet-50 and
    100 epochs. MixSKD's paper takes `epochs=305, batch_size=128, schedule=partial(cosine, warmup=5 / 305)`.

    Args:
        mix, seed, epochs, batch_size, width, data, options: as for `fashion`.
        root: the folder that holds `train` and `val`.
        depth: 18, 34, 50 or 101.
        workers: processes that read images.

    Source: OpenMixup, configs of ImageNet (Li et al., *OpenMixup*, 2022).
    """
    data = loaded("imagenet-folder", data, root=root)
    net = resnet(
        depth, len(data.classes), width=width, stem=imagenet_stem, zero_init=True, generator=weights(seed)
    )
    given: dict[str, Any] = {
        "optimizer": partial(sgd, lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=False),
        "schedule": cosine,
    }
    return train(
        net,
        data,
        mix,
        network=f"ResNet-{depth}, width {width}",
        **loaders(data, batch_size, workers, options.get("devices", 1)),
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        **given | options,
    )
