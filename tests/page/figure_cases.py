"""What the tests give to the figures, and the pixels that a figure shows."""

from __future__ import annotations

import matplotlib
import numpy as np
import torch

import mixlearn as ml
from mixlearn.page.figures import Cell
from tests.seeds import seeded

IMAGES = torch.rand(6, 3, 12, 16, generator=seeded(1))
NAMES = ["dog", "cat", "owl", "cat", "koala", "bison"]
MIXED = ml.mixup(
    IMAGES, alpha=1.0, per_image=True, partner=torch.tensor([1, 0, 3, 1, 4, 2]), generator=seeded(2)
)
POINTS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
CALIBRATION = ml.measure.calibration(
    3 * torch.randn(400, 5, generator=seeded(3)), torch.randint(5, (400,), generator=seeded(4)), bins=8
)
EPOCHS = [[{"epoch": e, "accuracy": 0.1 * e + 0.01 * s} for e in (2, 4)] for s in (0, 1, 2)]
CELLS = [Cell(500, 10, 8, -0.12, 0.01), Cell(500, 160, 8, 0.015, 0.02), Cell(2000, 10, 16, 0.0)]


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


def shown(axes: matplotlib.axes.Axes) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())
