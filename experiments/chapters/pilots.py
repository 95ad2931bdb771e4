"""Pilots: what better masks are worth on Off-centre Fashion, learned or true; all see crops and flips."""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.oracles import Piped, learned_from, oracle
from experiments.recipes import offcentre
from mixlearn.methods.automix import AutoMix
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.learner import slow_down
from mixlearn.methods.mixup import mixup

# Where do better masks pay at all? The same pipeline around no mixing, Mixup, CutMix and true masks.
quick = partial(slow_down, start=0.9, end=0.9999)
PIPED: dict[str, Any] = {
    "plain": None,
    "mixup": partial(mixup, alpha=2.0),
    "cutmix": partial(cutmix, alpha=1.0),
    "true-masks": oracle,
}
pilot_masks: dict[str, Any] = {
    f"pilot-masks-n{images}-e{epochs}-{way}": partial(
        offcentre,
        mix=partial(Piped, mix=mix, momentum=quick),  # type: ignore[arg-type]
        name="objects",
        images=images,
        epochs=epochs,
    )
    for images, epochs in ((500, 150), (2000, 40))
    for way, mix in PIPED.items()
}

# ... and masks that are learned: by AutoMix while it trains, or beforehand against a frozen network.
short = partial(offcentre, images=2000, epochs=40)
piped = partial(Piped, momentum=quick)
block: dict[str, Any] = {"stage": "stage2", "momentum": quick, "block": {"std": 0.3}}
pilot_masks |= {
    "pilot-masks-n2000-e40-automix": partial(short, mix=partial(AutoMix, **block)),
    "pilot-masks-n2000-e40-automix-strict": partial(short, mix=partial(AutoMix, mask_weight=1.0, **block)),
    "pilot-masks-n2000-e40-judge-masks": partial(learned_from, short, mix=piped),
    "pilot-masks-n2000-e40-own-masks": partial(
        learned_from, short, mix=piped, teacher=partial(short, partial(piped, mix=PIPED["mixup"]))
    ),
}
