"""Random views of a batch, drawn for each image: crops and mirrors, colours, blur."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import as_count, check_generator, check_images, check_range
from mixlearn.core.fast import sent

GREY = (0.299, 0.587, 0.114)  # of red, green and blue
YIQ = (GREY, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


def contrastive_view(
    images: Tensor,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    least: float = 0.2,
    most: float = 1.0,
    size: int | None = None,
    colour: float = 0.8,
    grey: float = 0.2,
    blur: float = 0.5,
    solarise: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """A strongly augmented view of each image, as SimCLR and MoCo take.

    In this order: a random crop; a mirror, for half of them; a change of brightness, contrast, saturation
    and hue; grey; a blur; solarisation. Images of one channel have no saturation, hue and grey.

    Args:
        images: (B, C, H, W) with C of 1 or 3, normalised by `mean` and `std`. Not changed.
        mean, std: one number a channel, in units of pixels in [0, 1].
        least, most, size, generator: as for `random_resized_crop`.
        colour, grey, blur, solarise: probabilities in [0, 1].

    Returns:
        A new tensor like `images`, of the size asked for, normalised again.

    Source: Chen et al., *A Simple Framework for Contrastive Learning of Visual Representations*, ICML 2020;
    strengths .4, .4, .2 and .1 of MoCo v3. Hue is turned in YIQ, and the order of changes is always the same.

    >>> g = torch.Generator().manual_seed(0)
    >>> contrastive_view(torch.zeros(2, 3, 8, 8), mean=(0.5,) * 3, std=(0.2,) * 3, generator=g).shape
    torch.Size([2, 3, 8, 8])
    """
    check_images(images)
    check_generator(generator)
    if images.dim() != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images must have shape (B, 1 or 3, H, W), got {tuple(images.shape)}")
    if not len(mean) == len(std) == images.shape[1]:
        raise ValueError(
            f"mean and std must have {images.shape[1]} numbers, one a channel, got {mean} and {std}"
        )
    check_range("[0, 1]", colour=colour, grey=grey, blur=blur, solarise=solarise)
    middle, scale = (sent(torch.tensor(list(v)), images.device).view(-1, 1, 1) for v in (mean, std))
    pixels = images.float() * scale + middle
    pixels = random_resized_crop(pixels, least=least, most=most, size=size, generator=generator)
    draws = sent(torch.rand(9, len(images), generator=generator), images.device).view(9, -1, 1, 1, 1)
    pixels = torch.where(draws[0] < 0.5, pixels.flip(3), pixels).clamp(0, 1)
    pixels = torch.where(draws[1] < colour, _coloured(pixels, 2 * draws[5:9] - 1), pixels)
    pixels = torch.where(draws[2] < grey, _brightness(pixels), pixels)
    pixels = torch.where(draws[3] < blur, _blurred(pixels, generator), pixels)
    pixels = torch.where((draws[4] < solarise) & (pixels >= 0.5), 1 - pixels, pixels)
    return ((pixels - middle) / scale).to(images.dtype)


def random_resized_crop(
    images: Tensor,
    *,
    least: float = 0.2,
    most: float = 1.0,
    size: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """A random part of each image, resized bilinearly.

    Args:
        images: (B, C, H, W), float. Not changed.
        least, most: smallest and largest share of the area, in (0, 1]; shares are uniform between them, the
            sides' ratio between 3 : 4 and 4 : 3 as far as the image allows, evenly between logarithms.
        size: height and width of what comes back, in pixels; None keeps those of the image.
        generator: source of randomness on the CPU; None uses torch's default one.

    Source: Szegedy et al., *Going Deeper with Convolutions*, CVPR 2015.

    >>> random_resized_crop(torch.rand(2, 1, 4, 4), least=0.1, most=0.3, size=2).shape
    torch.Size([2, 1, 2, 2])
    """
    if not 0 < least <= most <= 1:
        raise ValueError(f"0 < least ≤ most ≤ 1 is needed, got least {least} and most {most}")
    size = None if size is None else as_count(size, "size", 1)
    area, ratio, x, y = torch.rand(4, len(images), generator=generator, dtype=torch.float64)
    root = (least + (most - least) * area).sqrt()
    slant = ((2 * ratio - 1) * (-root.log()).clamp(max=math.log(4 / 3) / 2)).exp()
    wide, tall = root * slant, root / slant
    turn = torch.zeros(len(images), 2, 3, dtype=torch.float64)
    turn[:, 0, 0], turn[:, 1, 1] = wide, tall
    turn[:, 0, 2], turn[:, 1, 2] = (2 * x - 1) * (1 - wide), (2 * y - 1) * (1 - tall)
    shape = [*images.shape[:2], *(images.shape[2:] if size is None else (size, size))]
    grid = F.affine_grid(sent(turn.to(images.dtype), images.device), shape, align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _brightness(pixels: Tensor) -> Tensor:
    """(B, 1, H, W)."""
    if pixels.shape[1] == 1:
        return pixels
    return (pixels * sent(pixels.new_tensor(GREY, device="cpu"), pixels.device).view(-1, 1, 1)).sum(1, True)


def _coloured(pixels: Tensor, turns: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue changed by turns (4, B, 1, 1, 1) in [−1, 1]."""
    bright, contrast, saturation, hue = turns
    pixels = (pixels * (1 + 0.4 * bright)).clamp(0, 1)
    level = _brightness(pixels).mean((2, 3), keepdim=True)
    pixels = torch.lerp(level.expand_as(pixels), pixels, 1 + 0.4 * contrast).clamp(0, 1)
    if pixels.shape[1] == 1:
        return pixels
    pixels = torch.lerp(_brightness(pixels).expand_as(pixels), pixels, 1 + 0.2 * saturation).clamp(0, 1)
    to = torch.tensor(YIQ, dtype=pixels.dtype)
    back = torch.linalg.inv(to.double()).to(to)  # on the CPU: a GPU would wait to hear that it exists
    to, back = sent(to, pixels.device), sent(back, pixels.device)
    angle = 2 * math.pi * 0.1 * hue[:, 0, 0, 0]
    spin = torch.eye(3, dtype=pixels.dtype, device=pixels.device).repeat(len(pixels), 1, 1)
    spin[:, 1, 1], spin[:, 1, 2] = angle.cos(), -angle.sin()
    spin[:, 2, 1], spin[:, 2, 2] = angle.sin(), angle.cos()
    return torch.einsum("bij,bjhw->bihw", back @ spin @ to, pixels).clamp(0, 1)


