"""What PuzzleMix's mask should do, as an energy: show what is salient, be smooth, hide seams, keep to λ."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mixlearn.core.transfer import sent

LEVELS = (0.0, 0.5, 1.0)


class Energy(NamedTuple):
    """The terms that `graph_cut.cut` takes: unary (B, 3, n, m), down (B, n − 1, m), across (B, n, m − 1)."""

    unary: Tensor
    down: Tensor
    across: Tensor


def puzzle_energy(
    own: Tensor,
    other: Tensor,
    lam: Tensor,
    seams: tuple[Tensor, Tensor] | None = None,
    *,
    beta: float = 1.2,
    gamma: float = 0.5,
    eta: float = 0.2,
) -> Energy:
    """The energy of masks z in {0, ½, 1} for pairs of images; z is the image's own share of a block.

    Saliency that is not seen costs what it is: z of the other's, 1 − z of the own. Neighbours that differ
    cost β̂ (z_p − z_q)², with β̂ = β / 16n. A seam costs γβ̂ times the step in colour across it. And labels
    are drawn to λ as two throws of a coin that shows λ are: −η/n² · log P.

    Args:
        own, other: (B, n, m) saliency of the image and of its partner, each summing to 1.
        lam: (B,) or (1,), the prior's λ in [0, 1].
        seams: from `colour_seams`; None leaves colours out.
        beta, gamma, eta: weights of smoothness, of seams and of the prior. The paper takes 1.2, 0.5 and 0.2.

    Source: Kim, Choo & Song, *Puzzle Mix*, ICML 2020, eq. 4–6; the values from the authors' code.

    >>> even = torch.full((1, 2, 2), 0.25)
    >>> puzzle_energy(even, even, torch.tensor([0.5])).unary.shape
    torch.Size([1, 3, 2, 2])
    """
    batch, n, m = own.shape
    scale = beta / (16 * max(n, m))
    lam = sent(lam, own.device).to(own.dtype).double().clamp(1e-6, 1 - 1e-6)
    chance = torch.stack([(1 - lam) ** 2, 2 * lam * (1 - lam), lam**2])  # of 0, 1 and 2 heads
    prior = (-eta / (n * m) * chance.log()).to(own.dtype).T[:, :, None, None]
    unary = torch.stack([own + z * (other - own) for z in LEVELS], 1) + prior
    down = own.new_full((batch, n - 1, m), scale)
    across = own.new_full((batch, n, m - 1), scale)
    if seams is None:
        return Energy(unary, down, across)
    tilt = torch.zeros_like(own)  # what z = 1 costs more than z = 0, from the seams around
    for steps, first, second in (
        (seams[0], tilt[:, :-1], tilt[:, 1:]),
        (seams[1], tilt[:, :, :-1], tilt[:, :, 1:]),
    ):
        same, own_other, other_own, neither = steps.unbind(1)
        first += (same + own_other - other_own - neither) / 2
        second += (same + other_own - own_other - neither) / 2
    unary += gamma * scale * torch.stack([z * tilt for z in LEVELS], 1)
    down, across = (
        flat + gamma * scale / 2 * _surplus(steps) for flat, steps in zip((down, across), seams, strict=True)
    )
    return Energy(unary, down, across)


def colour_seams(own: Tensor, other: Tensor, n: int, m: int) -> tuple[Tensor, Tensor]:
    """Mean steps in colour across the borders of blocks, for each way in which two images can meet there.

    Args:
        own, other: (B, C, H, W) the images and their partners, in one unit.
        n, m: blocks down and across; they divide H and W.

    Returns:
        Down (B, 4, n − 1, m) and across (B, 4, n, m − 1). The four are own|own, own|other, other|own and
        other|other for the first and the second block, in units of four standard deviations of `own`, which
        for photographs are about the range from black to white. The released code divides by the whole range
        [0, 1] and averages 4 × 4 pixels first, which makes steps somewhat smaller; the masks hardly change.

    >>> black, white = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    >>> down, across = colour_seams(black + torch.eye(4), white, 2, 2)
    >>> down.shape, across.shape
    (torch.Size([1, 4, 1, 2]), torch.Size([1, 4, 2, 1]))
    """
    unit = 4 * own.float().std().clamp_min(1e-6)
    return _rows(own, other, n, m) / unit, _rows(own.mT, other.mT, m, n).mT / unit


def _rows(own: Tensor, other: Tensor, n: int, m: int) -> Tensor:
    """The steps from the last row of each block to the first row of the one below: (B, 4, n − 1, m)."""
    batch, channels, height, width = own.shape
    block = height // n
    above = [image[:, :, block - 1 : height - 1 : block].float() for image in (own, other)]
    below = [image[:, :, block::block].float() for image in (own, other)]
    steps = torch.stack([(a - b).abs() for a in above for b in below], 1)  # (B, 4, C, n − 1, W)
    return steps.view(batch, 4, channels, n - 1, m, width // m).mean((2, 5))


def _surplus(steps: Tensor) -> Tensor:
    """How much more a seam of two images shows than none, never below 0: c of a cut must not be."""
    same, own_other, other_own, neither = steps.unbind(1)
    return (own_other + other_own - same - neither).clamp_min(0)
