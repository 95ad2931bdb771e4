"""Seven of the fifteen common corruptions: three of noise, four of blur. Severities are those of CIFAR-10-C.

Each takes images (B, C, H, W) in [0, 1], a severity from 1 to 5 and a generator, and gives images in [0, 1].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.measure.warp import clipped_zoom, gaussian_blur, smear


def gaussian_noise(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Normal noise on every value, as in a dark room.

    Args:
        images: (B, C, H, W) in [0, 1], not changed.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> gaussian_noise(torch.full((1, 1, 2, 2), 0.5), 1).shape
    torch.Size([1, 1, 2, 2])
    """
    scale = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    return (images + scale * _normal(images, generator)).clamp_(0, 1)


def shot_noise(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Poisson noise: every value counted in so many grains of light.

    Args:
        images: (B, C, H, W) in [0, 1], not changed.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> shot_noise(torch.zeros(1, 1, 2, 2), 5).sum().item()
    0.0
    """
    grains = (500, 250, 100, 75, 50)[severity - 1]
    return (torch.poisson(images.cpu() * grains, generator=generator).to(images) / grains).clamp_(0, 1)


def impulse_noise(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Salt and pepper: a few values become 1 or 0.

    Args:
        images: (B, C, H, W) in [0, 1], not changed.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> float(impulse_noise(torch.full((1, 1, 100, 100), 0.5), 5).ne(0.5).float().mean()) < 0.1
    True
    """
    share = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
    drawn = torch.rand(images.shape, generator=generator).to(images)
    salted = torch.where(drawn < share / 2, torch.zeros_like(images), images)
    return torch.where((drawn >= share / 2) & (drawn < share), torch.ones_like(images), salted)


def defocus_blur(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Every point becomes a small disk, as out of focus. Draws nothing.

    Args:
        images: (B, C, H, W) in [0, 1], not changed.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> round(float(defocus_blur(torch.ones(1, 1, 8, 8), 5).mean()), 4)
    1.0
    """
    radius, soft = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1))[severity - 1]
    reach = math.floor(radius) + 1
    grid = torch.arange(-reach, reach + 1)
    disk = (grid[:, None].square() + grid.square() <= radius**2).float()
    rim = torch.exp(-0.5 * (torch.arange(-1, 2) / soft).square())
    rim = torch.outer(rim, rim) / rim.sum() ** 2
    kernel = F.conv2d((disk / disk.sum())[None, None], rim[None, None], padding=1).to(images)
    channels = images.shape[1]
    padded = F.pad(images, (reach,) * 4, mode="reflect")
    return F.conv2d(padded, kernel.expand(channels, 1, -1, -1), groups=channels).clamp_(0, 1)


def glass_blur(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Neighbouring pixels change places, between two soft blurs, as behind ground glass.

    The published program means to swap two pixels and, through a view, copies one over the other; here they
    are swapped.

    Args:
        images: (B, C, H, W) in [0, 1], not changed.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> glass_blur(torch.zeros(1, 1, 8, 8), 1).shape
    torch.Size([1, 1, 8, 8])
    """
    sigma, reach, rounds = ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))[severity - 1]
    batch, channels, height, width = images.shape
    flat = (gaussian_blur(images, sigma) * 255).floor_().div_(255).flatten(2).clone()
    for _ in range(rounds):
        for row in range(height - reach, reach, -1):
            for column in range(width - reach, reach, -1):
                moved = torch.randint(-reach, reach, (2, batch), generator=generator)
                here = row * width + column
                there = ((row + moved[0]) * width + column + moved[1]).to(images.device)
                index = there.view(-1, 1, 1).expand(-1, channels, 1)
                kept = flat[:, :, here].clone()
                flat[:, :, here] = flat.gather(2, index)[:, :, 0]
                flat.scatter_(2, index, kept[:, :, None])
    return gaussian_blur(flat.view_as(images), sigma).clamp_(0, 1)


def motion_blur(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Motion blur: smeared along a direction within 45° of the horizontal.

    Args:
        images: (B, C, H, W) in [0, 1], not changed.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> motion_blur(torch.zeros(1, 1, 8, 8), 1).shape
    torch.Size([1, 1, 8, 8])
    """
    radius, sigma = ((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5))[severity - 1]
    angle = (torch.rand(len(images), generator=generator) - 0.5) * (math.pi / 2)
    return smear(images, radius, sigma, angle).clamp_(0, 1)


def zoom_blur(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """The mean of ever closer views, as when the camera rushes in. Draws nothing.

    Args:
        images: (B, C, H, W) in [0, 1], not changed.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> round(float(zoom_blur(torch.ones(1, 1, 8, 8), 5).mean()), 4)
    1.0
    """
    views = (7, 12, 16, 21, 26)[severity - 1]  # numpy's arange gives one more than meant in the first two
    total = images.clone()
    for k in range(views):
        total += clipped_zoom(images, 1 + 0.01 * k)
    return (total / (views + 1)).clamp_(0, 1)


def _normal(images: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(images.shape, generator=generator).to(images)
