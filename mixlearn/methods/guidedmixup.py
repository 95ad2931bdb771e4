"""GuidedMixup: pixel by pixel the more salient image, with partners whose objects overlap least."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import as_partner, check_generator, check_pixels
from mixlearn.core.draw import sample_partner
from mixlearn.core.fast import sent
from mixlearn.core.plan import Mixed, MixPlan, apply_plan
from mixlearn.methods.saliency import Saliency, normalised, saliency_of, spectral_residual


def guidedmixup(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    saliency: Saliency = spectral_residual,
    greedy: bool = True,
    partner: Sequence[int] | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Weigh each pixel by saliency, own mask sᵢ / (sᵢ + sⱼ), after pairing images with unlike maps.

    No λ is drawn. The authors mix half of the batches, `RandomMix([ml.guidedmixup], p=0.5)`, or four of five
    with `gradient_saliency`.

    Args:
        images: (B, C, H, W) float. labels, num_classes, generator: as for `mixup`.
        saliency: (B, 1, H, W), or a function of the images; `learners.Guided` gives a gradient's. Maps are
            blurred (σ = 3 pixels, cut off at 3) and scaled to sum to 1.
        greedy: pair by `unlike`, which needs no draw; False draws partners as Mixup does.
        partner: (B,) indices instead of either.

    Returns `Mixed(images, targets, plan)`; λ is the mean of the mask. Source: Kang & Kim, *GuidedMixup: An
    Efficient Mixup Strategy Guided by Saliency Maps*, AAAI 2023; the details from the authors' code.

    >>> maps = torch.tensor([[3.0, 1.0], [1.0, 3.0]]).repeat_interleave(8, 1).view(2, 1, 1, 16)
    >>> plan = guidedmixup(torch.rand(2, 3, 1, 16), saliency=maps).plan
    >>> plan.masks[0, 0].flatten()[[0, -1]], plan.lam
    (tensor([0.7500, 0.2500]), tensor([0.5000, 0.5000]))
    """
    check_pixels(images)
    check_generator(generator)
    if images.dim() != 4:
        raise ValueError(f"images must have shape (B, C, H, W), got {tuple(images.shape)}")
    with torch.no_grad():
        maps = normalised(blurred(saliency_of(saliency, images).float()))
        if partner is not None:
            index = sent(as_partner(partner, len(images)), images.device)
        elif greedy:
            index = unlike(maps)
        else:
            index = sent(sample_partner(len(images), generator=generator), images.device)
        both = maps + maps[index]
        masks = torch.where(both > 0, maps / both.clamp_min(1e-30), 0.5)
    return apply_plan(MixPlan.masked(index, masks), images, labels, num_classes)


def unlike(maps: Tensor) -> Tensor:
    """Partners (B,) by a cycle through all images: from the two most distant maps on, always to the most
    distant image not yet visited. Maps (B, 1, H, W); nothing is read from an accelerator.

    >>> unlike(torch.tensor([0.0, 1.0, 5.0, 7.0]).view(4, 1, 1, 1)).tolist()
    [3, 2, 0, 1]
    """
    count, flat = len(maps), maps.flatten(1)
    apart = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")  # (B, B)
    apart.fill_diagonal_(-torch.inf)
    first = apart.argmax().view(1) // count
    partner, now = torch.zeros(count, dtype=torch.long, device=maps.device), first
    for _ in range(count - 1):
        apart.index_fill_(1, now, -torch.inf)
        after = apart.index_select(0, now).argmax(1)
        partner.scatter_(0, now, after)
        now = after
    return partner.scatter_(0, now, first)


def blurred(maps: Tensor, sigma: float = 3.0, radius: int = 3) -> Tensor:
    """(B, 1, H, W) under a Gaussian that is cut off at `radius` pixels; the border reflects."""
    for _ in range(2):  # rows, then columns
        reach = min(radius, maps.shape[-1] - 1)
        kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=maps.device) / sigma).square())
        padded = F.pad(maps, (reach, reach, 0, 0), mode="reflect")
        maps = F.conv2d(padded, (kernel / kernel.sum()).view(1, 1, 1, -1)).mT
    return maps
