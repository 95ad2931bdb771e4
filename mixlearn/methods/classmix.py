"""ClassMix: half of the classes of one label map, pasted with their pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import as_count, check_ids, check_pixels, is_integer
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.fast import sent
from mixlearn.core.plan import Mixed, MixPlan


def classmix(
    images: Tensor,
    maps: Tensor,
    *,
    num_classes: int,
    ignore_index: int = 255,
    chosen: Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Paste half of the classes of each image's partner into it: images and label maps of segmentation.

    Args:
        images, partner, generator: as for `mixup`, on (B, …, H, W).
        maps: (B, H, W) integer class ids. Of unlabelled images the teacher's answers: `logits.argmax(1)`.
        num_classes: C.
        ignore_index: the id of pixels without a class, which are never pasted.
        chosen: (B, C) bool, the classes of each image to paste where it is the partner, instead of a draw of
            half of those present, rounded down.

    Returns `Mixed(images, targets, plan)`: the targets are the mixed maps (B, H, W), `plan.mix(maps)`. Mix a
    teacher's probabilities (B, C, H, W) by `plan.mix` too. Source: Olsson, Tranheden, Pinto & Svensson,
    *ClassMix: Segmentation-Based Data Augmentation for Semi-Supervised Learning*, WACV 2021, algorithm 1,
    where it is the image itself that gives its classes.
    Raises TypeError for maps that hold no integers, ValueError for maps, ids or `chosen` that do not fit.

    >>> maps = torch.tensor([[[0, 0, 1, 2]], [[3, 3, 3, 4]]])
    >>> pasted = torch.tensor([[False] * 5, [False, False, False, True, False]])
    >>> mixed = classmix(torch.rand(2, 3, 1, 4), maps, num_classes=5, chosen=pasted, partner=[1, 0])
    >>> mixed.targets[0].tolist(), mixed.plan.lam[0]
    ([[3, 3, 3, 2]], tensor(0.2500))
    """
    size, batch, classes = check_pixels(images), len(images), as_count(num_classes, "num_classes", 1)
    if not isinstance(maps, Tensor) or not is_integer(maps):
        got = getattr(maps, "dtype", type(maps).__name__)
        raise TypeError(f"maps must be a tensor of integer class ids, got {got}; of logits take argmax(1)")
    if tuple(maps.shape) != (batch, *size):
        raise ValueError(f"maps must have shape {(batch, *size)} as images have, got {tuple(maps.shape)}")
    check_ids(maps, classes, ignore_index)
    partner, _ = given_or_drawn(1.0, partner, batch, 1.0, False, generator)
    ids = torch.where(maps == ignore_index, classes, maps.long()).flatten(1)  # (B, H W)
    present = torch.zeros(batch, classes + 1, dtype=torch.bool, device=maps.device).scatter(1, ids, True)
    if chosen is None:
        order = sent(torch.rand(batch, classes, generator=generator), maps.device)
        rank = order.masked_fill(~present[:, :-1], 2).argsort(1).argsort(1)  # those present come first
        chosen = rank < present[:, :-1].sum(1, keepdim=True) // 2
    elif tuple(chosen.shape) != (batch, classes) or chosen.dtype != torch.bool:
        shape = tuple(chosen.shape)
        raise ValueError(f"chosen must be ({batch}, {classes}) of torch.bool, got {shape} of {chosen.dtype}")
    never = torch.zeros_like(present[:, :1])  # what is ignored
    taken = torch.cat([sent(chosen, maps.device), never], 1).gather(1, ids).view(maps.shape)
    other = sent(partner, maps.device)
    pasted = taken[other]  # (B, H, W)
    own = 1 - sent(pasted, images.device)[:, None].float()
    plan = MixPlan.masked(sent(partner, images.device), own)
    return Mixed(plan.mix(images), torch.where(pasted, maps[other], maps), plan)
