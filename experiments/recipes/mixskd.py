"""MixSKD on CIFAR-100 with the published settings; used through `experiments.recipes`."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from experiments.nets import wide_resnet
from experiments.recipes.parts import loaded, weights
from experiments.training import Mix, Outcome, train
from mixlearn.methods.augment import crop_and_flip
from mixlearn.methods.mixskd import MixSKD
from mixlearn.nets.resnet import resnet
from mixlearn.train.fit import sgd
from mixlearn.train.schedules import steps

WARM, MARKS, WHOLE = 5, (105, 155), 205  # epochs of warm-up, when the rate falls, and all
DEPTHS = {"resnet18": 18, "resnet50": 50}


def mixskd_cifar100(
    mix: Mix | None | Any = MixSKD,
    *,
    network: str = "resnet18",
    seed: int = 0,
    epochs: int = 205,
    batch_size: int = 64,
    width: int | None = None,
    data: Any = None,
    **options: Any,
) -> Outcome:
    """CIFAR-100 with MixSKD in a ResNet-18, a ResNet-50 or a WRN-16-2.

    SGD at 0.1 with Nesterov momentum 0.9 and weight decay 5e-4; five epochs of warm-up, then 200, the rate
    divided by ten after 100 and 150 of them; crops and flips.

    Args:
        mix: `MixSKD` or a partial of it, such as `partial(MixSKD, alpha=0.4)`, the released default of α; any
            other mixing as for `fashion`. The published baselines have batches of 128 and 200 epochs in all.
        network: "resnet18", "resnet50" or "wrn16-2".
        width: channels of the first stage in place of 64; of WRN how many times 16, in place of 2.
        seed, epochs, batch_size, data, options: as for `fashion`.

    Raises:
        ValueError: another network.

    Source: Yang et al., *MixSKD*, ECCV 2022, and the authors' published code, Self-KD-Lib.
    """
    data = loaded("cifar100", data)
    classes, first = len(data.classes), weights(seed)
    if network == "wrn16-2":
        times = 2 if width is None else width
        net: nn.Module
        net, words = wide_resnet(16, classes, width=times, generator=first), f"WRN-16-{times}"
    elif network in DEPTHS:
        depth, width = DEPTHS[network], 64 if width is None else width
        net, words = resnet(depth, classes, width=width, generator=first), f"ResNet-{depth}, width {width}"
    else:
        raise ValueError(f"network must be one of {', '.join(DEPTHS)}, wrn16-2, got {network!r}")
    fall = partial(steps, at=tuple(mark / WHOLE for mark in MARKS), warmup=WARM / WHOLE)
    given: dict[str, Any] = {
        "optimizer": partial(sgd, lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
        "schedule": fall,
        "augment": crop_and_flip,
    }
    return train(
        net,
        data,
        mix,
        network=words,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        **given | options,
    )
