"""Boxes from heat maps: the largest part against SciPy's, the overlap by hand, and both protocols."""

import pytest
import torch
from scipy import ndimage

import mixlearn as ml
from mixlearn.measure.localize import _largest_part
from tests.refused import refused
from tests.seeds import seeded


@pytest.mark.parametrize("density", [0.05, 0.6])
def test_the_largest_part_is_scipys(density):
    on = torch.rand(20, 9, 13, generator=seeded()) < density
    on[:, 4, 6] = True
    for one, found in zip(on, _largest_part(on), strict=True):
        names, _ = ndimage.label(one.numpy())
        sizes = torch.bincount(torch.as_tensor(names).flatten())[1:]
        assert int(found.sum()) == int(sizes.max())
        inside = torch.as_tensor(names)[found].unique()
        assert len(inside) == 1 and sizes[inside - 1] == sizes.max()


def test_boxes_are_tight_and_a_flat_map_is_all():
    maps = torch.zeros(2, 1, 6, 8)
    maps[0, 0, 1:3, 2:7] = 1
    maps[0, 0, 5, 0] = 1  # a smaller part
    assert ml.measure.spread_boxes(maps, 0.5).tolist() == [[2, 1, 7, 3], [0, 0, 8, 6]]


def test_the_best_threshold_forgives_flat_maps_and_the_fixed_one_does_not():
    maps = torch.full((4, 1, 16, 16), 0.6)
    maps[:, :, 4:12, 4:12] = 1.0
    maps[:, :, 0, 0] = 0.0
    boxes = torch.tensor([[4, 4, 12, 12]]).expand(4, 4)
    found = ml.measure.localization(maps, boxes)
    assert found.best == 1.0 and found.fixed == 0.0 and found.threshold > 0.6
    assert found.curve.shape == (21,) and found.curve.max() == 1


def test_overlap_counts_union():
    maps = torch.zeros(1, 1, 10, 10)
    maps[..., :10, :5] = 1
    boxes = torch.tensor([[0, 0, 10, 10]])  # half of it
    assert ml.measure.localization(maps, boxes, overlap=0.5, thresholds=[0.5]).best == 1.0
    assert ml.measure.localization(maps, boxes, overlap=0.51, thresholds=[0.5]).best == 0.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: ml.measure.spread_boxes(torch.zeros(2, 3, 4, 4), 0.5),
        lambda: ml.measure.localization(torch.zeros(0, 1, 4, 4), torch.zeros(0, 4)),
        lambda: ml.measure.spread_boxes(torch.full((1, 1, 4, 4), torch.nan), 0.5),
        lambda: ml.measure.localization(torch.zeros(1, 1, 4, 4), torch.zeros(1, 4), thresholds=[]),
    ],
)
def test_bad_input_is_named(call):
    refused(lambda: call(), "got")
