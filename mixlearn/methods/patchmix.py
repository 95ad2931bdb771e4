"""PatchMix: mixtures of patches of several images, and a contrastive learner that finds all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mixlearn.core.checks import as_count, check_generator, check_patch, check_pixels, check_range, is_count
from mixlearn.core.labels import smooth
from mixlearn.core.plan import Mixed, MixPlan, PatchPlan, apply_plan
from mixlearn.methods.contrast import Contrast, contrastive_loss, rising
from mixlearn.methods.learner import Draws, Momentum, Terms, check_callable


def patchmix(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    patch: int = 4,
    parts: int | Sequence[int] = 2,
    order: Sequence[int] | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Patches of M consecutive images of the batch, each in its place: a random share 1 / M of each.

    The T patches are shuffled, the same way for all images, and split into M groups of ⌊T / M⌋. Group g of
    mixture i comes from image (i + g) mod B. Patches left over stay the image's own, and count in its label.

    Args:
        images: (B, C, H, W), or any float tensor (B, …, H, W); in any units. Not changed.
        labels, num_classes, generator: as for `mixup`. Without labels, targets are `plan.source_matrix()`.
        patch: height and width of a patch in pixels, usually those of the network's patches.
        parts: M in 1…T, or several of which one is drawn for the batch.
        order: (T,) a permutation of the patches, in place of the shuffle.

    Returns `Mixed(images, targets, plan)`, the plan a `PatchPlan`. Source: Shen et al., *Inter-Instance
    Similarity Modeling for Contrastive Learning*, 2023.

    >>> images = torch.arange(3.).view(3, 1, 1, 1).expand(3, 1, 2, 4)
    >>> mixed = patchmix(images, patch=1, parts=3, order=range(8))
    >>> mixed.images[0, 0], mixed.plan.source_matrix()[0]
    (tensor([[0., 0., 1., 1.],
            [2., 2., 0., 0.]]), tensor([0.5000, 0.2500, 0.2500]))
    """
    height, width = check_pixels(images)
    check_generator(generator)
    rows, columns = check_patch(patch, height, width)
    count = rows * columns  # T
    number = _drawn(parts, generator)  # M
    if not 1 <= number <= count:
        raise ValueError(f"parts must lie in 1…{count}, the number of patches, got {number}")
    shuffled = torch.randperm(count, generator=generator) if order is None else _permutation(order, count)
    each = count // number
    groups = torch.zeros(count, dtype=torch.int64)
    for group in range(1, number):
        groups[shuffled[group * each : (group + 1) * each]] = group
    plan = PatchPlan(groups, images.shape[0], patch, (height, width), number)
    return apply_plan(plan, images, labels, num_classes)


def _permutation(order: Sequence[int] | Tensor, count: int) -> Tensor:
    """The order as a tensor on the CPU, if it is a permutation of 0…count − 1."""
    given = torch.as_tensor(order).cpu()
    if given.is_floating_point() or not torch.equal(given.sort().values, torch.arange(count)):
        raise ValueError(f"order must be a permutation of 0…{count - 1}, got {given.tolist()[:8]} …")
    return given


def _drawn(parts: Any, generator: Draws) -> int:
    """The number of parts, drawn where there are several to choose from."""
    if is_count(parts, least=None):
        return as_count(parts, "parts")
    several = list(parts) if isinstance(parts, Sequence) else []
    if not several or not all(is_count(one, least=None) for one in several):
        raise ValueError(f"parts must be an integer or a list of integers, got {parts!r}")
    return as_count(several[int(torch.randint(len(several), (), generator=generator))], "parts")


class Encoded(NamedTuple):
    """Queries or keys of one view: of its images and of its mixtures, (B, D) each; unneeded ones are None."""

    images: Tensor | None = None
    mixed: Tensor | None = None


