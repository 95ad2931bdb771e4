"""SAMix: AutoMix with another Mix Block, decided masks, and now and then masks of just the right size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from mixlearn.core.checks import check_generator
from mixlearn.lab.learners.automix import AutoMix
from mixlearn.methods.mix_block import MixBlock
from mixlearn.methods.samix import SAMixBlock, adjusted


class SAMix(AutoMix):
    """AutoMix's learner with SAMix's differences.

    The block is a `SAMixBlock`; the mask loss also asks for decided masks, by their variance; and with some
    odds the masks that teach the network are scaled until their means are λ.

    Args:
        net, options: as for `AutoMix`.
        variance: weight of the masks' variance in the mask loss, which is multiplied by `mask_weight`; as for
            `AutoMix`, so `batch_mean=True` takes the variance as released, about the mean of all masks.
        adjust: odds of the scaling. The authors' best CIFAR setting has a quarter.

    Raises:
        ValueError: as for `AutoMix`; odds outside [0, 1].

    Source: Li et al., *Boosting Discriminative Visual Representation Learning with Scenario-Agnostic Mixup*,
    2021; the details from the authors' code (OpenMixup).

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> learner = SAMix(net, stage="stage2", image_size=8)
    >>> list(learner(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1])))
    ['clean', 'mixed', 'generator', 'mask']
    """

    block_type: ClassVar[type[MixBlock]] = SAMixBlock

    def __init__(self, net: Any, *, variance: float = 2.0, adjust: float = 0.25, **options: Any) -> None:
        if not 0 <= adjust <= 1:
            raise ValueError(f"adjust must lie in [0, 1], got {adjust}")
        super().__init__(net, variance=variance, **options)
        self.adjust, self._chance = adjust, 1.0

    def in_parts(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """The terms part by part, as those of `AutoMix`.

        Args:
            model, images, labels, generator: as for `AutoMix`.
        """
        check_generator(generator)
        self._chance = torch.rand((), generator=generator).item()
        yield from super().in_parts(model, images, labels, generator=generator)

    def _taught(self, features: Tensor, lam: Tensor, partner: Tensor, size: tuple[int, int]) -> Tensor:
        masks = super()._taught(features, lam, partner, size)
        return adjusted(masks, lam) if self._chance < self.adjust else masks
