"""The fifteen common corruptions of Hendrycks and Dietterich, for whole batches."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.extras import need


def gaussian_blur(images: Tensor, sigma: float, *, truncate: float = 4.0, edge: str = "replicate") -> Tensor:
    """(B, C, H, W) blurred with a Gaussian cut off after `truncate` standard deviations.

    Beyond the border the edge is repeated, or mirrored about it ("symmetric").
    """
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return images
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma).square())
    kernel = (weights / weights.sum()).to(images)
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
    centre = (torch.arange(new, dtype=torch.float64)[:, None] + 0.5) * scale
    place = (torch.arange(old) - centre + 0.5) / max(scale, 1.0)  # (new, old)
    weights = ((place > -0.5) & (place <= 0.5)).float()
    return weights / weights.sum(1, keepdim=True)


def plasma(batch: int, size: int, decay: float, *, generator: torch.Generator | None = None) -> Tensor:
    """Clouds in [0, 1], (batch, size, size), by midpoint displacement on a torus; size is a power of two.

    The displacement falls by the square of `decay` each time the grid is halved.
    """
    clouds = torch.zeros(batch, size, size)
    step, wibble = size, 100.0

    def moved(total: Tensor) -> Tensor:
        drawn = 2 * torch.rand(total.shape, generator=generator) - 1
        return total / 4 + wibble * wibble * drawn

    while step >= 2:
        half = step // 2
        corner = clouds[:, ::step, ::step]
        around = corner + corner.roll(-1, 1)
        around = around + around.roll(-1, 2)
        centre = moved(around)
        clouds[:, half::step, half::step] = centre
        clouds[:, ::step, half::step] = moved(centre + centre.roll(1, 1) + corner + corner.roll(-1, 2))
        clouds[:, half::step, ::step] = moved(centre + centre.roll(1, 2) + corner + corner.roll(-1, 1))
        step, wibble = half, wibble / decay
    low, high = clouds.amin((1, 2), keepdim=True), clouds.amax((1, 2), keepdim=True)
    return (clouds - low) / (high - low)


def gaussian_noise(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Normal noise on every value, as in a dark room. All corruptions take the same arguments.

    Args:
        images: (B, C, H, W) in [0, 1], not changed.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> gaussian_noise(torch.full((1, 1, 2, 2), 0.5), 1).shape
    torch.Size([1, 1, 2, 2])
    """
    scale = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    return (images + scale * torch.randn(images.shape, generator=generator).to(images)).clamp_(0, 1)


def shot_noise(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Poisson noise: every value counted in so many grains of light.

    images, severity, generator: as for `corrupt`.

    >>> shot_noise(torch.zeros(1, 1, 2, 2), 5).sum().item()
    0.0
    """
    grains = (500, 250, 100, 75, 50)[severity - 1]
    return (torch.poisson(images.cpu() * grains, generator=generator).to(images) / grains).clamp_(0, 1)


def impulse_noise(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Salt and pepper: a few values become 1 or 0.

    images, severity, generator: as for `corrupt`.
    """
    share = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
    drawn = torch.rand(images.shape, generator=generator).to(images)
    salted = torch.where(drawn < share / 2, torch.zeros_like(images), images)
    return torch.where((drawn >= share / 2) & (drawn < share), torch.ones_like(images), salted)


def defocus_blur(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Every point becomes a small disk, as out of focus. Not random.

    images, severity, generator: as for `corrupt`.
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

    The published program means to swap two pixels and, through a view, copies one over the other.

    images, severity, generator: as for `corrupt`.
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

    images, severity, generator: as for `corrupt`.
    """
    radius, sigma = ((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5))[severity - 1]
    angle = (torch.rand(len(images), generator=generator) - 0.5) * (math.pi / 2)
    return smear(images, radius, sigma, angle).clamp_(0, 1)


def zoom_blur(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """The mean of ever closer views, as if the camera zoomed in while exposing. Not random.

    images, severity, generator: as for `corrupt`.
    """
    views = (7, 12, 16, 21, 26)[severity - 1]  # numpy's arange gives one more than meant in the first two
    total = images.clone()
    for k in range(views):
        total += clipped_zoom(images, 1 + 0.01 * k)
    return (total / (views + 1)).clamp_(0, 1)


def snow(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Driven snowflakes, and the same upside down, over a whitened image.

    images, severity, generator: as for `corrupt`.
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
    """Ice on the lens: pale ridges with the published weights; the published ice comes from photographs.

    images, severity, generator: as for `corrupt`.
    """
    keep, add = ((1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))[severity - 1]
    batch, channels, height, width = images.shape
    ice = _clouds(batch, height, width, 1.6, generator)
    ridges = (1 - (2 * ice - 1).abs()).square()[:, None]
    tint = torch.tensor((0.85, 0.93, 1.0) if channels == 3 else (0.92,) * channels).view(1, -1, 1, 1)
    return (keep * images + add * (ridges * tint).to(images)).clamp_(0, 1)


def fog(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Random clouds are added, and the result is dimmed to the old maximum.

    images, severity, generator: as for `corrupt`.

    >>> fog(torch.zeros(1, 3, 8, 8), 5).max().item()
    0.0
    """
    thick, decay = ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75))[severity - 1]
    batch, _, height, width = images.shape
    most = images.amax((1, 2, 3), keepdim=True)
    cloud = _clouds(batch, height, width, decay, generator)[:, None].to(images)
    return ((images + thick * cloud) * most / (most + thick)).clamp_(0, 1)


