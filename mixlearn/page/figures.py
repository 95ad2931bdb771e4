"""All figures of the book. Each takes what is to be seen and returns a `Picture` that says it in words.

>>> import torch, mixlearn as ml
>>> images = torch.rand(2, 3, 32, 32)
>>> ml.figures.plan(images, ml.mixup(images, lam=0.6, partner=torch.tensor([1, 0])), names=["cat", "dog"])
Picture: An equation of pictures: cat times its mask plus dog times its mask is the mixture, 60 % ...
"""

from typing import Any

from mixlearn.core.extras import moved
from mixlearn.page.figures_images import batch, images, plan, retrieval
from mixlearn.page.figures_models import between, boundary, plane, reliability
from mixlearn.page.figures_numbers import bars, beta_family, label_lines, lam_histogram
from mixlearn.page.figures_runs import Cell, curves, differences, frontier
from mixlearn.page.style import Picture, style
from mixlearn.page.tables import gains, records, table
from mixlearn.train.records import Table

__all__ = [
    "Cell",
    "Picture",
    "Table",
    "bars",
    "batch",
    "beta_family",
    "between",
    "boundary",
    "curves",
    "differences",
    "frontier",
    "gains",
    "images",
    "label_lines",
    "lam_histogram",
    "plan",
    "plane",
    "records",
    "reliability",
    "retrieval",
    "style",
    "table",
]


def __getattr__(name: str) -> Any:
    gone = {"beta_density": "beta_family", "comparison": "records", "strip": "images"}
    return moved(name, __name__, {old: f"ml.figures.{new}" for old, new in gone.items()})
