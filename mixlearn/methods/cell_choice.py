"""Co-Mixup's choice: which of many images each cell of each mixture shows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class CoEnergy(NamedTuple):
    """The energy of P parts, each of k mixtures of k images: cells (P, k, n, m) with values in 0…k−1.

        cost of what is seen + β/nm · (neighbours from different images) + γ·nm · Σᵢ oᵢ · μᵢ

    oᵢ are the shares of the sources in mixture i, μᵢ what all others show of each source, counted where it is
    more than a threshold τ of an image. So a source may be shown about once, and beyond that it costs.

    >>> energy = CoEnergy(beta=0.0, gamma=1.0, threshold=0.5)
    >>> cost = -torch.tensor([[[[0.2, 0.8]], [[0.9, 0.1]]]])
    >>> energy.of(torch.tensor([[[[1, 0]], [[1, 0]]]]), cost)            # each half is shown twice: allowed
    tensor([-3.4000])
    >>> energy.of(torch.tensor([[[[0, 0]], [[0, 0]]]]), cost)            # the same image twice: 2 · 2 cells
    tensor([2.])
    """

    beta: float
    gamma: float
    threshold: float

    def of(self, cells: Tensor, cost: Tensor) -> Tensor:
        """(P,) of cells (P, k, n, m), with the cost (P, k, n, m) of showing each image at each place."""
        size = cells[0, 0].numel()
        seen = cost.gather(1, cells).sum((1, 2, 3))
        borders = (cells[..., 1:, :] != cells[..., :-1, :]).sum((1, 2, 3))
        borders = borders + (cells[..., 1:] != cells[..., :-1]).sum((1, 2, 3))
        o = shares(cells, cells.shape[1])
        alike = (o * self.counted(o.sum(1, keepdim=True) - o)).sum((1, 2))
        return seen + self.beta / size * borders + self.gamma * size * alike

    def counted(self, mass: Tensor) -> Tensor:
        """What of the mass of each source counts: all where it is above τ, else nothing."""
        return torch.where(mass > self.threshold + 1e-6, mass, 0.0)


def shares(cells: Tensor, count: int) -> Tensor:
    """The share of each source in each mixture: (…, n, m) → (…, count).

    >>> shares(torch.tensor([[[0, 1], [1, 1]]]), 3)
    tensor([[0.2500, 0.7500, 0.0000]])
    """
    return F.one_hot(cells.flatten(-2), count).float().mean(-2)


def choose_cells(
    cost: Tensor, energy: CoEnergy, sweeps: int = 3, *, generator: torch.Generator | None = None
) -> Tensor:
    """Cells of little energy: from random ones, each mixture in turn takes the best it finds.

    Args:
        cost: (P, k, n, m) of showing each of the k images of a part at each place.
        energy: what is to be small; no choice makes it greater.
        sweeps: how often each mixture chooses.
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        (P, k, n, m) int64 in 0…k−1.

    >>> cost = -torch.tensor([[[[0.2, 0.8]], [[0.9, 0.1]]]])
    >>> choose_cells(cost, CoEnergy(0.0, 0.0, 0.0))[0, 0].tolist()
    [[1, 0]]
    """
    count, n, m = cost.shape[1:]
    cells = torch.randint(count, cost.shape, generator=generator).to(cost.device)
    border = energy.beta / (n * m)
    before = energy.of(cells, cost)
    for _ in range(sweeps):
        for i in range(count):
            o = shares(cells, count)
            others = energy.counted(o.sum(1) - o[:, i])  # it counts in this mixture's row and in theirs
            tried = cells.clone()
            tried[:, i] = _lines(cost + 2 * energy.gamma * others[:, :, None, None], border, cells[:, i])
            after = energy.of(tried, cost)
            better = after < before - 1e-9
            cells = torch.where(better[:, None, None, None], tried, cells)
            before = torch.where(better, after, before)
    return cells


def _lines(cost: Tensor, border: float, cells: Tensor) -> Tensor:
    """Choose whole rows, then whole columns, each the best while the others stay: cost (P, k, n, m)."""
    for turn in (False, True):
        cost, cells = (cost.mT, cells.mT) if turn else (cost, cells)
        for parity in range(min(2, cells.shape[1])):
            total = cost[:, :, parity::2].clone()
            for shift in (-1, 1):
                index = torch.arange(parity, cells.shape[1], 2, device=cells.device) + shift
                there = (index >= 0) & (index < cells.shape[1])
                near = cells[:, index.clamp(0, cells.shape[1] - 1)]
                total += border * there[:, None]
                total.scatter_add_(1, near[:, None], -border * there[:, None].expand(near.shape)[:, None])
            cells = cells.clone()
            cells[:, parity::2] = _best_rows(total, border)
    return cells.mT


def _best_rows(cost: Tensor, border: float) -> Tensor:
    """The cheapest sources of each row, neighbours that differ paying `border`: (P, k, r, m) → (P, r, m)."""
    reached, back = cost[..., 0], []
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
