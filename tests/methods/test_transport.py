"""Whose block stands where: the optimum of the assignment, whatever the tables."""

import itertools

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from mixlearn.methods.puzzlemix import assignment, grid_distance, transport


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def best_total(profit):
    """The greatest total profit of one table (N, N)."""
    rows, columns = linear_sum_assignment(profit.double().numpy(), maximize=True)
    return float(profit.double()[rows, columns].sum())


def total(profit, blocks):
    return float(profit.double().gather(1, blocks[:, None]).sum())


def is_permutation(blocks):
    return torch.equal(blocks.sort(1).values, torch.arange(blocks.shape[1]).expand(blocks.shape))


def profits(saliency, seen, cost):
    """What transport maximises, as its docstring says it."""
    worth, shown = saliency.flatten(1), (seen > 0).flatten(1)
    return shown[:, :, None] * worth[:, None, :] - cost * grid_distance(*saliency.shape[1:])


def made_like(kind, shape, g):
    """Random tables: even, with ties, below 0, nearly diagonal, of few values."""
    values = torch.rand(shape, generator=g)
    if kind == "ties":
        return (4 * values).floor()
    if kind == "negative":
        return -values
    if kind == "at home":
        return values + 0.9 * torch.eye(shape[-1])
    if kind == "rank one":
        return values[:, :1] * values[:, :, :1]
    return values


@pytest.mark.parametrize("kind", ["even", "ties", "negative", "at home", "rank one"])
@pytest.mark.parametrize("count", [1, 2, 5, 17, 40])
def test_random_tables(kind, count):
    tables = made_like(kind, (8, count, count), seeded(count))
    before = tables.clone()
    found = assignment(tables)
    assert is_permutation(found) and torch.equal(tables, before)
    for table, blocks in zip(tables, found, strict=True):
        assert abs(total(table, blocks) - best_total(table)) < 1e-5 * max(1, count / 8)


def test_any_prices_lead_to_the_optimum():
    tables = torch.rand(6, 9, 9, generator=seeded())
    for scale in (0.0, 0.3, 5.0):
        prices = scale * torch.rand(6, 9, generator=seeded(1))
        kept = prices.clone()
        found = assignment(tables, prices)
        assert is_permutation(found) and torch.equal(prices, kept)
        for table, blocks in zip(tables, found, strict=True):
            assert abs(total(table, blocks) - best_total(table)) < 1e-5


def test_tables_of_very_different_size_do_not_disturb_each_other():
    tables = torch.rand(4, 6, 6, generator=seeded()) * torch.tensor([1e5, 1.0, 1e-3, 1e2]).view(4, 1, 1)
    together, alone = assignment(tables), torch.cat([assignment(table[None]) for table in tables])
    assert torch.equal(together, alone)
    for table, blocks in zip(tables, together, strict=True):
        assert abs(total(table, blocks) / best_total(table) - 1) < 1e-5


@pytest.mark.parametrize("size", [(2, 2), (1, 6), (3, 5), (4, 4), (7, 2), (8, 8)])
@pytest.mark.parametrize("cost", [0.0, 0.1, 0.8, 10.0])
def test_transport_is_the_best_assignment(size, cost):
    g = seeded(int(100 * cost) + size[0])
    saliency = torch.rand(12, *size, generator=g) ** 3
    saliency = saliency / saliency.sum((1, 2), keepdim=True)
    saliency[6:] *= 20  # far enough that blocks move at any cost below 10
    seen = torch.rand(12, *size, generator=g) < torch.linspace(0.1, 0.9, 12)[:, None, None]
    seen[0], seen[1] = False, True
    found = transport(saliency, seen, cost)
    assert is_permutation(found)
    for table, blocks in zip(profits(saliency, seen, cost), found, strict=True):
        assert abs(total(table, blocks) - best_total(table)) < 1e-5
    home = torch.arange(size[0] * size[1])
    assert torch.equal(found[0], home) and torch.equal(found[1], home)  # nothing is seen, or all of it


def test_nothing_moves_where_it_costs_too_much():
    saliency = torch.rand(20, 4, 4, generator=seeded())
    saliency = saliency / saliency.sum((1, 2), keepdim=True)
    seen = torch.rand(20, 4, 4, generator=seeded(1)) < 0.5
    assert torch.equal(transport(saliency, seen, 10.0), torch.arange(16).expand(20, 16))
    assert not torch.equal(transport(saliency, seen, 0.01), torch.arange(16).expand(20, 16))
    # for nothing, what is seen is worth as much as the best blocks together
    moved = saliency.flatten(1).gather(1, transport(saliency, seen, 0.0))
    for values, shown, worth in zip(moved, seen.flatten(1), saliency.flatten(1), strict=True):
        assert torch.allclose(values[shown].sum(), worth.sort(descending=True).values[: shown.sum()].sum())


def test_a_mask_shows_wherever_it_is_above_0():
    saliency = torch.rand(5, 3, 3, generator=seeded())
    seen = (torch.rand(5, 3, 3, generator=seeded(1)) * 3).floor() / 2
    assert torch.equal(transport(saliency, seen, 0.1), transport(saliency, seen > 0, 0.1))


def test_distances_are_squared_and_in_sides():
    for n, m in ((1, 1), (3, 3), (2, 5)):
        found = grid_distance(n, m)
        places = [*itertools.product(range(n), range(m))]
        for (p, (i, j)), (q, (k, l)) in itertools.product(enumerate(places), repeat=2):
            known = ((i - k) / max(n - 1, 1)) ** 2 + ((j - l) / max(m - 1, 1)) ** 2
            assert abs(float(found[p, q]) - known) < 1e-6


def test_bad_tables_are_named():
    maps = torch.rand(2, 3, 4)
    with pytest.raises(ValueError, match=r"both have shape \(B, n, m\), got \(2, 3, 4\) and \(2, 4, 3\)"):
        transport(maps, maps.mT)
    with pytest.raises(ValueError, match=r"both have shape \(B, n, m\), got \(2, 12\) and \(2, 12\)"):
        transport(maps.flatten(1), maps.flatten(1))
    for cost in (-0.1, float("nan")):
        with pytest.raises(ValueError, match=f"cost must be at least 0, got {cost}"):
            transport(maps, maps, cost)
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="saliency must be finite, got values that are not"):
            transport(torch.full((1, 2, 2), wrong), torch.ones(1, 2, 2))
    with pytest.raises(ValueError, match=r"profit must have shape \(B, N, N\), got \(2, 3, 4\)"):
        assignment(maps)
