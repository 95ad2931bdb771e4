"""Co-Mixup: which of many images each cell of each mixture shows."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import (
    as_count,
    check_alpha,
    check_generator,
    check_labels,
    check_pixels,
    check_size,
)
from mixlearn.core.fast import Fill, laid_out_as, sent
from mixlearn.core.labels import one_hot
from mixlearn.core.plan import Mixed, MixPlan, apply_plan
from mixlearn.methods.saliency import Saliency, normalised, saliency_of, spectral_residual


class CoEnergy(NamedTuple):
    """The energy of P parts, each of k mixtures of k images: cells (P, k, n, m) with values in 0…k−1.

        cost of what is shown + β/nm · (neighbours from different images) + γ·nm · Σᵢ oᵢ · μᵢ

    oᵢ is the share of each source in mixture i, μᵢ the mass of each source in all other mixtures, where that
    exceeds a threshold of τ images. So a part may show each source about once for free.

    >>> energy, cost = CoEnergy(beta=0.0, gamma=1.0, threshold=0.5), torch.zeros(1, 2, 1, 2)
    >>> [energy.of(torch.tensor([[[cells], [cells]]]), cost).item() for cells in ([1, 0], [0, 0])]
    [0.0, 4.0]
    """

    beta: float
    gamma: float
    threshold: float

    def of(self, cells: Tensor, cost: Tensor) -> Tensor:
        """(P,) of cells (P, k, n, m), with the cost (P, k, n, m) of showing each image at each place."""
        size = cells[0, 0].numel()
        unary = cost.gather(1, cells).sum((1, 2, 3))  # (P,)
        borders = (cells[..., 1:, :] != cells[..., :-1, :]).sum((1, 2, 3))
        borders = borders + (cells[..., 1:] != cells[..., :-1]).sum((1, 2, 3))
        o = shares(cells, cells.shape[1])  # (P, k, k)
        alike = (o * self.counted(o.sum(1, keepdim=True) - o)).sum((1, 2))
        return unary + self.beta / size * borders + self.gamma * size * alike

    def counted(self, mass: Tensor) -> Tensor:
        """The mass of each source that is penalised: all of it above τ, none below."""
        return torch.where(mass > self.threshold + 1e-6, mass, 0.0)


def shares(cells: Tensor, count: int) -> Tensor:
    """The share of each source in each mixture: (…, n, m) → (…, count)."""
    sources = torch.arange(count, device=cells.device)
    return (cells.flatten(-2)[..., None] == sources).float().mean(-2)


def choose_cells(
    cost: Tensor, energy: CoEnergy, sweeps: int = 6, *, generator: torch.Generator | None = None
) -> Tensor:
    """Cells of low energy: from random ones, one mixture after the other chooses its cells again.

    While one mixture chooses, the penalty is a cost for each source: 2γ times what the others show of it. As
    it jumps at τ, a good choice can raise the total until the others have chosen too. So every choice is
    accepted, and the best cells after a whole sweep are returned. Algorithm 1 of the paper cuts a graph; here
    whole rows and columns are chosen exactly, which ends at lower energies. Costs and cells are (P, k, n, m).
    """
    count, n, m = cost.shape[1:]
    cells = sent(torch.randint(count, cost.shape, generator=generator), cost.device)  # (P, k, n, m)
    o = shares(cells, count)  # (P, k, k)
    best, lowest = cells.clone(), energy.of(cells, cost)
    for _ in range(sweeps):
        for i in range(count):
            others = energy.counted(o.sum(1) - o[:, i])  # (P, k)
            penalty = 2 * energy.gamma * others  # it counts in this mixture's sum and in theirs
            cells[:, i] = _lines(cost + penalty[:, :, None, None], energy.beta / (n * m), cells[:, i])
            o[:, i] = shares(cells[:, i], count)
        reached = energy.of(cells, cost)
        best = torch.where((reached < lowest)[:, None, None, None], cells, best)
        lowest = torch.minimum(reached, lowest)
    return best


def _lines(cost: Tensor, border: float, cells: Tensor) -> Tensor:
    """Choose whole rows, then whole columns, each the best while the rest stay: cost (P, k, n, m)."""
    sources = torch.arange(cost.shape[1], device=cost.device)[:, None, None]  # (k, 1, 1)
    for turn in (False, True):
        cost, cells = (cost.mT, cells.mT) if turn else (cost, cells)
        for parity in range(min(2, cells.shape[1])):  # rows of one parity are no neighbours
            shown = F.pad((cells[:, None] == sources).to(cost.dtype), (0, 0, 1, 1))  # (P, k, n + 2, m)
            near = shown[:, :, parity:-2:2] + shown[:, :, parity + 2 :: 2]  # (P, k, r, m): above, below
            cells = cells.clone()
            cells[:, parity::2] = _best_rows(cost[:, :, parity::2] - border * near, border)
    return cells.mT


def _best_rows(cost: Tensor, border: float) -> Tensor:
    """The cheapest sources of each row, neighbours that differ paying `border`: (P, k, r, m) → (P, r, m)."""
    reached, back = cost[..., 0], []  # (P, k, r): the cheapest way to end at each source
    for column in cost.unbind(-1)[1:]:
        least, source = reached.min(1, keepdim=True)
        stay = reached <= least + border
        own = torch.arange(reached.shape[1], device=cost.device)[:, None]
        back.append(torch.where(stay, own, source))
        reached = torch.minimum(reached, least + border) + column
    row = [reached.argmin(1)]
    for step in reversed(back):
        row.append(step.gather(1, row[-1][:, None])[:, 0])
    return torch.stack(row[::-1], -1)


class CellPlan(MixPlan):
    """A plan that keeps, for each cell (B, n, m) of a coarse grid, which image of the batch it shows.

    `sources`, `weights` and `masks` are made when they are read: how many there are depends on the cells, and
    an accelerator would have to wait. `size` is (H, W) of the images, in pixels; n and m divide them.
    """

    cells: Tensor
    size: tuple[int, int]

    def __init__(self, cells: Tensor, size: tuple[int, int]) -> None:
        self._set(cells=cells, size=size)

    def __len__(self) -> int:
        return self.cells.shape[0]

    @property
    def device(self) -> torch.device:
        """Where it is applied."""
        return self.cells.device

    @cached_property
    def sources(self) -> Tensor:
        """(K, B): the image itself first, seen or not, then the others by what is seen of them."""
        own = torch.arange(len(self), device=self.device)
        shown = shares(self.cells, len(self))  # (B, B)
        rank = shown + 2 * torch.eye(len(self), device=self.device)
        order = rank.argsort(dim=1, descending=True, stable=True)[:, : int((rank > 0).sum(1).max())]  # (B, K)
        return torch.where(shown.gather(1, order) > 0, order, own[:, None]).T

    @cached_property
    def weights(self) -> Tensor:
        """(K, B): the share of the cells that each source has."""
        shown = shares(self.cells, len(self)).gather(1, self.sources.T).T  # (K, B)
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
        soft = labels if labels.dim() == 2 else one_hot(labels, classes, ignore_index=ignore_index)
        return self.blend(soft)

    def blend(self, values: Tensor) -> Tensor:
        """Values (B, …) by the shares of the cells; see `MixPlan.blend`."""
        if not values.is_floating_point() or values.shape[:1] != (len(self),):
            return super().blend(values)  # which refuses them
        return (self.source_matrix().to(values.dtype) @ values.flatten(1)).view_as(values)

    def source_matrix(self) -> Tensor:
        """W (B, B): W[i, j] is the share of image j in mixture i. Rows sum to 1."""
        given = "weights" in vars(self)  # read before, or others, by `changed`
        return super().source_matrix() if given else shares(self.cells, len(self))

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

    The batch is split into parts, and each part of k images becomes k mixtures. From random cells on, one
    mixture after the other chooses its cells again, so that they are salient, neighbouring cells come from
    the same image, and the part shows no image much more than once.

    Args:
        images, labels, num_classes, generator: as for `mixup`.
        alpha: of the Dirichlet distribution, drawn for each part, that says which images are preferred.
        grid: cells along a side; it divides H and W. The paper has 4.
        part: images that are mixed among themselves. The authors' code has 20.
        saliency: as for `saliencymix`. The paper takes the loss's gradient (`gradient_saliency`).
        beta: the cost of two neighbouring cells from different images, in units of a cell's mean saliency.
        gamma: the cost of showing an image that others show; 0 lets all mixtures choose the same.
        threshold: how many copies of an image the others may show before it costs.
        eta: weight of the preferences.
        sweeps: how often each mixture chooses its cells.

    Returns `Mixed(images, targets, plan)`; weights are the shares of the cells, `plan.cells` (B, n, n) tells
    whose each is. Source: Kim, Choo, Jeong & Song, *Co-Mixup: Saliency Guided Joint Mixup with Supermodular
    Diversity*, ICLR 2021, eq. 3–4 and algorithm 1. The authors' code cuts a graph where this function chooses
    whole rows and columns, and sweeps four times. From the second sweep on, a cell may be half and half of
    two images; mixtures with the same sources are pushed apart once; and an image's mass counts a little for
    images with similar features (ω = 0.001).

    >>> maps = torch.zeros(2, 1, 4, 4); maps[0, 0, :2] = maps[1, 0, 2:] = 1 / 8
    >>> g = torch.Generator().manual_seed(0)
    >>> comixup(torch.rand(2, 1, 4, 4), saliency=maps, grid=2, generator=g).plan.cells[0].tolist()
    [[0, 0], [1, 1]]
    """
    height, width = check_pixels(images)
    check_generator(generator)
    alpha = check_alpha(alpha)
    grid, part, sweeps = as_count(grid, "grid", 1), as_count(part, "part", 1), as_count(sweeps, "sweeps", 1)
    if height % grid or width % grid:
        raise ValueError(f"grid must divide {height} × {width} pixels, got {grid}")
    whole = len(images) // part * part
    energy = CoEnergy(beta, gamma, threshold)
    with torch.no_grad():
        maps = saliency_of(saliency, images).to(images.device).float()
        salient = normalised(F.adaptive_avg_pool2d(maps, grid))[:, 0]  # (B, n, n)
        cells = torch.empty_like(salient, dtype=torch.long)
        order = torch.arange(len(images), device=images.device)
        for members in (order[:whole].view(-1, part), order[None, whole:]):  # (P, k), and the rest
            if not members.numel():
                continue
            draws = torch._standard_gamma(torch.full(members.shape, alpha), generator=generator)
            prior = (draws / draws.sum(1, keepdim=True)).clamp_min_(1e-8).log_()  # (P, k)
            preferred = eta / grid**2 * sent(prior, images.device)[:, :, None, None]
            cost = -salient[members] - preferred  # (P, k, n, n)
            chosen = choose_cells(cost, energy, sweeps, generator=generator)
            each = torch.arange(len(members), device=images.device)[:, None, None, None]
            cells[members] = members[each, chosen]
    return apply_plan(CellPlan(cells, (height, width)), images, labels, num_classes)
