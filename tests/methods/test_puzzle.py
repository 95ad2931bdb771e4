"""PuzzleMix: its energy summed over pixels, masks that cost least, blocks that move where they are seen."""

import itertools
import math

import pytest
import torch

import mixlearn as ml
from mixlearn.methods.graph_cut import mask_energy
from mixlearn.methods.puzzlemix import colour_seams, puzzle_energy
from tests.refused import refused
from tests.seeds import seeded

LABELS = (0.0, 0.5, 1.0)


def pair(size, n, m, seed=0, batch=1, channels=2):
    """Two batches of images and the saliency of their blocks."""
    g = seeded(seed)
    images = [torch.randn(batch, channels, *size, generator=g) for _ in range(2)]
    worth = [torch.rand(batch, n, m, generator=g) for _ in range(2)]
    return images, [maps / maps.sum((1, 2), keepdim=True) for maps in worth]


def neighbours(n, m):
    """The blocks beside and below each other: ((i, j), (k, l))."""
    below = [((i, j), (i + 1, j)) for i in range(n - 1) for j in range(m)]
    return below + [((i, j), (i, j + 1)) for i in range(n) for j in range(m - 1)]


def step(first, second, p, q, n, m):
    """The mean step in colour from block p of one image (C, H, W) to block q of another, pixel by pixel."""
    channels, height, width = first.shape
    tall, wide = height // n, width // m
    steps = []
    for c in range(channels):
        if p[0] != q[0]:
            row = q[0] * tall
            for x in range(p[1] * wide, (p[1] + 1) * wide):
                steps.append(abs(float(first[c, row - 1, x] - second[c, row, x])))
        else:
            column = q[1] * wide
            for y in range(p[0] * tall, (p[0] + 1) * tall):
                steps.append(abs(float(first[c, y, column - 1] - second[c, y, column])))
    return sum(steps) / len(steps)


def naive(z, own, other, images, lam, beta, gamma, eta, unit):
    """The energy of labels z[i][j] as the docstrings define it, less what the partner's own seams cost."""
    n, m = own.shape
    smooth = beta / (16 * max(n, m))
    chance = {0.0: (1 - lam) ** 2, 0.5: 2 * lam * (1 - lam), 1.0: lam**2}
    energy = 0.0
    for i, j in itertools.product(range(n), range(m)):
        label = z[i][j]
        energy += label * float(other[i, j]) + (1 - label) * float(own[i, j])
        energy -= eta / (n * m) * math.log(chance[label])
    for p, q in neighbours(n, m):
        a, b = z[p[0]][p[1]], z[q[0]][q[1]]
        energy += smooth * (a - b) ** 2
        if gamma:
            same, own_other, other_own, neither = (
                step(images[k], images[l], p, q, n, m) / unit for k, l in ((0, 0), (0, 1), (1, 0), (1, 1))
            )
            surplus = max(0.0, own_other + other_own - same - neither)
            seam = a * (same + own_other - other_own - neither) / 2
            seam += b * (same + other_own - own_other - neither) / 2 + surplus / 2 * (a - b) ** 2
            energy += gamma * smooth * seam
    return energy


def every_mask(n, m, labels=LABELS):
    found = torch.tensor([*itertools.product(labels, repeat=n * m)])
    return found.view(-1, n, m)


@pytest.mark.parametrize(("n", "m", "size"), [(2, 2, (4, 6)), (1, 3, (2, 6)), (2, 3, (4, 3))])
@pytest.mark.parametrize("weights", [(3.0, 0.0, 0.0), (0.5, 20.0, 1.0)])
def test_the_energy_is_the_sum_over_pixels(n, m, size, weights):
    beta, gamma, eta = weights
    (own, other), (own_worth, other_worth) = pair(size, n, m, seed=n + 3 * m)
    for lam in (0.2, 0.5):
        seams = colour_seams(own, other, n, m) if gamma else None
        share = torch.tensor([lam])
        terms = puzzle_energy(own_worth, other_worth, share, seams, beta=beta, gamma=gamma, eta=eta)
        unit = 4 * float(own.std())
        masks = every_mask(n, m)[:: max(1, 3 ** (n * m - 4))]
        found = mask_energy(masks, *(term.expand(len(masks), *term.shape[1:]) for term in terms))
        for z, energy in zip(masks.tolist(), found.tolist(), strict=True):
            known = naive(z, own_worth[0], other_worth[0], (own[0], other[0]), lam, beta, gamma, eta, unit)
            assert abs(energy - known) < 1e-5


