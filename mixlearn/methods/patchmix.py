"""PatchMix: mixtures of the patches of several images, and the loss that asks for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.checks import check_generator, check_pixels, readable
from mixlearn.core.labels import soft_cross_entropy
from mixlearn.core.mixed import Mixed, apply_plan
from mixlearn.core.patch_plan import PatchPlan
from mixlearn.core.scalars import as_count, is_count


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

    The T patches are shuffled, the same way for all images, and cut into M groups of ⌊T / M⌋. Group g of
    mixture i comes from image i + g of the batch, counted round; with M > B an image comes again. What M
    leaves over of T stays the image's own, and counts in its label.

    Args:
        images: (B, C, H, W), or any float tensor (B, …, H, W); in any units. Not changed.
        labels: (B,) integer class ids or (B, C) soft labels; None mixes images alone. For learning without
            labels the targets are `plan.source_matrix()`.
        num_classes: C, needed with class ids.
        patch: height and width of a patch in pixels; those of the network's patches, usually.
        parts: M, or several of which one is drawn for the batch.
        order: (T,) a permutation of the patches, in place of the shuffle.
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        `Mixed(images, targets, plan)`, the plan a `PatchPlan`.

    Raises:
        TypeError: integer images, float class ids.
        ValueError: a patch that does not divide the image, M below 1 or above T, an order that is no
            permutation, shapes that disagree.

    Source: Shen et al., *Inter-Instance Similarity Modeling for Contrastive Learning*, 2023.

    >>> images = torch.arange(3.).view(3, 1, 1, 1).expand(3, 1, 2, 4)
    >>> mixed = patchmix(images, patch=1, parts=3, order=range(8))
    >>> mixed.images[0, 0], mixed.plan.source_matrix()[0]
    (tensor([[0., 0., 1., 1.],
            [2., 2., 0., 0.]]), tensor([0.5000, 0.2500, 0.2500]))
    """
    height, width = check_pixels(images)
    check_generator(generator)
    if patch < 1 or height % patch or width % patch:
        raise ValueError(
            f"patch must divide height and width, got patch {patch} for {height} × {width} pixels"
        )
    count = (height // patch) * (width // patch)
    number = _drawn(parts, generator)
    if not 1 <= number <= count:
        raise ValueError(f"parts must lie in 1…{count}, the number of patches, got {number}")
    shuffled = torch.randperm(count, generator=generator) if order is None else _permutation(order, count)
    each = count // number
    groups = torch.zeros(count, dtype=torch.int64)
    for group in range(1, number):
        groups[shuffled[group * each : (group + 1) * each]] = group
    plan = PatchPlan(groups, images.shape[0], patch, (height, width), number)
    return apply_plan(plan, images, labels, num_classes)


def contrastive_loss(
    queries: Tensor, keys: Tensor, targets: Tensor | None = None, *, temperature: float = 0.2
) -> Tensor:
    """Soft cross-entropy over cosine similarities: which keys belong to each query, and in what share?

    Both are brought to length 1 here. No gradient reaches the keys unless they carry one.

    Args:
        queries: (B, D).
        keys: (K, D); those of all processes, where there are several.
        targets: (B, K), rows that sum to 1: shares of the keys that are to be found. None: key i for query
            i, alone, as in InfoNCE.
        temperature: τ, above 0, by which similarities are divided.

    Returns:
        A scalar, float32 at least.

    Raises:
        ValueError: shapes that disagree, a temperature that is not positive, features that are not finite or
            of length 0, targets that do not sum to 1.

    Source: van den Oord, Li & Vinyals, *Representation Learning with Contrastive Predictive Coding*, 2018,
    for one key; Shen et al., *Inter-Instance Similarity Modeling for Contrastive Learning*, 2023, for more.

    >>> eye = torch.eye(3)
    >>> round(contrastive_loss(eye, 5 * eye, temperature=1.0).item(), 4)
    0.5514
    """
    if queries.dim() != 2 or keys.dim() != 2 or queries.shape[1] != keys.shape[1]:
        raise ValueError(
            f"queries (B, D) and keys (K, D) must be equally long, got {tuple(queries.shape)} and "
            f"{tuple(keys.shape)}"
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    both = []
    for name, found in (("queries", queries), ("keys", keys)):
        found = found.to(torch.promote_types(found.dtype, torch.float32))
        length = found.norm(dim=1, keepdim=True)
        if readable(found) and not bool((length.isfinite() & (length > 0)).all()):
            raise ValueError(f"{name} must be finite and not of length 0")
        both.append(found / length)
    logits = both[0] @ both[1].T / temperature
    if targets is None:
        if len(queries) > len(keys):
            raise ValueError(f"each query needs a key of its own, got {len(queries)} and {len(keys)}")
        targets = torch.eye(len(queries), len(keys), device=queries.device)
    if targets.shape != logits.shape:
        raise ValueError(f"targets must have shape {tuple(logits.shape)}, got {tuple(targets.shape)}")
    if readable(targets) and not bool(((targets.sum(1) - 1).abs() < 1e-4).all()):
        raise ValueError(f"targets must sum to 1 in each row, got {targets.sum(1).tolist()[:4]} …")
    return soft_cross_entropy(logits, targets)


def _permutation(order: Sequence[int] | Tensor, count: int) -> Tensor:
    """The order as a tensor on the CPU, if it is a permutation of 0…count − 1."""
    given = torch.as_tensor(order).cpu()
    if given.is_floating_point() or not torch.equal(given.sort().values, torch.arange(count)):
        raise ValueError(f"order must be a permutation of 0…{count - 1}, got {given.tolist()[:8]} …")
    return given


def _drawn(parts: int | Sequence[int], generator: torch.Generator | None) -> int:
    """The number of parts, drawn where there are several to choose from."""
    given: Any = parts
    if is_count(given, least=None):
        return as_count(given, "parts")
    several = list(given) if isinstance(given, Sequence) else []
    if not several or not all(is_count(one, least=None) for one in several):
        raise ValueError(f"parts must be an integer or a list of integers, got {parts!r}")
    return as_count(several[int(torch.randint(len(several), (), generator=generator))], "parts")