def patchmix_terms(
    queries: tuple[Encoded, Encoded],
    keys: tuple[Encoded, Encoded],
    plans: tuple[MixPlan, MixPlan],
    *,
    weight: float = 0.5,
    temperature: float = 0.2,
    symmetric: bool = False,
    origin_smoothing: float = 0.0,
) -> Terms:
    """The three terms of PatchMix for one batch, their weights in, float32 scalars whose sum is the loss.

    With W₁ and W₂ the shares of the images in the mixtures of view 1 and of view 2:

    - "origin": each image of view 1 finds its key of view 2.
    - "mix_to_origin": each mixture of view 2 finds the keys of view 1 of its images; targets W₂.
    - "mix_to_mix": each mixture of view 2 finds the mixtures of view 1 that share images with it; targets
      W₂·W₁ᵀ.

    Args:
        queries: of view 1 and of view 2. Needed: images of view 1 and mixtures of view 2.
        keys: of view 1 and of view 2. Needed: both of view 1, and images of view 2.
        plans: of the mixtures of view 1 and of view 2, which have their own patches.
        weight: of each of the last two terms.
        temperature: τ, by which cosine similarities are divided.
        symmetric: the mean with the views exchanged, which needs all queries and keys.
        origin_smoothing: label smoothing ε of the targets of "origin": 0.1 in the released code.

    >>> plan = patchmix(torch.rand(4, 3, 8, 8), generator=torch.Generator().manual_seed(0)).plan
    >>> view = Encoded(torch.eye(4), plan.source_matrix())
    >>> patchmix_terms((view, view), (view, view), (plan, plan))
    {'origin': tensor(0.0200), 'mix_to_origin': tensor(0.3609), 'mix_to_mix': tensor(0.7039)}
    """
    check_range("[0, inf)", weight=weight)
    if symmetric:
        options: dict[str, Any] = {"weight": weight, "temperature": temperature}
        options["origin_smoothing"] = origin_smoothing
        one = patchmix_terms(queries, keys, plans, **options)
        other = patchmix_terms(queries[::-1], keys[::-1], plans[::-1], **options)
        return {name: (one[name] + other[name]) / 2 for name in one}
    image, mixture = _needed(queries[0].images, "queries"), _needed(queries[1].mixed, "queries")
    key, mixed_key = _needed(keys[0].images, "keys"), _needed(keys[0].mixed, "keys")
    other_key = _needed(keys[1].images, "keys")
    first, second = (plan.source_matrix() for plan in plans)  # W₁, W₂: (B, B)
    find = partial(contrastive_loss, temperature=temperature)
    return {
        "origin": find(image, other_key, _smooth_eye(image, other_key, origin_smoothing)),
        "mix_to_origin": weight * find(mixture, key, second),
        "mix_to_mix": weight * find(mixture, mixed_key, second @ first.T),
    }


def crop_terms(
    crops: Sequence[Encoded],
    keys: tuple[Tensor, Tensor],
    plans: Sequence[MixPlan],
    *,
    temperature: float = 0.2,
    origin_smoothing: float = 0.0,
) -> Terms:
    """The terms of small crops (multi-crop): means over the sets of crops, sums over the two views.

    - "crops": each crop finds the key of its image.
    - "mixed_crops": each mixture of crops finds the keys of its images.

    Args:
        crops: queries of each set of crops, which holds one crop of every image.
        keys: (B, D) of the images of view 1, and of view 2.
        plans: of the mixtures, one for each set.
        temperature, origin_smoothing: as for `patchmix_terms`; the latter smooths "crops".

    Source: the authors' code of PatchMix; crops of two sizes are from Caron et al., *SwAV*, NeurIPS 2020.
    """
    if not crops or len(crops) != len(plans):
        raise ValueError(f"each set of crops needs a plan, got {len(crops)} sets and {len(plans)} plans")
    alone, mixed = [], []
    for crop, plan in zip(crops, plans, strict=True):
        image, mixture = _needed(crop.images, "crops"), _needed(crop.mixed, "crops")
        for key in keys:
            eye = _smooth_eye(image, key, origin_smoothing)
            alone.append(contrastive_loss(image, key, eye, temperature=temperature))
            mixed.append(contrastive_loss(mixture, key, plan.source_matrix(), temperature=temperature))
    return {
        "crops": torch.stack(alone).sum() / len(crops),
        "mixed_crops": torch.stack(mixed).sum() / len(crops),
    }


