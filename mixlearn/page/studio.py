"""The mask studio: paint which pixels show the partner, and compete with the methods for the score."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.plan import Mixed
from mixlearn.data.sets import ImageSet
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.fmix import fmix
from mixlearn.methods.gridmix import gridmix
from mixlearn.methods.puzzlemix import puzzlemix
from mixlearn.methods.saliency import gradient_saliency
from mixlearn.methods.saliencymix import saliencymix
from mixlearn.page import studio_net as net
from mixlearn.page.host import picture_url
from mixlearn.page.widget import one_of, widget, within

SHARES = tuple(k / 10 for k in range(1, 10))  # the target λ that masks are made for
Method = Callable[..., Mixed]


def mask_studio(
    target: float = 0.6,
    pair: str | None = None,
    *,
    mask: Tensor | None = None,
    methods: Mapping[str, Method] | None = None,
    pairs: Sequence[tuple[int, int]] | None = None,
    images: ImageSet | None = None,
    seed: int = 54,
) -> Any:
    """Paint a mask on two images: λ, the label, and how well a small classifier sees it in the mixture.

    The score is 100 · exp(−KL(ỹ ‖ p)): ỹ is the label, λ of the image's class and 1 − λ of the partner's, p
    the classifier's probabilities for the mixture. The masks of five methods for the same pair compete.

    Args:
        target: the λ to aim at, in [0, 1].
        pair: name of the pair to begin with, "koala + pie" for instance; None is the first.
        mask: (32, 32) in [0, 1], the partner's share of each pixel to begin with. None: a straight cut.
        methods: functions like `ml.cutmix` by name, called as f(images, labels, num_classes=…, lam=…,
            partner=[1, 0], generator=…) on the two images, normalised, at λ = 0.1, 0.2 … 0.9. None: box
            (CutMix), grid (GridMix), cloud (FMix), saliency (SaliencyMix) and PuzzleMix, whose blocks stay in
            place; the last two look at the gradient of the same classifier.
        pairs: places of image and partner in `images`. None: five pairs that the classifier names right.
        images: 32 × 32 images of the classes of Emoji Scenes; None: its test images by designers not seen in
            training.
        seed: of the methods' draws, the same for each pair and λ. With 54 box and grid come near each λ.

    Returns:
        A widget with the traits `target`, `pair` and `mask` (base64 of 32 × 32 bytes, the partner's share),
        and `lam` and `score`, which follow when a stroke in the page ends.

    >>> studio = mask_studio(0.5)
    >>> studio.lam, 0 < studio.score <= 100
    (0.5, True)
    """
    if not 0 <= target <= 1:
        raise ValueError(f"target must lie in [0, 1], got {target}")
    part = net.designers() if images is None else images
    chosen = net.checked_pairs(part, net.PAIRS if pairs is None else pairs)
    if methods is not None and not methods:
        raise ValueError("methods must hold at least one mixing function, got none")
    if images is None and methods is None:
        told = [_shipped_pair(places, seed) for places in chosen]
    else:
        told = [_told(part, places, methods or shipped_methods(), seed) for places in chosen]
    begin = net.first_pair(told, pair)
    painted, places = net.painted_bytes(mask, target), list(chosen[begin])
    mixture, lam, score = net.scored(part.images[places], part.labels[places], painted)
    state = {
        "pairs": told,
        "methods": list(methods or shipped_methods()),
        "shares": list(SHARES),
        "classes": list(net.studio_facts().classes),
        "net": base64.b64encode(net.FILE.read_bytes()).decode(),
        "shipped": images is None,
        "pair": told[begin]["name"],
        "target": float(target),
        "mask": net.mask_text(painted),
        "lam": lam,
        "score": score,
    }
    rules = {"target": within(0, 1), "lam": within(0, 1), "score": within(0, 100), "mask": net.mask_rule}
    rules["pair"] = one_of(each["name"] for each in told)
    own, partner = told[begin]["words"]
    words = f"Mask studio: a mixture of {round(100 * lam)} % {own} and {round(100 * (1 - lam))} % {partner}"
    return widget("mask_studio", state, net.still(mixture), words, rules, {"lam": "mask", "score": "mask"})


def shipped_methods() -> dict[str, Method]:
    """The methods that the reader competes with, each for a batch of one pair.

    >>> list(shipped_methods())
    ['box', 'grid', 'cloud', 'saliency', 'PuzzleMix']
    """

    def looking(method: Method, images: Tensor, labels: Tensor, **options: Any) -> Mixed:
        if kept.get("images") is not images:  # once a pair, not once a λ
            kept.update(images=images, maps=gradient_saliency(classifier, images, labels))
        return method(images, labels, saliency=kept["maps"], **options)

    classifier, kept = net.studio_net(), dict[str, Tensor]()
    return {
        "box": cutmix,
        "grid": gridmix,
        "cloud": fmix,
        "saliency": partial(looking, saliencymix),
        "PuzzleMix": partial(looking, partial(puzzlemix, blocks=[16], move=None)),
    }


def method_masks(
    images: Tensor, labels: Tensor, methods: Mapping[str, Method], shares: Sequence[float], seed: int
) -> Tensor:
    """The partner's share of each pixel of a normalised pair, by method and λ: (M, shares, H, W) uint8.

    >>> images, labels = torch.rand(2, 3, 4, 4), torch.tensor([0, 1])
    >>> method_masks(images, labels, {"cloud": fmix}, [0.25, 1.0], 0).flatten(2).float().mean(2)
    tensor([[191.2500,   0.0000]])
    """
    options: dict[str, Any] = {"num_classes": len(net.studio_facts().classes), "partner": [1, 0]}
    rows = []
    for name, method in methods.items():
        for lam in shares:
            mixed = method(images, labels, lam=lam, generator=torch.Generator().manual_seed(seed), **options)
            if len(mixed.plan.masks) != 2:
                raise ValueError(f"{name!r} must mix two parts, got {len(mixed.plan.masks)}")
            own = mixed.plan.masks.expand(2, 2, 1, *images.shape[-2:])[0, 0]  # (1, H, W)
            if not torch.allclose(mixed.images[0], torch.lerp(images[1], images[0], own), atol=1e-4):
                raise ValueError(
                    f"{name!r} must give the image and its partner under one mask, but its mixture differs "
                    "(moved blocks? puzzlemix takes move=None)"
                )
            rows.append((255 * (1 - own[0])).round().clamp(0, 255).byte())
    return torch.stack(rows).unflatten(0, (len(methods), len(shares)))


@cache
def _shipped_pair(places: tuple[int, int], seed: int) -> dict[str, Any]:
    """A pair with the masks of the methods that ship: they take a second a pair."""
    return _told(net.designers(), places, shipped_methods(), seed)


def _told(
    part: ImageSet, places: tuple[int, int], methods: Mapping[str, Method], seed: int
) -> dict[str, Any]:
    """The page's data of a pair, with a sheet of masks."""
    pixels, labels = part.images[list(places)], part.labels[list(places)]
    masks = method_masks(net.normalised(pixels).float(), labels, methods, SHARES, seed)
    sheet = torch.cat([torch.cat([*row], 1) for row in masks])
    return net.told_pair(part, places) | {"masks": picture_url(sheet.expand(3, -1, -1))}
