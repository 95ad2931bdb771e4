"""Chapter 2: Mixup on both shipped data sets, and where it begins to pay."""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.recipes import emoji, fashion
from mixlearn.methods.mixup import mixup

mix = partial(mixup, alpha=1.0)

embedded = {
    "fashion-plain": partial(fashion, measure_every=10),
    "fashion-mixup": partial(fashion, mix=mix, measure_every=10),
    "emoji-plain": partial(emoji, measure_every=3),
    "emoji-mixup": partial(emoji, mix=mix, measure_every=3),
}

# images × epochs × width, the cheapest first
GRID = sorted(
    ((images, epochs, width) for images in (500, 2000) for epochs in (10, 40, 160) for width in (8, 16)),
    key=lambda cell: cell[0] * cell[1] * cell[2] ** 2,
)
MIXES: dict[str, dict[str, Any]] = {"plain": {}, "mixup": {"mix": mix}}
sweep = {
    f"sweep-fashion-n{images}-e{epochs}-w{width}-{way}": partial(
        fashion, images=images, epochs=epochs, width=width, **options
    )
    for images, epochs, width in GRID
    for way, options in MIXES.items()
}
