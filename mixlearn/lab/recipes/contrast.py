"""Learning without labels, on a CPU and at full size; used through `mixlearn.lab.recipes`.

`mix` is a learner of chapter 7 or a partial of one. It is told how to make views of the data and how large
its projector is; options that are set already, as in `partial(PatchMix, parts=4)`, stay.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from torch.optim import AdamW

from mixlearn.lab.augment import crop_and_flip
from mixlearn.lab.data.folders import centre_crop
from mixlearn.lab.examine.features import examine_features
from mixlearn.lab.layer_decay import LayerDecay
from mixlearn.lab.learners.contrast import Contrast
from mixlearn.lab.learners.contrast_masked import MaskedImages
from mixlearn.lab.learners.contrast_mixed import PatchMix
from mixlearn.lab.learners.contrast_views import SimCLR, SimSiam
from mixlearn.lab.learners.twin import slow_down
from mixlearn.lab.nets import resnet, vit
from mixlearn.lab.recipes.parts import loaded, loaders, weights
from mixlearn.lab.recipes.vit import tiny_vit
from mixlearn.lab.schedules import WithDecay, cosine, one_cycle
from mixlearn.lab.training import Outcome, train
from mixlearn.lab.views import contrastive_view
from mixlearn.lab.words import in_words

# A thousand steps in all: a twin with the published memory would be made of its first weights for long.
quick = partial(slow_down, start=0.9, end=0.99, hold=0.0)


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
        mix: `PatchMix`, `MoCo` or another learner without labels, or a partial of one; their projectors are
            small, their twins quick, τ is 0.2 for all, as far as it is not set. For comparison, None trains
            the same network with labels; "nothing" leaves it as it was drawn.
        name: "fashion" or "emoji".
        network: "resnet8"; or "vit", of four layers of 64 numbers a token with patches of 4 pixels.
        images: a stratified choice of so many training images; None takes all.
        width: channels of the ResNet's first stage, in place of 8.
        lr: learning rate.
        seed, epochs, batch_size, data, options: as for `fashion`. Without another `examine` the features are
            judged by `examine_features`, on the same data.

    Raises:
        ValueError: another name, network or way of learning, a width of the transformer.

    Source: settings of this book.
    """
    if name not in ("fashion", "emoji"):
        raise ValueError(f"name must be 'fashion' or 'emoji', got {name!r}")
    untrained = mix == "nothing"
    judged = {"data": name} if data is None else {"data": data, "images": None}
    data, colour, first = loaded(name, data), name == "emoji", weights(seed)
    channels = 3 if colour else 1
    if network == "vit":
        if width is not None:
            raise ValueError(f"width is that of a ResNet; the transformer has one size, got {width}")
        net: Any
        net, words = tiny_vit(len(data.classes), colour, first)
    elif network == "resnet8":
        width = 8 if width is None else width
        net = resnet(8, len(data.classes), width=width, channels=channels, generator=first)
        words = f"ResNet-8, width {width}"
    else:
        raise ValueError(f"network must be 'resnet8' or 'vit', got {network!r}")
    given: dict[str, Any] = {
        "optimizer": partial(AdamW, lr=lr, weight_decay=0.05),
        "schedule": partial(cosine, warmup=0.1),
        "examine": partial(examine_features, **judged),
        "augment": crop_and_flip if colour and mix is None else None,
        "untrained": untrained,
    }
    view = partial(contrastive_view, mean=data.mean, std=data.std)
    small = {"hidden": 256, "outside": 64, "predictor": 256, "momentum": quick, "temperature": 0.2}
    return train(
        net,
        data,
        None if mix is None or untrained else _told(mix, view, small),
        network=words,
        seed=seed,
        images=images,
        epochs=epochs,
        batch_size=batch_size,
        **given | options,
    )


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
    """CIFAR-10 or CIFAR-100 without labels: a ViT-T, ViT-S or ViT-B with patches of 2 pixels.

    AdamW at 2e-3 (tiny), 5e-4 (small) or 7.5e-4 (base) for 256 images a step, a hundred epochs of warm-up of
    800, cosine; the weight decay rises to 0.2 (tiny) or 0.4, tenfold. Mixtures of two with patches of 2
    pixels. The smallest has no twin.

    Args:
        mix: `PatchMix` or another learner without labels, or a partial of one.
        name: "cifar10" or "cifar100".
        size: "tiny", "small" or "base".
        seed, epochs, batch_size, data, options: as for `fashion`. Without another `examine` the features are
            judged by `examine_features`.

    Raises:
        ValueError: another name, size or way of learning.

    Source: Shen et al., *Inter-Instance Similarity Modeling for Contrastive Learning*, 2023, and the authors'
    code. It drops up to a tenth of the layers by lot, here none; it blurs one view always and the other in a
    tenth of the cases, and solarises the latter in a fifth of them, here each view has half of both; it
    normalises by ImageNet's numbers, here by those of the data; it lets the class token and the positions
    decay, here they do not; it leaves out a last batch that is not whole, and trains in 16 bits
    (`precision="16-mixed"`).
    """
    if name not in ("cifar10", "cifar100"):
        raise ValueError(f"name must be 'cifar10' or 'cifar100', got {name!r}")
    data = loaded(name, data)
    side = int(data.train.images.shape[-1])
    given = _published(mix, size, data, 100 / 800, batch_size, (side, 2), 0.1, seed)
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
    """ImageNet without labels: a ViT-T, ViT-S or ViT-B with patches of 16 pixels, two views of 224 × 224.

    As `patchmix_cifar`, with ten epochs of warm-up of 300 and views of at least 35 % of a picture. Nothing is
    measured: keep the checkpoint, and go on with `python -m mixlearn probe`.

    Args:
        mix, size, seed, epochs, batch_size, data, options: as for `patchmix_cifar`.
        root, workers: as for `imagenet`.

    Raises:
        ValueError: another size or way of learning.

    Source: as for `patchmix_cifar`. Published besides: eight small crops of each image, which are not here.
    Views are cut, on the accelerator, from the middle of each picture.
    """
    data = loaded("imagenet-folder", data, root=root, train_transform=centre_crop(224))
    given = _published(mix, size, data, 10 / 300, batch_size, (224, 16), 0.35, seed)
    given |= loaders(data, batch_size, workers, options.get("devices", 1))
    return train(data=data, seed=seed, epochs=epochs, batch_size=batch_size, **given | options)


