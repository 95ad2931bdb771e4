"""What the mask studio compares: the masks of methods for one pair, and the score of any mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.plan import Mixed
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.fmix import fmix
from mixlearn.methods.gridmix import gridmix
from mixlearn.methods.puzzlemix import puzzlemix
from mixlearn.methods.saliency import gradient_saliency
from mixlearn.methods.saliencymix import saliencymix
from mixlearn.page.studio_net import mask_score, studio_facts, studio_net

Method = Callable[..., Mixed]


def shipped_methods() -> dict[str, Method]:
    """The methods that the reader competes with, each for a batch of one pair.

    >>> list(shipped_methods())
    ['box', 'grid', 'Fourier', 'saliency', 'PuzzleMix']
    """

    def looking(method: Method, images: Tensor, labels: Tensor, **options: Any) -> Mixed:
        if kept.get("images") is not images:  # once a pair, not once a λ
            kept.update(images=images, maps=gradient_saliency(net, images, labels))
        return method(images, labels, saliency=kept["maps"], **options)

    net, kept = studio_net(), dict[str, Tensor]()
    puzzle = partial(puzzlemix, blocks=[16], move=None)
    return {
        "box": cutmix,
        "grid": gridmix,
        "Fourier": fmix,
        "saliency": partial(looking, saliencymix),
        "PuzzleMix": partial(looking, puzzle),
    }


def method_masks(
    images: Tensor, labels: Tensor, methods: Mapping[str, Method], shares: Sequence[float], seed: int
) -> Tensor:
    """The masks of several methods for one pair, in bytes.

    Args:
        images: (2, 3, H, W) normalised, the image and its partner.
        labels: (2,) their classes.
        methods: functions by name, as for `mask_studio`.
        shares: the λ to ask for.
        seed: of each call's draws.

    Returns:
        (methods, shares, H, W) uint8, the partner's share of each pixel.

    Raises:
        ValueError: a mixture that is not the two images under one mask.

    >>> images, labels = torch.rand(2, 3, 4, 4), torch.tensor([0, 1])
    >>> method_masks(images, labels, {"Fourier": fmix}, [0.25, 1.0], 0).flatten(2).float().mean(2)
    tensor([[191.2500,   0.0000]])
    """
    classes, rows = len(studio_facts().classes), []
    for name, method in methods.items():
        for lam in shares:
            generator = torch.Generator().manual_seed(seed)
            mixed = method(images, labels, num_classes=classes, lam=lam, partner=[1, 0], generator=generator)
            height, width = images.shape[-2:]
            if len(mixed.plan.masks) != 2:
                raise ValueError(f"{name!r} must mix two parts, got {len(mixed.plan.masks)}")
            masks = mixed.plan.masks.expand(2, 2, 1, height, width)
            if not torch.allclose(mixed.images[0], torch.lerp(images[1], images[0], masks[0, 0]), atol=1e-4):
                raise ValueError(
                    f"{name!r} must give the image and its partner under one mask, but its mixture differs "
                    "(moved blocks? puzzlemix takes move=None)"
                )
            rows.append((255 * (1 - masks[0, 0, 0])).round().clamp(0, 255).byte())
    return torch.stack(rows).unflatten(0, (len(methods), len(shares)))


def normalised(pixels: Tensor) -> Tensor:
    """Bytes (…, 3, H, W), or values in [0, 255], as the studio's network takes them, in double precision."""
    facts = studio_facts()
    mean, std = (torch.tensor(v, dtype=torch.float64).view(-1, 1, 1) for v in (facts.mean, facts.std))
    return (pixels.double() / 255 - mean) / std


def scored(pixels: Tensor, labels: Tensor, painted: Tensor) -> tuple[Tensor, float, float]:
    """A pair under a mask of bytes: its mixture, λ and the score.

    Args:
        pixels: (2, 3, H, W) uint8, the image and its partner.
        labels: (2,) their classes.
        painted: (H, W) uint8, the partner's share of each pixel.

    Returns:
        The mixture (3, H, W) in [0, 255], λ, and the score.

    >>> scored(torch.zeros(2, 3, 8, 8).byte(), torch.tensor([0, 1]), torch.full((8, 8), 51).byte())[1]
    0.8
    """
    share = painted.double() / 255
    lam = float(1 - share.mean())
    mixture, score = judged(pixels, labels, share, lam)
    return mixture, lam, score


def judged(pixels: Tensor, labels: Tensor, share: Tensor, lam: float) -> tuple[Tensor, float]:
    """A pair under any mask, against a label by any λ.

    Args:
        pixels: (2, 3, H, W) uint8, the image and its partner.
        labels: (2,) their classes.
        share: (H, W) in [0, 1], the partner's share of each pixel.
        lam: λ of the label.

    Returns:
        The mixture (3, H, W) in [0, 255], and the score.

    >>> judged(torch.zeros(2, 3, 8, 8).byte(), torch.tensor([0, 1]), torch.zeros(8, 8), 0.5)[0].shape
    torch.Size([3, 8, 8])
    """
    mixture = torch.lerp(pixels[0].double(), pixels[1].double(), share.double())
    targets = torch.zeros(1, len(studio_facts().classes), dtype=torch.float64)
    targets[0, labels] = torch.tensor([lam, 1 - lam], dtype=torch.float64)
    return mixture, float(mask_score(studio_net().double()(normalised(mixture)[None]), targets))
