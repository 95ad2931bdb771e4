"""MoEx: features with the mean and deviation of another image's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import check_batch, check_pixels, check_range
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.fast import Fill, take
from mixlearn.core.plan import Mixed, MixPlan, apply_plan


class MomentPlan(MixPlan):
    """A plan that mixes means and deviations, over some dimensions of (…, C, H, W), and not values.

    `lam` and `own`, (B,), are an image's own shares of its label and of its moments; the masks say whose the
    content is. `fixed`: gradients take moments as constants.
    """

    own: Tensor
    over: tuple[int, ...]
    fixed: bool

    def __init__(self, partner: Tensor, lam: Tensor, own: Tensor, over: tuple[int, ...], fixed: bool) -> None:
        content = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1, 1).expand(2, len(partner), 1, 1, 1)
        kept = {"masks": content, "_pair": False, "own": own, "over": over, "fixed": fixed}
        self._set(**vars(MixPlan.pair(partner, lam, lam_drawn=own if fixed else lam)) | kept)

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """Features (B, C, H, W), standardised, with mixed deviations and means. `fill` is unused."""
        check_batch(images, len(self), "features")
        variance, mean = torch.var_mean(images.float(), self.over, correction=0, keepdim=True)
        moments = [(variance + 1e-5).sqrt(), mean]
        std, mean = [one.detach() for one in moments] if self.fixed else moments
        own = self.own.view(-1, *(1,) * (images.dim() - 1)).to(mean)
        to_std, to_mean = (torch.lerp(take(one, self.partner), one, own) for one in (std, mean))
        return ((images - mean) / std * to_std + to_mean).to(images.dtype)


def moex(
    features: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    lam: float = 0.9,
    partner: Sequence[int] | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Give features the moments of the partner's: σⱼ (xᵢ − μᵢ) / σᵢ + μⱼ; labels are mixed with λ.

    μ and σ are over the channels, one of each for every place. Here the one formula of plans, Σ Mₖ ⊙ x[sₖ],
    holds for labels alone: the factor σⱼ / σᵢ is no share, so λ is a setting.

    Args:
        features: (B, C, H, W), mixed early in a network: `learners.MixingInside(ml.moex, ["stem"])`. As
            released, in each batch on ImageNet and in one of four on CIFAR: `RandomMix([ml.moex], p=0.25)`.
        labels, num_classes, partner, generator: as for `mixup`.
        lam: λ in [0, 1], the own share of the label. Released are 0.9 for ImageNet and 0.5 for CIFAR.

    Returns `Mixed(features, targets, plan)`. Source: Li et al., *On Feature Normalization and Data
    Augmentation*, CVPR 2021.

    >>> features = torch.tensor([[1.0, 2.0, 6.0], [20.0, 20.0, 50.0]]).view(2, 3, 1, 1)
    >>> moex(features, partner=[1, 0]).images.flatten(1).round()
    tensor([[17., 23., 50.],
            [ 1.,  1.,  6.]])
    """
    if features.dim() != 4 or features.shape[1] < 2:
        raise ValueError(f"features must be (B, C, H, W) with 2 channels or more, got {[*features.shape]}")
    check_pixels(features)
    check_range("[0, 1]", lam=lam)
    partner, share = given_or_drawn(lam, partner, len(features), 1.0, True, generator)
    plan = MomentPlan(partner, share, torch.zeros(len(features)), (-3,), False)
    return apply_plan(plan, features, labels, num_classes)
