"""Where an image is worth looking: saliency maps, from the image alone or from a network's gradient."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import as_ids, check_pixels
from mixlearn.nets.taps import bare, evaluation, logits_of, staged

Saliency = Tensor | Callable[[Tensor], Tensor]


def saliency_of(saliency: Saliency, images: Tensor) -> Tensor:
    """Maps that were given, or made by a function, once their shape is checked: (B, 1, H, W)."""
    maps = saliency(images) if callable(saliency) else saliency
    expected = (images.shape[0], 1, *images.shape[-2:])
    if tuple(maps.shape) != expected:
        raise ValueError(f"saliency must have shape {expected}, got {tuple(maps.shape)}")
    return maps


def spectral_residual(images: Tensor, *, size: int = 64, sigma: float = 2.5) -> Tensor:
    """Saliency without a network: what is unusual in the image's own spectrum.

    The log amplitudes of a natural image fall smoothly with frequency. Their residual from the local mean,
    transformed back with the old phases, is large where the image is unusual.

    Args:
        images: (B, C, H, W) float, in any units.
        size: the map is computed at this side in pixels, or the image's own if that is smaller.
        sigma: of the blur at the end, in pixels of that size.

    Returns (B, 1, H, W), at least 0, each summing to 1. Source: Hou & Zhang, *Saliency Detection: A Spectral
    Residual Approach*, CVPR 2007.

    >>> image = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    >>> image[0, 0, 20:24, 8:12] += 3
    >>> row, column = divmod(spectral_residual(image).argmax().item(), 32)
    >>> 18 <= row <= 26, 6 <= column <= 14
    (True, True)
    """
    height, width = check_pixels(images)
    if images.dim() != 4:
        raise ValueError(f"images must have shape (B, C, H, W), got {tuple(images.shape)}")
    small = (min(size, height), min(size, width))
    grey = F.interpolate(images.float().mean(1, keepdim=True), size=small, mode="bilinear", antialias=True)
    spectrum = torch.fft.fft2(grey)  # (B, 1, h, w)
    level = spectrum.abs().clamp_min(1e-8).log()
    residual = level - F.avg_pool2d(F.pad(level, (1, 1, 1, 1), mode="circular"), 3, stride=1)
    map_ = torch.fft.ifft2(torch.polar(residual.exp(), spectrum.angle())).abs().square()
    return normalised(F.interpolate(_blur(map_, sigma), size=(height, width), mode="bilinear"))


def gradient_saliency(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> Tensor:
    """Saliency by a network: the size of the loss's gradient at each pixel.

    The network is in evaluation mode for the pass; its weights' gradients are left as they were.
    Under autocast to float16, in which small gradients become 0, the pass is made in full precision.

    Args:
        model: images → logits (B, classes).
        images: (B, C, H, W) float. Not changed.
        labels: (B,) class ids, or whatever `loss` takes.
        loss: of logits and labels, to a scalar.

    Returns (B, 1, H, W), at least 0, each summing to 1. Source: Simonyan, Vedaldi & Zisserman, *Deep Inside
    Convolutional Networks*, 2013; as used by Kim, Choo & Song, *Puzzle Mix*, ICML 2020.

    >>> model = lambda x: torch.stack([x[:, 0, 0, 1], -x[:, 0, 0, 1]], 1)       # looks at one pixel
    >>> gradient_saliency(model, torch.zeros(1, 1, 1, 3), torch.tensor([0])).tolist()
    [[[[0.0, 1.0, 0.0]]]]
    """
    check_pixels(images)
    device = images.device.type
    half = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16
    full = torch.autocast(device, enabled=False) if half else nullcontext()
    with evaluation(model), torch.enable_grad(), full:
        inputs = images.detach().clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(loss(logits_of(model(inputs)), as_ids(labels)), inputs)
    return normalised(slope.float().square().mean(1, keepdim=True).sqrt())


def feature_attention(
    model: Callable[..., Tensor], images: Tensor, stage: str = "stage3", labels: Tensor | None = None
) -> Tensor:
    """Saliency by a network without a gradient: how strong the features of a stage are at each place.

    Args:
        model: a network of `ml.nets`, whose taps show its features, or an `ml.nets.Tapped` one.
        images: (B, C, H, W) float. Not changed.
        stage: the tap to read, with features (B, channels, h, w).
        labels: class ids (B,). Features are then weighted by the head's weights for the class, which makes
            class activation maps; the stage must be the last. None weighs all features alike.

    Returns (B, 1, H, W), at least 0, each summing to 1. Source: Walawalkar et al., *Attentive CutMix*, ICASSP
    2020; Zhou et al., *Learning Deep Features for Discriminative Localization*, CVPR 2016, for class
    activation maps.

    >>> import mixlearn as ml
    >>> feature_attention(ml.nets.resnet(8, 10, width=4), torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 1, 32, 32])
    """
    size = check_pixels(images)
    with evaluation(model), torch.no_grad():
        features = staged(model, images, stage).float()  # (B, channels, h, w)
    if labels is None:
        maps = features.mean(1, keepdim=True)
    else:
        of_class = bare(model).head.weight.detach()[labels.long()].float()  # (B, channels)
        maps = torch.einsum("bchw,bc->bhw", features, of_class)[:, None]
    lowest = maps.amin((1, 2, 3), keepdim=True)
    return normalised(F.interpolate(maps - lowest, size=size, mode="bilinear"))


def normalised(maps: Tensor) -> Tensor:
    """(B, 1, H, W) maps scaled to sum to 1 each; a map of zeros becomes even."""
    total = maps.sum((1, 2, 3), keepdim=True)
    even = torch.full_like(maps, 1 / (maps.shape[-1] * maps.shape[-2]))
    return torch.where(total > 0, maps / torch.where(total > 0, total, 1), even)


def _blur(maps: Tensor, sigma: float) -> Tensor:
    radius = max(int(3 * sigma + 0.5), 1)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=maps.device) / sigma).square())
    kernel = (kernel / kernel.sum()).to(maps.dtype)
    maps = F.conv2d(maps, kernel.view(1, 1, -1, 1), padding=(radius, 0))
    return F.conv2d(maps, kernel.view(1, 1, 1, -1), padding=(0, radius))
