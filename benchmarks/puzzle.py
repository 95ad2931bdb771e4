"""PuzzleMix's mask and transport for a batch, against libraries that take one image after the other.

    python -m benchmarks.puzzle [--batch 128] [--rounds 7]

The libraries run on one core: gco (alpha-beta swaps, the one that PuzzleMix's authors call; `pip install
gco-wrapper`), PyMaxflow (an exact cut of a graph with two nodes a block) and SciPy (assignment). One that is
not installed is left out. Ours runs with the threads that torch takes. All take turns within every round;
what is printed is the median over rounds, in milliseconds a batch, and the ratio to ours.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import mixlearn as ml
from mixlearn.methods.graph_cut import cut
from mixlearn.methods.puzzlemix import Energy, colour_seams, grid_distance, puzzle_energy, transport


def material(batch: int, n: int, size: int = 32) -> tuple[Energy, Tensor, Tensor]:
    """The energy of a batch of scenes, and the saliency and masks that transport takes."""
    generator = torch.Generator().manual_seed(n)
    scenes = ml.data.load("emoji").train.subset(batch, generator=generator)
    images, labels = scenes.batch(torch.arange(batch))
    net = ml.nets.resnet(8, 10, width=8, generator=generator)
    maps = ml.gradient_saliency(net, images, labels)
    partner = torch.randperm(batch, generator=generator)
    worth = F.adaptive_avg_pool2d(maps, n)[:, 0]
    worth = worth / worth.sum((1, 2), keepdim=True)
    lam = ml.sample_lam(batch, 1.0, generator=generator)
    terms = puzzle_energy(worth, worth[partner], lam, colour_seams(images, images[partner], n, n))
    masks = F.interpolate(cut(*terms)[:, None], size)
    tiles = F.adaptive_avg_pool2d(maps, 8)[:, 0]
    tiles = tiles / tiles.sum((1, 2), keepdim=True)
    seen = F.adaptive_max_pool2d(torch.cat([masks, 1 - masks]), 8)[:, 0]
    return terms, torch.cat([tiles, tiles[partner]]), seen


def swaps(terms: Energy) -> Callable[[], object] | None:
    """Alpha-beta swaps by gco, as PuzzleMix's authors call it: integers, one image after the other."""
    gco = _library("gco")
    if gco is None:
        return None
    unary, down, across = (part.double().numpy() for part in terms)
    scale = 1000 * unary.shape[-1] ** 2
    steps = [[(i - j) ** 2 for j in range(3)] for i in range(3)]

    def run() -> None:
        numpy = import_module("numpy")
        for u, d, a in zip(unary, down, across, strict=True):
            costs = numpy.ascontiguousarray((scale * u).transpose(1, 2, 0).astype(numpy.int32))
            edges = [(scale * part / 4).astype(numpy.int32) for part in (d, a)]
            gco.cut_grid_graph(costs, numpy.array(steps, numpy.int32), *edges, algorithm="swap")

    return run


def exact(terms: Energy) -> Callable[[], object] | None:
    """The exact cut by PyMaxflow: one node for "at least ½" and one for "1" in each block."""
    maxflow = _library("maxflow")
    if maxflow is None:
        return None
    unary, down, across = (part.double().numpy() for part in terms)
    numpy = import_module("numpy")
    n, m = unary.shape[2:]
    below, beside = numpy.zeros((3, 3)), numpy.zeros((3, 3))
    below[2, 1] = beside[1, 2] = 1

    def run() -> None:
        for u, d, a in zip(unary, down, across, strict=True):
            graph = maxflow.Graph[float](2 * n * m, 12 * n * m)
            half, whole = graph.add_grid_nodes((n, m)), graph.add_grid_nodes((n, m))
            d, a = numpy.pad(d, ((0, 1), (0, 0))), numpy.pad(a, ((0, 0), (0, 1)))
            # (z − z′)² = ½·(each of the four pairs of nodes that differ), less what single nodes give
            for nodes in (half, whole):
                graph.add_grid_edges(nodes, d / 4, below, symmetric=True)
                graph.add_grid_edges(nodes, a / 4, beside, symmetric=True)
            for one, other in ((half, whole), (whole, half)):
                graph.add_edges(one[:-1].ravel(), other[1:].ravel(), d[:-1].ravel() / 4, d[:-1].ravel() / 4)
                graph.add_edges(
                    one[:, :-1].ravel(), other[:, 1:].ravel(), a[:, :-1].ravel() / 4, a[:, :-1].ravel() / 4
                )
            around = numpy.zeros((n, m))
            around += d + a
            around[1:] += d[:-1]
            around[:, 1:] += a[:, :-1]
            for nodes, gain, sign in ((half, u[1] - u[0], -1), (whole, u[2] - u[1], 1)):
                cost = gain + sign * around / 4
                graph.add_grid_tedges(nodes, numpy.maximum(-cost, 0), numpy.maximum(cost, 0))
            graph.add_edges(whole.ravel(), half.ravel(), numpy.full(n * m, 1e6), numpy.zeros(n * m))
            graph.maxflow()
            graph.get_grid_segments(half), graph.get_grid_segments(whole)

    return run


def assignments(tiles: Tensor, seen: Tensor) -> Callable[[], object] | None:
    """The transport by SciPy, one image after the other."""
    optimize = _library("scipy.optimize")
    if optimize is None:
        return None
    cost = 0.8 * grid_distance(8, 8)
    profit = ((seen.flatten(1)[:, :, None] > 0) * tiles.flatten(1)[:, None] - cost).numpy()
    return lambda: [optimize.linear_sum_assignment(one, maximize=True) for one in profit]


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=128, help="images")
    parser.add_argument("--rounds", type=int, default=7, help="turns of every candidate")
    arguments = parser.parse_args()
    for n in (2, 4, 8, 16):
        terms, tiles, seen = material(arguments.batch, n)
        calls = {
            "ours, mask": lambda terms=terms: cut(*terms),
            "ours, mask and transport": lambda terms=terms, tiles=tiles, seen=seen: (
                cut(*terms),
                transport(tiles, seen),
            ),
            "gco, masks": swaps(terms),
            "PyMaxflow, masks, exact": exact(terms),
            "SciPy, transport": assignments(tiles, seen),
        }
        there = {name: call for name, call in calls.items() if call is not None}
        turns: dict[str, list[float]] = {name: [] for name in there}
        for _ in range(arguments.rounds):
            for name, call in there.items():
                start = time.perf_counter()
                call()
                turns[name].append(1e3 * (time.perf_counter() - start))
        base = statistics.median(turns["ours, mask and transport"])
        print(f"\n{arguments.batch} pairs, {n} × {n} blocks: milliseconds; over ours with transport")
        for name, found in turns.items():
            print(f"  {name:<26} {statistics.median(found):8.2f}   × {statistics.median(found) / base:6.2f}")


if __name__ == "__main__":
    main()
