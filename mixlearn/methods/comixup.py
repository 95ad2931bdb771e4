"""Co-Mixup: a whole batch mixed at once, each mixture salient and all of them different."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import (
    check_alpha,
    check_batch,
    check_generator,
    check_labels,
    check_pixels,
    check_size,
)
from mixlearn.core.combine import Fill, laid_out_as
from mixlearn.core.mixed import Mixed, apply_plan
from mixlearn.core.plan import MixPlan
from mixlearn.core.scalars import as_count
from mixlearn.core.transfer import sent
from mixlearn.methods.cell_choice import CoEnergy, choose_cells, shares
from mixlearn.methods.saliency import Saliency, normalised, saliency_of, spectral_residual


class CellPlan(MixPlan):
    """A plan that keeps, for each cell of a coarse grid, which image it shows.

    How many sources a mixture has depends on the cells, so `sources`, `weights` and `masks` are made when
    they are read. Mixing images and labels needs none of them, and so no wait for an accelerator.

    Attributes:
        cells: (B, n, m) int64, indices into the batch.
        size: (H, W) of the images, in pixels; n and m divide them.
    """

    cells: Tensor
    size: tuple[int, int]

    def __init__(self, cells: Tensor, size: tuple[int, int]) -> None:
        vars(self).update(cells=cells, size=size, boxes=None, lam_asked=None)  # the class is frozen

    def __len__(self) -> int:
        return self.cells.shape[0]

    @property
    def device(self) -> torch.device:
        """Where it is applied."""
        return self.cells.device

    @cached_property
    def _matrix(self) -> Tensor:
        """W (B, B), as `source_matrix`."""
        return shares(self.cells, len(self))

    @cached_property
    def sources(self) -> Tensor:
        """(K, B): the image itself first, seen or not, then the others by what is seen of them."""
        own = torch.arange(len(self), device=self.device)
        order = self._matrix.clone()
        order[own, own] += 2
        parts = int((order > 0).sum(1).max())
        order = order.argsort(dim=1, descending=True, stable=True)[:, :parts].T  # (K, B)
        return torch.where(self._matrix.gather(1, order.T).T > 0, order, own)

    @cached_property
    def weights(self) -> Tensor:
        """(K, B): the share of the cells that each source has."""
        shown = self._matrix.gather(1, self.sources.T).T  # (K, B)
        again = self.sources[1:] == self.sources[0]  # what fills up shorter lists of sources
        return torch.cat([shown[:1], torch.where(again, 0.0, shown[1:])])

    @cached_property
    def masks(self) -> Tensor:
        """(K, B, 1, H, W): 1 where each source is seen."""
        shown = (self.cells == self.sources[:, :, None, None]) & (self.weights > 0)[:, :, None, None]
        return F.interpolate(shown.float(), size=self.size, mode="nearest")[:, :, None]

    def soften(
        self, labels: Tensor, num_classes: int | None = None, *, ignore_index: int | None = None
    ) -> Tensor:
        """Each source's label by its share of the cells: (B, C); see `MixPlan.soften`."""
        classes = check_labels(labels, len(self), num_classes, ignore_index)
        if "weights" in vars(self) or labels.dim() == 2:  # other weights may have been given
            return super().soften(labels, num_classes, ignore_index=ignore_index)
        ids = labels.long()
        if ignore_index is not None:
            ids = torch.where(ids == ignore_index, -1, ids)  # which is no class
        return shares(ids[self.cells.flatten(1)][:, None], classes)  # of the cells (B, n m)

    def blend(self, values: Tensor) -> Tensor:
        """Values (B, …) by the shares of the cells; see `MixPlan.blend`."""
        if "weights" in vars(self) or not values.is_floating_point():
            return super().blend(values)
        check_batch(values, len(self), "values")
        return (self._matrix.to(values.dtype) @ values.flatten(1)).view_as(values)

    def source_matrix(self) -> Tensor:
        """W (B, B): W[i, j] is the share of image j in mixture i. Rows sum to 1."""
        return super().source_matrix() if "weights" in vars(self) else self._matrix.clone()

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """Each cell from its source; (B, …, H, W) of any type, class ids too."""
        check_size(images, len(self), self.size, "cells")
        batch, n, m = self.cells.shape
        height, width = self.size
        cut_up = images.reshape(batch, -1, n, height // n, m, width // m).permute(0, 2, 4, 1, 3, 5)
        rows, columns = torch.arange(n, device=images.device), torch.arange(m, device=images.device)
        shown = cut_up[self.cells, rows[:, None], columns]  # (B, n, m, C, H/n, W/m)
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
    sweeps: int = 6,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Let each mixture show, in each cell of a coarse grid, whichever of many images is salient there.

    The batch is split into parts, and each part of k images becomes k mixtures. All start from random
    cells. Then one mixture after the other chooses its cells again, so that they are salient, neighbouring
    cells come from the same image, and the part shows no image much more than once.

    Args:
        images: (B, C, H, W) float, in any units. Not changed.
        labels: (B,) integer class ids or (B, C) soft labels; None mixes images alone.
        num_classes: C, needed with class ids.
        alpha: of the Dirichlet distribution, drawn for each part, that says which images are preferred.
        grid: cells along a side; it divides H and W. The paper has 4.
        part: images that are mixed among themselves. The authors' code has 20.
        saliency: (B, 1, H, W) of the images as they are, or a function that makes it. The paper takes the
            gradient of the training loss (`gradient_saliency`).
        beta: the cost of two neighbouring cells from different images, in units of a cell's mean saliency.
        gamma: the cost of showing an image that others show; 0 lets all mixtures choose the same.
        threshold: how many copies of an image the others may show before it costs.
        eta: weight of the preferences.
        sweeps: how often each mixture chooses its cells.
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        `Mixed(images, targets, plan)`; weights are the shares of the cells, `plan.cells` (B, n, n) tells
        whose each is.

    Raises:
        TypeError: integer images, float class ids.
        ValueError: α not positive, a grid that does not divide the image, part or sweeps below 1, a saliency
            of another shape.

    Source: Kim, Choo, Jeong & Song, *Co-Mixup: Saliency Guided Joint Mixup with Supermodular Diversity*, ICLR
    2021, eq. 3–4 and algorithm 1. The authors' code differs in three ways: from the second sweep on, a cell
    may be half and half of two images; mixtures with the same sources are pushed apart once; and an image's
    mass counts a little for images with similar features (ω = 0.001). It cuts a graph where this function
    chooses whole rows and columns, and sweeps four times.

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
        salient = normalised(F.adaptive_avg_pool2d(maps, grid))[:, 0]  # (B, n, n)
        energy = CoEnergy(beta, gamma, threshold)
        cells = torch.empty_like(salient, dtype=torch.long)
        order, whole = torch.arange(batch, device=images.device), batch // part
        parts = [order[: whole * part].view(whole, part)] if whole else []
        parts += [order[None, whole * part :]] if batch % part else []
        for members in parts:
            draws = torch._standard_gamma(torch.full(members.shape, alpha), generator=generator)
            prior = sent(
                (draws / draws.sum(1, keepdim=True)).clamp_min_(1e-8).log_(), images.device
            )  # (P, k)
            cost = -salient[members] - eta / grid**2 * prior[:, :, None, None]  # (P, k, n, n)
            chosen = choose_cells(cost, energy, sweeps, generator=generator)
            each = torch.arange(len(members), device=images.device)[:, None, None, None]
            cells[members] = members[each, chosen]
    return apply_plan(CellPlan(cells, (height, width)), images, labels, num_classes)
