"""The mosaic lab: four scenes around a point that one moves, and what becomes of their boxes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch

from mixlearn.data.scenes import Scenes, emoji_scenes
from mixlearn.methods.mosaic import mosaic
from mixlearn.page.host import picture_url
from mixlearn.page.widget import Rule, widget, within

AROUND = [[1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]]  # partners that lay out four images in their order
GAP = 114 / 255  # the grey of Ultralytics


def mosaic_lab(
    centre: Sequence[int] = (52, 76),
    order: Sequence[int] = (0, 1, 2, 3),
    *,
    scale: float = 0.5,
    least: float = 0.1,
    scenes: Scenes | None = None,
) -> Any:
    """Lay four scenes in a Mosaic and move its centre: boxes are cut, and dropped below a threshold.

    Args:
        centre: (x, y) in pixels, where the four corners meet to begin with.
        order: which scenes lie top left, top right, bottom left and bottom right to begin with.
        scale: τ, by which sides shrink, in [0.1, 1].
        least: the share of a box that has to be visible, in [0, 1]; see `ml.mix_objects`.
        scenes: square ones; None takes six of unseen concepts.

    Returns:
        A widget with the traits `centre`, `order`, `scale` and `least`.

    >>> lab = mosaic_lab((64, 64), (3, 0, 4, 1))
    >>> lab.centre, lab.alt
    ([64, 64], 'Mosaic lab: scenes 3, 0, 4 and 1 meet at column 64, row 64')
    """
    shipped, scenes = scenes is None, _six() if scenes is None else scenes
    size, count = scenes.images.shape[-1], len(scenes)
    if scenes.images.shape[-2] != size:
        raise ValueError(f"scenes must be square, got {tuple(scenes.images.shape)}")
    rules: dict[str, Rule] = {
        "centre": lambda _, value: _whole(value, 2, size, "(x, y)"),
        "order": lambda _, value: _whole(value, 4, count - 1, "four scenes"),
        "scale": within(0.1, 1),
        "least": within(0, 1),
    }
    state = {"centre": [*centre], "order": [*order], "scale": float(scale), "least": float(least)}
    for name, rule in rules.items():
        if wrong := rule(None, state[name]):
            raise ValueError(f"{name} must {wrong}, got {state[name]!r}")
    photos = [
        {
            "name": f"scene {i}",
            "url": picture_url(image),
            "boxes": boxes.tolist(),
            "classes": [scenes.classes[k] for k in labels],
        }
        for i, (image, boxes, labels) in enumerate(
            zip(scenes.images, scenes.boxes, scenes.labels, strict=True)
        )
    ]
    four = scenes.images[[*order]].float() / 255
    still = mosaic(four, scale=scale, centre=centre, partners=AROUND, fill=GAP).images[0]
    *first, last = map(str, order)
    words = f"Mosaic lab: scenes {', '.join(first)} and {last} meet at column {centre[0]}, row {centre[1]}"
    fixed = {"photos": photos, "shipped": shipped, "size": size}
    return widget("mosaic_lab", fixed | state, picture_url(still), words, rules)


@cache
def _six() -> Scenes:
    return emoji_scenes("concepts", 6, objects=(2, 3), generator=torch.Generator().manual_seed(0))


def _whole(values: Sequence[int], count: int, most: int, name: str) -> str | None:
    fits = len(values) == count and all(isinstance(v, int) and 0 <= v <= most for v in values)
    return None if fits else f"be {name} in whole numbers from 0 to {most}"
