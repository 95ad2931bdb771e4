"""The mask film: the masks of a recorded Mix Block through training, against the reader's own."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.extras import array
from mixlearn.data.sets import ImageSet
from mixlearn.page.film import film_bytes, film_facts, recorded_block
from mixlearn.page.studio_methods import judged, normalised
from mixlearn.page.studio_net import studio_bytes, studio_facts
from mixlearn.page.studio_pairs import (
    PAIRS,
    checked_pairs,
    designers,
    first_pair,
    painted_bytes,
    still,
    told_pair,
)
from mixlearn.page.widget_live import widget


def mask_film(
    lam: float = 0.6,
    pair: str | None = None,
    *,
    epoch: int | None = None,
    mask: Tensor | None = None,
    pairs: Sequence[tuple[int, int]] | None = None,
    images: ImageSet | None = None,
) -> Any:
    """Masks through training: go through the epochs of a recorded run of AutoMix, and paint against it.

    The Mix Block runs in the page, for any λ. Its mixture and the reader's are judged by the classifier of
    the mask studio, both against the label of the λ that was asked: 100 · exp(−KL(ỹ ‖ p)).

    Args:
        lam: λ to begin with, in [0, 1].
        pair: name of the pair to begin with, "koala + pie" for instance; None is the first.
        epoch: of the recorded run, one of `mixlearn.page.film.film_facts().epochs`; None is the last.
        mask: (32, 32) in [0, 1], the reader's mask to begin with: the partner's share of each pixel. None: a
            straight cut.
        pairs: places of image and partner in `images`. None: those of the mask studio.
        images: 32 × 32 images of the classes of Emoji Scenes; None: its test images by designers not seen in
            training.

    Returns:
        A widget with the traits `lam`, `pair`, `swapped` (whether the block is asked from the partner's
        side), `epoch` and `mask` (base64 of 32 × 32 bytes, the partner's share), and `score`, `block_score`
        and `block_mean`, which follow.

    Raises:
        ValueError: λ outside [0, 1], an epoch that was not recorded, a pair that is not there or of one
            class, images or masks of another size.

    >>> film = mask_film(0.3, epoch=0)
    >>> round(film.block_mean, 1), 0 < film.score <= 100  # before the first step: ½, whatever λ
    (0.5, True)
    """
    if not 0 <= lam <= 1:
        raise ValueError(f"lam must lie in [0, 1], got {lam}")
    facts = film_facts()
    epoch = facts.epochs[-1] if epoch is None else epoch
    block = recorded_block(epoch)
    part = designers() if images is None else images
    chosen = checked_pairs(part, PAIRS if pairs is None else pairs)
    told = [told_pair(part, places) for places in chosen]
    begin = first_pair(told, pair)
    painted, places = painted_bytes(mask, lam), list(chosen[begin])
    pixels, labels = part.images[places], part.labels[places]
    with torch.no_grad():
        masks = block(normalised(pixels).float(), lam, torch.tensor([1, 0]))
    mixture, block_score = judged(pixels, labels, 1 - masks[0, 0], lam)
    state = {
        "pairs": told,
        "classes": list(studio_facts().classes),
        "net": base64.b64encode(studio_bytes()).decode(),
        "film": base64.b64encode(film_bytes()).decode(),
        "epochs": list(facts.epochs),
        "shipped": images is None,
        "pair": told[begin]["name"],
        "swapped": False,
        "lam": float(lam),
        "epoch": int(epoch),
        "mask": base64.b64encode(array(painted, "a widget").tobytes()).decode(),
        "score": judged(pixels, labels, painted / 255, lam)[1],
        "block_score": block_score,
        "block_mean": float(masks[0].mean()),
    }
    own, partner = told[begin]["words"]
    words = (
        f"Mask film: AutoMix's mixture of {own} and {partner} after epoch {epoch} at λ = {lam:.2f}, "
        f"{round(100 * float(masks[0].mean()))} % {own}"
    )
    return widget("mask_film", state, still(mixture), words)
