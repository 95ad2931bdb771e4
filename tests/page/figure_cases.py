"""What the tests give to the figures, every kind of figure, and the pixels that one shows."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib
import numpy as np
import torch

import mixlearn as ml
from mixlearn.page.figures import Cell, Picture
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
CELLS = [Cell(500, 10, 8, -0.12, 0.01), Cell(500, 160, 8, 0.015, 0.02), Cell(2000, 10, 16, 0.0)]
LAM = torch.linspace(0, 1, 5, dtype=torch.float64)
CLASS_IDS = torch.randint(12, (90,), generator=seeded(1))
FEATURES = torch.randn(12, 6, generator=seeded(2))[CLASS_IDS] + 0.2 * torch.randn(90, 6, generator=seeded(3))
PLANE = ml.measure.principal_plane(FEATURES)
CLASSES = [f"class {c}" for c in range(11)] + ["$ a name $ that is by far too long for the key"]
QUERIES, FOUND = torch.rand(3, 3, 8, 10, generator=seeded(1)), torch.rand(3, 4, 3, 8, 10, generator=seeded(2))
OWN, THEIRS = torch.tensor([0, 1, 2]), torch.tensor([[0, 0, 0, 0], [1, 0, 1, 2], [1, 1, 0, 2]])
MANY = torch.rand(10, 20, 1, 8, 8, generator=seeded(3))


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
    "a search": lambda: figures.retrieval(QUERIES, FOUND, OWN, THEIRS, ["cat", "dog", CLASSES[-1]]),
    "a wide search": lambda: figures.retrieval(MANY[:, 0], MANY, [0] * 10, [[1] * 20] * 10, CLASSES),
    "lam_histogram": lambda: figures.lam_histogram(ml.sample_lam(300, 0.4, generator=seeded()), 0.4),
    "beta_family": figures.beta_family,
    "label_lines": lambda: figures.label_lines(0.1),
    "reliability": lambda: figures.reliability(CALIBRATION),
    "reliability of four": lambda: figures.reliability(dict.fromkeys("abcd", CALIBRATION)),
    "boundary": lambda: figures.boundary({"a": lambda x: 4 * x}, POINTS, HALVES),
    "boundaries": lambda: figures.boundary(dict.fromkeys("abcd", lambda x: 4 * x), POINTS, HALVES),
    "curves": lambda: figures.curves({"plain": EPOCHS, "mixup": EPOCHS[0]}),
    "frontier": lambda: figures.frontier(CELLS),
    "bars": lambda: figures.bars({"flip": 0.9, "Mixup": 12.0}, "time in copies", marked=["Mixup"]),
    "dots": lambda: figures.bars({"flip": 0.9, "many letters indeed": 900.0}, "time", logarithmic=True),
    "between": lambda: figures.between({"plain": bent(0.8), "Mixup": bent(0.2)}),
    "between, with features": lambda: figures.between({f"net {k}": bent(k / 5, True) for k in range(6)}),
    "plane": lambda: figures.plane(PLANE.coordinates, CLASS_IDS, CLASSES),
    "planes": lambda: figures.plane({"a": PLANE, "b": PLANE.coordinates, "c": PLANE}, CLASS_IDS, CLASSES),
}