def _blurred(pixels: Tensor, generator: torch.Generator | None) -> Tensor:
    """Each image under a Gaussian of its own width, .1 to 2 pixels at 224 pixels a side as at 32."""
    batch, channels, height, width = pixels.shape
    reach = max(1, round(0.05 * min(height, width)))
    sigma = 0.1 + 1.9 * torch.rand(batch, 1, generator=generator)
    kernel = (-(torch.arange(-reach, reach + 1) / sigma).square() / 2).exp()
    kernel = sent((kernel / kernel.sum(1, keepdim=True)).to(pixels.dtype), pixels.device)
    kernel = kernel.repeat_interleave(channels, 0)[:, None]  # (B · C, 1, 2 · reach + 1)
    rows = F.pad(pixels, (reach,) * 4, mode="replicate").flatten(0, 1)[None]  # (1, B · C, …, …)
    rows = F.conv2d(rows, kernel[..., None], groups=batch * channels)
    rows = F.conv2d(rows, kernel[:, :, None], groups=batch * channels)
    return rows.view(pixels.shape)


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

    Source: He et al., *Deep Residual Learning for Image Recognition*, CVPR 2016, section 4.2.

    >>> random_crop(torch.ones(2, 1, 4, 4), padding=2).shape
    torch.Size([2, 1, 4, 4])
    """
    _check(images)
    padding = as_count(padding, "padding", 0)
    batch, _, height, width = images.shape
    place = sent(torch.randint(2 * padding + 1, (2, batch), generator=generator), images.device)
    padded = F.pad(images, (padding,) * 4, mode=mode)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, 2p+1, 2p+1, H, W), a view
    return windows[torch.arange(batch, device=images.device), :, place[0], place[1]]


def random_flip(images: Tensor, *, p: float = 0.5, generator: torch.Generator | None = None) -> Tensor:
    """Mirror each of the images (B, C, H, W) left to right with probability p, by draws of the generator.

    >>> random_flip(torch.tensor([[[[1.0, 2.0]]]]), p=1.0)
    tensor([[[[2., 1.]]]])
    """
    _check(images)
    check_range("[0, 1]", p=p)
    turned = torch.rand(len(images), generator=generator) < p
    return torch.where(sent(turned, images.device).view(-1, 1, 1, 1), images.flip(3), images)


def crop_and_flip(
    images: Tensor, *, padding: int = 4, mode: str = "constant", generator: torch.Generator | None = None
) -> Tensor:
    """The usual augmentation of CIFAR: `random_crop`, then `random_flip`.

    `images`, `padding`, `mode` and `generator` are those of `random_crop`.
    """
    cropped = random_crop(images, padding=padding, mode=mode, generator=generator)
    return random_flip(cropped, generator=generator)


def _check(images: Tensor) -> None:
    if images.dim() != 4:
        raise ValueError(f"images must have shape (B, C, H, W), got {tuple(images.shape)}")
