"""SAMix: another Mix Block, and what else it changes in AutoMix's masks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import check_generator, check_range
from mixlearn.core.fast import sent
from mixlearn.methods.automix import AutoMix, MixBlock
from mixlearn.methods.learner import Draws, Terms


def bent(lam: Tensor, k: float = 0.25) -> Tensor:
    """SAMix's λ̂: λ bent to be steeper near 0 and 1 and flatter between; 0, ½ and 1 stay.

    The smaller k ≥ 0, the flatter the middle. The curve is from the authors' code.

    >>> [round(v, 3) for v in bent(torch.tensor([0., 0.1, 0.5, 0.9, 1.])).tolist()]
    [0.0, 0.182, 0.5, 0.818, 1.0]
    """
    check_range("[0, inf]", k=k)
    return (4 / 3 * lam**3 - 2 * lam**2 + (k + 1) * lam) / (k + 1 / 3)


class SAMixBlock(MixBlock):
    """Masks from features, as `MixBlock` makes them, with five differences.

    λ scales the features, the image's by 1 + λ̂ and its partner's by 2 − λ̂. Queries and keys see both images
    at each place, each by a map of its own. Values come from two layers. Scores are enlarged bilinearly.

    `k` is that of the bend; None takes λ itself, as for large data sets. All else is as for `MixBlock`.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 2,
        k: float | None = 0.25,
        std: float = 0.01,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            channels, reduction=reduction, embed=False, mode="bilinear", std=std, generator=generator
        )
        inner, self.k = channels // reduction, k
        with torch.random.fork_rng(devices=[]):
            self.look = nn.Linear(2 * channels, inner)
            self.key = nn.Linear(2 * channels, inner)
            self.hidden, self.norm = nn.Linear(channels, inner), nn.BatchNorm1d(inner)
            self.value = nn.Linear(inner, 1)
        for layer, scale in {self.look: std, self.key: std, self.hidden: 0.01, self.value: 0.01}.items():
            nn.init.normal_(layer.weight, std=scale, generator=generator)
            nn.init.zeros_(layer.bias)

    def _scores(self, tokens: Tensor, lam: Tensor, partner: Tensor, swapped: bool = False) -> Tensor:
        lam = (lam if self.k is None else bent(lam, self.k))[:, None, None]
        own, other = tokens * (1 + lam), tokens[partner] * (2 - lam)  # (B, h·w, C)
        both = torch.cat([own, other], dim=2)  # (B, h·w, 2C)
        hidden = self.norm(self.hidden(other).flatten(0, 1)).view(*other.shape[:2], -1)
        queries, keys, values = self.look(both), self.key(both), self.value(F.elu(hidden))
        return F.scaled_dot_product_attention(queries, keys, values)[..., 0]


def adjusted(masks: Tensor, lam: Tensor) -> Tensor:
    """Masks (B, 1, H, W) whose means are λ: too large ones are scaled down, of too small ones the rest.

    The idea is from the authors' code of SAMix, where the λ of other mixtures is taken by mistake.

    >>> adjusted(torch.tensor([0.2, 0.6]).view(1, 1, 1, 2), torch.tensor([0.2])).flatten()
    tensor([0.1000, 0.3000])
    """
    mean = masks.mean((1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
    lam = sent(lam, masks.device).to(masks.dtype)[:, None, None, None]
    less = masks * (lam / mean.clamp_min(1e-12))
    more = 1 - (1 - masks) * ((1 - lam) / (1 - mean).clamp_min(1e-12))
    return torch.where(mean >= lam, less, more).clamp(0, 1)


class SAMix(AutoMix):
    """AutoMix's learner with SAMix's differences.

    The block is a `SAMixBlock`; the mask loss also asks for decided masks, by their variance; and with some
    odds the masks that teach the network are scaled until their means are λ.

    Args:
        net, options: as for `AutoMix`.
        variance: as for `AutoMix`; `batch_mean=True` takes it as released, about the mean of all masks.
        adjust: odds of the scaling. The authors' best CIFAR setting has a quarter.

    Source: Li et al., *Boosting Discriminative Visual Representation Learning with Scenario-Agnostic Mixup*,
    2021; the details from the authors' code (OpenMixup).

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> learner = SAMix(net, stage="stage2", image_size=8)
    >>> list(learner(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1])))
    ['clean', 'mixed', 'generator', 'mask']
    """

    block_type: ClassVar[type[MixBlock]] = SAMixBlock
    term_names = AutoMix.term_names  # still right, although `in_parts` is rewritten

    def __init__(self, net: Any, *, variance: float = 2.0, adjust: float = 0.25, **options: Any) -> None:
        check_range("[0, 1]", adjust=adjust)
        super().__init__(net, variance=variance, **options)
        self.adjust, self._chance = adjust, 1.0

    def in_parts(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None
    ) -> Iterator[Terms]:
        check_generator(generator)
        self._chance = torch.rand((), generator=generator).item()
        yield from super().in_parts(model, images, labels, generator=generator)

    def _net_masks(self, features: Tensor, lam: Tensor, partner: Tensor, size: tuple[int, int]) -> Tensor:
        masks = super()._net_masks(features, lam, partner, size)
        return adjusted(masks, lam) if self._chance < self.adjust else masks
