"""Eight of the fifteen common corruptions: four of weather, four digital. Severities are those of CIFAR-10-C.

Each takes images (B, C, H, W) in [0, 1], a severity from 1 to 5 and a generator, and gives images in [0, 1].
"""

from __future__ import annotations

import io
import math

import torch
from torch import Tensor

from mixlearn.lab.extras import need
from mixlearn.measure.warp import (
    box_resize,
    clipped_zoom,
    gaussian_blur,
    mirror_half,
    mirror_whole,
    plasma,
    sample,
    smear,
)

_GREY = (0.299, 0.587, 0.114)


def snow(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Driving flakes, once each way up, over a whitened image.

    Args:
        images: (B, C, H, W) in [0, 1], not changed.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> bool((snow(torch.zeros(1, 3, 8, 8), 5) > 0).any())
    True
    """
    mean, spread, zoom, least, radius, sigma, keep = (
        (0.1, 0.2, 1.0, 0.6, 8, 3.0, 0.95),
        (0.1, 0.2, 1.0, 0.5, 10, 4.0, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4.0, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6.0, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12.0, 0.8),
    )[severity - 1]
    batch, _, height, width = images.shape
    flakes = clipped_zoom(mean + spread * torch.randn(batch, 1, height, width, generator=generator), zoom)
    flakes = torch.where(flakes < least, torch.zeros_like(flakes), flakes).clamp_(0, 1)
    angle = math.radians(-135) + math.radians(90) * torch.rand(batch, generator=generator)
    flakes = smear(flakes, radius, sigma, angle).to(images)
    white = torch.maximum(images, grey(images) * 1.5 + 0.5)
    return (keep * images + (1 - keep) * white + flakes + flakes.flip((2, 3))).clamp_(0, 1)


def frost(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Ice on the lens. The published one overlays photographs of ice; here the ice is drawn: pale ridges.

    So this corruption alone has the published mixing weights but not the published texture.

    Args:
        images: (B, C, H, W) in [0, 1], not changed.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> bool((frost(torch.zeros(1, 3, 8, 8), 1) > 0).any())
    True
    """
    keep, add = ((1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))[severity - 1]
    batch, channels, height, width = images.shape
    ice = _clouds(batch, height, width, 1.6, generator)
    ridges = (1 - (2 * ice - 1).abs()).square()[:, None]
    tint = torch.tensor((0.85, 0.93, 1.0) if channels == 3 else (0.92,) * channels).view(1, -1, 1, 1)
    return (keep * images + add * (ridges * tint).to(images)).clamp_(0, 1)


def fog(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """A bank of cloud added, and the whole dimmed to the old maximum.

    Args:
        images: (B, C, H, W) in [0, 1], not changed.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> fog(torch.zeros(1, 3, 8, 8), 5).max().item()
    0.0
    """
    thick, decay = ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75))[severity - 1]
    batch, _, height, width = images.shape
    most = images.amax((1, 2, 3), keepdim=True)
    cloud = _clouds(batch, height, width, decay, generator)[:, None].to(images)
    return ((images + thick * cloud) * most / (most + thick)).clamp_(0, 1)


