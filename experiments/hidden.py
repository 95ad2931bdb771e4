"""What a network still sees: with the middle or the border of an image hidden, and between two classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.boxes import boxes_to_masks
from mixlearn.core.checks import check_layout
from mixlearn.core.plan import MixPlan
from mixlearn.measure.evaluate import batches, device_of, predict


def hide(images: Tensor, share: float, *, border: bool = False) -> Tensor:
    """Set a centred rectangle of each image to 0, or all but that rectangle.

    Args:
        images: (B, C, H, W), normalised, so that 0 is the mean colour. Not changed.
        share: of each side that the rectangle covers, in [0, 1].
        border: hide what is outside the rectangle rather than what is inside.

    Source: Yun et al., *CutMix*, ICCV 2019, section 4.4.

    >>> hide(torch.ones(1, 1, 4, 4), 0.5).sum().item()
    12.0
    """
    if images.dim() != 4:
        raise ValueError(f"images must have shape (B, C, H, W), got {tuple(images.shape)}")
    check_layout(images)
    height, width = images.shape[2:]
    inside = boxes_to_masks(middle(height, width, share), height, width).to(images)  # (1, 1, H, W)
    return images * (inside if border else 1 - inside)


def middle(height: int, width: int, share: float) -> Tensor:
    """The centred box (1, 4) that covers a share in [0, 1] of each side, in whole pixels.

    >>> middle(8, 8, 0.5).tolist()
    [[2, 2, 6, 6]]
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share}")
    tall, wide = round(share * height), round(share * width)
    left, top = (width - wide) // 2, (height - tall) // 2
    return torch.tensor([[left, top, left + wide, top + tall]])


def occlusion(model: Any, data: Any, shares: Any = (0.0, 0.25, 0.5, 0.75), *, border: bool = False) -> Tensor:
    """Accuracies (len(shares),) in [0, 1] with the middle (or the border) hidden, by `hide`.

    >>> images, labels = torch.ones(2, 1, 4, 4), torch.tensor([0, 0])
    >>> bright = lambda x: torch.stack([x.mean((1, 2, 3)), torch.full((len(x),), 0.4)], 1)
    >>> occlusion(bright, [(images, labels)], [0.0, 1.0]).tolist()
    [1.0, 0.0]
    """
    place, accuracies = device_of(model), []
    for share in shares:
        parts = (
            (hide(images.to(place), share, border=border), labels) for images, labels in batches(data, 512)
        )
        accuracies.append(predict(model, parts).accuracy)
    return torch.tensor(accuracies, dtype=torch.float64)


def in_between(
    model: Any,
    data: Any,
    shares: Any = (0.0, 0.25, 0.5, 0.75, 1.0),
    *,
    box: bool = False,
    pairs: int | None = None,
    seed: int = 0,
) -> Tensor:
    """How often the network names neither of two images that were mixed.

    Args:
        shares: of the first image in a blend; with `box`, of each side that the partner's centred box covers.
        pairs: how many random pairs of the `ImageSet`; None takes one for each image.

    Returns the shares (len(shares),) of pairs, in [0, 1], where the answer is the class of neither.

    Source: Yun et al., *CutMix*, ICCV 2019, section 4.4; Verma et al., *Manifold Mixup*, ICML 2019.

    >>> import mixlearn as ml
    >>> few = ml.data.load("fashion").test.subset(20, generator=torch.Generator().manual_seed(0))
    >>> in_between(lambda x: torch.eye(10)[:1].expand(len(x), 10), few, [0.5]).shape
    torch.Size([1])
    """
    generator = torch.Generator().manual_seed(seed)
    n = len(data) if pairs is None else pairs
    first, second = (torch.randint(len(data), (n,), generator=generator) for _ in range(2))
    misses = []
    for share in shares:
        named = predict(model, _mixtures(data, first, second, float(share), box)).logits.argmax(1)
        neither = (named != data.labels[first]) & (named != data.labels[second])
        misses.append(float(neither.double().mean()))
    return torch.tensor(misses, dtype=torch.float64)


def _mixtures(
    data: Any, first: Tensor, second: Tensor, share: float, box: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    for own, other in zip(first.split(256), second.split(256), strict=True):
        images, labels = data.batch(torch.cat([own, other]))  # (2n, C, H, W)
        n = len(own)
        partner = torch.arange(2 * n).roll(n)
        if box:
            height, width = images.shape[2:]
            masks = 1 - boxes_to_masks(middle(height, width, share), height, width).expand(2 * n, -1, -1, -1)
            plan = MixPlan.pair(partner, masks.mean((1, 2, 3)), masks)
        else:
            plan = MixPlan.pair(partner, torch.full((2 * n,), share))
        yield plan.mix(images)[:n], labels[:n]
