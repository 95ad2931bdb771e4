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

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import softshrink

from mixlearn.core.checks import readable

LOOKS = (8, 32, 128)  # steps after which an accelerator is asked whether it is done


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

    On an accelerator the host waits to see whether the masks are good enough: after 8 steps, when they
    mostly are, and if need be after 32 and 128. Always taking 200 steps would cost more than these waits.

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
        ValueError: shapes that disagree, no steps, costs that are no finite floats.

    Source: Chambolle & Pock, *A First-Order Primal-Dual Algorithm for Convex Problems with Applications to
    Imaging*, 2011, for the steps; Murota, *Discrete Convex Analysis*, 2003, for why no rounding is lost.

    >>> unary = torch.tensor([[0., .1, .2], [.2, .1, 0.]]).T.reshape(1, 3, 1, 2)
    >>> cut(unary, torch.zeros(1, 0, 2), torch.tensor([[[0.01]]])).tolist(), "neighbours who hardly care"
    ([[[0.0, 1.0]]], 'neighbours who hardly care')
    >>> cut(unary, torch.zeros(1, 0, 2), torch.tensor([[[9.]]])).diff().item(), "and who do"
    (0.0, 'and who do')
    """
    return next(masks for masks, done in cuts(unary, down, across, steps, tolerance) if bool(done))


@torch.no_grad()
def cuts(
    unary: Tensor, down: Tensor, across: Tensor, steps: int = 200, tolerance: float = 1e-2
) -> Iterator[tuple[Tensor, Tensor]]:
    """What `cut` has after some of its steps, and whether these are its masks; the last are in any case.

    So a caller on an accelerator who must read values anyway can look at both for one wait. On a CPU only the
    last come. What comes too early is refined by the next steps; masks that are done no longer change.

    Args:
        unary, down, across, steps, tolerance: as for `cut`.
    """
    batch, three, n, m = unary.shape
    if three != 3 or down.shape != (batch, n - 1, m) or across.shape != (batch, n, m - 1):
        raise ValueError(
            f"expected unary (B, 3, n, m), down (B, n − 1, m), across (B, n, m − 1), got "
            f"{tuple(unary.shape)}, {tuple(down.shape)}, {tuple(across.shape)}"
        )
    if steps < 1 or not unary.is_floating_point():
        raise ValueError(f"expected steps ≥ 1 and costs in floating point, got {steps} and {unary.dtype}")
    if readable(unary) and not all(bool(part.isfinite().all()) for part in (unary, down, across)):
        raise ValueError("costs must be finite, got values that are not")
    cost = unary.permute(1, 2, 3, 0).contiguous()  # the batch last: neighbours are whole rows of memory
    first, second = 2 * (cost[1] - cost[0]), 2 * (cost[2] - cost[1])  # slopes left and right of ½
    middle = cost[1].sum((0, 1))  # z is counted from ½, and so is the energy
    z = ((first < 0).to(cost.dtype) + (second < 0) - 1) / 2  # each block's own choice: the costs are convex
    # Every row and column of blocks begins and ends with a pair of no strength, so that all have two sides.
    pairs = cost.new_zeros((n + 1) * m + n * (m + 1), batch)

    def vertical(values: Tensor) -> Tensor:
        return values[..., : (n + 1) * m, :].unflatten(-2, (n + 1, m))

    def horizontal(values: Tensor) -> Tensor:
        return values[..., (n + 1) * m :, :].unflatten(-2, (n, m + 1))

    vertical(pairs)[1:-1] = down.permute(1, 2, 0)
    horizontal(pairs)[:, 1:-1] = across.permute(1, 2, 0)

    def energy(z: Tensor) -> Tensor:
        """What z costs in straight lines; (…, n, m, B) → (…, B)."""
        apart = z.new_zeros(*z.shape[:-3], *pairs.shape)
        torch.sub(z[..., 1:, :, :], z[..., :-1, :, :], out=vertical(apart)[..., 1:-1, :, :])
        torch.sub(z[..., 1:, :], z[..., :-1, :], out=horizontal(apart)[..., 1:-1, :])
        apart.abs_()
        rough = torch.maximum(apart / 2, apart.mul_(1.5).sub_(0.5)).mul_(pairs)
        return torch.where(z < 0, first, second).mul_(z).sum((-3, -2)) + rough.sum(-2)

    # One memory for all steps: on small grids making tensors and slicing them would cost as much again.
    follow, ahead, moved, push = (torch.empty_like(z) for _ in range(4))
    tension, hope, held, pressed = (torch.zeros_like(pairs) for _ in range(4))
    begun_v, ended_v = vertical(pressed)[1:], vertical(pressed)[:-1]
    begun_h, ended_h = horizontal(pressed)[:, 1:], horizontal(pressed)[:, :-1]
    hope_v, hope_h = vertical(hope)[1:-1], horizontal(hope)[:, 1:-1]

    def pull(tension: Tensor) -> Tensor:
        """What the tensions of its pairs do to each block: those that it begins less those that it ends."""
        torch.mul(tension, pairs, out=pressed)
        return torch.sub(begun_v, ended_v, out=push).add_(begun_h).sub_(ended_h)

    def bound(tension: Tensor) -> Tensor:
        """What no mask can go below, counted as `energy` is: blocks and pairs each go their own way; (B,)."""
        half = pull(tension) / 2
        own = torch.minimum(half - first / 2, second / 2 - half).clamp_(max=0)
        return own.sum((0, 1)) - (tension.abs() - 0.5).clamp_(min=0).mul_(pairs).sum(0) / 2

    # (z_p − z_q)² in straight lines has slope ±½ up to a difference of ½, then ±1½. The tension y is counted
    # in units of c; its steps are 0.4, and a block's are what convergence then allows.
    around = sum((vertical(pairs)[k : n + k] + horizontal(pairs)[:, k : m + k] for k in (0, 1)), 0 * z)
    step = 0.99 / (2 * 0.4 * around).clamp_min(1e-12)
    low, high = step * first, step * second
    reads = unary.device.type == "cpu" or torch.compiler.is_compiling()
    found, done = follow, torch.zeros((), dtype=torch.bool, device=unary.device)

    def rounded(z: Tensor) -> Tensor:
        """Cut at a random threshold, z would cost what it does now: so the best of a few is no dearer."""
        at = torch.arange(-1, 2, device=z.device).to(z.dtype).view(3, 1, 1, 1) / 4
        tried = ((2 * z > at - 0.5).to(z.dtype) + (2 * z > at + 0.5)) / 2
        best = energy(tried - 0.5).argmin(0)
        return tried.permute(0, 3, 1, 2)[best, torch.arange(batch, device=z.device)]

    for count in range(1, steps + 1):
        torch.addcmul(z, pull(tension), step, out=moved)
        torch.sub(moved, torch.clamp(moved, low, high), out=follow).clamp_(-0.5, 0.5)
        torch.lerp(z, follow, 2.0, out=ahead)
        torch.sub(ahead[1:], ahead[:-1], out=hope_v)
        torch.sub(ahead[:, 1:], ahead[:, :-1], out=hope_h)
        torch.add(tension, hope, alpha=0.4, out=hope)
        torch.sub(hope, softshrink(hope, 0.5).clamp_(-0.2, 0.2), out=held).clamp_(-1.5, 1.5)
        tension.lerp_(held, 1.5)  # steps half as long again still converge, and sooner
        z.lerp_(follow, 1.5)
        if count % 8 == 0 and count < steps:
            least = bound(held)
            good = (energy(follow) - least <= tolerance * (least + middle).abs().clamp_min(1e-9)).all()
            if reads:
                if bool(good):
                    break
                continue
            found, done = torch.where(done, found, follow), done | good
            if count in LOOKS:
                yield rounded(found), done
    yield rounded(follow if reads else torch.where(done, found, follow)), torch.ones_like(done)
