"""The mosaic lab: its picture, boxes and shares in node are the package's, and its state in Python."""

import dataclasses
from functools import partial

import pytest
import torch

import mixlearn as ml
from mixlearn.page.mosaic_lab import AROUND, _six
from tests.page import node
from tests.refused import refusals

in_node = partial(node.in_node, ("mosaic",))
LAID = """return given.cases.map(({ centre, scale, boxes }) => {
    const all = js.places(given.size, centre, scale);
    return boxes.map((own, k) => own.map((box) => js.seen(box, all[k], given.size))); });"""
PAINTED = """const all = js.places(given.size, given.centre, given.scale);
    return [...js.painted(given.photos, all, given.size, 2, given.centre, 80)];"""


def some_boxes(count, size, generator):
    ends = torch.rand(count, 2, 2, generator=generator).mul(size).sort(1).values
    return ends.flatten(1) + torch.tensor([0, 0, 0.5, 0.5])


@pytest.mark.parametrize("size", [50, 128])
def test_boxes_and_shares_are_those_of_mix_objects(size):
    g = torch.Generator().manual_seed(size)
    cases = []
    for _ in range(40):
        centre = torch.randint(size + 1, (2,), generator=g).tolist()
        scale = int(torch.randint(10, 101, (), generator=g)) / 100
        boxes = [some_boxes(5, size, g).clamp(max=size) for _ in range(4)]
        cases.append({"centre": centre, "scale": scale, "boxes": [one.tolist() for one in boxes]})
    cases += [{**cases[0], "centre": end, "scale": 1.0} for end in ([0, 0], [size, 0], [size, size])]
    for case, found in zip(cases, in_node(LAID, {"size": size, "cases": cases}), strict=True):
        blank = torch.zeros(4, 1, size, size)
        plan = ml.mosaic(blank, scale=case["scale"], centre=case["centre"], partners=AROUND).plan
        boxes = [torch.tensor(one) for one in case["boxes"]]
        objects = ml.mix_objects(plan, boxes, [torch.arange(5)] * 4, least=0)[0]
        shown = [one for own in found for one in own if one["visible"] > 1e-9]
        assert len(shown) == len(objects.boxes), case
        assert torch.allclose(torch.tensor([one["part"] for one in shown]).float(), objects.boxes, atol=1e-3)
        assert torch.allclose(
            torch.tensor([one["visible"] for one in shown]).float(), objects.visible, atol=1e-3
        )


@pytest.mark.parametrize(("centre", "scale"), [([5, 9], 0.5), ([16, 0], 1.0), ([3, 12], 0.3)])
def test_pixels_are_those_of_the_mosaic(centre, scale):
    size, g = 16, torch.Generator().manual_seed(0)
    images = torch.randint(256, (4, 4, size, size), generator=g).float()
    images[:, 3] = 255
    photos = images.int().permute(0, 2, 3, 1).flatten(1).tolist()
    given = {"photos": photos, "size": size, "centre": centre, "scale": scale}
    drawn = torch.tensor(in_node(PAINTED, given)).view(20, 20, 4).permute(2, 0, 1)
    expected = ml.mosaic(images, scale=scale, centre=centre, partners=AROUND, fill=114).images[0]
    assert torch.equal(drawn[:3, 2:-2, 2:-2], expected[:3])
    assert bool((drawn[3, 2:-2, 2:-2] == 255).all()) and set(drawn[3, 0].tolist()) <= {0, 80}


def test_other_scenes_and_their_names():
    four = dataclasses.replace(
        _six(), images=_six().images[:4, :, ::2, ::2], boxes=tuple(one // 2 for one in _six().boxes[:4]),
        labels=_six().labels[:4], masks=_six().masks[:4],
    )  # fmt: skip
    lab = ml.widgets.mosaic_lab((30, 30), (0, 0, 3, 3), scenes=four)
    assert lab.size == 64 and not lab.shipped and len(lab.photos) == 4
    assert lab.photos[3]["boxes"] == four.boxes[3].tolist()
    assert [four.classes[k] for k in four.labels[1]] == lab.photos[1]["classes"]
    assert 'alt="Mosaic lab: scenes 0, 0, 3 and 3 meet at column 30, row 30"' in lab.html()


test_wrong_arguments = refusals(
    ({"centre": (129, 0)}, r"centre must be \(x, y\) in whole numbers from 0 to 128, got \[129, 0\]"),
    ({"centre": (1.5, 0)}, r"centre must be \(x, y\) in whole numbers"),
    ({"order": (0, 1, 2)}, r"order must be four scenes in whole numbers from 0 to 5, got \[0, 1, 2\]"),
    ({"order": (0, 1, 2, 6)}, "order must be four scenes in whole numbers from 0 to 5"),
    ({"scale": 0}, r"scale must lie in \[0.1, 1\], got 0.0"),
    ({"least": 1.1}, r"least must lie in \[0, 1\], got 1.1"),
    by=lambda arguments: ml.widgets.mosaic_lab(**arguments),
)
