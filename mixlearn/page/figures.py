"""The book's figures. Each takes data and returns a `Picture`, whose alternative text describes them.

>>> import torch, mixlearn as ml
>>> images = torch.rand(2, 3, 32, 32)
>>> ml.figures.plan(images, ml.mixup(images, lam=0.6, partner=torch.tensor([1, 0])), names=["cat", "dog"])
Picture: An equation of pictures: cat times its mask plus dog times its mask is the mixture, 60 % ...
"""

from typing import Any

from mixlearn.core.extras import moved
from mixlearn.page.figures_images import batch, images, plan
from mixlearn.page.figures_models import between, boundary, reliability
from mixlearn.page.figures_numbers import Cell, bars, curves, differences
from mixlearn.page.figures_runs import dots
from mixlearn.page.style import Picture, style
from mixlearn.page.tables import gains, records, table
from mixlearn.train.records import Table

__all__ = [
    "Cell", "Picture", "Table", "bars", "batch", "between", "boundary", "curves", "dots",
    "differences", "gains", "images", "plan", "records", "reliability", "style", "table",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    drawn = "ml.figures.style and matplotlib, as chapter {} of the book does"
    gone = {"comparison": "ml.figures.records", "strip": "ml.figures.images"}
    second = "beta_density", "beta_family", "frontier", "label_lines", "lam_histogram"
    gone |= dict.fromkeys(second, drawn.format(2))
    return moved(name, __name__, gone | {"plane": drawn.format(6), "retrieval": drawn.format(7)})
