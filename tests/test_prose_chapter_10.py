"""Chapter 10: what the page of scenes says of its methods, and its exercises, hold."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import torch

import mixlearn as ml
from mixlearn.train.records import names
from tests.prose import cells, prose, run

PAGE = prose("10_scenes")


@pytest.fixture(scope="module")
def scenes() -> dict[str, Any]:
    return run("10_scenes")


def default(function: Any, name: str) -> Any:
    return inspect.signature(function).parameters[name].default


def test_defaults_are_those_of_the_text() -> None:
    assert default(ml.mosaic, "middle") == (0.25, 0.75) and "over the middle half of each side" in PAGE
    assert default(ml.mosaic, "scale") == 0.5 and default(ml.DetectionCollate, "least") == 0.1
    assert "less than 10 % is left" in PAGE and "`least=0.1` is the threshold" in PAGE
    assert default(ml.segmentation_consistency, "confidence") == 0.97 and "is at least 0.97" in PAGE
    assert default(ml.cutmix_seg, "share") == 0.5 and "cover half of the image" in PAGE


def test_what_the_cells_make_is_what_the_text_says(scenes: dict[str, Any]) -> None:
    assert (scenes["seg"].plan.lam - 0.5).abs().max() < 0.03
    assert scenes["boxes"][0].shape[0] == 2 == int((scenes["maps"][1].unique() > 0).sum())
    kept = scenes["below"].source.tolist()
    assert kept.count(1) == 2, "Copy-Paste drew both objects of scene 1"
    own = scenes["classes"].plan.masks[0, 0, 0].bool()  # scene 0 is left where scene 1 has objects
    assert torch.equal(own, scenes["masks"][1].any(0)), "ClassMix drew the background"
    assert sum(share < 0.1 for share in scenes["share"].tolist()) == 1
    assert all(loss.isfinite() for loss in scenes["losses"].values())
    assert scenes["batch"]["bboxes"].min() >= 0 and scenes["batch"]["bboxes"].max() <= 1


def test_two_methods_say_not_where_a_pixel_is_from() -> None:
    images = torch.rand(2, 3, 8, 8)
    boxes, labels = [torch.zeros(0, 4)] * 2, [torch.zeros(0).long()] * 2
    assert "every method here but MoEx and AlignMix" in PAGE
    for mix in (ml.alignmix, ml.moex):
        with pytest.raises(TypeError, match="which pixel each pixel shows"):
            ml.mix_objects(mix(images).plan, boxes, labels)


def test_published_numbers_agree_with_each_other() -> None:
    for old, new in ((43.3, 43.9), (43.5, 45.1)):
        assert f"{old} to {new}" in PAGE or f"from {old} to {new}" in PAGE
    assert f"adds {43.9 - 43.3:.1f} points of box AP in 90,000 iterations and {45.1 - 43.5:.1f}" in PAGE


def test_exercises_are_solved_and_no_result_is_promised() -> None:
    asked = re.findall(r":label: (ex-\S+)", PAGE)
    solved = re.findall(r":::\{solution\} (\S+)", prose("solutions/10_beyond"))
    assert asked == [label for label in solved if label.startswith("ex-scenes")]
    assert len(cells("solutions/10_beyond", "code")) == len(solved) + 2
    assert ("worth to a detector" in PAGE) == ("scenes-detected" in names())
    assert len(PAGE.split()) <= 1600
