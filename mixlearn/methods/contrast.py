"""Losses without labels: two views of an image, or mixtures that share images, are to find each other."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import readable
from mixlearn.core.plan import MixPlan
from mixlearn.methods.patchmix import contrastive_loss


def nt_xent(first: Tensor, second: Tensor, *, temperature: float = 0.5) -> Tensor:
    """SimCLR's loss: each of 2B features is to find that of its image's other view among the 2B − 1 others.

    Args:
        first, second: (B, D), of two views of the same images.
        temperature: τ, by which cosine similarities are divided. The paper has 0.5 for CIFAR-10.

    Returns:
        A scalar, float32 at least: the mean over all 2B.

    Raises:
        ValueError: different shapes, a temperature that is not positive, features that are not finite or of
            length 0.

    Source: Chen, Kornblith, Norouzi & Hinton, *A Simple Framework for Contrastive Learning of Visual
    Representations*, ICML 2020, equation 1.

    >>> eye = torch.eye(3)
    >>> round(nt_xent(eye, eye, temperature=1.0).item(), 4)                       # log(1 + 4 / e)
    0.9048
    """
    if first.shape != second.shape or first.dim() != 2:
        raise ValueError(f"both views must be (B, D), got {tuple(first.shape)} and {tuple(second.shape)}")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    both = _directions(torch.cat([first, second]), "features")
    logits = both @ both.T / temperature
    alone = torch.eye(len(both), dtype=torch.bool, device=both.device)
    others = torch.arange(len(both), device=both.device).roll(len(first))
    return F.cross_entropy(logits.masked_fill(alone, -torch.inf), others)


def moco_loss(
    queries: tuple[Tensor, Tensor],
    keys: tuple[Tensor, Tensor],
    *,
    temperature: float = 0.2,
    scaled: bool = True,
) -> Tensor:
    """MoCo v3's loss: each query is to find the key of its image's other view, both ways added.

    Args:
        queries: two (B, D), one of each view.
        keys: two (K, D), one of each view.
        temperature: τ, by which cosine similarities are divided.
        scaled: times 2τ, as published, so that τ changes the size of gradients less.

    Raises:
        ValueError: as for `contrastive_loss`.

    Source: Chen, Xie & He, *An Empirical Study of Training Self-Supervised Vision Transformers*, ICCV 2021,
    algorithm 1.

    >>> eye = torch.eye(3)
    >>> round(moco_loss((eye, eye), (eye, eye), temperature=1.0).item(), 4)      # 2 × 2 × 0.5514
    2.2058
    """
    total = contrastive_loss(queries[0], keys[1], temperature=temperature) + contrastive_loss(
        queries[1], keys[0], temperature=temperature
    )
    return 2 * temperature * total if scaled else total


def simsiam_loss(predictions: tuple[Tensor, Tensor], features: tuple[Tensor, Tensor]) -> Tensor:
    """SimSiam's loss: minus the cosine of what one view predicts and what the other has, mean of both ways.

    No gradient reaches `features`.

    Args:
        predictions: two (B, D), of each view.
        features: two (B, D), of each view: what is to be predicted.

    Returns:
        A scalar in [−1, 1], float32 at least.

    Raises:
        ValueError: different shapes, features that are not finite or of length 0.

    Source: Chen & He, *Exploring Simple Siamese Representation Learning*, CVPR 2021, equations 1–4.

    >>> eye = torch.eye(3)
    >>> simsiam_loss((eye, eye), (eye, -eye)).item()
    0.0
    """
    ways = []
    for said, found in ((predictions[0], features[1]), (predictions[1], features[0])):
        if said.shape != found.shape or said.dim() != 2:
            raise ValueError(f"both must be (B, D), got {tuple(said.shape)} and {tuple(found.shape)}")
        cosines = _directions(said, "predictions") * _directions(found.detach(), "features")
        ways.append(-cosines.sum(1).mean())
    return (ways[0] + ways[1]) / 2


def mixco_terms(
    query: Tensor | None, mixed: Tensor, keys: Tensor, plan: MixPlan, *, temperature: float = 0.2
) -> dict[str, Tensor]:
    """Mixed images against the keys of all that they were mixed of, by their shares.

    - "origin": each image finds its other view. Left out where `query` is None, as i-Mix does.
    - "mix_to_origin": each mixture finds the keys of its images, in the shares of the plan.

    Args:
        query: (B, D), of view 1; None leaves "origin" out.
        mixed: (B, D), of mixtures of view 1.
        keys: (B, D), of view 2.
        plan: of the mixtures.
        temperature: τ, by which cosine similarities are divided.

    Returns:
        Scalars by name, float32 at least.

    Raises:
        ValueError: as for `contrastive_loss`.

    Source: Kim, Lee, Bae & Yun, *MixCo: Mix-up Contrastive Learning for Visual Representation*, 2020; Lee
    et al., *i-Mix: A Domain-Agnostic Strategy for Contrastive Representation Learning*, ICLR 2021, for the
    second term alone.

    >>> plan = MixPlan.pair(torch.tensor([1, 0]), torch.tensor([0.5, 0.5]))
    >>> terms = mixco_terms(torch.eye(2), torch.ones(2, 2), torch.eye(2), plan, temperature=1.0)
    >>> {name: round(term.item(), 4) for name, term in terms.items()}
    {'origin': 0.3133, 'mix_to_origin': 0.6931}
    """
    terms = {} if query is None else {"origin": contrastive_loss(query, keys, temperature=temperature)}
    terms["mix_to_origin"] = contrastive_loss(mixed, keys, plan.source_matrix(), temperature=temperature)
    return terms


def _directions(found: Tensor, name: str) -> Tensor:
    """Features brought to length 1."""
    found = found.to(torch.promote_types(found.dtype, torch.float32))
    length = found.norm(dim=1, keepdim=True)
    if readable(found) and not bool((length.isfinite() & (length > 0)).all()):
        raise ValueError(f"{name} must be finite and not of length 0")
    return found / length
