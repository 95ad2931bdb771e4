"""Whose block stands where: the optimum of the assignment, whatever the tables."""

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from mixlearn.methods.puzzlemix import assignment, grid_distance, transport
from tests.seeds import seeded


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
@pytest.mark.parametrize("count", [1, 5, 17])
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


@pytest.mark.parametrize("size", [(2, 2), (1, 6), (3, 5), (8, 8)])
@pytest.mark.parametrize("cost", [0.0, 0.1, 0.8])
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
