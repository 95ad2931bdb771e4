"""PuzzleMix: masks of least energy, then blocks that move to where they are seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import check_batch, check_pixels, check_range
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.fast import Fill, fetched, laid_out_as, pick, sent
from mixlearn.core.plan import Mixed, MixPlan, apply_plan
from mixlearn.methods.graph_cut import cuts, mask_energy
from mixlearn.methods.saliency import Saliency, normalised, saliency_of, spectral_residual


# ------------------------------------------------------------------------------------ the energy of the masks
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

    Hidden saliency (B, n, m) costs z of the other's and 1 − z of the own. Neighbours that differ cost
    β̂ (z_p − z_q)², with β̂ = β / 16n, and γβ̂ times the step in colour across them, of `colour_seams`. The
    prior −η/n² · log P is that of two throws of a coin that shows λ, (B,) or (1,). (Kim, Choo & Song, *Puzzle
    Mix*, ICML 2020, eq. 4–6; the values from the authors' code.)
    """
    batch, n, m = own.shape
    scale = beta / (16 * max(n, m))
    lam = sent(lam, own.device).to(own.dtype).double().clamp(1e-6, 1 - 1e-6)
    chance = torch.stack([(1 - lam) ** 2, 2 * lam * (1 - lam), lam**2])  # (3, B), of 0, 1 and 2 heads
    prior = (-eta / (n * m) * chance.log()).to(own.dtype).T[:, :, None, None]
    unary = torch.stack([own + z * (other - own) for z in (0, 0.5, 1)], 1) + prior  # (B, 3, n, m)
    down, across = own.new_full((batch, n - 1, m), scale), own.new_full((batch, n, m - 1), scale)
    if seams is None:
        return Energy(unary, down, across)
    tilt = torch.zeros_like(own)  # what z = 1 costs more than z = 0, from the seams around
    sides = ((tilt[:, :-1], tilt[:, 1:]), (tilt[:, :, :-1], tilt[:, :, 1:]))
    for pairs, steps, (first, second) in zip((down, across), seams, sides, strict=True):
        same, own_other, other_own, neither = steps.unbind(1)
        first += (same + own_other - other_own - neither) / 2
        second += (same + other_own - own_other - neither) / 2
        surplus = (own_other + other_own - same - neither).clamp_min(0)  # c of a cut must not be below 0
        pairs += gamma * scale / 2 * surplus
    unary += gamma * scale * torch.stack([z * tilt for z in (0, 0.5, 1)], 1)
    return Energy(unary, down, across)