def _published(
    mix: Any,
    size: str,
    data: Any,
    warmup: float,
    batch_size: int,
    sides: tuple[int, int],
    least: float,
    seed: int,
) -> dict[str, Any]:
    """The network and the rules of learning that the two full-size recipes share."""
    if size not in SIZES:
        raise ValueError(f"size must be one of {', '.join(SIZES)}, got {size!r}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be a positive integer, got {batch_size}")
    is_, (side, patch) = SIZES[size], sides
    net = vit(
        len(data.classes),
        size=side,
        patch=patch,
        dim=is_.dim,
        depth=12,
        heads=is_.heads,
        generator=weights(seed),
    )
    rate = is_.rate * batch_size / 256
    view = partial(contrastive_view, mean=data.mean, std=data.std, least=least, solarise=0.1)
    alone = {"momentum": None} if size == "tiny" else {}
    return {
        "net": net,
        "mix": _told(mix, view, alone),
        "network": f"ViT-{size[0].upper()}/{patch}",
        "optimizer": LayerDecay(net, lr=rate, decay=1.0, weight_decay=is_.decay),
        "schedule": WithDecay(
            partial(cosine, warmup=warmup, floor=1e-6 / rate), partial(one_cycle, rise=1.0, start=0.1)
        ),
    }


def _told(mix: Any, view: Any, sizes: dict[str, Any]) -> Any:
    """The learner, told how views are made and how large its layers are, unless it knows better."""
    kind = getattr(mix, "func", mix)
    if not (isinstance(kind, type) and issubclass(kind, (Contrast, MaskedImages))):
        words = repr(mix) if isinstance(mix, str) else in_words(mix)
        raise ValueError(f"mix must be a learner without labels, such as PatchMix, or a partial, got {words}")
    wanted = {"augment": view}
    if issubclass(kind, Contrast):
        lacking = ("momentum", "predictor") if issubclass(kind, (SimCLR, SimSiam)) else ()
        wanted |= {name: value for name, value in sizes.items() if name not in lacking}
    if issubclass(kind, SimSiam) and "outside" in wanted:
        wanted["predictor"] = wanted["outside"] // 4  # a bottleneck, as published
    return partial(mix, **wanted | getattr(mix, "keywords", {}))
