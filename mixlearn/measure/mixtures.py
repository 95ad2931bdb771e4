"""Whether labels tell the truth: what of each named object can be seen in the mixture."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mixlearn.core.plan import Mixed, MixPlan


class LabelNoise(NamedTuple):
    """How far the labels of mixtures are from what the mixtures show; each in [0, 1].

    Args:
        unseen: the share of the label that names an object of which less than a tenth is seen.
        unnamed: how often more than half of an object is seen that less than a tenth of the label names.
        error: the mean distance between an object's share of the label and its share of what is seen.
    """

    unseen: float
    unnamed: float
    error: float


@torch.no_grad()
def visible(plan: MixPlan, objects: Tensor) -> Tensor:
    """How much of each source's object each mixture shows.

    Args:
        plan: that mixed a batch of B.
        objects: (B, 1, H, W) in [0, 1], 1 where the object is.

    Returns:
        (K, B) in [0, 1]: of the object of source k, the share that mixture i shows; transparent counts by its
        share, and an object that was made smaller counts as whole. A source that comes twice counts once.

    >>> from mixlearn.core.plan import BoxPlan
    >>> left = torch.zeros(2, 1, 2, 4); left[..., :2] = 1
    >>> visible(BoxPlan(torch.tensor([1, 0]), torch.tensor([[0, 0, 1, 2]]), (2, 4)), left)
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    batch = len(plan)
    if objects.dim() != 4 or objects.shape[:2] != (batch, 1):
        raise ValueError(f"objects must have shape ({batch}, 1, H, W), got {tuple(objects.shape)}")
    # Image j holds its object in channel j, so that channel j of a mixture is what it shows of object j.
    each = torch.arange(batch, device=objects.device)
    apart = objects.new_zeros(batch, batch, *objects.shape[2:])
    apart[each, each] = objects[:, 0]
    shown = plan.mix(apart.float()).sum((2, 3))
    whole = objects.float().sum((1, 2, 3)).clamp_min(1e-6)
    seen = torch.stack([shown[each, source] / whole[source] for source in plan.sources])
    scales = getattr(plan, "scales", None)
    if scales is not None:
        seen = seen / scales.to(seen).clamp_min(1e-6)
    again = [(plan.sources[:k] == plan.sources[k]).any(0) for k in range(len(plan.sources))]
    return seen.masked_fill(torch.stack(again), 0).clamp(0, 1)


@torch.no_grad()
def label_noise(
    mix: Callable[..., Mixed],
    images: Tensor,
    labels: Tensor,
    objects: Tensor,
    *,
    num_classes: int,
    batch_size: int = 50,
    generator: torch.Generator | None = None,
) -> LabelNoise:
    """Mix a data set once and compare every label with what the mixture shows.

    Pairs of one class, whose label is always true, are left out.

    Args:
        mix: a method, `mix(images, labels, num_classes=…, generator=…)` → `Mixed`.
        images: (N, C, H, W) float. Not changed.
        labels: (N,) class ids.
        objects: (N, 1, H, W) in [0, 1], 1 where the object of the label is.
        num_classes: of the labels.
        batch_size: images that are mixed among themselves.
        generator: source of randomness on the CPU; None uses torch's default one.

    Source: a measure of this book.

    >>> import mixlearn as ml
    >>> objects = torch.zeros(8, 1, 8, 8); objects[:, :, 2:6, 2:6] = 1
    >>> noise = label_noise(ml.mixup, torch.rand(8, 3, 8, 8), torch.arange(8), objects, num_classes=8,
    ...                     generator=torch.Generator().manual_seed(0))
    >>> round(noise.error, 6), noise.unnamed
    (0.0, 0.0)
    """
    if not len(images) == len(labels) == len(objects):
        raise ValueError(
            f"expected as many labels and objects as images, got {len(images)}, {len(labels)}, {len(objects)}"
        )
    order = torch.randperm(len(images), generator=generator)
    sums, count = torch.zeros(3, dtype=torch.float64), 0
    for chosen in order.split(batch_size):
        plan = mix(images[chosen], labels[chosen], num_classes=num_classes, generator=generator).plan
        seen, weights = visible(plan, objects[chosen]), plan.weights  # (K, B)
        classes = labels[chosen][plan.sources]
        several = (classes != classes[:1]).any(0)
        share = seen / seen.sum(0).clamp_min(1e-6)
        parts = torch.stack(
            [
                (weights * (seen < 0.1)).sum(0) / weights.sum(0).clamp_min(1e-6),
                ((seen > 0.5) & (weights < 0.1)).any(0),
                (weights - share).abs().sum(0) / 2,
            ]
        )
        sums += parts[:, several].double().sum(1)
        count += int(several.sum())
    unseen, unnamed, error = (sums / max(count, 1)).tolist()
    return LabelNoise(unseen, unnamed, error)