def test_lam_rises_with_the_lam_drawn():
    images = torch.rand(32, 3, 16, 16, generator=seeded())
    for blocks in ([4], [16], None):
        got = []
        for lam in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0):
            plan = ml.puzzlemix(images, lam=lam, blocks=blocks, generator=seeded(1)).plan
            got.append(float(plan.lam.mean()))
        assert got == sorted(got) and got[0] < 0.05 and got[-1] > 0.95
        assert abs(got[3] - 0.5) < 0.05


def test_a_hidden_block_moves_to_where_it_is_seen():
    """Both are salient in the first two blocks: each shows one there, and moves the other."""
    worth = torch.zeros(2, 1, 4, 4)
    worth[:, 0, 0, :2] = torch.tensor([[0.6, 0.4], [0.4, 0.6]])
    worth[0, 0, 1:3] = worth[1, 0, 3:] = 1e-3  # who has little sees the rest
    maps = worth.repeat_interleave(2, 2).repeat_interleave(2, 3)
    maps = maps / maps.sum((2, 3), keepdim=True)
    images = maps.repeat(1, 3, 1, 1)
    known = {"saliency": maps, "blocks": [4], "lam": 0.5, "partner": [1, 0], "beta": 0.0, "eta": 0.0}
    shown = {}
    for move in (None, 10.0, 0.01):
        mixed = ml.puzzlemix(images, **known, move=move)
        plan = mixed.plan
        assert plan.masks[0, 0, 0, 0].tolist() == [1, 1, 0, 0, *plan.masks[0, 0, 0, 0, 4:].tolist()]
        assert torch.allclose(mixed.images, (plan.masks * plan.parts(images)).sum(0), atol=1e-6)
        shown[move] = ((plan.masks > 0) * plan.parts(maps)).sum((2, 3, 4))[:, 0]  # in part or whole
    assert torch.equal(shown[None], shown[10.0]) and bool((shown[None] < 0.7).all())
    assert bool((shown[0.01] > 0.95).all())


def test_orders_are_permutations_and_parts_the_moved_blocks():
    images = torch.rand(6, 3, 12, 8, generator=seeded())
    maps = torch.rand(6, 1, 12, 8, generator=seeded(1)) ** 4
    maps = maps / maps.sum((2, 3), keepdim=True)
    plan = ml.puzzlemix(images, saliency=maps, move=0.001, blocks=[4], generator=seeded(2)).plan
    n, m = plan.grid
    assert torch.equal(plan.order.sort(2).values, torch.arange(n * m).expand(2, 6, n * m))
    assert not torch.equal(plan.order, torch.arange(n * m).expand(2, 6, n * m))
    tall, wide = 12 // n, 8 // m
    parts = plan.parts(images)
    for k, i, place in itertools.product(range(2), range(6), range(n * m)):
        from_ = int(plan.order[k, i, place])
        (y, x), (v, u) = divmod(place, m), divmod(from_, m)
        block = images[plan.sources[k, i], :, v * tall : (v + 1) * tall, u * wide : (u + 1) * wide]
        assert torch.equal(parts[k, i, :, y * tall : (y + 1) * tall, x * wide : (x + 1) * wide], block)


@pytest.mark.parametrize("move", [None, 0.8])
def test_class_maps_are_cut_and_moved_like_the_images(move):
    """Maps that repeat the image, so that what becomes of them can be read off the mixed images."""
    images = torch.arange(2 * 64).view(2, 1, 8, 8).float()
    maps = images[:, 0].long()
    halves = torch.zeros(2, 1, 8, 8)
    halves[0, 0, :, :4] = halves[1, 0, :, 4:] = 1 / 32
    mixed = ml.puzzlemix(images, saliency=halves, blocks=[4], lam=0.5, partner=[1, 0], move=move)
    for dtype in (torch.int64, torch.uint8):
        ids = mixed.plan.mix(maps.to(dtype))
        assert ids.dtype == dtype and torch.equal(ids.float(), mixed.images[:, 0])
    assert torch.equal(mixed.plan.mix(maps[:, None])[:, 0], mixed.plan.mix(maps))


def test_class_maps_under_halves_go_as_one_hot_maps():
    generator = seeded()
    images, maps = torch.rand(4, 3, 8, 8, generator=generator), torch.arange(4 * 64).view(4, 8, 8) % 5
    plan = ml.puzzlemix(images, eta=2.0, lam=0.5, generator=generator).plan
    assert bool((plan.masks == 0.5).any())
    with pytest.raises(TypeError, match="cannot be averaged under masks between 0 and 1.*one-hot them first"):
        plan.mix(maps)
    soft = plan.mix(torch.nn.functional.one_hot(maps, 5).movedim(-1, 1).float())
    assert soft.shape == (4, 5, 8, 8) and torch.allclose(soft.sum(1), torch.ones(4, 8, 8))
    refused(lambda: plan.mix(maps[:, :4]), r"images must have shape \(4, …, 8, 8\) to go with the masks")
