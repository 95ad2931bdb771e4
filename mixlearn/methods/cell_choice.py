"""Co-Mixup's solver: which of many images each cell of each mixture shows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.transfer import sent


class CoEnergy(NamedTuple):
    """The energy of P parts, each of k mixtures of k images: cells (P, k, n, m) with values in 0…k−1.

        cost of what is shown + β/nm · (neighbours from different images) + γ·nm · Σᵢ oᵢ · μᵢ

    oᵢ holds the share of each source in mixture i. μᵢ holds the mass of each source in all other mixtures, as
    far as it exceeds a threshold of τ images. So the batch may show each source about once for free; what
    goes beyond that is penalised.

    >>> energy = CoEnergy(beta=0.0, gamma=1.0, threshold=0.5)
    >>> cost = -torch.tensor([[[[0.2, 0.8]], [[0.9, 0.1]]]])
    >>> energy.of(torch.tensor([[[[1, 0]], [[1, 0]]]]), cost)            # each half is shown twice: free
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
    """The share of each source in each mixture: (…, n, m) → (…, count).

    >>> shares(torch.tensor([[[0, 1], [1, 1]]]), 3)
    tensor([[0.2500, 0.7500, 0.0000]])
    """
    sources = torch.arange(count, device=cells.device)
    return (cells.flatten(-2)[..., None] == sources).float().mean(-2)


def choose_cells(
    cost: Tensor, energy: CoEnergy, sweeps: int = 6, *, generator: torch.Generator | None = None
) -> Tensor:
    """Cells of low energy: from random ones, one mixture after the other chooses its cells again.

    While one mixture chooses, the others stay, and the penalty becomes a cost for each source: 2γ times what
    the others show of it. A choice that is good for one mixture can raise the total until the others have
    chosen too, since the penalty jumps at τ. So every choice is accepted, and the best cells after a whole
    sweep are returned.

    Args:
        cost: (P, k, n, m) of showing each of the k images of a part at each place.
        energy: the energy to make small.
        sweeps: how often each mixture chooses; more sweeps from the same start never give a higher energy.
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        (P, k, n, m) int64 in 0…k−1.

    Source: Kim et al., *Co-Mixup*, ICLR 2021, algorithm 1. The paper's step is a graph cut; here it is an
    exact choice of whole rows and whole columns, which ends at lower energies.

    >>> cost = -torch.tensor([[[[0.2, 0.8]], [[0.9, 0.1]]]])
    >>> choose_cells(cost, CoEnergy(0.0, 0.0, 0.0))[0, 0].tolist()
    [[1, 0]]
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
