"""Learners without labels that mix: PatchMix, and MixCo or i-Mix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.mixed import Mixed
from mixlearn.lab.learners.contrast import Contrast, rising
from mixlearn.methods.contrast import mixco_terms
from mixlearn.methods.mixup import mixup
from mixlearn.methods.patchmix import patchmix
from mixlearn.methods.patchmix_terms import Encoded, crop_terms, patchmix_terms


class PatchMix(Contrast):
    """Images find their other view; mixtures of patches find all their images, and mixtures akin to them.

    Both views are mixed, each with patches of its own but of the same images. The terms are those of
    `patchmix_terms`: "origin", "mix_to_origin" and "mix_to_mix"; small crops add those of `crop_terms`.

    Args:
        net: the network that is to be trained.
        parts: M, how many images make a mixture, or several of which one is drawn for each batch.
        patch: of the mixtures, in pixels; None takes that of the network, or 4 where it has none.
        symmetric: the mean with the views exchanged; asks and answers twice as much.
        origin_smoothing: label smoothing of "origin" and "crops", which the released code has: 0.1.
        small: `small(images, generator=…)` makes small crops that ask besides, whole and mixed (multi-crop);
            None goes without. The network must take images of their size, as `vit(any_size=True)` does.
        crops: how many of each image.
        predictor, momentum: as for `Contrast`, here as published; momentum=None makes keys with the network
            itself, as published for the smallest transformer.
        others: all else, as for `Contrast`.

    Raises:
        TypeError: something that cannot be called as `small`.
        ValueError: a patch below 1, no crops, a smoothing outside [0, 1].

    Source: Shen et al., *Inter-Instance Similarity Modeling for Contrastive Learning*, 2023. On ImageNet the
    authors have eight small crops of each image, with other images none.

    >>> import mixlearn as ml
    >>> net = ml.nets.vit(4, size=8, patch=2, dim=12, depth=1)
    >>> learner = PatchMix(net, hidden=8, outside=4, predictor=8)
    >>> list(learner(net, torch.rand(3, 3, 8, 8)))
    ['origin', 'mix_to_origin', 'mix_to_mix']
    """

    def __init__(
        self,
        net: Any,
        *,
        parts: int | Sequence[int] = 2,
        patch: int | None = None,
        symmetric: bool = False,
        origin_smoothing: float = 0.0,
        small: Callable[..., Tensor] | None = None,
        crops: int = 8,
        predictor: int | None = 4096,
        momentum: float | Callable[[float], float] | None = rising,
        **others: Any,
    ) -> None:
        super().__init__(net, predictor=predictor, momentum=momentum, **others)
        if small is not None and not callable(small):
            raise TypeError(f"small must be a function (images, *, generator), got {type(small).__name__}")
        if crops < 1:
            raise ValueError(f"crops must be at least 1, got {crops}; small=None goes without")
        self.patch: int = getattr(net, "patch", 4) if patch is None else patch
        if self.patch < 1:
            raise ValueError(f"patch must be at least 1 pixel, got {self.patch}")
        if not 0 <= origin_smoothing <= 1:
            raise ValueError(f"origin_smoothing must lie in [0, 1], got {origin_smoothing}")
        self.parts, self.symmetric, self.origin_smoothing = parts, symmetric, origin_smoothing
        self.small, self.crops = small, crops

    def terms(self, model: Any, images: Tensor, generator: torch.Generator | None) -> dict[str, Tensor]:
        """The three terms of a batch, and those of small crops where there are any.

        Args:
            model, images, generator: as for the call.
        """
        one, two = self.views(images, generator)
        first = patchmix(one, patch=self.patch, parts=self.parts, generator=generator)
        number = len(first.plan.sources)  # the same M for both
        second = patchmix(two, patch=self.patch, parts=number, generator=generator)
        asking = [one, second.images, *((two, first.images) if self.symmetric else ())]
        answering = [one, first.images, two, *((second.images,) if self.symmetric else ())]
        said, keys = self.encoded(model, asking, answering)
        back = (said[3], said[2], keys[3]) if self.symmetric else (None, None, None)
        terms = patchmix_terms(
            (Encoded(said[0], back[0]), Encoded(back[1], said[1])),
            (Encoded(keys[0], keys[1]), Encoded(keys[2], back[2])),
            (first.plan, second.plan),
            temperature=self.temperature,
            symmetric=self.symmetric,
            origin_smoothing=self.origin_smoothing,
        )
        if self.small is not None:
            terms |= self._cropped(model, self.small, images, (keys[0], keys[2]), number, generator)
        return terms

    def _cropped(
        self,
        model: Any,
        small: Callable[..., Tensor],
        images: Tensor,
        keys: tuple[Tensor, Tensor],
        number: int,
        generator: torch.Generator | None,
    ) -> dict[str, Tensor]:
        """The terms of small crops: all crops in one call, mixed M = `number` at a time as the views were."""
        crops = [small(images, generator=generator) for _ in range(self.crops)]
        mixed = [patchmix(crop, patch=self.patch, parts=number, generator=generator) for crop in crops]
        (alone, together), _ = self.encoded(
            model, [torch.cat(crops), torch.cat([one.images for one in mixed])]
        )
        said = [
            Encoded(*one) for one in zip(alone.chunk(self.crops), together.chunk(self.crops), strict=True)
        ]
        return crop_terms(
            said,
            keys,
            [one.plan for one in mixed],
            temperature=self.temperature,
            origin_smoothing=self.origin_smoothing,
        )


class MixCo(Contrast):
    """Mixtures of a view find the other view of their images, by their shares; images find theirs.

    The terms are those of `mixco_terms`: "origin" and "mix_to_origin".

    Args:
        net: the network that is to be trained.
        mix: mixes view 1, `mix(images, generator=…)`; Mixup with α = 1 to begin with.
        origin: whether unmixed images ask too, as in MixCo; i-Mix has mixtures alone: False.
        predictor, momentum: as for `Contrast`; here as for `MoCo`.
        parts: all else, as for `Contrast`.

    Raises:
        TypeError: something that cannot be called as `mix`.

    Source: Kim, Lee, Bae & Yun, *MixCo: Mix-up Contrastive Learning for Visual Representation*, 2020; Lee
    et al., *i-Mix: A Domain-Agnostic Strategy for Contrastive Representation Learning*, ICLR 2021. Both on
    the skeleton of `MoCo`, where they had MoCo v2.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> list(MixCo(net, hidden=8, outside=4, predictor=8)(net, torch.rand(3, 3, 8, 8)))
    ['origin', 'mix_to_origin']
    """

    def __init__(
        self,
        net: Any,
        *,
        mix: Callable[..., Mixed] = mixup,
        origin: bool = True,
        predictor: int | None = 4096,
        momentum: float | Callable[[float], float] | None = rising,
        **parts: Any,
    ) -> None:
        super().__init__(net, predictor=predictor, momentum=momentum, **parts)
        if not callable(mix):
            raise TypeError(f"mix must be a function (images, *, generator), got {type(mix).__name__}")
        self.mix, self.origin = mix, origin

    def terms(self, model: Any, images: Tensor, generator: torch.Generator | None) -> dict[str, Tensor]:
        """The terms of a batch.

        Args:
            model, images, generator: as for the call.
        """
        one, two = self.views(images, generator)
        mixed = self.mix(one, generator=generator)
        said, keys = self.encoded(model, [mixed.images, *([one] if self.origin else [])], [two])
        query = said[1] if self.origin else None
        return mixco_terms(query, said[0], keys[0], mixed.plan, temperature=self.temperature)
