"""PuzzleMix's masks: a graph cut with three labels, for a whole batch at once, as a convex problem.

A mask z gives each block of an n × m grid the share 0, ½ or 1. Its energy is

    E(z) = Σ_p u_p(z_p) + Σ_{p~q} c_pq (z_p − z_q)²,

where `unary` (B, 3, n, m) holds u at 0, ½ and 1, `down` (B, n − 1, m) and `across` (B, n, m − 1) hold c of
each block and the one below or to its right. PuzzleMix's u_p are convex in the label, and so is the second
term. Straight lines between the three labels then make a convex function on [0, 1]^{n×m} whose minimum is
reached where every z_p is a label again, so no graph is needed (Murota, *Discrete Convex Analysis*, 2003).
Steps that all blocks take at the same time find it, which suits a batch on an accelerator (Chambolle & Pock,
*A First-Order Primal-Dual Algorithm for Convex Problems*, 2011).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import softshrink

from mixlearn.core.checks import readable

LOOKS = (8, 32, 128)  # steps after which the host waits for an accelerator to see whether it is done


def mask_energy(labels: Tensor, unary: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """E(z) of masks (B, n, m) in {0, ½, 1}: (B,) float64.

    >>> labels = torch.tensor([[[0., 1.]]])
    >>> unary = torch.tensor([0., 1., 2.]).view(1, 3, 1, 1).expand(1, 3, 1, 2)
    >>> mask_energy(labels, unary, torch.zeros(1, 0, 2), torch.tensor([[[5.]]])).tolist()
    [7.0]
    """
    own = unary.double().gather(1, (2 * labels).round().long()[:, None]).sum((1, 2, 3))
    z = labels.double()
    vertical = (down * (z[:, 1:] - z[:, :-1]).square()).sum((1, 2))
    horizontal = (across * (z[:, :, 1:] - z[:, :, :-1]).square()).sum((1, 2))
    return own + vertical + horizontal


@torch.no_grad()
def cut(unary: Tensor, down: Tensor, across: Tensor, steps: int = 200, tolerance: float = 1e-2) -> Tensor:
    """The masks of least energy, (B, n, m) in {0, ½, 1}.

    Steps end once no mask of the batch can be more than a share `tolerance` above the least energy, which
    the tensions between blocks prove: whatever they are, they bound it from below.

    >>> unary = torch.tensor([[0., .1, .2], [.2, .1, 0.]]).T.reshape(1, 3, 1, 2)
    >>> [cut(unary, torch.zeros(1, 0, 2), torch.tensor([[[c]]])).diff().item() for c in (0.01, 9.0)]
    [1.0, 0.0]
    """
    return next(masks for masks, done in cuts(unary, down, across, steps, tolerance) if bool(done))


@torch.no_grad()
def cuts(
    unary: Tensor, down: Tensor, across: Tensor, steps: int = 200, tolerance: float = 1e-2
) -> Iterator[tuple[Tensor, Tensor]]:
    """What `cut` has after some of its steps, and whether these are its masks; the last are in any case.

    A caller on an accelerator that must read other values too can read all in one wait.
    """
    if readable(unary) and not all(bool(part.isfinite().all()) for part in (unary, down, across)):
        raise ValueError("costs must be finite, got values that are not")
    blocks = _Blocks(unary, down, across)
    masks, done = blocks.follow, torch.zeros((), dtype=torch.bool, device=unary.device)
    reads = unary.device.type == "cpu" or torch.compiler.is_compiling()
    for count in range(1, steps + 1):
        blocks.step()
        if count % 8 == 0:  # an accelerator is seldom asked; meanwhile masks that are done no longer change
            masks, done = torch.where(done, masks, blocks.follow), done | blocks.within(tolerance)
            if reads and bool(done):
                break
            if not reads and count in LOOKS:
                yield blocks.rounded(masks), done
    yield blocks.rounded(torch.where(done, masks, blocks.follow)), torch.ones_like(done)


class _Blocks:
    """Blocks z (n, m, B), counted from ½, and the tension y (P, B) between each pair of neighbours.

    The batch comes last, so that neighbours are whole rows of memory. All pairs lie in one tensor, so that
    one operation does for both directions; each row and column of blocks begins and ends with a pair of no
    strength, so that every block has two sides.
    """

    def __init__(self, unary: Tensor, down: Tensor, across: Tensor) -> None:
        cost = unary.permute(1, 2, 3, 0).contiguous()  # (3, n, m, B)
        _, n, m, batch = cost.shape
        self.size = n, m
        self.first, self.second = 2 * (cost[1] - cost[0]), 2 * (cost[2] - cost[1])  # slopes around ½
        self.middle = cost[1].sum((0, 1))  # (B,), what z = ½ costs everywhere
        self.z = ((self.first < 0).to(cost.dtype) + (self.second < 0) - 1) / 2  # each block's own choice
        self.pairs = cost.new_zeros((n + 1) * m + n * (m + 1), batch)  # (P, B), how much each pair counts
        vertical, horizontal = self.split(self.pairs)
        vertical[1:-1] = down.permute(1, 2, 0)
        horizontal[:, 1:-1] = across.permute(1, 2, 0)
        # (z_p − z_q)² in straight lines has slope ±½ up to a difference of ½, then ±1½. The tension is in
        # units of c; its steps are 0.4, and a block's are what convergence then allows.
        around = (vertical[:n] + horizontal[:, :m]) + (vertical[1:] + horizontal[:, 1:])
        self.rate = 0.99 / (2 * 0.4 * around).clamp_min(1e-12)
        self.low, self.high = self.rate * self.first, self.rate * self.second
        # One memory for all steps: on small grids making tensors and slicing them would cost as much again.
        self.follow, self.ahead = self.z.clone(), torch.empty_like(self.z)
        self.moved, self.push = torch.empty_like(self.z), torch.empty_like(self.z)
        self.tension, self.hope, self.held, self.pressed = (torch.zeros_like(self.pairs) for _ in range(4))
        vertical, horizontal = self.split(self.pressed)
        self.sides = vertical[1:], vertical[:-1], horizontal[:, 1:], horizontal[:, :-1]

    def split(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Values of the pairs (…, P, B) as those down (…, n + 1, m, B) and across (…, n, m + 1, B)."""
        n, m = self.size
        down, across = values[..., : (n + 1) * m, :], values[..., (n + 1) * m :, :]
        return down.unflatten(-2, (n + 1, m)), across.unflatten(-2, (n, m + 1))

    def differences(self, z: Tensor, out: Tensor) -> Tensor:
        """How much the two blocks of each pair differ; (…, n, m, B) → (…, P, B)."""
        vertical, horizontal = self.split(out)
        torch.sub(z[..., 1:, :, :], z[..., :-1, :, :], out=vertical[..., 1:-1, :, :])
        torch.sub(z[..., 1:, :], z[..., :-1, :], out=horizontal[..., 1:-1, :])
        return out

    def pull(self, tension: Tensor) -> Tensor:
        """What the tensions of its pairs do to each block: those that it begins less those that it ends."""
        torch.mul(tension, self.pairs, out=self.pressed)
        below, above, right, left = self.sides
        return torch.sub(below, above, out=self.push).add_(right).sub_(left)

    def step(self) -> None:
        """Move all blocks, then all tensions."""
        torch.addcmul(self.z, self.pull(self.tension), self.rate, out=self.moved)
        kept = torch.clamp(self.moved, self.low, self.high)
        torch.sub(self.moved, kept, out=self.follow).clamp_(-0.5, 0.5)
        torch.lerp(self.z, self.follow, 2.0, out=self.ahead)
        hope = self.differences(self.ahead, self.hope)
        torch.add(self.tension, hope, alpha=0.4, out=hope)
        torch.sub(hope, softshrink(hope, 0.5).clamp_(-0.2, 0.2), out=self.held).clamp_(-1.5, 1.5)
        self.tension.lerp_(self.held, 1.5)  # steps half as long again still converge, and sooner
        self.z.lerp_(self.follow, 1.5)

    def energy(self, z: Tensor) -> Tensor:
        """What z costs in straight lines, beside `middle`; (…, n, m, B) → (…, B)."""
        apart = self.differences(z, z.new_zeros(*z.shape[:-3], *self.pairs.shape)).abs_()
        rough = torch.maximum(apart / 2, apart.mul_(1.5).sub_(0.5)).mul_(self.pairs)
        return torch.where(z < 0, self.first, self.second).mul_(z).sum((-3, -2)) + rough.sum(-2)

    def within(self, tolerance: float) -> Tensor:
        """Whether all energies are near what no mask can go below: blocks and pairs each go their own way."""
        half = self.pull(self.held) / 2
        own = torch.minimum(half - self.first / 2, self.second / 2 - half).clamp_(max=0)
        between = (self.held.abs() - 0.5).clamp_(min=0).mul_(self.pairs)
        least = own.sum((0, 1)) - between.sum(0) / 2  # (B,)
        return (
            self.energy(self.follow) - least <= tolerance * (least + self.middle).abs().clamp_min(1e-9)
        ).all()

    def rounded(self, z: Tensor) -> Tensor:
        """Labels (B, n, m): the best of three thresholds. One at random costs as much as z on average."""
        at = torch.arange(-1, 2, device=z.device).to(z.dtype).view(3, 1, 1, 1) / 4
        labels = ((2 * z > at - 0.5).to(z.dtype) + (2 * z > at + 0.5)) / 2  # (3, n, m, B)
        best = self.energy(labels - 0.5).argmin(0)
        return labels.permute(0, 3, 1, 2)[best, torch.arange(len(best), device=z.device)]