def brightness(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """The value of hue, saturation and value raised, hue and saturation kept. Draws nothing.

    Args:
        images: (B, C, H, W) in [0, 1], not changed.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> brightness(torch.zeros(1, 3, 1, 1), 5).flatten().tolist()
    [0.30000001192092896, 0.30000001192092896, 0.30000001192092896]
    """
    more = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    value = images.amax(1, keepdim=True)
    raised = (value + more).clamp_max(1)
    return torch.where(value > 0, images * (raised / value.clamp_min(1e-12)), raised.expand_as(images))


def contrast(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Every channel drawn towards its mean. Draws nothing.

    Args:
        images: (B, C, H, W) in [0, 1], not changed.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> contrast(torch.tensor([0., 1.]).view(1, 1, 1, 2), 2).flatten().tolist()
    [0.25, 0.75]
    """
    keep = (0.75, 0.5, 0.4, 0.3, 0.15)[severity - 1]
    mean = images.mean((2, 3), keepdim=True)
    return ((images - mean) * keep + mean).clamp_(0, 1)


def elastic_transform(
    images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None
) -> Tensor:
    """A random affine map, then a random smooth displacement.

    Args:
        images: (B, C, H, W) in [0, 1], not changed.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> elastic_transform(torch.zeros(1, 3, 32, 32), 5).shape
    torch.Size([1, 3, 32, 32])
    """
    height, width = images.shape[2:]
    unit = min(height, width)
    strength, sigma, shift = (
        (0.0, 0.0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03),
    )[severity - 1]  # fmt: skip
    images = affine(images, shift * unit, generator=generator)
    moved = []
    for _ in range(2):
        drawn = 2 * torch.rand(len(images), 1, height, width, generator=generator) - 1
        smooth = gaussian_blur(drawn, sigma * unit, truncate=3.0, edge="symmetric")
        moved.append(strength * unit * smooth[:, 0].to(images))
    columns = torch.arange(width, device=images.device) + moved[0]
    rows = torch.arange(height, device=images.device).view(-1, 1) + moved[1]
    return sample(images, rows, columns, mirror_half).clamp_(0, 1)


def affine(images: Tensor, shift: float, *, generator: torch.Generator | None = None) -> Tensor:
    """Three points around the middle each move by up to `shift` pixels, and the plane with them."""
    batch, _, height, width = images.shape
    centre = torch.tensor([width // 2, height // 2], dtype=torch.float64)
    arm = min(height, width) // 3
    before = centre + arm * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)
    drawn = 2 * torch.rand(batch, 3, 2, generator=generator, dtype=torch.float64) - 1
    after = torch.cat([before + shift * drawn, torch.ones(batch, 3, 1, dtype=torch.float64)], dim=2)
    back = torch.linalg.solve(after, before.expand(batch, 3, 2))  # (x', y', 1) → (x, y)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([x, y, torch.ones_like(x)], dim=-1).double()
    found = (places.view(1, -1, 3) @ back).view(batch, height, width, 2).to(images)
    return sample(images, found[..., 1], found[..., 0], mirror_whole)


def pixelate(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Shrunk and blown up again, both by box averages. Draws nothing.

    Args:
        images: (B, C, H, W) in [0, 1], not changed.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> pixelate(torch.rand(1, 1, 32, 32), 5).shape
    torch.Size([1, 1, 32, 32])
    """
    scale = (0.95, 0.9, 0.85, 0.75, 0.65)[severity - 1]
    height, width = images.shape[2:]
    small = box_resize(images, int(height * scale), int(width * scale))
    return box_resize((small * 255).round_().div_(255), height, width)


def jpeg_compression(
    images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None
) -> Tensor:
    """Written as JPEG and read again. Draws nothing.

    Args:
        images: (B, C, H, W) in [0, 1], not changed.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> jpeg_compression(torch.rand(1, 3, 16, 16), 5).shape
    torch.Size([1, 3, 16, 16])
    """
    Image, np = (need(module, "jpeg_compression") for module in ("PIL.Image", "numpy"))
    quality = (80, 65, 58, 50, 40)[severity - 1]
    values = (images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    out = np.empty_like(values)
    for k, value in enumerate(values):
        file = io.BytesIO()
        Image.fromarray(value[:, :, 0] if value.shape[2] == 1 else value).save(file, "JPEG", quality=quality)
        out[k] = np.asarray(Image.open(file)).reshape(value.shape)
    return torch.from_numpy(out).permute(0, 3, 1, 2).to(images) / 255


def grey(images: Tensor) -> Tensor:
    """(B, 1, H, W): the brightness of colour images; of grey ones, themselves."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    weights = torch.tensor(_GREY, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def _clouds(batch: int, height: int, width: int, decay: float, generator: torch.Generator | None) -> Tensor:
    size = 2 ** math.ceil(math.log2(max(height, width, 2)))
    return plasma(batch, size, decay, generator=generator)[:, :height, :width]