def brightness(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Brighter: the value (V) of HSV is raised, hue and saturation are kept. Not random.

    images, severity, generator: as for `corrupt`.

    >>> brightness(torch.zeros(1, 3, 1, 1), 5).flatten().tolist()
    [0.30000001192092896, 0.30000001192092896, 0.30000001192092896]
    """
    more = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    value = images.amax(1, keepdim=True)
    raised = (value + more).clamp_max(1)
    return torch.where(value > 0, images * (raised / value.clamp_min(1e-12)), raised.expand_as(images))


def contrast(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Every channel drawn towards its mean. Not random.

    images, severity, generator: as for `corrupt`.

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

    images, severity, generator: as for `corrupt`.
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
    sources = (places.view(1, -1, 3) @ back).view(batch, height, width, 2).to(images)
    return sample(images, sources[..., 1], sources[..., 0], mirror_whole)


def pixelate(images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None) -> Tensor:
    """Shrunk and enlarged again, both by box averages. Not random.

    images, severity, generator: as for `corrupt`.
    """
    scale = (0.95, 0.9, 0.85, 0.75, 0.65)[severity - 1]
    height, width = images.shape[2:]
    small = box_resize(images, int(height * scale), int(width * scale))
    return box_resize((small * 255).round_().div_(255), height, width)


def jpeg_compression(
    images: Tensor, severity: int = 3, *, generator: torch.Generator | None = None
) -> Tensor:
    """Written as JPEG and read again. Not random.

    images, severity, generator: as for `corrupt`.
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
    weights = torch.tensor((0.299, 0.587, 0.114), dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def _clouds(batch: int, height: int, width: int, decay: float, generator: torch.Generator | None) -> Tensor:
    size = 2 ** math.ceil(math.log2(max(height, width, 2)))
    return plasma(batch, size, decay, generator=generator)[:, :height, :width]


Corruption = Callable[..., Tensor]
COMMON: tuple[Corruption, ...] = (
    *(gaussian_noise, shot_noise, impulse_noise),
    *(defocus_blur, glass_blur, motion_blur, zoom_blur),
    *(snow, frost, fog, brightness),
    *(contrast, elastic_transform, pixelate, jpeg_compression),
)


def corrupt(
    images: Tensor, corruption: Corruption, severity: int = 3, *, generator: torch.Generator | None = None
) -> Tensor:
    """Corrupt images and round them to whole grey levels, as a file would hold them.

    Args:
        images, severity, generator: as for `gaussian_noise`; grey or colour.
        corruption: one of `COMMON`, or a function with their signature.

    Returns:
        (B, C, H, W) in [0, 1], multiples of 1/255 (fractions cut off, as published).

    Source: Hendrycks & Dietterich, *Benchmarking Neural Network Robustness to Common Corruptions and
    Perturbations*, ICLR 2019, and the severities of its CIFAR-10-C.

    >>> from mixlearn.measure import contrast
    >>> corrupt(torch.tensor([0., 1.]).view(1, 1, 1, 2), contrast, 5).mul(255).flatten().tolist()
    [108.0, 146.0]
    """
    if images.dim() != 4 or images.shape[1] not in (1, 3) or not images.is_floating_point():
        raise ValueError(
            "images must be floating point (B, 1, H, W) or (B, 3, H, W), "
            f"got {tuple(images.shape)} {images.dtype}"
        )
    if severity not in range(1, 6):
        raise ValueError(f"severity must be a whole number from 1 to 5, got {severity!r}")
    if images.numel() and not bool(((images >= 0) & (images <= 1)).all()):
        raise ValueError(
            f"images must lie in [0, 1], got {float(images.min()):.3g} to {float(images.max()):.3g}; "
            "restore normalised ones first"
        )
    return (corruption(images, severity, generator=generator) * 255 + 1e-4).floor_().clamp_(0, 255).div_(255)
