"""PatchMix's terms: mixtures find all their images and mixtures akin to them; so do small crops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mixlearn.core.labels import smooth
from mixlearn.core.plan import MixPlan
from mixlearn.methods.patchmix import contrastive_loss


class Encoded(NamedTuple):
    """What was said of one view of a batch: of its images, and of its mixtures; (B, D) each.

    What no term asks for may be None.
    """

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
) -> dict[str, Tensor]:
    """The three terms of PatchMix for one batch, their weights in.

    With W₁ and W₂ the shares of the images in the mixtures of view 1 and of view 2:

    - "origin": each image of view 1 finds its key of view 2.
    - "mix_to_origin": each mixture of view 2 finds the keys of view 1 of its images; targets W₂.
    - "mix_to_mix": each mixture of view 2 finds the mixtures of view 1 that share images with it; targets
      W₂·W₁ᵀ.

    Args:
        queries: of view 1 and of view 2. Asked for: images of view 1 and mixtures of view 2.
        keys: of view 1 and of view 2. Asked for: both of view 1, and images of view 2.
        plans: of the mixtures of view 1 and of view 2, which have their own patches.
        weight: of each of the last two terms.
        temperature: τ, by which cosine similarities are divided.
        symmetric: the mean with the views exchanged, which asks for all.
        origin_smoothing: label smoothing ε of the targets of "origin". The paper has none; the released code
            has 0.1 there, and none in the other two terms.

    Returns:
        Scalars by name, float32 at least; their sum is the loss.

    Raises:
        ValueError: something asked for that is None, mixtures among which an image's shares do not sum to 1,
            and as for `contrastive_loss`.

    Source: Shen et al., *Inter-Instance Similarity Modeling for Contrastive Learning*, 2023.

    >>> from mixlearn.methods.patchmix import patchmix
    >>> plan = patchmix(torch.rand(4, 3, 8, 8), generator=torch.Generator().manual_seed(0)).plan
    >>> said = Encoded(torch.eye(4), plan.source_matrix())
    >>> terms = patchmix_terms((said, said), (said, said), (plan, plan))
    >>> {name: round(term.item(), 3) for name, term in terms.items()}
    {'origin': 0.02, 'mix_to_origin': 0.361, 'mix_to_mix': 0.704}
    """
    if symmetric:
        ways = [
            patchmix_terms(*sides, weight=weight, temperature=temperature, origin_smoothing=origin_smoothing)
            for sides in ((queries, keys, plans), (queries[::-1], keys[::-1], plans[::-1]))
        ]
        return {name: (ways[0][name] + ways[1][name]) / 2 for name in ways[0]}
    image, mixture = _asked(queries[0].images, "queries"), _asked(queries[1].mixed, "queries")
    other = _asked(keys[1].images, "keys")
    own, own_mixed = _asked(keys[0].images, "keys"), _asked(keys[0].mixed, "keys")
    first, second = (plan.source_matrix() for plan in plans)
    return {
        "origin": contrastive_loss(
            image, other, _own(image, other, origin_smoothing), temperature=temperature
        ),
        "mix_to_origin": weight * contrastive_loss(mixture, own, second, temperature=temperature),
        "mix_to_mix": weight
        * contrastive_loss(mixture, own_mixed, second @ first.T, temperature=temperature),
    }


def crop_terms(
    crops: Sequence[Encoded],
    keys: tuple[Tensor, Tensor],
    plans: Sequence[MixPlan],
    *,
    temperature: float = 0.2,
    origin_smoothing: float = 0.0,
) -> dict[str, Tensor]:
    """What small crops ask besides (multi-crop): each finds its image in both views, mixtures all of theirs.

    - "crops": each crop finds the key of its image in view 1, and that in view 2.
    - "mixed_crops": each mixture of crops finds the keys of its images in either view.

    Args:
        crops: what was said of each set of crops, one crop of every image: of the crops, and of their
            mixtures.
        keys: (B, D) of the images of view 1, and of view 2.
        plans: of the mixtures, one for each set.
        temperature: τ, by which cosine similarities are divided.
        origin_smoothing: label smoothing ε of the targets of "crops"; 0.1 in the released code.

    Returns:
        Scalars by name, float32 at least: over the sets the mean, over the views the sum.

    Raises:
        ValueError: no crops, another number of plans, and as for `contrastive_loss`.

    Source: Shen et al., *Inter-Instance Similarity Modeling for Contrastive Learning*, 2023, and the authors'
    code; crops of two sizes are from Caron et al., *Unsupervised Learning of Visual Features by Contrasting
    Cluster Assignments*, NeurIPS 2020.

    >>> from mixlearn.methods.patchmix import patchmix
    >>> plan = patchmix(torch.rand(4, 3, 8, 8), generator=torch.Generator().manual_seed(0)).plan
    >>> said = Encoded(torch.eye(4), plan.source_matrix())
    >>> terms = crop_terms([said, said], (torch.eye(4), torch.eye(4)), [plan, plan])
    >>> {name: round(term.item(), 3) for name, term in terms.items()}
    {'crops': 0.04, 'mixed_crops': 1.444}
    """
    if not crops or len(crops) != len(plans):
        raise ValueError(f"each set of crops needs a plan, got {len(crops)} sets and {len(plans)} plans")
    alone, mixed = [], []
    for said, plan in zip(crops, plans, strict=True):
        image, mixture = _asked(said.images, "crops"), _asked(said.mixed, "crops")
        for key in keys:
            own = _own(image, key, origin_smoothing)
            alone.append(contrastive_loss(image, key, own, temperature=temperature))
            mixed.append(contrastive_loss(mixture, key, plan.source_matrix(), temperature=temperature))
    return {
        "crops": torch.stack(alone).sum() / len(crops),
        "mixed_crops": torch.stack(mixed).sum() / len(crops),
    }


def _own(queries: Tensor, keys: Tensor, epsilon: float) -> Tensor | None:
    """Targets of key i for query i, smoothed over all keys; None where nothing is smoothed."""
    return smooth(torch.eye(len(queries), len(keys), device=queries.device), epsilon) if epsilon else None


def _asked(found: Tensor | None, side: str) -> Tensor:
    if found is None:
        raise ValueError(f"{side} must hold what each term asks for, see `patchmix_terms`; got None")
    return found
