"""Copy-Paste: objects of one image, cut out by their masks, pasted into another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import check_pixels, check_range
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.fast import sent
from mixlearn.core.plan import Mixed, MixPlan, apply_plan


def copy_paste(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    masks: Sequence[Tensor],
    num_classes: int | None = None,
    odds: float = 0.5,
    chosen: Sequence[Tensor] | None = None,
    partner: Sequence[int] | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Paste a random half of the objects of each image's partner into it, where they were.

    Args:
        images, labels, num_classes, partner, generator: as for `mixup`, on (B, …, H, W).
        masks: for each image the pixels of its objects, (n, H, W), not 0 where the object is.
        odds: how likely each object is to be pasted, drawn one by one.
        chosen: for each image which of its objects are pasted where it is the partner, (n,) bool, instead of
            a draw.

    Returns `Mixed(images, targets, plan)`; λ is the share of the pixels that are not pasted over. Give the
    masks to `ml.mix_objects` too: it cuts what lies below and drops the objects that were not chosen.
    Source: Ghiasi et al., *Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation*,
    CVPR 2021; there each image is first flipped, resized and cropped at random, which is left to the loader.
    Raises ValueError for lists or masks of other lengths or shapes, and for odds outside [0, 1].

    >>> images = torch.tensor([0., 8.]).view(2, 1, 1, 1).expand(2, 1, 2, 4)
    >>> masks = [torch.zeros(0, 2, 4), torch.tensor([[[1, 0, 0, 0], [1, 1, 0, 0]]])]
    >>> copy_paste(images, masks=masks, odds=1.0, partner=[1, 0]).images[0, 0].int().tolist()
    [[8, 0, 0, 0], [8, 8, 0, 0]]
    """
    size, batch = check_pixels(images), len(images)
    check_range("[0, 1]", odds=odds)
    for name, given in (("masks", masks), ("chosen", chosen)):
        if given is not None and len(given) != batch:
            raise ValueError(f"{name} must hold one tensor for each of {batch} images, got {len(given)}")
    partner, _ = given_or_drawn(1.0, partner, batch, 1.0, False, generator)
    pasted = []
    for i, own in enumerate(masks):
        if tuple(own.shape) != (len(own), *size):
            expected = f"(n, {size[0]}, {size[1]})"
            raise ValueError(f"image {i}: masks must have shape {expected}, got {tuple(own.shape)}")
        picked = torch.rand(len(own), generator=generator) < odds if chosen is None else chosen[i]
        if tuple(picked.shape) != (len(own),) or picked.dtype != torch.bool:
            got = f"{tuple(picked.shape)} of {picked.dtype}"
            raise ValueError(f"image {i}: chosen must be ({len(own)},) of torch.bool, got {got}")
        here = (own != 0) & sent(picked, own.device)[:, None, None]
        pasted.append(sent(here.any(0), images.device))
    partner = sent(partner, images.device)
    own_share = 1 - torch.stack(pasted)[partner].float()  # (B, H, W)
    return apply_plan(MixPlan.masked(partner, own_share[:, None]), images, labels, num_classes)
