"""Whose λ? Find out what any mixing call does, by giving it images that tell."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Behaviour(NamedTuple):
    """What `probe` saw.

    Args:
        lam_weighs: "own" or "partner", whose share of the pixels the reported λ is; "neither", or "unknown"
            where none was reported.
        partner: "random", or the fixed rule by which image i gets its partner
            (itself where it never met another).
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
    """Call it on tell-tale images and compare what it says with what it did.

    Image i is 1 in channel i and 0 in the others, so that the channel means of a mixture are the shares of
    its sources, whatever the library says about them.

    Args:
        call: (images (B, B, S, S), labels (B,)) → mixed images, and either soft targets (B, B), or λ of shape
            () or (B,), or None.
        batch: B, at least 3.
        size: S, in pixels.
        rounds: how many batches; the mean share is good to about 0.3 / √rounds.

    Returns:
        A `Behaviour`.

    Raises:
        ValueError: fewer than 3 images, no rounds, mixtures of another shape, or a call that never mixed.

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
    own, said, spread = [], [], 0
    partners: list[set[int]] = [set() for _ in range(batch)]
    moved, changed = [False] * 3, False
    for _ in range(rounds):
        images = torch.eye(batch)[:, :, None, None].expand(-1, -1, size, size).clone()
        before, states = images.clone(), _states()
        mixed, told = call(images, labels)
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
        if told is not None:
            lam = told.diagonal() if told.dim() == 2 else told.expand(batch)
            said.append(lam.float()[met])
    pixels = torch.cat(own)
    if not len(pixels):
        raise ValueError(f"the call never mixed an image with another in {rounds} rounds")
    return Behaviour(
        _whose(torch.cat(said), pixels) if said else "unknown",
        _rule(partners),
        "image" if spread > rounds / 2 else "batch",
        " and ".join(name for name, was in zip(names, moved, strict=True) if was) or "its own",
        changed,
        float(pixels.mean()),
        float(pixels.min()),
    )


def _whose(said: Tensor, pixels: Tensor) -> str:
    for name, share in (("own", pixels), ("partner", 1 - pixels)):
        if float((said - share).abs().max()) < 1e-3:
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
    """Where the random generators of the process stand; numpy's only if something has loaded it."""
    theirs = None
    if "numpy" in sys.modules:
        _, words, place, *_ = sys.modules["numpy"].random.get_state()
        theirs = words.tobytes(), place
    return torch.get_rng_state().numpy().tobytes(), theirs, random.getstate()
