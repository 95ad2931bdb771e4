"""Recipes with published settings at full size; their common arguments are those of `recipes`.

Those of AutoMix, MixSKD and PatchMix are written out in the last cells of chapters 5 to 7. The folders of
pictures take `root`, where the set is, and `workers`, the processes that read it. An option such as
`optimizer` or `schedule` replaces the published.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.nets import pyramidnet
from experiments.training import Mix, Outcome, loaded, loaders, train, weights
from mixlearn.core.checks import in_words
from mixlearn.methods.augment import crop_and_flip
from mixlearn.nets import imagenet_stem, resnet
from mixlearn.nets.drops import Drop
from mixlearn.train.fit import sgd
from mixlearn.train.schedules import cosine, steps

reflected = partial(crop_and_flip, mode="reflect")
plain_sgd = partial(sgd, lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=False)


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

    Source: OpenMixup, configs of CIFAR-100 (Li et al., *OpenMixup*, 2022).
    """
    data = loaded("cifar100", data)
    net = resnet(18, len(data.classes), width=width, zero_init=True, generator=weights(seed))
    given: dict[str, Any] = {"augment": reflected, "optimizer": plain_sgd, "schedule": cosine}
    given |= {"seed": seed, "epochs": epochs, "batch_size": batch_size} | options
    return train(net, data, mix, network=f"ResNet-18, width {width}", **given)


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

    The paper's lighter network is `depth=110, alpha=64`; with ShakeDrop it is `drop=ShakeDrop`.

    Source: Yun et al., *CutMix*, ICCV 2019, section 4.2, and the authors' published code.
    """
    data = loaded("cifar100", data)
    drops: dict[str, Any] = {"drop": drop, "drop_survival": drop_survival, "generator": weights(seed)}
    net = pyramidnet(depth, len(data.classes), alpha=alpha, bottleneck=bottleneck, **drops)
    network = f"PyramidNet-{depth}, widening {alpha}" + ("" if bottleneck else ", without bottlenecks")
    if drop is not None:
        network += f", {in_words(drop)} down to {drop_survival}"
    optimizer = partial(sgd, lr=0.25, momentum=0.9, weight_decay=1e-4, nesterov=True)
    given: dict[str, Any] = {"augment": crop_and_flip, "optimizer": optimizer, "schedule": steps}
    given |= {"seed": seed, "epochs": epochs, "batch_size": batch_size} | options
    return train(net, data, mix, network=network, **given)


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

    The same tables train AutoMix so, with `partial(AutoMix, momentum=partial(slow_down, end=0.99999))`; its
    Mix Block has a floor of 0.01 under its rate, and for ResNet-50 and 100 epochs no momentum, which this
    recipe leaves out. MixSKD's paper takes 305 epochs, 5 of them of warm-up, in batches of 128.

    Source: OpenMixup, configs of ImageNet (Li et al., *OpenMixup*, 2022).
    """
    data = loaded("imagenet-folder", data, root=root)
    first = weights(seed)
    net = resnet(depth, len(data.classes), width=width, stem=imagenet_stem, zero_init=True, generator=first)
    given: dict[str, Any] = {"optimizer": plain_sgd, "schedule": cosine}
    given |= loaders(data, batch_size, workers, options.get("devices", 1))
    given |= {"seed": seed, "epochs": epochs, "batch_size": batch_size} | options
    return train(net, data, mix, network=f"ResNet-{depth}, width {width}", **given)
