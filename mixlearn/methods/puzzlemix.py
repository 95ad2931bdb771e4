"""PuzzleMix's transport: whose block stands where, so that what is worth seeing lies under the mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import check_batch, check_pixels, readable
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.fast import Fill, fetched, laid_out_as, pick, sent
from mixlearn.core.plan import Mixed, MixPlan, apply_plan
from mixlearn.methods.graph_cut import cuts, mask_energy
from mixlearn.methods.saliency import Saliency, normalised, saliency_of, spectral_residual


def transport(saliency: Tensor, seen: Tensor, cost: float = 0.8) -> Tensor:
    """Move salient blocks to where they are seen: the permutation of greatest gain.

    A block that stands at p and came from q gains its saliency s_q if p is seen, and pays `cost` · d(p, q),
    the squared distance in units of the grid's sides. It is worked out on the CPU: an accelerator would have
    to wait at each exchange, so its values are read, once for all.

    Args:
        saliency: (B, n, m), at least 0.
        seen: (B, n, m), True or above 0 where the mask shows the image.
        cost: ε ≥ 0; the larger, the fewer blocks move. The paper takes 0.8.

    Returns:
        (B, n·m) int64: for each place, row by row, the block that stands there; on the device of `saliency`.

    Raises:
        ValueError: shapes that differ, a negative cost, saliency that is not finite.

    Source: Kim, Choo & Song, *Puzzle Mix*, ICML 2020, eq. 7, whose optimum this is. The released code does
    not return a permutation: a block that is displaced vanishes at no cost. So more blocks move, and hidden
    places end up empty. At the paper's cost the two hardly differ where the image is seen.

    >>> saliency = torch.tensor([[[0.1, 0.1, 0.8]]])
    >>> transport(saliency, torch.tensor([[[0, 1, 0]]]), cost=0.2).tolist()      # the last goes to the middle
    [[0, 2, 1]]
    """
    if saliency.shape != seen.shape or saliency.dim() != 3:
        raise ValueError(
            f"saliency and seen must both have shape (B, n, m), "
            f"got {tuple(saliency.shape)} and {tuple(seen.shape)}"
        )
    if not cost >= 0:
        raise ValueError(f"cost must be at least 0, got {cost}")
    device = saliency.device
    saliency, seen = fetched(saliency, seen)  # how many exchanges there are depends on the values
    if not bool(torch.isfinite(saliency).all()):
        raise ValueError("saliency must be finite, got values that are not")
    batch, n, m = saliency.shape
    hidden = ~(seen > 0)
    # What a block is worth at the nearest place where it would be seen, less the way there. At these prices
    # every seen place is content with its own block; a hidden one may hold what is dear, and near a bargain.
    last = (1, 2, 0)  # the batch last, so that the least over a row is taken of whole rows of memory
    way = _nearest(hidden.permute(last) * 1e9, cost)
    price = (saliency.permute(last) - way).clamp_min_(0)
    restless = hidden.permute(last) & (price > _nearest(price, cost) + 1e-7)
    blocks = torch.arange(n * m, device=saliency.device).repeat(batch, 1)
    moving = restless.flatten(0, 1).any(0).nonzero()[:, 0]
    if len(moving):
        worth, shown = saliency[moving].flatten(1), (~hidden[moving]).flatten(1)
        profit = shown[:, :, None] * worth[:, None, :] - cost * grid_distance(n, m).to(saliency)
        blocks[moving] = assignment(profit, price.flatten(0, 1).T[moving])
    return sent(blocks, device)


def _nearest(values: Tensor, cost: float) -> Tensor:
    """The least of value + cost · squared distance over all places; (n, m, B), rows and columns in turn."""
    n, m, _ = values.shape
    down, across = (cost * grid_distance(1, size).to(values) for size in (n, m))
    least = (values + down[:, :, None, None]).amin(1)
    return (least[:, None] + across[:, :, None]).amin(2)


def grid_distance(n: int, m: int) -> Tensor:
    """Squared distances between the blocks of an n × m grid, each side counted as 1: (n·m, n·m).

    >>> grid_distance(1, 3).tolist()
    [[0.0, 0.25, 1.0], [0.25, 0.0, 0.25], [1.0, 0.25, 0.0]]
    """
    rows, columns = (torch.arange(size) / max(size - 1, 1) for size in (n, m))
    place = torch.cartesian_prod(rows, columns)
    return (place[:, None] - place[None]).square().sum(2)


def assignment(profit: Tensor, prices: Tensor | None = None) -> Tensor:
    """One-to-one choices of greatest total profit, for many tables at once.

    Every place starts with its own block. Where prices can be found at which all are content, that is the
    optimum. Where not, each place that is not finds the cheapest chain of exchanges that makes it so, by
    Dijkstra's search; all tables search at the same time.

    Args:
        profit: (B, N, N) float: of place p, with block q.
        prices: (B, N) to start from; any lead to the optimum, good ones sooner. None starts from 0.

    Returns:
        (B, N) int64: the block of each place.

    Raises:
        ValueError: profit not of shape (B, N, N), or not of finite floats.

    Source: the shortest augmenting paths of Jonker & Volgenant, *A Shortest Augmenting Path Algorithm for
    Dense and Sparse Linear Assignment Problems*, Computing 38, 1987.

    >>> assignment(torch.tensor([[[1., 5., 0.], [0., 4., 3.], [0., 0., 0.]]])).tolist()
    [[1, 2, 0]]
    """
    if profit.dim() != 3 or profit.shape[1] != profit.shape[2]:
        raise ValueError(f"profit must have shape (B, N, N), got {tuple(profit.shape)}")
    if not profit.is_floating_point() or (readable(profit) and not bool(profit.isfinite().all())):
        raise ValueError(f"profit must hold finite floats, got {profit.dtype} or values that are not finite")
    batch, count, _ = profit.shape
    home = profit.diagonal(dim1=1, dim2=2)
    price = profit.new_zeros(batch, count) if prices is None else prices.clone()
    best = (profit - price[:, None]).amax(2)
    content = home - price >= best - 1e-6 * best.abs().amax(1, keepdim=True)  # up to rounding
    own = torch.arange(count, device=profit.device).expand(batch, count)
    block_of, place_of = (torch.where(content, own, -1) for _ in range(2))
    open_tables = (~content).any(1).nonzero()[:, 0]
    while len(open_tables):
        state = tuple(part[open_tables] for part in (best, price, block_of, place_of))
        for whole, part in zip(
            (best, price, block_of, place_of), _exchange(profit[open_tables], *state), strict=True
        ):
            whole[open_tables] = part
        open_tables = open_tables[(block_of[open_tables] < 0).any(1)]
    return block_of


def _exchange(
    profit: Tensor, best: Tensor, price: Tensor, block_of: Tensor, place_of: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """In each table, give the first place without a block one, by the cheapest chain of exchanges."""
    tables, count, _ = profit.shape
    each = torch.arange(tables, device=profit.device)
    start = (block_of < 0).long().argmax(1)
    # What block q costs at the end of the cheapest chain that reaches it, and the place before it.
    chain = best[each, start][:, None] + price - profit[each, start]
    before = start[:, None].expand(-1, count).clone()
    done = torch.zeros_like(chain, dtype=torch.bool)
    running = torch.ones_like(each, dtype=torch.bool)
    last, total = torch.zeros_like(each), torch.zeros_like(chain[:, 0])
    while True:
        reached, q = chain.masked_fill(done, torch.inf).min(1)
        place = place_of[each, q]
        free = running & (place < 0)
        last, total = torch.where(free, q, last), torch.where(free, reached, total)
        running = running & ~free
        if not bool(running.any()):
            break
        done[each, q] |= running
        place = place.clamp_min(0)
        longer = (reached + best[each, place])[:, None] + price - profit[each, place]
        better = (longer < chain) & ~done & running[:, None]
        chain, before = torch.where(better, longer, chain), torch.where(better, place[:, None], before)
    spare = torch.where(done, total[:, None] - chain, 0.0)  # the new prices keep all others content
    price = price + spare
    best = best.scatter_add(1, place_of.clamp_min(0), -spare * (place_of >= 0))
    best[each, start] -= total
    q, left = last, torch.ones_like(each, dtype=torch.bool)
    while bool(left.any()):
        place = before[each, q]
        given_up = block_of[each, place]
        place_of[each[left], q[left]] = place[left]
        block_of[each[left], place[left]] = q[left]
        left = left & (place != start)
        q = torch.where(left, given_up, q)
    return best, price, block_of, place_of


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


class PuzzlePlan(MixPlan):
    """A plan of two parts under masks, whose blocks may stand elsewhere than they did.

    Attributes:
        order: (2, B, n·m) int64: which block of each part stands at each place of an n × m grid, or None.
        grid: (n, m) of `order`.
        energy: (B,) of the masks.
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

        Class ids are taken over pixel by pixel, which needs masks of only 0 and 1. Where a mask has ½, as
        PuzzleMix's often has, mix one-hot maps instead: `F.one_hot(maps, C).movedim(-1, 1).float()`.

        Raises:
            ValueError: batch or pixels differ from the plan's.
            TypeError: class ids under masks of ½.
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
        blocks = cut_up.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
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
    """Mask the pair so that what is salient in either is seen, then move salient blocks under the mask.

    The image is cut into n × n blocks, n drawn anew for each batch. Each gets the share 0, ½ or 1 that makes
    the energy of `puzzle_energy` least; then `transport` moves blocks of both images, on a grid of its own,
    of at most 8 × 8 blocks (16 × 16 in the released code).

    On an accelerator the host waits, once as a rule: both searches end when the values say so.

    Args:
        images: (B, C, H, W) float, in any units. Not changed.
        labels: (B,) integer class ids or (B, C) soft labels; None mixes images alone.
        num_classes: C, needed with class ids.
        alpha: the prior's λ is drawn from Beta(α, α).
        saliency: (B, 1, H, W) of the images as they are, or a function that makes it. The paper takes the
            gradient of the training loss (`gradient_saliency`).
        blocks: the n to draw from; each divides H and W. None takes those from 2 to 16 that do.
        beta, gamma, eta: weights of smoothness, of seams in colour and of the prior.
        move: what moving a block costs, ε of the transport; None leaves blocks where they are.
        lam: the prior's λ in [0, 1], one for the batch or (B,), instead of a draw.
        partner: (B,) indices into the batch, instead of a random permutation.
        per_image: draw λ for each image rather than once for the batch; masks differ either way.
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        `Mixed(images, targets, plan)`; λ is the mean of the mask, `plan.lam_asked` the prior's. `plan.energy`
        (B,) is what the masks cost, `plan.order` tells which blocks moved.

    Raises:
        TypeError: integer images, float class ids, partners that are no integers.
        ValueError: α not positive, λ outside [0, 1], blocks that do not divide the image, a saliency of
            another shape, shapes that disagree.

    Source: Kim, Choo & Song, *Puzzle Mix: Exploiting Saliency and Local Statistics for Optimal Mixup*, ICML
    2020; the values from the authors' code, without its adversarial noise and its gradient of clean images.

    >>> maps = torch.zeros(2, 1, 8, 8); maps[0, 0, :, :4] = maps[1, 0, :, 4:] = 1 / 32
    >>> plan = puzzlemix(torch.rand(2, 1, 8, 8), saliency=maps, blocks=[4], lam=0.5, partner=[1, 0]).plan
    >>> plan.masks[0, 0, 0, 0]                                          # each keeps the half that it is
    tensor([1., 1., 1., 1., 0., 0., 0., 0.])
    """
    height, width = check_pixels(images)
    if images.dim() != 4:
        raise ValueError(f"images must have shape (B, C, H, W), got {tuple(images.shape)}")
    sizes = _sizes(height, width, blocks)
    partner, asked = given_or_drawn(lam, partner, len(images), alpha, per_image, generator)
    n = sizes[int(torch.randint(len(sizes), (), generator=generator))]
    partner = sent(partner, images.device)
    with torch.no_grad():
        maps = saliency_of(saliency, images).to(images.device).float()
        worth = _coarse(maps, n)
        seams = colour_seams(images, images[partner], n, n) if gamma else None
        terms = puzzle_energy(worth, worth[partner], asked, seams, beta=beta, gamma=gamma, eta=eta)
        order, tiles = None, max(k for k in range(1, 9) if not height % k and not width % k)
        fine = _coarse(maps, tiles)
        for shares, done in cuts(*terms):
            masks, tables = F.interpolate(shares[:, None], size=(height, width), mode="nearest"), []
            if move is not None:
                seen = F.adaptive_max_pool2d(torch.cat([masks, 1 - masks]), tiles)[:, 0]
                tables = [torch.cat([fine, fine[partner]]), seen]
            done, *tables = fetched(done, *tables)  # one wait for all that is read
            if bool(done):
                break
        if move is not None:
            salient, seen = tables
            blocks_of = sent(transport(salient, seen, move), images.device)
            order = blocks_of.unflatten(0, (2, len(images)))
    base = MixPlan.masked(partner, masks, sent(asked, images.device))
    plan = _plan(base, order, (tiles, tiles), mask_energy(shares, *terms))
    return apply_plan(plan, images, labels, num_classes)


def _plan(base: MixPlan, order: Tensor | None, grid: tuple[int, int], energy: Tensor) -> PuzzlePlan:
    plan = PuzzlePlan(base.sources, base.masks, base.weights, base.boxes, base.lam_asked)
    vars(plan).update(order=order, grid=grid, energy=energy)  # the class is frozen
    return plan


def _coarse(maps: Tensor, n: int) -> Tensor:
    """Saliency of n × n blocks, summing to 1: (B, 1, H, W) → (B, n, n)."""
    return normalised(F.adaptive_avg_pool2d(maps, n))[:, 0]


def _sizes(height: int, width: int, blocks: Sequence[int] | None) -> list[int]:
    if blocks is None:
        found = [n for n in range(2, 17) if height % n == width % n == 0]
        if not found:
            raise ValueError(
                f"no number of blocks from 2 to 16 divides {height} × {width} pixels; resize the images"
            )
        return found
    sizes = [int(n) for n in blocks]
    if not sizes or any(n < 1 or height % n or width % n for n in sizes):
        raise ValueError(
            f"blocks must be one or more numbers that divide {height} × {width}, got {list(blocks)}"
        )
    return sizes
