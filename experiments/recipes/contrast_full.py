"""Learning without labels at full size, as published; used through `experiments.recipes`."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from experiments.data import centre_crop
from experiments.examine.features import examine_features
from experiments.recipes.contrast import told
from experiments.recipes.parts import loaded, loaders, weights
from experiments.training import Outcome, train
from mixlearn.methods.augment import contrastive_view
from mixlearn.methods.patchmix import PatchMix
from mixlearn.nets import vit
from mixlearn.train.finetune import LayerDecay
from mixlearn.train.schedules import WithDecay, cosine, one_cycle


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
    decay, here they do not; it smooths the labels of "origin" by 0.1, here `partial(PatchMix,
    origin_smoothing=0.1)` does; it leaves out a last batch that is not whole, and trains in 16 bits
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

    As `patchmix_cifar`, with ten epochs of warm-up of 300 and views of at least 35 % of a picture. Eight
    crops of 96 × 96 pixels, of 5 to 35 % of a picture, ask besides, whole and mixed. Nothing is measured:
    keep the checkpoint, and go on with `python -m mixlearn probe`.

    Args:
        mix, size, seed, epochs, batch_size, data, options: as for `patchmix_cifar`.
        root, workers: as for `imagenet`.

    Raises:
        ValueError: another size or way of learning.

    Source: as for `patchmix_cifar`. Views and crops are cut, on the accelerator, from the middle of each
    picture. Without small crops, at about half the cost: `partial(PatchMix, small=None)`.
    """
    data = loaded("imagenet-folder", data, root=root, train_transform=centre_crop(224))
    small = partial(contrastive_view, mean=data.mean, std=data.std, least=0.05, most=0.35, size=96)
    given = _published(mix, size, data, 10 / 300, batch_size, (224, 16), 0.35, seed, small)
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
    small: Any = None,
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
        any_size=small is not None,
        generator=weights(seed),
    )
    rate = is_.rate * batch_size / 256
    view = partial(contrastive_view, mean=data.mean, std=data.std, least=least, solarise=0.1)
    wanted: dict[str, Any] = {"momentum": None} if size == "tiny" else {}
    if small is not None:
        wanted["small"] = small
    return {
        "net": net,
        "mix": told(mix, view, wanted),
        "network": f"ViT-{size[0].upper()}/{patch}",
        "optimizer": LayerDecay(net, lr=rate, decay=1.0, weight_decay=is_.decay),
        "schedule": WithDecay(
            partial(cosine, warmup=warmup, floor=1e-6 / rate), partial(one_cycle, rise=1.0, start=0.1)
        ),
    }
