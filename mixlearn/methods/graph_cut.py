"""PuzzleMix's masks: a graph cut with three labels, for a whole batch at once, as a convex problem.

A mask z gives each block of an n × n grid the share 0, ½ or 1. Its energy is

    E(z) = Σ_p u_p(z_p) + Σ_{p~q} c_pq (z_p − z_q)²,

what each block costs at each label, and what neighbours pay that differ. The costs u_p that PuzzleMix has
are convex in the label. So is the second term. Then straight lines between the three labels make a convex
function of z in [0, 1]^{n×n} whose least value is reached where every z_p is a label again: no graph is
needed, and no rounding is lost. Steps that every block takes at the same time find it, which is what a batch
on an accelerator wants.
"""

from __future__ import annotations

import torch
from torch import Tensor


def mask_energy(labels: Tensor, unary: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """E(z) of masks made of labels.

    Args:
        labels: (B, n, m) in {0, ½, 1}: each block's share.
        unary: (B, 3, n, m): what each block costs at the labels 0, ½ and 1.
        down: (B, n − 1, m): c of each block and the one below it.
        across: (B, n, m − 1): c of each block and the one to its right.

    Returns:
        (B,) float64.

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


def cut(unary: Tensor, down: Tensor, across: Tensor, steps: int = 200, tolerance: float = 1e-2) -> Tensor:
    """The masks of least energy.

    The method is Chambolle and Pock's: y holds one number for each pair of neighbours, the tension between
    them; blocks follow their own cost and the tension, the tension follows the difference of the blocks.

    Args:
        unary: (B, 3, n, m), convex: u(½) ≤ (u(0) + u(1)) / 2.
        down: (B, n − 1, m), at least 0.
        across: (B, n, m − 1), at least 0.
        steps: at most so many, at least 1.
        tolerance: stop once no mask of the batch can be more than this share above the least energy, which
            the tensions prove: whatever they are, they bound it from below.

    Returns:
        (B, n, m) in {0, ½, 1}, on the device of `unary`.

    Raises:
        ValueError: shapes that disagree.

    Source: Chambolle & Pock, *A First-Order Primal-Dual Algorithm for Convex Problems with Applications to
    Imaging*, 2011, for the steps; Murota, *Discrete Convex Analysis*, 2003, for why no rounding is lost.

    >>> unary = torch.tensor([[0., .1, .2], [.2, .1, 0.]]).T.reshape(1, 3, 1, 2)
    >>> cut(unary, torch.zeros(1, 0, 2), torch.tensor([[[0.01]]])).tolist(), "neighbours who hardly care"
    ([[[0.0, 1.0]]], 'neighbours who hardly care')
    >>> cut(unary, torch.zeros(1, 0, 2), torch.tensor([[[9.]]])).diff().item(), "and who do"
    (0.0, 'and who do')
    """
    batch, three, n, m = unary.shape
    if three != 3 or down.shape != (batch, n - 1, m) or across.shape != (batch, n, m - 1):
        raise ValueError(
            f"expected unary (B, 3, n, m), down (B, n − 1, m), across (B, n, m − 1), got "
            f"{tuple(unary.shape)}, {tuple(down.shape)}, {tuple(across.shape)}"
        )
    cost = unary.permute(1, 2, 3, 0).contiguous()  # the batch last: neighbours are whole rows of memory
    pairs = torch.cat([down.permute(1, 2, 0).flatten(0, 1), across.permute(1, 2, 0).flatten(0, 1)])
    pairs = pairs.clamp_min(1e-12)
    ends = (n - 1) * m

    def below(values: Tensor) -> Tensor:
        return values[:ends].view(n - 1, m, batch)

    def beside(values: Tensor) -> Tensor:
        return values[ends:].view(n, m - 1, batch)

    def pulls(values: Tensor) -> Tensor:
        """What the values of its pairs do to each block: those that it begins less those that it ends."""
        total = torch.zeros_like(cost[0])
        total[:-1] += below(values)
        total[1:] -= below(values)
        total[:, :-1] += beside(values)
        total[:, 1:] -= beside(values)
        return total

    slopes = 2 * (cost[1] - cost[0]), 2 * (cost[2] - cost[1])

    def gap(z: Tensor, tension: Tensor, pull: Tensor) -> Tensor:
        """How far the energy of z, in straight lines, can be above the least: a share of the bound, (B,)."""
        apart = torch.cat([(z[1:] - z[:-1]).flatten(0, 1), (z[:, 1:] - z[:, :-1]).flatten(0, 1)]).abs_()
        own = cost[0] + slopes[0] * z.clamp(max=0.5) + slopes[1] * (z - 0.5).clamp(min=0)
        rough = pairs * torch.maximum(apart / 2, 1.5 * apart - 0.5)
        energy = own.sum((0, 1)) + rough.sum(0)
        best = torch.minimum(cost[0], torch.minimum(cost[1] - 0.5 * pull, cost[2] - pull))
        held = pairs * (tension.abs() - 0.5).clamp(min=0) / 2
        bound = best.sum((0, 1)) - held.sum(0)
        return (energy - bound) / bound.abs().clamp_min(1e-9)

    # (z_p − z_q)² in straight lines has slope ±½ up to a difference of ½, then ±1½. The tension y is counted
    # in units of c; its steps are 0.4, and a block's are what convergence then allows.
    around = torch.zeros_like(cost[0])
    around[:-1] += below(pairs)
    around[1:] += below(pairs)
    around[:, :-1] += beside(pairs)
    around[:, 1:] += beside(pairs)
    step = 0.99 / (2 * 0.4 * around).clamp_min(1e-12)
    first, second = (step * slope for slope in slopes)
    z = ((first < 0).to(cost.dtype) + (second < 0)) / 2  # each block's own choice: the costs are convex
    tension, hope, pressed = (torch.zeros_like(pairs) for _ in range(3))
    for count in range(1, steps + 1):
        pulled = pulls(torch.mul(tension, pairs, out=pressed)).mul_(step).add_(z)
        follow = (pulled - first).clamp_(0, 0.5).add_((pulled - second).clamp_(0.5, 1)).sub_(0.5)
        ahead = torch.lerp(z, follow, 2.0)
        torch.sub(ahead[1:], ahead[:-1], out=below(hope))
        torch.sub(ahead[:, 1:], ahead[:, :-1], out=beside(hope))
        hope.mul_(0.4).add_(tension)
        inside = hope.clamp(-0.5, 0.5)
        inside += hope.sub_(hope.clamp(-0.7, 0.7)).clamp_(-1, 1)
        tension.lerp_(inside, 1.5)  # steps half as long again still converge, and sooner
        z.lerp_(follow, 1.5)
        if count % 8 == 0 and bool((gap(follow, inside, pulls(inside * pairs)) <= tolerance).all()):
            break
    # Cut at a threshold drawn at random, z would cost what it costs now: so the best of a few is no dearer.
    relaxed = 2 * follow.permute(2, 0, 1).contiguous()
    cuts = (0.25, 0.5, 0.75)
    tried = torch.stack([((relaxed > at).to(cost.dtype) + (relaxed > 1 + at)) / 2 for at in cuts])
    energies = torch.stack([mask_energy(labels, unary, down, across) for labels in tried])
    return tried[energies.argmin(0), torch.arange(batch, device=unary.device)]
