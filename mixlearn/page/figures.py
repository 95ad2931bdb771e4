"""All figures of the book. Each takes what is to be seen and returns a `Picture` that says it in words.

>>> import torch, mixlearn as ml
>>> images = torch.rand(2, 3, 32, 32)
>>> ml.figures.plan(images, ml.mixup(images, lam=0.6, partner=torch.tensor([1, 0])), names=["cat", "dog"])
Picture: An equation of pictures: cat times its mask plus dog times its mask is the mixture, 60 % ...
"""

from mixlearn.page.picture import Picture
from mixlearn.page.show_bars import bars
from mixlearn.page.show_between import between, plane
from mixlearn.page.show_boundary import boundary
from mixlearn.page.show_calibration import reliability
from mixlearn.page.show_comparison import Cell, differences
from mixlearn.page.show_draws import beta_family, label_lines, lam_histogram
from mixlearn.page.show_frontier import frontier
from mixlearn.page.show_images import images
from mixlearn.page.show_plan import batch, plan
from mixlearn.page.show_retrieval import retrieval
from mixlearn.page.show_runs import curves
from mixlearn.page.show_table import Table, gains, records, table
from mixlearn.page.style import style

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
    "records",
    "plane",
    "reliability",
    "retrieval",
    "style",
    "table",
]
