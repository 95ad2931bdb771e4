"""PuzzleMix's transport: whose block stands where, so that what is worth seeing lies under the mask."""

from __future__ import annotations

import torch
from torch import Tensor

from mixlearn.core.checks import readable
from mixlearn.core.transfer import fetched, sent


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
