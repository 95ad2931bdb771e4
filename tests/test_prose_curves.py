"""The page of curves holds what its records hold: each number and each comparison."""

from __future__ import annotations

import re

import mixlearn as ml
from mixlearn.train.records import Interval
from tests.prose import cells, prose, words

PAGE = prose("09_curves")
WAYS = ("mixup", "cutmix")


def gain(place: str, way: str, measure: str = "accuracy") -> Interval:
    base = "centre" if place[0] in "ap" else place
    return ml.runs.load(f"curve-{place}-{way}").gain(ml.runs.load(f"curve-{base}-plain"), measure)


def both(place: str) -> list[str]:
    return [words(gain(place, way), sign=True) for way in WAYS]


def spread(places: list[str], *ways: str) -> list[float]:
    return sorted(round(100 * gain(place, way).mean, 1) for place in places for way in ways)


def test_epochs() -> None:
    first, last = both("few-e10")
    assert f"goes from {first} (Mixup) and {last} points (CutMix) after 10 epochs" in PAGE
    assert "to {} and {} after 40 and {} and {} after 160".format(*both("n500"), *both("few-e160")) in PAGE
    assert "With 2,000 images and ten epochs it is {} and {}.".format(*both("e10")) in PAGE
    assert all(gain(place, way).mean < 0 for place in ("few-e10", "e10") for way in WAYS)
    long = [words(gain("few-e160", way)) for way in WAYS]
    assert "they gained {} (Mixup) and {} points (CutMix)".format(*long) in PAGE
    assert all(
        gain("few-e160", way).mean > gain("n500", way).mean > gain("few-e10", way).mean for way in WAYS
    )


def test_alpha() -> None:
    strong = ["a05", "centre", "a2", "a4"]
    low, *_, high = spread(strong, "mixup")
    assert f"and between {low} and {high} from 0.5 on" in PAGE and 1.8 < low <= high < 2.2
    assert f"Mixup gains {words(gain('a02', 'mixup'))} at α = 0.2" in PAGE
    low, *_, high = spread([*strong, "a02"], "cutmix")
    assert f"CutMix gains between {low} and {high} points for α from 0.2 to 4" in PAGE
    low, *_, high = spread(strong, "cutmix")
    assert f"about 2 points for Mixup, {low} to {high} for CutMix" in PAGE


def test_share_of_batches() -> None:
    assert "gives Mixup {} points and CutMix {}; mixing all".format(*both("p25")) in PAGE
    assert "mixing all of them gives {} and {}".format(*both("p100")) in PAGE
    for way in WAYS:
        middle = ml.runs.load(f"curve-centre-{way}")
        assert not any(ml.runs.load(f"curve-{p}-{way}").gain(middle).clear for p in ("p75", "p100"))


def test_images_and_crops() -> None:
    low, *_, high = spread(["n500", "n1000", "centre"], *WAYS)
    assert f"the gain stays between {low} and {high} points" in PAGE
    assert "Mixup changes accuracy by {} points, CutMix by {}.".format(*both("crops")) in PAGE
    ends = [
        sum(run["epochs"][-1]["loss"] for run in ml.runs.load(f"curve-{place}-plain").runs) / 3
        for place in ("crops", "centre")
    ]
    assert "now ends at {:.2f}, where it was {:.2f}".format(*ends) in PAGE


def test_calibration() -> None:
    drawn = "".join(cells("09_curves", "code")[1]["source"])
    places = set(re.findall(r'": "([\w-]+)"', drawn))
    assert {"few-e160", "crops", "a02", "p75"} <= places
    assert not any(gain("crops", way, "ece").clear for way in WAYS)  # "With crops it hardly moves"
    for place in places - {"crops"}:
        for way in WAYS:
            assert (gain(place, way, "ece").mean > 0) == (place in ("few-e10", "e10")), place
