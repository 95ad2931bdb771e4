"""PuzzleMix's masks: a graph cut with three labels, for a whole batch at once, as a convex problem.

A mask z gives each block of an n × n grid the share 0, ½ or 1. Its energy is

    E(z) = Σ_p u_p(z_p) + Σ_{p~q} c_pq (z_p − z_q)²,

what each block costs at each label, and what neighbours pay that differ. The costs u_p that PuzzleMix has are
convex in the label. So is the second term. Then drawing straight lines between the three labels gives a convex
function of z in [0, 1]^{n×n} whose least value is reached where every z_p is a label again: no graph is needed,
and no rounding is lost. The least value is found by steps that every block takes at the same time, which is what
a batch on an accelerator wants.
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


def cut(unary: Tensor, down: Tensor, across: Tensor, steps: int | None = None) -> Tensor:
    """The masks of least energy.

    The method is Chambolle and Pock's: y holds one number for each pair of neighbours, the tension between
    them; blocks follow their own cost and the tension, the tension follows the difference of the blocks.

    Args:
        unary: (B, 3, n, m), convex: u(½) ≤ (u(0) + u(1)) / 2.
        down: (B, n − 1, m), at least 0.
        across: (B, n, m − 1), at least 0.
        steps: more of them come closer; None takes 24 + 3 · max(n, m).

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
    # One tensor for both kinds of neighbours; where there is none, c = 0 keeps the tension at 0.
    pairs = unary.new_zeros(2, batch, n + 1, m + 1)
    pairs[0, :, 1:n, :m], pairs[1, :, :n, 1:m] = down, across
    scale = float(pairs.sum() / max(down.numel() + across.numel(), 1)) or 1.0
    dual = 0.5 * scale  # the lengths of the steps: dual · primal · 8 < 1
    primal = 0.99 / (8 * dual)
    least, step = pairs / 2, pairs  # (z_p − z_q)² in straight lines: slope c/2 up to ½, then c more
    first = 2 * primal * (unary[:, 1] - unary[:, 0])
    second = 2 * primal * (unary[:, 2] - unary[:, 1])
    z = unary.argmin(1).to(unary.dtype) / 2
    ahead, tension, change = z.clone(), torch.zeros_like(pairs), torch.zeros_like(pairs)
    minus = -least
    for _ in range(24 + 3 * max(n, m) if steps is None else steps):
        torch.sub(ahead[:, 1:], ahead[:, :-1], out=change[0, :, 1:n, :m])
        torch.sub(ahead[:, :, 1:], ahead[:, :, :-1], out=change[1, :, :n, 1:m])
        tension.add_(change, alpha=dual)
        inside = torch.clamp(tension, minus, least)
        tension -= inside
        tension = torch.nn.functional.softshrink(tension, dual / 2)
        tension = torch.clamp(tension, -step, step).add_(inside)
        pull = tension[0, :, 1:, :m] - tension[0, :, :n, :m]
        pull += tension[1, :, :n, 1:]
        pull -= tension[1, :, :n, :m]
        pull.mul_(primal).add_(z)
        new = (pull - first).clamp_(0, 0.5).add_((pull - second).clamp_(0.5, 1)).sub_(0.5)
        ahead = torch.lerp(z, new, 2.0)
        z = new
    return (2 * z).round_() / 2
