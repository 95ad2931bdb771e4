"""Patch groups: PatchMix step by step, where each patch comes from, and what W and W·Wᵀ say of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mixlearn.methods.patchmix import patchmix
from mixlearn.page.host import photographs, picture_url, picture_urls
from mixlearn.page.widget import Rule, widget, within

SIDE = 96  # pixels of the shipped photographs in the widget
MOST_IMAGES, MOST_PARTS, MOST_ACROSS, STEPS = 6, 6, 8, 6


def patch_groups(
    batch: int = 4,
    parts: int = 3,
    patch: int = 32,
    *,
    order: Sequence[int] | None = None,
    step: int = 0,
    released: bool = False,
    images: Tensor | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> Any:
    """Step through PatchMix: patches cut, shuffled, grouped, mixed and put back; with W and W·Wᵀ.

    Args:
        batch: B, how many images there are to begin with, 2…6.
        parts: M, groups of patches, 1…6.
        patch: height and width of a patch in pixels, so that an image has 2…8 of them in a row.
        order: (T,) a permutation of the patches to begin with; None draws one from `seed`.
        step: 0 images, 1 patchify, 2 shuffle, 3 group, 4 mix, 5 unshuffle.
        released: whether to show the targets of the released code too.
        images: (N, 3, S, S) floats in [0, 1] in place of six shipped photographs of 96 × 96 pixels.
        names: one for each of `images`, or the names of other shipped ones.
        seed: of the shuffles.

    Returns:
        A widget with the traits `batch`, `parts`, `patch`, `order`, `step`, `released`, and `mixture` and
        `place`: the mixture and the patch of it that are looked at, −1 for none. The page draws a new order
        when the number of patches changes.

    >>> widget = patch_groups(4, 3, patch=48, order=[2, 0, 3, 1])
    >>> widget.parts, widget.alt.split(";")[0]
    (3, 'Patch groups: mixture 0: 50 % dog + 25 % cat + 25 % owl')
    """
    shipped = images is None
    images, names = photographs(images, names, (), SIDE)
    most, size = min(MOST_IMAGES, len(images)), int(images.shape[-1])
    if not 2 <= batch <= most:
        raise ValueError(f"batch must lie in 2…{most}, the number of images, got {batch}")
    if not _fits(patch, size):
        raise ValueError(f"patch must go 2…{MOST_ACROSS} times into {size} pixels, got {patch}")
    if not 1 <= parts <= MOST_PARTS:
        raise ValueError(f"parts must lie in 1…{MOST_PARTS}, got {parts}")
    if not 0 <= step < STEPS:
        raise ValueError(f"step must lie in 0…{STEPS - 1}, got {step}")
    if order is None:
        order = torch.randperm((size // patch) ** 2, generator=torch.Generator().manual_seed(seed)).tolist()
    mixed = patchmix(images[:batch].float(), patch=patch, parts=parts, order=order)
    state = {
        "photos": picture_urls(images, names),
        "shipped": shipped,
        "size": size,
        "batch": int(batch),
        "parts": int(parts),
        "patch": int(patch),
        "order": [int(place) for place in order],
        "step": int(step),
        "released": bool(released),
        "mixture": -1,
        "place": -1,
        "seed": int(seed),
    }
    rules: dict[str, Rule] = {
        "batch": lambda _, value: None if 2 <= value <= most else f"lie in 2…{most}",
        "parts": within(1, MOST_PARTS),
        "patch": lambda _, value: None if _fits(value, size) else f"go 2…8 times into {size} pixels",
        "step": within(0, STEPS - 1),
        "order": _permutes,
        "mixture": lambda groups, value: _none_or_below(groups.batch, value),
        "place": lambda groups, value: _none_or_below(_patches(groups), value),
    }
    words = "; ".join(f"mixture {i}: {mixed.plan.describe(i, names[:batch])}" for i in range(batch))
    still = picture_url(torch.cat([*mixed.images], 2))
    return widget("patch_groups", state, still, f"Patch groups: {words}", rules)


def _fits(patch: int, size: int) -> bool:
    return size in [across * patch for across in range(2, MOST_ACROSS + 1)]


def _patches(groups: Any) -> int:
    count: int = (groups.size // groups.patch) ** 2
    return count


def _permutes(groups: Any, order: list[int]) -> str | None:
    count = _patches(groups)
    return None if sorted(order) == list(range(count)) else f"be a permutation of 0…{count - 1}"


def _none_or_below(count: int, value: int) -> str | None:
    return None if -1 <= value < count else f"lie in 0…{count - 1}, or be -1 for none"