class Behaviour(NamedTuple):
    """What a library's mixing does, by `probe`.

    Args:
        lam_weighs: whose share of the pixels the reported λ is, "own", "partner" or "neither"; "unknown" if
            none was reported.
        partner: "random", or the fixed rule by which image i gets its partner.
        lam_for_each: "batch" or "image".
        draws_from: the random generators of the process that moved, or "its own".
        changes_input: whether the caller's images were written to.
        own_share: mean share of its own pixels that an image keeps when it has a partner.
        least_own_share: the smallest share seen.
    """

    lam_weighs: str
    partner: str
    lam_for_each: str
    draws_from: str
    changes_input: bool
    own_share: float
    least_own_share: float


def probe(
    call: Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]],
    *,
    batch: int = 8,
    size: int = 32,
    rounds: int = 400,
) -> Behaviour:
    """Call a library's mixing on test images and compare the λ that it reports with what it did.

    Image i is 1 in channel i and 0 in the others, so that the channel means of a mixture are the shares of
    its sources.

    Args:
        call: (images (B, B, S, S), labels (B,)) → mixed images, and either soft targets (B, B), or λ of shape
            () or (B,), or None.
        batch: B, at least 3.
        size: S, in pixels.
        rounds: how many batches; the mean share is good to about 0.3 / √rounds.

    >>> import mixlearn as ml
    >>> g = torch.Generator().manual_seed(0)
    >>> seen = probe(lambda x, y: ml.mixup(x, y, num_classes=8, generator=g)[:2], rounds=50)
    >>> seen.lam_weighs, seen.partner, seen.lam_for_each, seen.draws_from, seen.changes_input
    ('own', 'random', 'batch', 'its own', False)
    """
    if batch < 3:
        raise ValueError(f"batch must be at least 3 images, got {batch}")
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    labels, names = torch.arange(batch), ("torch", "numpy", "Python")
    own, reported, spread = [], [], 0
    partners: list[set[int]] = [set() for _ in range(batch)]
    moved, changed = [False] * 3, False
    for _ in range(rounds):
        images = torch.eye(batch)[:, :, None, None].expand(-1, -1, size, size).clone()
        before, states = images.clone(), _states()
        mixed, answer = call(images, labels)
        if mixed.shape != before.shape:
            raise ValueError(f"mixtures must have shape {tuple(before.shape)}, got {tuple(mixed.shape)}")
        moved = [was or old != new for was, old, new in zip(moved, states, _states(), strict=True)]
        changed |= not torch.equal(images, before)
        shares = mixed.mean((2, 3))  # (B, B): row i, how much of mixture i each image supplies
        kept = shares.diagonal()
        other = (shares - torch.diag(kept)).max(1)
        met = other.values > 1e-6  # an image that is its own partner tells nothing
        own.append(kept[met])
        spread += bool(met.sum() > 1) and float(kept[met].max() - kept[met].min()) > 1e-6
        for i in met.nonzero().flatten().tolist():
            partners[i].add(int(other.indices[i]))
        if answer is not None:
            lam = answer.diagonal() if answer.dim() == 2 else answer.expand(batch)
            reported.append(lam.float()[met])
    pixels = torch.cat(own)
    if not len(pixels):
        raise ValueError(f"the call never mixed an image with another in {rounds} rounds")
    return Behaviour(
        _whose(torch.cat(reported), pixels) if reported else "unknown",
        _rule(partners),
        "image" if spread > rounds / 2 else "batch",
        " and ".join(name for name, was in zip(names, moved, strict=True) if was) or "its own",
        changed,
        float(pixels.mean()),
        float(pixels.min()),
    )


def _whose(lam: Tensor, pixels: Tensor) -> str:
    for name, share in (("own", pixels), ("partner", 1 - pixels)):
        if float((lam - share).abs().max()) < 1e-3:
            return name
    return "neither"


def _rule(seen: list[set[int]]) -> str:
    """The rule by which each image met the one partner that it ever met."""
    if any(len(partners) > 1 for partners in seen):
        return "random"
    batch = len(seen)
    order = [next(iter(partners), i) for i, partners in enumerate(seen)]
    rules = {
        "i − 1": [(i - 1) % batch for i in range(batch)],
        "i + 1": [(i + 1) % batch for i in range(batch)],
        "B − 1 − i": [batch - 1 - i for i in range(batch)],
    }
    return next((name for name, rule in rules.items() if order == rule), "fixed")


def _states() -> tuple[Any, ...]:
    """The states of the process's random generators; NumPy's only if something has imported it."""
    theirs = None
    if "numpy" in sys.modules:
        _, words, place, *_ = sys.modules["numpy"].random.get_state()
        theirs = words.tobytes(), place
    return torch.get_rng_state().numpy().tobytes(), theirs, random.getstate()
