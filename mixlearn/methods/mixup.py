"""Mixup: every pixel a weighted mean of two images, every label the same weighted mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import check_images
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.fast import sent
from mixlearn.core.plan import Mixed, MixPlan, apply_plan


def mixup(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    alpha: float = 1.0,
    lam: float | Sequence[float] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Mix each image with a partner: x̃ = λ x + (1 − λ) x[partner], ỹ = λ y + (1 − λ) y[partner].

    Args:
        images: (B, C, H, W), or any float tensor (B, …); in any units. Not changed.
        labels: (B,) integer class ids or (B, C) soft labels; None mixes images alone.
        num_classes: C, needed with class ids.
        alpha: λ is drawn from Beta(α, α). The paper takes 1 on CIFAR and 0.2 on ImageNet.
        lam: λ in [0, 1], one for the batch or (B,), instead of a draw. It weighs the image's own part.
        partner: (B,) indices into the batch, instead of a random permutation.
        per_image: draw λ, and what else is drawn, for each image rather than once for the batch.
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        `Mixed(images, targets, plan)`: the mixture in the type and shape of `images`, soft labels (B, C)
        or None, and the `MixPlan` with λ and partners.

    Raises:
        TypeError: integer images, float class ids, a partner that is no integer.
        ValueError: arguments outside their ranges, shapes that disagree.

    Source: Zhang, Cisse, Dauphin & Lopez-Paz, *mixup: Beyond Empirical Risk Minimization*, ICLR 2018, eq. 1.

    >>> images, labels = torch.tensor([[0.], [10.]]), torch.tensor([0, 1])
    >>> mixed = mixup(images, labels, num_classes=2, lam=0.7, partner=[1, 0])
    >>> mixed.images, mixed.targets[0]
    (tensor([[3.],
            [7.]]), tensor([0.7000, 0.3000]))
    """
    check_images(images)
    batch = images.shape[0]
    partner, share = given_or_drawn(lam, partner, batch, alpha, per_image, generator)
    share = share.expand(batch)
    plan = MixPlan.pair(sent(partner, images.device), sent(share, images.device))
    return apply_plan(plan, images, labels, num_classes)
