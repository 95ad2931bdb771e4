"""Recipes with published settings at full size; their common arguments are those of `recipes`.

Recipes with a learner as their default `mix` tell it where to look and how to make views; options that are
set already, as in `partial(AutoMix, alpha=1.0)`, stay. The folders of pictures take `root`, where the set is,
and `workers`, the processes that read it. An option such as `optimizer` or `schedule` replaces the published.

AutoMix's released code differs from the paper in `batch_mean=True` and `buffers="own"`, on small images in
`fade=False` and `block={"embed": False}` too: set them with `partial`.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from torch import nn

from experiments.data import centre_crop, random_crop
from experiments.examine import examine_features
from experiments.nets import preact_resnet, pyramidnet, resnext, torchvision_resnet, wide_resnet
from experiments.rivals import SimSiam
from experiments.training import Mix, Outcome, loaded, loaders, train, weights
from mixlearn.core.checks import in_words
from mixlearn.methods.augment import contrastive_view, crop_and_flip
from mixlearn.methods.automix import AutoMix
from mixlearn.methods.contrast import Contrast, SimCLR, Unlabelled
from mixlearn.methods.learner import slow_down
from mixlearn.methods.mixskd import MixSKD
from mixlearn.methods.patchmix import PatchMix
from mixlearn.nets import imagenet_stem, resnet, vit
from mixlearn.nets.drops import Drop
from mixlearn.train.finetune import LayerDecay
from mixlearn.train.fit import sgd
from mixlearn.train.schedules import WithDecay, cosine, one_cycle, steps

reflected = partial(crop_and_flip, mode="reflect")
plain_sgd = partial(sgd, lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=False)


# -------------------------------------------------------------------------------------- Mixup and CutMix
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

    Source: Zhang et al., *mixup*, ICLR 2018, section 3.2, and the authors' published code.
    """
    data = loaded("cifar10", data)
    net = preact_resnet(18, len(data.classes), width=width, generator=weights(seed))
    given: dict[str, Any] = {"augment": crop_and_flip, "optimizer": plain_sgd, "schedule": steps}
    given |= {"seed": seed, "epochs": epochs, "batch_size": batch_size} | options
    return train(net, data, mix, network=f"PreAct ResNet-18, width {width}", **given)


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

    The same tables train AutoMix so, with `partial(AutoMix, momentum=partial(slow_down, end=0.99999))` and
    `block={"schedule": partial(cosine, floor=0.01)}`, the latter with `"momentum": 0.0` too for ResNet-50 and
    100 epochs. MixSKD's paper takes `epochs=305, batch_size=128, schedule=partial(cosine, warmup=5 / 305)`.

    Source: OpenMixup, configs of ImageNet (Li et al., *OpenMixup*, 2022).
    """
    data = loaded("imagenet-folder", data, root=root)
    first = weights(seed)
    net = resnet(depth, len(data.classes), width=width, stem=imagenet_stem, zero_init=True, generator=first)
    given: dict[str, Any] = {"optimizer": plain_sgd, "schedule": cosine}
    given |= loaders(data, batch_size, workers, options.get("devices", 1))
    given |= {"seed": seed, "epochs": epochs, "batch_size": batch_size} | options
    return train(net, data, mix, network=f"ResNet-{depth}, width {width}", **given)


# --------------------------------------------------------------------------------------------- AutoMix
class _Setting(NamedTuple):
    """Rates from the first to the last, of all and of the Mix Block, and what else is published with them."""

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
    """CIFAR-100 with AutoMix: "resnet18" or "resnext50" at 0.1, falling to 0.05, or "wrn28-8" at 0.03.

    `width` replaces the 64 channels of the first stage, of a WRN the 8. Tables have 200 to 1200 epochs.

    Source: Liu et al., *AutoMix*, ECCV 2022; the numbers from OpenMixup's configs of AutoMix on CIFAR-100 (Li
    et al., *OpenMixup*, 2022).
    """
    if network not in _CIFAR:
        raise ValueError(f"network must be one of {', '.join(_CIFAR)}, got {network!r}")
    data = loaded("cifar100", data)
    net, words = _for_small_images(network, len(data.classes), width, seed)
    given = {"augment": reflected} | _automix(mix, _CIFAR[network])
    given |= {"seed": seed, "epochs": epochs, "batch_size": batch_size} | options
    return train(net, data, network=words, **given)


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
    """Tiny-ImageNet with "resnet18" or "resnext50" at 0.2, the setting of OpenMixup's tables.

    Cosine to 0, or to 0.05 where a twin predicts; a Mix Block goes from 0.1 to 1e-3.

    Source: OpenMixup, configs of Tiny-ImageNet, with and without AutoMix (Li et al., *OpenMixup*, 2022).
    """
    if network not in ("resnet18", "resnext50"):
        raise ValueError(f"network must be 'resnet18' or 'resnext50', got {network!r}")
    data = loaded("tiny-imagenet", data, root=root, train_transform=random_crop(64))
    net, words = _for_small_images(network, len(data.classes), width, seed)
    given = _automix(mix, _TINY) | loaders(data, batch_size, workers, options.get("devices", 1))
    given |= {"seed": seed, "epochs": epochs, "batch_size": batch_size} | options
    return train(net, data, network=words, **given)


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

    Birds ("cub200") and "aircraft" start from weights of ImageNet, "inaturalist2017", "inaturalist2018",
    "places205" and "places365" from new ones.

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
    words = f"{network}, {'new weights' if learnt is None else f'weights {learnt}'}"
    given = _automix(mix, setting) | loaders(data, batch_size, workers, options.get("devices", 1))
    given |= {"seed": seed, "epochs": epochs or setting.epochs, "batch_size": batch_size} | options
    return train(net, data, network=words, **given)


def _for_small_images(network: str, classes: int, width: int | None, seed: int) -> tuple[nn.Module, str]:
    """A network for small images, and its name for the record."""
    first = weights(seed)
    if network.startswith("wrn"):
        depth, times = (int(number) for number in network.removeprefix("wrn").split("-"))
        times = times if width is None else width
        return wide_resnet(depth, classes, width=times, generator=first), f"WRN-{depth}-{times}"
    width = 64 if width is None else width
    if network == "resnet18":
        return resnet(18, classes, width=width, zero_init=True, generator=first), f"ResNet-18, width {width}"
    each = max(1, width // 16)
    net = resnext(50, classes, group_width=each, width=width, zero_init=True, generator=first)
    return net, f"ResNeXt-50 32×{each}d, width {width}"


def _automix(mix: Any, setting: _Setting) -> dict[str, Any]:
    """What `train` needs of a setting: the mixing that knows where to look, the optimiser, the schedules."""
    base = getattr(mix, "func", mix)
    twin = isinstance(base, type) and issubclass(base, nn.Module)
    given: dict[str, Any] = {"mix": mix}
    if twin:
        known = {"stage": setting.stage, **setting.mixing} if issubclass(base, AutoMix) else {}
        if setting.end != 0.999999:
            known["momentum"] = partial(slow_down, end=setting.end)
        given["mix"] = partial(base, **known | getattr(mix, "keywords", {}))
        if setting.block is not None and issubclass(base, AutoMix):
            rate, last = setting.block
            given["block"] = {"lr": rate, "momentum": setting.block_momentum, "schedule": _down(rate, last)}
    given["optimizer"] = partial(plain_sgd, lr=setting.rate, weight_decay=setting.decay)
    given["schedule"] = _down(setting.rate, setting.last if twin else 0.0)
    return given


def _down(rate: float, last: float) -> Any:
    """A cosine from a rate to the last one."""
    return partial(cosine, floor=last / rate) if last else cosine


# ---------------------------------------------------------------------------------------------- MixSKD
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
    """CIFAR-100 with MixSKD in "resnet18", "resnet50" or "wrn16-2": five epochs of warm-up, then 200.

    The released default of α is `partial(MixSKD, alpha=0.4)`. The published baselines have batches of 128 and
    200 epochs in all.

    Source: Yang et al., *MixSKD*, ECCV 2022, and the authors' published code, Self-KD-Lib.
    """
    if network not in ("resnet18", "resnet50", "wrn16-2"):
        raise ValueError(f"network must be one of resnet18, resnet50, wrn16-2, got {network!r}")
    data = loaded("cifar100", data)
    classes = len(data.classes)
    net: nn.Module
    if network == "wrn16-2":
        net, words = _for_small_images(network, classes, width, seed)
    else:
        depth, width = int(network.removeprefix("resnet")), 64 if width is None else width
        net = resnet(depth, classes, width=width, generator=weights(seed))
        words = f"ResNet-{depth}, width {width}"
    given: dict[str, Any] = {
        "optimizer": partial(sgd, lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
        "schedule": partial(steps, at=(105 / 205, 155 / 205), warmup=5 / 205),
        "augment": crop_and_flip,
    }
    given |= {"seed": seed, "epochs": epochs, "batch_size": batch_size} | options
    return train(net, data, mix, network=words, **given)


# ------------------------------------------------------------------------------- learning without labels
class _Size(NamedTuple):
    """A published transformer: its width and heads, its rate for 256 images, its last weight decay."""

    dim: int
    heads: int
    rate: float
    decay: float


SIZES = {
    "tiny": _Size(192, 3, 2e-3, 0.2),
    "small": _Size(384, 12, 5e-4, 0.4),
    "base": _Size(768, 12, 7.5e-4, 0.4),
}


def patchmix_cifar(
    mix: Any = PatchMix,
    *,
    name: str = "cifar10",
    size: str = "small",
    seed: int = 0,
    epochs: int = 800,
    batch_size: int = 512,
    data: Any = None,
    **options: Any,
) -> Outcome:
    """CIFAR-10 or CIFAR-100 without labels: a "tiny", "small" or "base" ViT with patches of 2 pixels.

    A hundred epochs of warm-up; the weight decay rises tenfold. The smallest has no twin.

    Source: Shen et al., *Inter-Instance Similarity Modeling for Contrastive Learning*, 2023, and the authors'
    code. It drops up to a tenth of the layers at random, here none; it blurs one view always and the other in
    a tenth of the cases, and solarises the latter in a fifth of them, here each view has half of both; it
    normalises by ImageNet's numbers, here by those of the data; it lets the class token and the positions
    decay, here they do not; it smooths the labels of "origin" by 0.1, here `partial(PatchMix,
    origin_smoothing=0.1)` does; it leaves out a last batch that is not whole, and trains in 16 bits
    (`precision="16-mixed"`).
    """
    if name not in ("cifar10", "cifar100"):
        raise ValueError(f"name must be 'cifar10' or 'cifar100', got {name!r}")
    data = loaded(name, data)
    side = int(data.train.images.shape[-1])
    given = _patchmix(mix, size, data, 100 / 800, batch_size, (side, 2), 0.1, seed)
    given["examine"] = partial(examine_features, data=data, images=None)
    return train(data=data, seed=seed, epochs=epochs, batch_size=batch_size, **given | options)


def patchmix_imagenet(
    mix: Any = PatchMix,
    *,
    size: str = "small",
    root: Any = None,
    seed: int = 0,
    epochs: int = 300,
    batch_size: int = 1024,
    workers: int = 8,
    data: Any = None,
    **options: Any,
) -> Outcome:
    """ImageNet without labels: a ViT with patches of 16 pixels, two views of 224 × 224 and eight small crops.

    Ten epochs of warm-up, views of at least 35 % of a picture; the crops are 96 × 96 pixels of 5 to 35 %, and
    `partial(PatchMix, small=None)` saves them and half of the cost. Nothing is measured: keep the checkpoint,
    and go on with `python -m experiments probe`.

    Source: as for `patchmix_cifar`. Views and crops are cut, on the accelerator, from the middle of each
    picture.
    """
    data = loaded("imagenet-folder", data, root=root, train_transform=centre_crop(224))
    small = partial(contrastive_view, mean=data.mean, std=data.std, least=0.05, most=0.35, size=96)
    given = _patchmix(mix, size, data, 10 / 300, batch_size, (224, 16), 0.35, seed, small)
    given |= loaders(data, batch_size, workers, options.get("devices", 1))
    return train(data=data, seed=seed, epochs=epochs, batch_size=batch_size, **given | options)


def _patchmix(
    mix: Any,
    size: str,
    data: Any,
    warmup: float,
    batch_size: int,
    sides: tuple[int, int],
    least: float,
    seed: int,
    small: Any = None,
) -> dict[str, Any]:
    """The network and the rules of learning; `sides` of the image and of a patch, `least` share of a view."""
    if size not in SIZES:
        raise ValueError(f"size must be one of {', '.join(SIZES)}, got {size!r}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be a positive integer, got {batch_size}")
    setting, (side, patch) = SIZES[size], sides
    net = vit(
        len(data.classes),
        size=side,
        patch=patch,
        dim=setting.dim,
        depth=12,
        heads=setting.heads,
        any_size=small is not None,
        generator=weights(seed),
    )
    rate = setting.rate * batch_size / 256
    view = partial(contrastive_view, mean=data.mean, std=data.std, least=least, solarise=0.1)
    wanted: dict[str, Any] = {"momentum": None} if size == "tiny" else {}
    if small is not None:
        wanted["small"] = small
    return {
        "net": net,
        "mix": with_views(mix, view, wanted),
        "network": f"ViT-{size[0].upper()}/{patch}",
        "optimizer": LayerDecay(net, lr=rate, decay=1.0, weight_decay=setting.decay),
        "schedule": WithDecay(
            partial(cosine, warmup=warmup, floor=1e-6 / rate), partial(one_cycle, rise=1.0, start=0.1)
        ),
    }


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