def _smooth_eye(queries: Tensor, keys: Tensor, epsilon: float) -> Tensor | None:
    """Targets of key i for query i, smoothed over all keys; None where nothing is smoothed."""
    return smooth(torch.eye(len(queries), len(keys), device=queries.device), epsilon) if epsilon else None


def _needed(features: Tensor | None, side: str) -> Tensor:
    if features is None:
        raise ValueError(f"{side} must hold what each term needs, see `patchmix_terms`; got None")
    return features


class PatchMix(Contrast):
    """Images find their other view; mixtures of patches find all their images, and related mixtures.

    Both views are mixed, with different patches of the same images. The terms are those of `patchmix_terms`:
    "origin", "mix_to_origin" and "mix_to_mix"; small crops add those of `crop_terms`.

    Args:
        net: the network that is to be trained.
        parts: M, how many images make a mixture, or several of which one is drawn for each batch.
        patch: of the mixtures, in pixels; None takes that of the network, or 4 where it has none.
        symmetric: the mean with the views exchanged, of twice as many queries and keys.
        origin_smoothing: label smoothing of "origin" and "crops": 0.1 in the released code.
        small: `small(images, generator=…)` makes small crops, further queries, whole and mixed (multi-crop);
            None goes without. The network must take images of their size, as `vit(any_size=True)` does.
        crops: how many of each image.
        predictor, momentum: as for `Contrast`, here as published; momentum=None makes keys with the network
            itself, as published for the smallest transformer.
        others: all else, as for `Contrast`.

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
        momentum: Momentum | None = rising,
        **others: Any,
    ) -> None:
        super().__init__(net, predictor=predictor, momentum=momentum, **others)
        if small is not None:
            check_callable("small", small, "images, *, generator")
        check_range("[0, 1]", origin_smoothing=origin_smoothing)
        self.patch = as_count(getattr(net, "patch", 4) if patch is None else patch, "patch", 1)
        self.parts, self.symmetric, self.origin_smoothing = parts, symmetric, origin_smoothing
        self.small, self.crops = small, as_count(crops, "crops", 1)
        self.term_names = ("origin", "mix_to_origin", "mix_to_mix")
        if small is not None:
            self.term_names += ("crops", "mixed_crops")

    def terms(self, model: Any, images: Tensor, generator: Draws) -> Terms:
        one, two = self.views(images, generator)
        first = patchmix(one, patch=self.patch, parts=self.parts, generator=generator)
        number = len(first.plan.sources)  # the same M for both
        second = patchmix(two, patch=self.patch, parts=number, generator=generator)
        to_query = [one, second.images, *((two, first.images) if self.symmetric else ())]
        to_key = [one, first.images, two, *((second.images,) if self.symmetric else ())]
        queries, keys = self.encoded(model, to_query, to_key)
        more = (queries[3], queries[2], keys[3]) if self.symmetric else (None, None, None)
        options = {"temperature": self.temperature, "origin_smoothing": self.origin_smoothing}
        terms = patchmix_terms(
            (Encoded(queries[0], more[0]), Encoded(more[1], queries[1])),
            (Encoded(keys[0], keys[1]), Encoded(keys[2], more[2])),
            (first.plan, second.plan),
            symmetric=self.symmetric,
            **options,
        )
        if self.small is None:
            return terms
        crops = [self.small(images, generator=generator) for _ in range(self.crops)]
        mixed = [patchmix(crop, patch=self.patch, parts=number, generator=generator) for crop in crops]
        together = [torch.cat(crops), torch.cat([one.images for one in mixed])]  # all crops in one call
        alone, mixtures = (part.chunk(self.crops) for part in self.encoded(model, together)[0])
        encoded = [Encoded(*pair) for pair in zip(alone, mixtures, strict=True)]
        return terms | crop_terms(encoded, (keys[0], keys[2]), [one.plan for one in mixed], **options)
