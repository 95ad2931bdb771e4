"""AutoMix at full size, with the published settings; used through `experiments.recipes`.

`mix` is told where its Mix Block looks and how slow its twin becomes; options that are set already, as in
`partial(AutoMix, alpha=1.0)`, stay. Other mixings train at the same rates, which fall to 0 unless a twin
predicts. An `optimizer`, a `schedule` or a `block` among the options takes the place of the published one.

The released code differs from the paper in `batch_mean=True` and `buffers="own"`, on small images in
`fade=False` and `block={"embed": False}` too: set them with `partial`.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from torch import nn

from experiments.data import random_crop, whole
from experiments.nets import resnext, wide_resnet
from experiments.recipes.parts import loaded, loaders, weights
from experiments.training import Outcome, train
from mixlearn.methods.augment import crop_and_flip
from mixlearn.methods.automix import AutoMix
from mixlearn.methods.learner import slow_down
from mixlearn.nets import torchvision_resnet
from mixlearn.nets.resnet import resnet
from mixlearn.train.fit import sgd
from mixlearn.train.schedules import cosine


class _Setting(NamedTuple):
    """Rates from the first to the last, of all and of the Mix Block, and what else is published beside."""

    rate: float
    last: float
    decay: float = 1e-4
    block: tuple[float, float] | None = None  # None: as all else
    block_momentum: float = 0.9
    stage: str = "stage3"
    end: float = 0.999999  # of the twin's momentum
    epochs: int = 400
    batch_size: int = 100
    network: str = "resnet18"
    least: float = 0.08  # share of a picture that a training view shows
    mixing: dict[str, Any] = {}  # other options of AutoMix


_CIFAR = {
    "resnet18": _Setting(0.1, 0.05),
    "resnext50": _Setting(0.1, 0.05),
    "wrn28-8": _Setting(0.03, 1e-3, 1e-3, (0.03, 1e-3), 0.0, "stage2"),
}
_TINY = _Setting(0.2, 0.05, block=(0.1, 1e-3))
_BIRDS = _Setting(
    1e-3, 0.0, 5e-4, (0.01, 5e-4), end=0.99999, epochs=200, batch_size=16, least=0.5,
    mixing={"fixed_points": False},
)  # fmt: skip
_NATURE = _Setting(0.1, 0.0, block=(0.1, 1e-4), end=0.99999, epochs=100, batch_size=256, network="resnet50")
_FOLDERS = {
    **dict.fromkeys(("cub200", "aircraft"), _BIRDS),
    **dict.fromkeys(("inaturalist2017", "inaturalist2018"), _NATURE),
    **dict.fromkeys(("places205", "places365"), _NATURE._replace(block=(0.1, 1e-3))),
}


def automix_cifar100(
    mix: Any = AutoMix,
    *,
    network: str = "resnet18",
    seed: int = 0,
    epochs: int = 400,
    batch_size: int = 100,
    width: int | None = None,
    data: Any = None,
    **options: Any,
) -> Outcome:
    """CIFAR-100 with AutoMix: ResNet-18 or ResNeXt-50 at 0.1, falling to 0.05, or WRN-28-8 at 0.03.

    SGD with momentum 0.9 and weight decay 1e-4 (WRN: 1e-3, and no momentum for the Mix Block), cosine, crops
    with reflected borders and flips. The Mix Block sees stage 3 (WRN: stage 2).

    Args:
        mix: `AutoMix`, `SAMix` or a partial of either; any other mixing as for `fashion`.
        network: "resnet18", "resnext50" or "wrn28-8".
        width: channels of the first stage in place of 64; of WRN how many times 16, in place of 8.
        seed, epochs, batch_size, data, options: as for `fashion`. Tables have 200, 400, 800 and 1200 epochs.

    Raises:
        ValueError: another network.

    Source: Liu et al., *AutoMix*, ECCV 2022; the numbers from OpenMixup's configs of AutoMix on CIFAR-100 (Li
    et al., *OpenMixup*, 2022).
    """
    if network not in _CIFAR:
        raise ValueError(f"network must be one of {', '.join(_CIFAR)}, got {network!r}")
    data = loaded("cifar100", data)
    net, words = _small(network, len(data.classes), width, seed)
    given = {"augment": partial(crop_and_flip, mode="reflect")} | _told(mix, _CIFAR[network])
    return train(
        net,
        data,
        **given | options,
        network=words,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
    )


def tiny_imagenet(
    mix: Any = None,
    *,
    network: str = "resnet18",
    root: Any = None,
    seed: int = 0,
    epochs: int = 400,
    batch_size: int = 100,
    width: int | None = None,
    workers: int = 8,
    data: Any = None,
    **options: Any,
) -> Outcome:
    """Tiny-ImageNet with a ResNet-18 or a ResNeXt-50 at 0.2, the setting of OpenMixup's tables.

    SGD with momentum 0.9 and weight decay 1e-4, cosine to 0, or to 0.05 where a twin predicts; a Mix Block
    goes from 0.1 to 1e-3. Random parts of 8–100 % made 64 × 64, and flips.

    Args:
        mix: as for `automix_cifar100`; None trains on the images as they are.
        network: "resnet18" or "resnext50".
        root, workers: as for `imagenet`.
        width: channels of the first stage, in place of 64.
        seed, epochs, batch_size, data, options: as for `fashion`.

    Raises:
        ValueError: another network.

    Source: OpenMixup, configs of Tiny-ImageNet, with and without AutoMix (Li et al., *OpenMixup*, 2022).
    """
    if network not in ("resnet18", "resnext50"):
        raise ValueError(f"network must be 'resnet18' or 'resnext50', got {network!r}")
    views = {"train_transform": random_crop(64), "test_transform": whole(64)}
    data = loaded("tiny-imagenet", data, root=root, **views)
    net, words = _small(network, len(data.classes), width, seed)
    return train(
        net,
        data,
        **_told(mix, _TINY) | options,
        **loaders(data, batch_size, workers, options.get("devices", 1)),
        network=words,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
    )


def fine_grained(
    mix: Any = None,
    *,
    name: str = "cub200",
    network: str | None = None,
    root: Any = None,
    seed: int = 0,
    epochs: int | None = None,
    batch_size: int | None = None,
    workers: int = 8,
    data: Any = None,
    **options: Any,
) -> Outcome:
    """Birds, aircraft, iNaturalist or Places with torchvision's networks, as OpenMixup's tables have it.

    Birds and aircraft: weights of ImageNet, SGD at 1e-3 with weight decay 5e-4 on 16 images a step, 200
    epochs; a Mix Block goes from 0.01 to 5e-4, no image is its own partner, and with a ResNeXt the mask loss
    asks for decided masks. The others: new weights, 0.1 with 1e-4 on 256, 100 epochs; a
    Mix Block goes from 0.1 to 1e-4, on Places or in a ResNet-18 to 1e-3. Momentum 0.9, cosine to 0 for all.

    Args:
        mix: as for `automix_cifar100`; None trains on the images as they are.
        name: "cub200", "aircraft", "inaturalist2017", "inaturalist2018", "places205" or "places365", which
            is trained as Places205 is.
        network: as for `torchvision_resnet`, such as "resnext50_32x4d"; None takes "resnet18" for birds and
            aircraft, "resnet50" for the others.
        root, workers: as for `imagenet`.
        epochs, batch_size: in place of the published ones.
        seed, data, options: as for `fashion`.

    Raises:
        ValueError: another name.

    Source: OpenMixup, configs and tables of fine-grained and scene classification, with and without AutoMix
    (Li et al., *OpenMixup*, 2022). Training views of birds and aircraft show 50–100 % of a picture.
    """
    if name not in _FOLDERS:
        raise ValueError(f"name must be one of {', '.join(_FOLDERS)}, got {name!r}")
    setting = _FOLDERS[name]
    network, batch_size = network or setting.network, batch_size or setting.batch_size
    if setting is _NATURE and network == "resnet18":
        setting = setting._replace(block=(0.1, 1e-3))
    if setting is _BIRDS and network.startswith("resnext"):
        setting = setting._replace(mixing=setting.mixing | {"variance": 2.0})
    data = loaded(name, data, root=root, train_transform=random_crop(224, setting.least))
    learnt = "IMAGENET1K_V1" if name in ("cub200", "aircraft") else None
    needed = None if options.get("dry") else learnt  # nothing is downloaded for the sake of the settings
    net = torchvision_resnet(network, len(data.classes), weights=needed, generator=weights(seed))
    return train(
        net,
        data,
        **_told(mix, setting) | options,
        **loaders(data, batch_size, workers, options.get("devices", 1)),
        network=f"{network}, {'new weights' if learnt is None else f'weights {learnt}'}",
        seed=seed,
        epochs=epochs or setting.epochs,
        batch_size=batch_size,
    )


def _small(network: str, classes: int, width: int | None, seed: int) -> tuple[nn.Module, str]:
    """A network for small images, and its name for the record."""
    first = weights(seed)
    if network == "wrn28-8":
        times = 8 if width is None else width
        return wide_resnet(28, classes, width=times, generator=first), f"WRN-28-{times}"
    width = 64 if width is None else width
    if network == "resnet18":
        return resnet(18, classes, width=width, zero_init=True, generator=first), f"ResNet-18, width {width}"
    each = max(1, width // 16)
    net = resnext(50, classes, group_width=each, width=width, zero_init=True, generator=first)
    return net, f"ResNeXt-50 32×{each}d, width {width}"


def _told(mix: Any, setting: _Setting) -> dict[str, Any]:
    """What `train` needs of a setting: the mixing, told where to look, the optimiser and the schedules."""
    kind = getattr(mix, "func", mix)
    twin = isinstance(kind, type) and issubclass(kind, nn.Module)
    told: dict[str, Any] = {"mix": mix}
    if twin:
        known = {"stage": setting.stage, **setting.mixing} if issubclass(kind, AutoMix) else {}
        if setting.end != 0.999999:
            known["momentum"] = partial(slow_down, end=setting.end)
        told["mix"] = partial(kind, **known | getattr(mix, "keywords", {}))
        if setting.block is not None and issubclass(kind, AutoMix):
            rate, last = setting.block
            told["block"] = {"lr": rate, "momentum": setting.block_momentum, "schedule": _down(rate, last)}
    told["optimizer"] = partial(
        sgd, lr=setting.rate, momentum=0.9, weight_decay=setting.decay, nesterov=False
    )
    told["schedule"] = _down(setting.rate, setting.last if twin else 0.0)
    return told


def _down(rate: float, last: float) -> Any:
    """A cosine from a rate to the last one."""
    return partial(cosine, floor=last / rate) if last else cosine
