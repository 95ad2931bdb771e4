"""Moving, blurring and shrinking whole batches: what the common corruptions are made of."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def gaussian_kernel(sigma: float, truncate: float) -> Tensor:
    """Weights of a Gaussian on whole pixels, cut off after `truncate` standard deviations; they sum to 1."""
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return torch.ones(1)
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma).square())
    return weights / weights.sum()


def gaussian_blur(images: Tensor, sigma: float, *, truncate: float = 4.0, edge: str = "replicate") -> Tensor:
    """(B, C, H, W) blurred; beyond the border the edge is repeated, or mirrored about it ("symmetric")."""
    kernel = gaussian_kernel(sigma, truncate).to(images)
    radius = len(kernel) // 2
    if radius == 0:
        return images
    for axis in (2, 3):
        size = images.shape[axis]
        place = torch.arange(-radius, size + radius, device=images.device)
        place = place.clamp(0, size - 1) if edge == "replicate" else mirror_half(place, size)
        padded = images.index_select(axis, place)
        images = sum(weight * padded.narrow(axis, k, size) for k, weight in enumerate(kernel.tolist()))
    return images


def mirror_half(place: Tensor, size: int) -> Tensor:
    """Indices beyond 0…size−1 mirrored about the border itself: … 1 0 | 0 1 2 …"""
    folded = place % (2 * size)
    return torch.where(folded < size, folded, 2 * size - 1 - folded)


def mirror_whole(place: Tensor, size: int) -> Tensor:
    """Indices beyond 0…size−1 mirrored about the outermost pixel: … 2 1 | 0 1 2 …"""
    if size == 1:
        return torch.zeros_like(place)
    folded = place % (2 * size - 2)
    return torch.where(folded < size, folded, 2 * size - 2 - folded)


def sample(
    images: Tensor, rows: Tensor, columns: Tensor, mirror: Callable[[Tensor, int], Tensor] = mirror_half
) -> Tensor:
    """Bilinear values of (B, C, H, W) at real positions rows, columns (B, H', W')."""
    batch, channels, height, width = images.shape
    flat = images.flatten(2)
    top, left = rows.floor(), columns.floor()
    out = torch.zeros(batch, channels, *rows.shape[1:], dtype=images.dtype, device=images.device)
    for down in (0, 1):
        for right in (0, 1):
            row = mirror(top.long() + down, height)
            column = mirror(left.long() + right, width)
            share = (1 - (rows - top - down).abs()) * (1 - (columns - left - right).abs())
            index = (row * width + column).flatten(1)[:, None].expand(-1, channels, -1)
            out += share[:, None] * flat.gather(2, index).view_as(out)
    return out


def smear(images: Tensor, radius: int, sigma: float, angle: Tensor) -> Tensor:
    """(B, C, H, W) smeared to one side along each image's angle (B,) in radians, as ImageMagick does it.

    Taps of a one-sided Gaussian lie on whole pixels along the direction; beyond the border the edge repeats.
    """
    taps = 2 * radius + 1
    weights = torch.exp(-torch.arange(taps).square() / (2 * sigma**2))
    weights = weights / weights.sum()
    batch, channels, height, width = images.shape
    flat, out = images.flatten(2), torch.zeros_like(images)
    rows, columns = torch.arange(height).view(1, -1, 1), torch.arange(width).view(1, 1, -1)
    for k in range(taps):
        across = torch.ceil(k * torch.cos(angle) - 0.5).long().view(-1, 1, 1)
        down = torch.ceil(k * torch.sin(angle) - 0.5).long().view(-1, 1, 1)
        place = (rows + down).clamp(0, height - 1) * width + (columns + across).clamp(0, width - 1)
        index = place.flatten(1)[:, None].expand(-1, channels, -1).to(images.device)
        out += weights[k] * flat.gather(2, index).view_as(out)
    return out


def clipped_zoom(images: Tensor, factor: float) -> Tensor:
    """The middle of (B, C, H, W) enlarged by a factor ≥ 1, at the old size."""
    height, width = images.shape[2:]
    sides = [math.ceil(size / factor) for size in (height, width)]
    top, left = (height - sides[0]) // 2, (width - sides[1]) // 2
    middle = images[:, :, top : top + sides[0], left : left + sides[1]]
    grown = F.interpolate(
        middle, size=[round(side * factor) for side in sides], mode="bilinear", align_corners=True
    )
    top, left = (grown.shape[2] - height) // 2, (grown.shape[3] - width) // 2
    return grown[:, :, top : top + height, left : left + width]


def box_resize(images: Tensor, height: int, width: int) -> Tensor:
    """(B, C, H, W) resized so that each new pixel is the mean of the old ones whose centres it covers."""
    down, across = _box_weights(images.shape[2], height), _box_weights(images.shape[3], width)
    return down.to(images) @ images @ across.to(images).T


def _box_weights(old: int, new: int) -> Tensor:
    scale = old / new
    support = max(scale, 1.0) / 2
    weights = torch.zeros(new, old)
    for i in range(new):
        centre = (i + 0.5) * scale
        first, last = max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), old)
        for j in range(first, last):
            if -0.5 < (j - centre + 0.5) / max(scale, 1.0) <= 0.5:
                weights[i, j] = 1
    return weights / weights.sum(1, keepdim=True)


def plasma(batch: int, size: int, decay: float, *, generator: torch.Generator | None = None) -> Tensor:
    """Clouds in [0, 1], (batch, size, size), by midpoint displacement on a torus; size is a power of two.

    The displacement falls by the square of `decay` each time the grid is halved.
    """
    found = torch.zeros(batch, size, size)
    step, wibble = size, 100.0

    def moved(total: Tensor) -> Tensor:
        drawn = 2 * torch.rand(total.shape, generator=generator) - 1
        return total / 4 + wibble * wibble * drawn

    while step >= 2:
        half = step // 2
        corner = found[:, ::step, ::step]
        around = corner + corner.roll(-1, 1)
        around = around + around.roll(-1, 2)
        centre = moved(around)
        found[:, half::step, half::step] = centre
        found[:, ::step, half::step] = moved(centre + centre.roll(1, 1) + corner + corner.roll(-1, 2))
        found[:, half::step, ::step] = moved(centre + centre.roll(1, 2) + corner + corner.roll(-1, 1))
        step, wibble = half, wibble / decay
    low, high = found.amin((1, 2), keepdim=True), found.amax((1, 2), keepdim=True)
    return (found - low) / (high - low)
