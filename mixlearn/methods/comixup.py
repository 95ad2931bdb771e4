"""Co-Mixup: a whole batch mixed at once, each mixture salient and all of them different."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import check_alpha, check_generator, check_pixels, check_size
from mixlearn.core.combine import Fill, laid_out_as
from mixlearn.core.mixed import Mixed, apply_plan
from mixlearn.core.plan import MixPlan
from mixlearn.core.scalars import as_count
from mixlearn.methods.cell_choice import CoEnergy, choose_cells
from mixlearn.methods.saliency import Saliency, normalised, saliency_of, spectral_residual


class CellPlan(MixPlan):
    """A plan that keeps, for each cell of a coarse grid, which image it shows; masks are made when read.

    Attributes:
        cells: (B, n, m) int64, indices into the batch.
        size: (H, W) of the images, in pixels; n and m divide them.
    """

    cells: Tensor
    size: tuple[int, int]

    def __init__(self, cells: Tensor, size: tuple[int, int]) -> None:
        batch, n, m = cells.shape
        own = torch.arange(batch, device=cells.device)
        counts = F.one_hot(cells.flatten(1), batch).sum(1)
        counts[own, own] += n * m + 1  # the image itself comes first, seen or not
        parts = int((counts > 0).sum(1).max())
        counts, sources = counts.sort(dim=1, descending=True, stable=True)
        counts[:, 0] -= n * m + 1
        weights = (counts[:, :parts].float() / (n * m)).T.contiguous()
        sources = torch.where(weights > 0, sources[:, :parts].T, own)
        known = {"sources": sources, "weights": weights, "boxes": None, "lam_asked": None}
        vars(self).update(known, cells=cells, size=size)  # the class is frozen

    @cached_property
    def masks(self) -> Tensor:
        """(K, B, 1, H, W): 1 where each source is seen."""
        shown = (self.cells == self.sources[:, :, None, None]) & (self.weights > 0)[:, :, None, None]
        return F.interpolate(shown.float(), size=self.size, mode="nearest")[:, :, None]

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """Each cell from its source; (B, …, H, W) of any type, class ids too."""
        check_size(images, len(self), self.size, "cells")
        batch, n, m = self.cells.shape
        height, width = self.size
        cut_up = images.reshape(batch, -1, n, height // n, m, width // m).permute(0, 2, 4, 1, 3, 5)
        rows, columns = torch.arange(n, device=images.device), torch.arange(m, device=images.device)
        shown = cut_up[self.cells, rows[:, None], columns]
        return laid_out_as(images, shown.permute(0, 3, 1, 4, 2, 5).reshape(images.shape))


def comixup(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    alpha: float = 2.0,
    grid: int = 4,
    part: int = 20,
    saliency: Saliency = spectral_residual,
    beta: float = 0.32,
    gamma: float = 1.0,
    threshold: float = 0.83,
    eta: float = 0.05,
    sweeps: int = 3,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Let each mixture show, in each cell of a coarse grid, whichever of many images is worth seeing there.

    The batch is split into parts. From the images of a part, as many mixtures are made. Each starts from
    random cells; then one after the other chooses them anew, so that what it shows is salient, its pieces
    hang together, and no image is shown much more than once.

    Args:
        images: (B, C, H, W) float, in any units. Not changed.
        labels: (B,) integer class ids or (B, C) soft labels; None mixes images alone.
        num_classes: C, needed with class ids.
        alpha: of the Dirichlet distribution that says, anew for each part, which images are welcome.
        grid: cells along a side; it divides H and W. The paper has 4.
        part: images that are mixed among themselves. The authors' code has 20.
        saliency: (B, 1, H, W) of the images as they are, or a function that makes it. The paper takes the
            gradient of the training loss (`gradient_saliency`).
        beta: what it costs that neighbouring cells differ, in units of a cell's mean saliency.
        gamma: what it costs to show an image that others show; 0 lets all choose the same.
        threshold: how much of an image others may show before that costs.
        eta: weight of being welcome.
        sweeps: how often each mixture chooses anew.
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        `Mixed(images, targets, plan)`; weights are the shares of the cells, `plan.cells` (B, n, n) tells
        whose each is.

    Raises:
        TypeError: integer images, float class ids.
        ValueError: α not positive, a grid that does not divide the image, part or sweeps below 1, a saliency
            of another shape.

    Source: Kim, Choo, Jeong & Song, *Co-Mixup: Saliency Guided Joint Mixup with Supermodular Diversity*, ICLR
    2021, eq. 3–4, and the authors' code, whose cells may be half and half too; here rows and columns are
    chosen exactly where the authors cut graphs.

    >>> maps = torch.zeros(2, 1, 4, 4); maps[0, 0, :2] = maps[1, 0, 2:] = 1 / 8
    >>> g = torch.Generator().manual_seed(0)
    >>> comixup(torch.rand(2, 1, 4, 4), saliency=maps, grid=2, generator=g).plan.cells[0].tolist()
    [[0, 0], [1, 1]]
    """
    height, width = check_pixels(images)
    check_generator(generator)
    grid, part, sweeps = (as_count(*n) for n in ((grid, "grid"), (part, "part"), (sweeps, "sweeps")))
    if grid < 1 or height % grid or width % grid:
        raise ValueError(f"grid must divide {height} × {width} pixels, got {grid}")
    if part < 1 or sweeps < 1:
        raise ValueError(f"part and sweeps must be at least 1, got {part} and {sweeps}")
    batch, alpha = len(images), check_alpha(alpha)
    with torch.no_grad():
        maps = saliency_of(saliency, images).to(images.device).float()
        worth = normalised(F.adaptive_avg_pool2d(maps, grid))[:, 0]
        energy = CoEnergy(beta, gamma, threshold)
        cells = worth.new_empty(worth.shape, dtype=torch.long)
        order, whole = torch.arange(batch, device=images.device), batch // part
        parts = [order[: whole * part].view(whole, part)] if whole else []
        parts += [order[None, whole * part :]] if batch % part else []
        for members in parts:
            draws = torch._standard_gamma(torch.full(members.shape, alpha), generator=generator)
            welcome = (draws / draws.sum(1, keepdim=True)).clamp_min_(1e-8).log_().to(images.device)
            cost = -worth[members] - eta / grid**2 * welcome[:, :, None, None]
            chosen = choose_cells(cost, energy, sweeps, generator=generator)
            each = torch.arange(len(members), device=images.device)[:, None, None, None]
            cells[members] = members[each, chosen]
    return apply_plan(CellPlan(cells, (height, width)), images, labels, num_classes)