def colour_seams(own: Tensor, other: Tensor, n: int, m: int) -> tuple[Tensor, Tensor]:
    """Mean steps in colour across the borders of n × m blocks of two images (B, C, H, W).

    Down (B, 4, n − 1, m) and across (B, 4, n, m − 1). The four are own|own, own|other, other|own and
    other|other for the first and the second block, in units of four standard deviations of `own`, about the
    range of a photograph. The released code divides by the whole range [0, 1] and averages 4 × 4 pixels
    first, so its steps are somewhat smaller; the masks hardly change.
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


# ------------------------------------------------------------------------------- which block stands where
def transport(saliency: Tensor, seen: Tensor, cost: float = 0.8) -> Tensor:
    """Move salient blocks to where they are seen: (B, n·m), for each place the block that stands there.

    A block at p that came from q gains its saliency s_q if p is seen, and pays `cost` · d(p, q), the squared
    distance in units of the grid's sides. `saliency` and `seen`, above 0 where the mask shows the image, are
    (B, n, m). It runs on the CPU.

    This is the optimum of Kim, Choo & Song, *Puzzle Mix*, ICML 2020, eq. 7. In the released code a displaced
    block vanishes at no cost, so more blocks move, and hidden places end up empty. At the paper's cost, 0.8,
    the two hardly differ where the image is seen.

    >>> saliency = torch.tensor([[[0.1, 0.1, 0.8]]])
    >>> transport(saliency, torch.tensor([[[0, 1, 0]]]), cost=0.2).tolist()      # the last goes to the middle
    [[0, 2, 1]]
    """
    check_range("[0, inf)", cost=cost)
    device = saliency.device
    saliency, seen = fetched(saliency, seen)  # how many exchanges there are depends on the values
    if not bool(torch.isfinite(saliency).all()):
        raise ValueError("saliency must be finite, got values that are not")
    batch, n, m = saliency.shape
    hidden = ~(seen > 0)
    # A block's price is what it gains at the nearest place where it would be seen, less the way there. Every
    # seen place is then content with its own block; a hidden one may hold an expensive one near a cheap one.
    last = (1, 2, 0)  # the batch last, so that the least over a row is taken of whole rows of memory
    way = _nearest(hidden.permute(last) * 1e9, cost)
    price = (saliency.permute(last) - way).clamp_min_(0)  # (n, m, B)
    restless = hidden.permute(last) & (price > _nearest(price, cost) + 1e-7)
    blocks = torch.arange(n * m).repeat(batch, 1)
    moving = restless.flatten(0, 1).any(0).nonzero()[:, 0]
    if len(moving):
        gain, shown = saliency[moving].flatten(1), (~hidden[moving]).flatten(1)
        profit = shown[:, :, None] * gain[:, None, :] - cost * grid_distance(n, m).to(saliency)
        blocks[moving] = assignment(profit, price.flatten(0, 1).T[moving])
    return sent(blocks, device)


def _nearest(values: Tensor, cost: float) -> Tensor:
    """The least of value + cost · squared distance over all places; (n, m, B), rows and columns in turn."""
    n, m, _ = values.shape
    down, across = (cost * grid_distance(1, size).to(values) for size in (n, m))
    least = (values + down[:, :, None, None]).amin(1)
    return (least[:, None] + across[:, :, None]).amin(2)


def grid_distance(n: int, m: int) -> Tensor:
    """Squared distances between the blocks of an n × m grid, each side counted as 1: (n·m, n·m)."""
    rows, columns = (torch.arange(size) / max(size - 1, 1) for size in (n, m))
    place = torch.cartesian_prod(rows, columns)
    return (place[:, None] - place[None]).square().sum(2)


def assignment(profit: Tensor, prices: Tensor | None = None) -> Tensor:
    """The block of each place, (B, N), one to one and of greatest total profit (B, N, N): place p, block q.

    Every place starts with its own block, which is optimal where all are content at some prices (B, N) of
    blocks. Each place that is not gets a block by the cheapest chain of exchanges. (Jonker & Volgenant, *A
    Shortest Augmenting Path Algorithm for Dense and Sparse Linear Assignment Problems*, Computing 38, 1987.)

    >>> assignment(torch.tensor([[[1., 5., 0.], [0., 4., 3.], [0., 0., 0.]]])).tolist()
    [[1, 2, 0]]
    """
    batch, count, _ = profit.shape
    price = profit.new_zeros(batch, count) if prices is None else prices.clone()
    best = (profit - price[:, None]).amax(2)
    slack = 1e-6 * best.abs().amax(1, keepdim=True)  # for rounding
    content = profit.diagonal(dim1=1, dim2=2) - price >= best - slack
    own = torch.arange(count, device=profit.device).expand(batch, count)
    block_of, place_of = (torch.where(content, own, -1) for _ in range(2))
    for k, start in (~content).nonzero().tolist():
        _exchange(profit[k], best[k], price[k], block_of[k], place_of[k], start)
    return block_of


def _exchange(
    profit: Tensor, best: Tensor, price: Tensor, block_of: Tensor, place_of: Tensor, start: int
) -> None:
    """Give the place `start` of one table a block, in place, by Dijkstra's search for the cheapest chain."""
    chain = best[start] + price - profit[start]  # what each block costs at the end of its cheapest chain
    before = torch.full_like(place_of, start)  # and the place before it
    done = torch.zeros_like(chain, dtype=torch.bool)
    while True:
        reached, end = chain.masked_fill(done, torch.inf).min(0)
        place = int(place_of[end])
        if place < 0:
            break
        done[end] = True
        longer = reached + best[place] + price - profit[place]
        better = (longer < chain) & ~done
        chain, before = torch.where(better, longer, chain), before.masked_fill(better, place)
    spare = (reached - chain)[done]
    price[done] += spare  # the new prices keep all others content
    best[place_of[done]] -= spare
    best[start] -= reached
    block, place = int(end), -1
    while place != start:
        place = int(before[block])
        place_of[block] = place
        block, block_of[place] = int(block_of[place]), block


