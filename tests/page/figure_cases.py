"""What the tests give to the figures, every kind of figure, and the pixels that one shows."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib
import numpy as np
import torch

import mixlearn as ml
from mixlearn.page.figures import Picture
from tests.seeds import seeded

figures = ml.figures
IMAGES = torch.rand(6, 3, 12, 16, generator=seeded(1))
NAMES = ["dog", "cat", "owl", "cat", "koala", "bison"]
MIXED = ml.mixup(
    IMAGES, alpha=1.0, per_image=True, partner=torch.tensor([1, 0, 3, 1, 4, 2]), generator=seeded(2)
)
POINTS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
HALVES = torch.tensor([0, 1, 0, 1])
CALIBRATION = ml.measure.calibration(
    3 * torch.randn(400, 5, generator=seeded(3)), torch.randint(5, (400,), generator=seeded(4)), bins=8
)
EPOCHS = [[{"epoch": e, "accuracy": 0.1 * e + 0.01 * s} for e in (2, 4)] for s in (0, 1, 2)]
LAM = torch.linspace(0, 1, 5, dtype=torch.float64)
LONG = "$ a name $ that is by far too long for the key"


def four_parts() -> ml.MixPlan:
    own = torch.arange(6)
    sources = torch.stack([(own + k) % 6 for k in range(4)])
    columns = torch.arange(16) // 4
    masks = torch.stack([(columns == k).float().expand(6, 1, 12, 16) for k in range(4)])
    return ml.MixPlan(sources, masks, torch.full((4, 6), 0.25))


def boxed() -> ml.MixPlan:
    boxes = torch.tensor([[2, 3, 10, 9]]).expand(6, 4)
    masks = torch.ones(6, 1, 12, 16)
    masks[:, :, 3:9, 2:10] = 0
    return ml.MixPlan.pair(torch.arange(6).roll(1), masks.mean((1, 2, 3)), masks, boxes=boxes)


def bent(by: float, features: bool = False) -> ml.measure.Between:
    arch = by * 4 * LAM * (1 - LAM)
    return ml.measure.Between(LAM, 0.1 + arch / 2, LAM, arch, arch, 1.5 * arch if features else None)


def shown(axes: matplotlib.axes.Axes) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())


EVERY: dict[str, Callable[[], Picture]] = {
    "images": lambda: figures.images(IMAGES, NAMES),
    "batch": lambda: figures.batch(IMAGES, MIXED, NAMES),
    "batch of parts": lambda: figures.batch(IMAGES, four_parts(), count=2),
    "plan": lambda: figures.plan(IMAGES, MIXED, 2, NAMES),
    "plan with a box": lambda: figures.plan(IMAGES, boxed(), 2, NAMES),
    "plan of parts": lambda: figures.plan(IMAGES, four_parts(), 2),
    "reliability": lambda: figures.reliability(CALIBRATION),
    "reliability of four": lambda: figures.reliability(dict.fromkeys("abcd", CALIBRATION)),
    "boundary": lambda: figures.boundary({"a": lambda x: 4 * x}, POINTS, HALVES),
    "boundaries": lambda: figures.boundary(dict.fromkeys("abcd", lambda x: 4 * x), POINTS, HALVES),
    "curves": lambda: figures.curves({"plain": EPOCHS, "mixup": EPOCHS[0]}),
    "bars": lambda: figures.bars({"flip": 0.9, "Mixup": 12.0}, "time in copies", marked=["Mixup"]),
    "dots": lambda: figures.bars({"flip": 0.9, "many letters indeed": 900.0}, "time", logarithmic=True),
    "between": lambda: figures.between({"plain": bent(0.8), "Mixup": bent(0.2)}),
    "between, with features": lambda: figures.between({f"{LONG} {k}": bent(k / 5, True) for k in range(6)}),
}
