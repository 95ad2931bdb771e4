"""PixMix: an image mixed with pictures of patterns, again and again, its label kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import as_count, check_generator, check_images, check_range
from mixlearn.core.fast import sent
from mixlearn.methods.augmix import changed, check_unit, in_pixels


def pixmix(
    images: Tensor,
    pictures: Tensor,
    *,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
    rounds: int = 4,
    beta: float = 3.0,
    severity: float = 3.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Add to each image, or multiply it by, a picture or a changed copy of itself, up to `rounds` times.

    Half of the images begin with a change of AugMix. The weights of a sum, on pixels in [−1, 1], and the
    exponents of a product, on pixels in [0, 2], need not sum to 1: this is not the one formula of plans.

    Args:
        images, mean, std, severity, generator: as for `augmix`.
        pictures: (N, C, H, W) in [0, 1], of the images' size: the paper's fractals, or any others.
        rounds: at most so many; an image draws its own number uniformly from 0 to `rounds`, and one picture.
        beta: the weights are a from Beta(β, 1) and b from Beta(1, β), or 2 − a and −b.

    Returns a new tensor like `images`; labels stay. Source: Hendrycks et al., *PixMix: Dreamlike Pictures
    Comprehensively Improve Safety Measures*, CVPR 2022, and the authors' code.

    >>> import mixlearn as ml
    >>> images, pictures = ml.data.photos(size=16).images.split(6)
    >>> ml.pixmix(images, pictures, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([6, 3, 16, 16])
    """
    pixels, back = in_pixels(images, mean, std)
    check_generator(generator)
    check_range("(0, inf)", beta=beta)
    if pictures.shape[1:] != images.shape[1:] or not len(pictures):
        raise ValueError(f"pictures must be like images {[*images.shape[1:]]}, got {[*pictures.shape]}")
    check_images(pictures)
    check_unit("pictures", pictures.float())
    batch = len(images)
    count = torch.randint(as_count(rounds, "rounds", 0) + 1, (batch,), generator=generator)
    mixed = changed(pixels, torch.rand(batch, generator=generator) < 0.5, severity, generator)
    drawn = sent(torch.randint(len(pictures), (batch,), generator=generator), pictures.device)
    picture = sent(pictures[drawn], images.device).to(pixels)  # one for all rounds
    for step in range(rounds):
        own, adds, both = torch.rand(3, batch, generator=generator) < 0.5
        u = torch.rand(2, batch, generator=generator).pow(1 / beta)  # Beta(β, 1); 1 − u is Beta(1, β)
        weights = torch.where(both, torch.stack([u[0], 1 - u[1]]), torch.stack([2 - u[0], u[1] - 1]))
        a, b = sent(weights, images.device)[:, :, None, None, None]
        copies = changed(pixels, own, severity, generator)
        adds, own, on = sent(torch.stack([adds, own, count > step]), images.device)[:, :, None, None, None]
        other = torch.where(own, copies, picture)
        added = (a * (2 * mixed - 1) + b * (2 * other - 1) + 1) / 2
        product = (2 * mixed) ** a * (2 * other).clamp_min(1e-37) ** b / 2
        mixed = torch.where(on, torch.where(adds, added, product).clamp(0, 1), mixed)
    return back(mixed)
