"""Ordinary augmentation of a whole batch at once: random crops and flips, drawn from a generator."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.transfer import sent
from mixlearn.lab.views import contrastive_view, random_resized_crop

__all__ = ["contrastive_view", "crop_and_flip", "random_crop", "random_flip", "random_resized_crop"]


def random_crop(
    images: Tensor, *, padding: int = 4, mode: str = "constant", generator: torch.Generator | None = None
) -> Tensor:
    """Pad every image and cut a window of the old size at its own random place.

    Args:
        images: (B, C, H, W). Not changed.
        padding: pixels added on each side; the image shifts by at most so many.
        mode: filling of the border, as in `torch.nn.functional.pad`: "constant" (0, the mean colour of
            normalised images) or "reflect".
        generator: source of randomness on the CPU; None uses torch's default one.

    Raises:
        ValueError: a negative padding, or images that are not (B, C, H, W).

    Source: He et al., *Deep Residual Learning for Image Recognition*, CVPR 2016, section 4.2.

    >>> images = torch.ones(2, 1, 4, 4)
    >>> random_crop(images, padding=2).shape
    torch.Size([2, 1, 4, 4])
    """
    _check(images)
    if padding < 0:
        raise ValueError(f"padding must be 0 or more pixels, got {padding}")
    batch, _, height, width = images.shape
    place = sent(torch.randint(2 * padding + 1, (2, batch), generator=generator), images.device)
    padded = F.pad(images, (padding,) * 4, mode=mode)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, 2p+1, 2p+1, H, W), a view
    return windows[torch.arange(batch, device=images.device), :, place[0], place[1]]


def random_flip(images: Tensor, *, p: float = 0.5, generator: torch.Generator | None = None) -> Tensor:
    """Mirror each image left to right with probability p.

    Args:
        images: (B, C, H, W). Not changed.
        p: probability in [0, 1].
        generator: source of randomness on the CPU; None uses torch's default one.

    Raises:
        ValueError: p outside [0, 1], or images that are not (B, C, H, W).

    >>> random_flip(torch.tensor([[[[1.0, 2.0]]]]), p=1.0)
    tensor([[[[2., 1.]]]])
    """
    _check(images)
    if not 0 <= p <= 1:
        raise ValueError(f"p must lie in [0, 1], got {p}")
    turned = torch.rand(len(images), generator=generator) < p
    return torch.where(sent(turned, images.device).view(-1, 1, 1, 1), images.flip(3), images)


def crop_and_flip(
    images: Tensor, *, padding: int = 4, mode: str = "constant", generator: torch.Generator | None = None
) -> Tensor:
    """The ordinary augmentation of CIFAR: a random crop, then a random flip.

    Args:
        images, padding, mode, generator: as for `random_crop`.

    >>> crop_and_flip(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 3, 32, 32])
    """
    cropped = random_crop(images, padding=padding, mode=mode, generator=generator)
    return random_flip(cropped, generator=generator)


def _check(images: Tensor) -> None:
    if images.dim() != 4:
        raise ValueError(f"images must have shape (B, C, H, W), got {tuple(images.shape)}")
