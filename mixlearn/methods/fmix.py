"""FMix: masks cut from clouds, so that what is pasted has any shape but a rectangle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from mixlearn.core.checks import check_pixels, check_range
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.plan import Mixed, MixPlan, apply_plan


def fmix(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    alpha: float = 1.0,
    decay: float = 3.0,
    soft: float = 0.0,
    lam: float | Sequence[float] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    spectrum: Literal["even", "released"] = "even",
    generator: torch.Generator | None = None,
) -> Mixed:
    """Keep the λ·H·W highest pixels of a random cloud image, and take the others from the partner.

    Args:
        images, labels, num_classes, alpha, lam, partner, per_image, generator: as for `mixup`, on (…, H, W).
        decay: δ, how fast the cloud's spectrum falls with frequency: amplitude f^−δ. The paper takes 3.
        soft: half the width of a ramp from 1 to 0 in place of the edge, as a share of the pixels, up to ½.
        spectrum: "even" holds every direction alike; "released" repeats the authors' code. For study.

    Returns `Mixed(images, targets, plan)`; λ is the mean of the mask, within one pixel of the λ asked for.
    Source: Harris et al., *FMix: Enhancing Mixed Sample Data Augmentation*, 2020, section 3.

    >>> mixed = fmix(torch.rand(4, 1, 8, 8), lam=0.25, generator=torch.Generator().manual_seed(0))
    >>> mixed.plan.masks[0, 0].sum().item(), mixed.plan.lam.tolist()
    (16.0, [0.25, 0.25, 0.25, 0.25])
    """
    height, width = check_pixels(images)
    check_range("[0, 0.5]", soft=soft)
    if spectrum not in ("even", "released"):
        raise ValueError(f"spectrum must be 'even' or 'released', got {spectrum!r}")
    partner, share = given_or_drawn(lam, partner, len(images), alpha, per_image, generator)
    share = share.cpu()  # where masks are made, so a λ given on an accelerator is read once
    cloud = clouds if spectrum == "even" else released_clouds
    fields = cloud(len(share), height, width, decay, generator=generator)
    plan = MixPlan.masked(partner, highest(fields, share, soft, generator=generator), share)
    return apply_plan(plan, images, labels, num_classes)


def clouds(
    n: int, height: int, width: int, decay: float = 3.0, *, generator: torch.Generator | None = None
) -> Tensor:
    """Random fields (n, 1, H, W) of mean 0: white noise, whose amplitudes a filter makes fall as f^−decay."""
    amplitude = _amplitude(height, width, decay)
    amplitude[0, 0] = 0
    noise = torch.randn(n, 1, height, width, generator=generator)
    return torch.fft.irfft2(torch.fft.rfft2(noise) * amplitude, s=(height, width))


def released_clouds(
    n: int, height: int, width: int, decay: float = 3.0, *, generator: torch.Generator | None = None
) -> Tensor:
    """The fields that the published code makes, (n, 1, H, W), for study.

    It takes rows 0 and 1 for the real and imaginary parts, which are drawn on the last axis. What is left
    are two frequencies across, and half of those down.
    """
    amplitude = _amplitude(height, width, decay)
    drawn = torch.randn(n, *amplitude.shape, 2, generator=generator) * amplitude[:, :, None]
    mistaken = torch.complex(drawn[:, 0], drawn[:, min(1, height - 1)])  # (n, W/2 + 1, 2)
    return torch.fft.irfft2(mistaken, s=(height, width))[:, None]


def highest(
    fields: Tensor, share: Tensor, soft: float = 0.0, *, generator: torch.Generator | None = None
) -> Tensor:
    """Masks of the highest pixels of each field (n, 1, H, W): a share (n,) of them, rounded at random.

    `soft` is half the width of the ramp from 1 to 0, as a share of the pixels; less near shares 0 and 1.

    >>> highest(torch.arange(4.).view(1, 1, 2, 2), torch.tensor([0.5]))[0, 0]
    tensor([[0., 0.],
            [1., 1.]])
    """
    flat = fields.flatten(1)
    size = flat.shape[1]
    exact = share.double() * size
    count = (exact + torch.rand(len(share), generator=generator)).floor_().clamp_(max=size)[:, None]
    rank = torch.arange(size)
    half = torch.minimum(count, size - count).clamp_(max=soft * size).float()
    ramp = (count.float() + half - rank - 0.5) / (2 * half)  # its mean is that of the step
    values = torch.where(half > 0, ramp.clamp_(0, 1), (rank < count).float())
    order = flat.argsort(dim=1, descending=True).cpu()
    return torch.zeros(flat.shape).scatter_(1, order, values).view_as(fields)


def _amplitude(height: int, width: int, decay: float) -> Tensor:
    """f^−decay on the half plane of frequencies of a real image: (H, W/2 + 1)."""
    check_range("[0, inf)", decay=decay)
    down, across = torch.fft.fftfreq(height), torch.fft.rfftfreq(width)
    frequency = (down[:, None].square() + across.square()).sqrt()
    return frequency.clamp_min(1 / max(height, width)).pow(-decay)