# ------------------------------------------------------------------------------------------------ the method
@dataclass(frozen=True, eq=False, kw_only=True)
class PuzzlePlan(MixPlan):
    """A plan of two parts under masks, whose blocks may stand elsewhere than they did.

    `order` (2, B, n·m) is the block of each part that stands at each place of an n × m `grid`, or None;
    `energy` (B,) is that of the masks.
    """

    order: Tensor | None
    grid: tuple[int, int]
    energy: Tensor

    def parts(self, images: Tensor) -> Tensor:
        """The images and their partners with their blocks moved: (2, B, …, H, W)."""
        check_batch(images, len(self), "images")
        both = images[self.sources]
        return both if self.order is None else torch.stack([*map(self._moved, both, self.order)])

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """The moved blocks of both under the masks; (B, …, H, W) of any float type.

        Class ids need masks of only 0 and 1. Where a mask has ½, as PuzzleMix's often has, mix one-hot maps
        instead: `F.one_hot(maps, C).movedim(-1, 1).float()`.
        """
        self._check_pixels(images)
        own, other = self.parts(images)
        between = (1,) * (images.dim() - 3)
        masks = self.masks[:, :, 0].view(2, len(self), *between, *images.shape[-2:])
        if not images.is_floating_point():
            rows = torch.arange(2 * len(self), device=images.device).view(2, -1)
            return pick(torch.cat([own, other]), rows, masks)
        return laid_out_as(images, torch.lerp(other, own, masks[0].to(images.dtype)))

    def _moved(self, images: Tensor, order: Tensor) -> Tensor:
        n, m = self.grid
        height, width = images.shape[-2:]
        cut_up = images.reshape(len(images), -1, n, height // n, m, width // m)
        blocks = cut_up.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (B, n·m, C, H/n, W/m)
        each = torch.arange(len(images), device=images.device)[:, None]
        placed = blocks[each, order].unflatten(1, (n, m)).permute(0, 3, 1, 4, 2, 5)
        return placed.reshape(images.shape)


def puzzlemix(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    alpha: float = 1.0,
    saliency: Saliency = spectral_residual,
    blocks: Sequence[int] | None = None,
    beta: float = 1.2,
    gamma: float = 0.5,
    eta: float = 0.2,
    move: float | None = 0.8,
    lam: float | Sequence[float] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Give each block to the image that is salient there, then move salient blocks to where they are seen.

    The images are cut into n × n blocks, n drawn anew for each batch. Each gets the share 0, ½ or 1 that
    makes the energy of `puzzle_energy` least; then `transport` moves blocks of both images, on a grid of its
    own, of at most 8 × 8 blocks (16 × 16 in the released code). On an accelerator the host waits,
    twice as a rule: both searches end when the values say so.

    Args:
        images, labels, num_classes, partner, per_image, generator: as for `mixup`.
        alpha: the prior's λ is drawn from Beta(α, α).
        saliency: as for `saliencymix`. The paper takes the loss's gradient (`gradient_saliency`).
        blocks: the n to draw from; each divides H and W. None takes those from 2 to 16 that do.
        beta, gamma, eta: weights of smoothness, of seams in colour and of the prior.
        move: what moving a block costs, ε of the transport; None leaves blocks where they are.
        lam: the prior's λ in [0, 1], one for the batch or (B,), instead of a draw.

    Returns `Mixed(images, targets, plan)`; λ is the mean of the mask, `plan.lam_drawn` the prior's.
    `plan.energy` (B,) is what the masks cost, `plan.order` tells which blocks moved. Source: Kim, Choo &
    Song, *Puzzle Mix: Exploiting Saliency and Local Statistics for Optimal Mixup*, ICML 2020; the values from
    the authors' code, without its adversarial noise and its gradient of clean images.

    >>> maps = torch.zeros(2, 1, 8, 8); maps[0, 0, :, :4] = maps[1, 0, :, 4:] = 1 / 32
    >>> plan = puzzlemix(torch.rand(2, 1, 8, 8), saliency=maps, blocks=[4], lam=0.5, partner=[1, 0]).plan
    >>> plan.masks[0, 0, 0, 0]                                          # each keeps the half that it is
    tensor([1., 1., 1., 1., 0., 0., 0., 0.])
    """
    height, width = check_pixels(images)
    if images.dim() != 4:
        raise ValueError(f"images must have shape (B, C, H, W), got {tuple(images.shape)}")
    known = range(2, 17) if blocks is None else [int(n) for n in blocks]
    sizes = [n for n in known if n >= 1 and height % n == width % n == 0]
    if not sizes or (blocks is not None and len(sizes) < len(known)):
        raise ValueError(
            f"blocks must be one or more numbers that divide {height} × {width} pixels, got {list(known)}"
            + ("; resize the images" if blocks is None else "")
        )
    partner, share = given_or_drawn(lam, partner, len(images), alpha, per_image, generator)
    n = sizes[int(torch.randint(len(sizes), (), generator=generator))]
    tiles = max(k for k in range(1, 9) if not height % k and not width % k)
    partner = sent(partner, images.device)
    with torch.no_grad():
        maps = saliency_of(saliency, images).to(images.device).float()
        coarse, fine = (normalised(F.adaptive_avg_pool2d(maps, k))[:, 0] for k in (n, tiles))  # (B, k, k)
        seams = colour_seams(images, images[partner], n, n) if gamma else None
        terms = puzzle_energy(coarse, coarse[partner], share, seams, beta=beta, gamma=gamma, eta=eta)
        for shares, done in cuts(*terms):  # (B, n, n)
            masks = F.interpolate(shares[:, None], size=(height, width), mode="nearest")  # (B, 1, H, W)
            seen = F.adaptive_max_pool2d(torch.cat([masks, 1 - masks]), tiles)[:, 0]
            done, *tables = fetched(done, *([] if move is None else [torch.cat([fine, fine[partner]]), seen]))
            if bool(done):  # read at once with what `transport` reads
                break
        order = None
        if move is not None:
            salient, seen = tables
            order = sent(transport(salient, seen, move), images.device).unflatten(0, (2, -1))
    pair = MixPlan.masked(partner, masks, sent(share, images.device))
    plan = PuzzlePlan(
        *(pair.sources, pair.masks, pair.weights, None, pair.lam_drawn),
        order=order,
        grid=(tiles, tiles),
        energy=mask_energy(shares, *terms),
    )
    return apply_plan(plan, images, labels, num_classes)
