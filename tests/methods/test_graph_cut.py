"""The cut of PuzzleMix against the exact minimum, by brute force where that ends, else by a maximum flow."""

import itertools

import maxflow
import numpy as np
import pytest
import torch
from torch.nn import functional as F

import mixlearn as ml
from mixlearn.methods.graph_cut import cut, mask_energy
from mixlearn.methods.puzzlemix import Energy, colour_seams, puzzle_energy
from tests.seeds import seeded


def exact(unary, down, across):
    """The labels of least energy of one problem, by Ishikawa's graph.

    A block has two nodes, on where its label is ½ or more and where it is 1. With P and Q nodes on,
    (P/2 − Q/2)² = ¼ · (pairs of nodes that differ) + (P² − 2P + Q² − 2Q) / 4, whose rest costs −¼ at ½.
    """
    unary, down, across = (values.double().numpy() for values in (unary, down, across))
    n, m = unary.shape[1:]
    graph = maxflow.Graph[float]()
    nodes = graph.add_grid_nodes((2, n, m))
    around = np.zeros((n, m))
    around[:-1] += down
    around[1:] += down
    around[:, :-1] += across
    around[:, 1:] += across
    half = unary[1] - around / 4
    gains = np.stack([half - unary[0], unary[2] - half])
    graph.add_grid_tedges(nodes, np.maximum(-gains, 0), np.maximum(gains, 0))
    for first, second, c in (
        (nodes[:, :-1], nodes[:, 1:], down),
        (nodes[:, :, :-1], nodes[:, :, 1:], across),
    ):
        for a, b in itertools.product(range(2), repeat=2):
            for p, q, weight in zip(first[a].flat, second[b].flat, c.flat, strict=True):
                graph.add_edge(p, q, weight / 4, weight / 4)
    for low, high in zip(nodes[0].flat, nodes[1].flat, strict=True):
        graph.add_edge(high, low, 1e9, 0)  # no label is 1 that is not ½ or more
    graph.maxflow()
    return torch.from_numpy((~graph.get_grid_segments(nodes)).sum(0) / 2).float()


def random_problem(batch, n, m, strength, seed):
    """Convex costs of each block and neighbours of any strength."""
    g = seeded(seed)
    ends = torch.rand(batch, 2, n, m, generator=g)
    half = ends.mean(1) - 0.3 * torch.rand(batch, n, m, generator=g) * ends.amin(1)
    unary = torch.stack([ends[:, 0], half, ends[:, 1]], 1)
    down, across = torch.rand(batch, n - 1, m, generator=g), torch.rand(batch, n, m - 1, generator=g)
    return Energy(unary, strength * down, strength * across)


def smooth_images(batch, size, seed):
    """Images of a few soft spots."""
    coarse = torch.randn(batch, 3, 6, 6, generator=seeded(seed))
    return F.interpolate(coarse, size=(size, size), mode="bicubic")


def puzzle_problem(batch, n, lam, seed, size=48):
    """What PuzzleMix asks for pairs of smooth images."""
    own, other = smooth_images(batch, size, seed), smooth_images(batch, size, seed + 1)
    worth = [ml.spectral_residual(images) for images in (own, other)]
    worth = [F.adaptive_avg_pool2d(maps, n)[:, 0] for maps in worth]
    worth = [maps / maps.sum((1, 2), keepdim=True) for maps in worth]
    return puzzle_energy(*worth, torch.full((batch,), lam), colour_seams(own, other, n, n))


def gaps(problem):
    """By how much each cut's energy is above the least, in units of the least."""
    found = mask_energy(cut(*problem), *problem)
    least = mask_energy(torch.stack([exact(*one) for one in zip(*problem, strict=True)]), *problem)
    assert bool((found >= least - 1e-6 * least.abs()).all())  # what is exact is
    return (found - least) / least.abs()


@pytest.mark.parametrize(("size", "strength"), [((1, 9), 0.5), ((3, 3), 0.05), ((3, 3), 3.0)])
def test_brute_force_agrees(size, strength):
    problem = random_problem(3, *size, strength, seed=7)
    every = torch.tensor([*itertools.product((0.0, 0.5, 1.0), repeat=9)]).view(-1, *size)
    for one in zip(*problem, strict=True):
        repeated = [part.expand(len(every), *part.shape) for part in one]
        best = mask_energy(every, *repeated).min()
        single = [part[None] for part in one]
        assert torch.allclose(mask_energy(exact(*one)[None], *single), best, atol=1e-9)
        assert float(mask_energy(cut(*single), *single) / best - 1) < 0.01


@pytest.mark.parametrize("size", [(2, 2), (3, 7), (16, 16)])
@pytest.mark.parametrize("strength", [0.02, 0.2, 5.0])
def test_random_convex_costs(size, strength):
    found = gaps(random_problem(6, *size, strength, seed=1))
    assert float(found.max()) < 0.01, found


@pytest.mark.parametrize(("n", "lam"), [(2, 0.5), (4, 0.02), (8, 0.9), (16, 0.3)])
def test_what_puzzlemix_asks(n, lam):
    found = gaps(puzzle_problem(5, n, lam, seed=11))
    assert float(found.max()) < 0.01, found


@pytest.mark.parametrize("tolerance", [3e-2, 1e-4])
def test_the_tolerance_is_kept(tolerance):
    for problem in (random_problem(6, 9, 9, 0.3, seed=7), puzzle_problem(5, 16, 0.4, seed=8)):
        least = mask_energy(torch.stack([exact(*one) for one in zip(*problem, strict=True)]), *problem)
        found = mask_energy(cut(*problem, 2000, tolerance=tolerance), *problem)
        assert float(((found - least) / least.abs()).max()) <= tolerance + 1e-6
