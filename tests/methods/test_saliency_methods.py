"""Where saliency puts boxes and cells, what SnapMix's boxes mean, SmoothMix's spot, GridMix's holes."""

import math

import pytest
import torch

import mixlearn as ml
from tests.seeds import seeded


def peaked(places, height, width):
    """Maps with their peak at (row, column) and a little everywhere else."""
    maps = torch.full((len(places), 1, height, width), 1e-3)
    for i, (y, x) in enumerate(places):
        maps[i, 0, y, x] = 1.0
    return maps


PLACES = [(0, 0), (9, 15), (5, 3), (2, 12), (7, 8)]


# ------------------------------------------------------------------------------------------ SaliencyMix
@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_the_box_lies_around_the_partners_peak(lam):
    images, partner = torch.rand(5, 3, 10, 16, generator=seeded()), [3, 4, 0, 1, 2]
    maps, side = peaked(PLACES, 10, 16), math.sqrt(1 - lam)
    plan = ml.saliencymix(images, saliency=maps, lam=lam, partner=partner).plan
    tall, wide = round(side * 10), round(side * 16)
    for i, (x0, y0, x1, y1) in enumerate(plan.boxes.tolist()):
        y, x = PLACES[partner[i]]
        assert [x0, x1] == [max(0, x - wide // 2), min(16, x - wide // 2 + wide)]
        assert [y0, y1] == [max(0, y - tall // 2), min(10, y - tall // 2 + tall)]
        assert lam == 1 or (y0 <= y < y1 and x0 <= x < x1)
        assert abs(float(plan.lam[i]) - (1 - (x1 - x0) * (y1 - y0) / 160)) < 1e-6


def test_one_peak_for_all_is_that_of_the_first_partner():
    images, maps = torch.rand(5, 3, 10, 16, generator=seeded()), peaked(PLACES, 10, 16)
    known = {"saliency": maps, "lam": 0.8, "partner": [2, 0, 1, 4, 3]}
    one, each = (ml.saliencymix(images, one_peak=flag, **known).plan.boxes for flag in (True, False))
    assert torch.equal(one, each[:1].expand(5, 4)) and len(each.unique(dim=0)) == 5
    spread = ml.saliencymix(images, one_peak=True, per_image=True, saliency=maps, generator=seeded()).plan
    assert len(spread.boxes.unique(dim=0)) > 1  # of other sizes at the same place


# ------------------------------------------------------------------------------------------ AttentiveMix+
@pytest.mark.parametrize(("size", "grid"), [((14, 21), 7), ((3, 9), 7)])
def test_the_most_salient_cells_are_pasted(size, grid):
    height, width = size
    images = torch.rand(4, 1, height, width, generator=seeded())
    rows, columns = min(grid, height), min(grid, width)
    maps = torch.rand(4, 1, height, width, generator=seeded(1))
    worth = torch.nn.functional.adaptive_avg_pool2d(maps, (rows, columns)).flatten(1)
    for lam in (0.0, 0.2, 6 / 7, 1.0):
        plan = ml.attentivemix(images, saliency=maps, grid=grid, lam=lam, partner=[1, 2, 3, 0]).plan
        count = min(max(round((1 - lam) * rows * columns), 1), rows * columns - 1)
        for i in range(4):
            best = worth[(i + 1) % 4].topk(count).indices.tolist()
            for y in range(height):
                for x in range(width):
                    cell = y * rows // height * columns + x * columns // width
                    assert float(plan.masks[1, i, 0, y, x]) == (cell in best)


# ------------------------------------------------------------------------------------------ SnapMix
@pytest.mark.parametrize("per_image", [False, True])
def test_labels_weigh_what_the_boxes_hold(per_image):
    images = torch.rand(5, 3, 9, 14, generator=seeded())
    maps = torch.rand(5, 1, 9, 14, generator=seeded(1)) ** 2
    maps = maps / maps.sum((2, 3), keepdim=True)
    labels, partner = (
        torch.tensor([0, 1, 2, 2, 1]),
        [3, 4, 3, 0, 1],
    )  # the third and its partner are one class
    for seed in range(4):
        known = {"saliency": maps, "partner": partner, "per_image": per_image, "generator": seeded(seed)}
        _, targets, plan = ml.snapmix(images, labels, num_classes=3, **known)
        taken = plan.taken.expand(5, 4).tolist()
        for i, ((x0, y0, x1, y1), (u0, v0, u1, v1)) in enumerate(
            zip(plan.boxes.tolist(), taken, strict=True)
        ):
            covered = float(maps[i, 0, y0:y1, x0:x1].sum())
            gained = float(maps[partner[i], 0, v0:v1, u0:u1].sum())
            if x1 == x0 or y1 == y0 or u1 == u0 or v1 == v0:
                covered = gained = 0.0
            expected = torch.zeros(3)
            expected[labels[i]] += 1 - covered
            expected[labels[partner[i]]] += gained
            assert torch.allclose(targets[i], expected, atol=1e-5)
        assert len(plan.taken) == (5 if per_image else 1)


# ------------------------------------------------------------------------------------------ SmoothMix
def test_the_spot_is_a_gaussian_and_lam_what_it_leaves():
    images = torch.rand(6, 2, 20, 30, generator=seeded())
    labels = torch.arange(6)
    for seed in range(5):
        mixed = ml.smoothmix(images, labels, num_classes=6, per_image=True, generator=seeded(seed))
        spot = mixed.plan.masks[1, :, 0].double()
        assert torch.allclose(mixed.plan.lam.double(), 1 - spot.mean((1, 2)), atol=1e-6)
        log = spot.log()  # a parabola: its second differences are −1/σ² each, and the axes do not mix
        down, across = log.diff(n=2, dim=1), log.diff(n=2, dim=2)
        sigma = [(-1 / values.mean((1, 2))).sqrt() / size for values, size in ((down, 20), (across, 30))]
        assert torch.allclose(sigma[0], sigma[1], rtol=0.05)
        assert bool(((sigma[0] > 0.24) & (sigma[0] < 0.51)).all())
        assert float(log.diff(dim=1).diff(dim=2).abs().max()) < 1e-2
        assert bool((spot.amax((1, 2)) > 0.98).all())  # its centre lies in the image


def test_inverted_gives_each_label_the_others_share():
    images, labels = torch.rand(4, 1, 8, 8, generator=seeded()), torch.arange(4)
    known = {"num_classes": 4, "partner": [1, 2, 3, 0]}
    right, wrong = (
        ml.smoothmix(images, labels, inverted=flag, generator=seeded(2), **known) for flag in (False, True)
    )
    assert (
        torch.allclose(right.images, wrong.images, atol=1e-6) and abs(float(right.plan.lam[0]) - 0.5) > 0.02
    )
    assert torch.allclose(wrong.plan.lam, 1 - right.plan.lam)
    assert torch.allclose(wrong.plan.lam_drawn, right.plan.lam)
    assert torch.allclose(wrong.targets.diagonal(), 1 - right.targets.diagonal())


# ------------------------------------------------------------------------------------------ GridMix
@pytest.mark.parametrize("size", [(32, 48), (9, 7), (1, 1)])
def test_holes_have_one_size_in_every_cell_of_the_window(size):
    images = torch.rand(30, 1, *size, generator=seeded())
    for lam in (0.0, 0.36, 0.75, 1.0):
        plan = ml.gridmix(images, lam=lam, per_image=True, generator=seeded(1)).plan
        hole = plan.masks[1, :, 0]
        down, across = hole.amax(2), hole.amax(1)
        assert torch.equal(hole, down[:, :, None] * across[:, None, :])  # rows and columns of squares
        assert torch.allclose(plan.lam, 1 - hole.mean((1, 2)))
        if lam == 1:
            assert not bool(hole.any())
        if lam == 0:  # the whole window
            assert int(down.diff(dim=1).abs().sum(1).max()) <= 2
    even = ml.gridmix(images, lam=0.75, cells=(2, 2), window=(1, 1), generator=seeded()).plan
    assert size != (32, 48) or torch.allclose(even.lam, torch.tensor(0.75), atol=0.1)
