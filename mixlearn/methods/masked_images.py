"""Masked images: which patches are hidden, and how far the pixels predicted for them are off."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mixlearn.core.checks import check_generator, readable
from mixlearn.core.geometry import patchify


def hidden_patches(
    batch: int, side: int, *, ratio: float = 0.6, block: int = 1, generator: torch.Generator | None = None
) -> Tensor:
    """Which patches of each image are hidden: square blocks of them, drawn for each image on its own.

    Args:
        batch: B, how many images.
        side: patches in a row, and rows.
        ratio: share of blocks that is hidden, in (0, 1), rounded up to whole blocks; one stays at least.
        block: height and width of a block in patches; it divides `side`.
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        (B, side²) booleans, row by row, on the CPU.

    Raises:
        ValueError: a ratio outside (0, 1), a block that does not divide the side or leaves but one.

    Source: Xie et al., *SimMIM: A Simple Framework for Masked Image Modeling*, CVPR 2022, section 3.2.

    >>> hidden_patches(2, 4, ratio=0.5, block=2).sum(1)
    tensor([8, 8])
    """
    check_generator(generator)
    if not 0 < ratio < 1:
        raise ValueError(f"ratio must lie in (0, 1), got {ratio}")
    if block < 1 or side % block or side == block:
        raise ValueError(f"block must divide the {side} patches of a row into 2 or more, got {block}")
    across = side // block
    count = min(math.ceil(ratio * across**2 - 1e-9), across**2 - 1)
    rank = torch.rand(batch, across**2, generator=generator).argsort(1).argsort(1)
    chosen = (rank < count).view(batch, across, across)
    return chosen.repeat_interleave(block, 1).repeat_interleave(block, 2).flatten(1)


def masked_pixel_loss(predicted: Tensor, images: Tensor, hidden: Tensor, *, patch: int) -> Tensor:
    """SimMIM's loss: how far predicted pixels lie from those of hidden patches, the mean of |difference|.

    Args:
        predicted: (B, T, C·patch²), the pixels of each of T patches, channel by channel, row by row.
        images: (B, C, H, W), as they were.
        hidden: (B, T), True where the patch was hidden; other patches do not count.
        patch: height and width of a patch in pixels.

    Returns:
        A scalar, float32 at least, in units of the pixels.

    Raises:
        ValueError: shapes that do not belong together, a batch in which nothing is hidden.

    Source: Xie et al., *SimMIM: A Simple Framework for Masked Image Modeling*, CVPR 2022, section 3.4.

    >>> images, hidden = torch.ones(1, 1, 2, 4), torch.tensor([[True, False]])
    >>> masked_pixel_loss(torch.full((1, 2, 4), 3.0), images, hidden, patch=2).item()
    2.0
    """
    right = patchify(images, patch).flatten(2)
    if predicted.shape != right.shape or hidden.shape != right.shape[:2]:
        raise ValueError(
            f"expected predicted {tuple(right.shape)} and hidden {tuple(right.shape[:2])}, got "
            f"{tuple(predicted.shape)} and {tuple(hidden.shape)}"
        )
    if readable(hidden) and not bool(hidden.any()):
        raise ValueError("at least one patch must be hidden, got none")
    kind = torch.promote_types(predicted.dtype, torch.float32)
    apart = (predicted.to(kind) - right.to(kind)).abs().mean(2)
    return (apart * hidden).sum() / hidden.sum()
