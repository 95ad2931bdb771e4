"""The page of curves holds what its records hold: each number and each comparison."""

from __future__ import annotations

import re

import mixlearn as ml
from mixlearn.train.records import Interval, interval
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
    for images, places in ((500, ("few-e10", "n500", "few-e160")), (2000, ("e10", "centre"))):
        for way, name in zip(WAYS, ("Mixup", "CutMix"), strict=True):
            row = [words(gain(place, way), sign=True) for place in places]
            row = [f"**{each}**" * gain(at, way).clear or each for at, each in zip(places, row, strict=True)]
            assert f"| {images:,} images, {name} | {' | '.join([*row, '–'][:3])} |" in PAGE
    opening = "Mixup changed accuracy by {} points, CutMix by {}. After 40 epochs both gained two points"
    assert opening.format(*both("e10")) in PAGE
    assert all(round(100 * gain("centre", way).mean) == 2 for way in WAYS)
    assert all(gain(place, way).mean < 0 for place in ("few-e10", "e10") for way in WAYS)
    assert all(
        gain("few-e160", way).mean > gain("n500", way).mean > gain("few-e10", way).mean for way in WAYS
    )


def last_loss(place: str, way: str = "plain") -> float:
    runs = ml.runs.load(f"curve-{place}-{way}").runs
    return sum(run["epochs"][-1]["loss"] for run in runs) / len(runs)


def test_passes_not_steps() -> None:
    settings = [ml.runs.load(f"curve-{place}-plain").settings for place in ("n500", "e10")]
    steps = {-(-one["images"] // one["batch_size"]) * one["epochs"] for one in settings}
    assert steps == {320} and "the same number of steps, 320" in PAGE
    losses = [last_loss(place) for place in ("n500", "e10")]
    assert "(training loss {:.2f}), that of the second has not ({:.2f})".format(*losses) in PAGE


def test_alpha() -> None:
    strong = ["a05", "centre", "a2", "a4"]
    low, *_, high = spread(strong, "mixup")
    assert f"and between {low} and {high} from 0.5 on" in PAGE and 1.8 < low <= high < 2.2
    assert f"Mixup gains {words(gain('a02', 'mixup'))} at α = 0.2" in PAGE
    low, *_, high = spread([*strong, "a02"], "cutmix")
    assert f"CutMix gains between {low} and {high} points for α from 0.2 to 4" in PAGE
    assert all(abs(gain(place, way).mean - 0.02) < 0.006 for place in strong for way in WAYS)


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
    ends = [last_loss(place) for place in ("crops", "centre")]
    assert "now ends at {:.2f}, where it was {:.2f}".format(*ends) in PAGE
    longer = [gain("few-crops", way) for way in WAYS]
    assert "changes accuracy by {} and {}.".format(*(words(one, sign=True) for one in longer)) in PAGE
    assert f"it nearly does ({last_loss('few-crops'):.2f})" in PAGE and not any(one.clear for one in longer)
    for way in WAYS:
        error = gain("few-crops", way, "ece")
        assert error.clear and f"fell there by {-100 * error.mean:.1f} points" in PAGE


def test_width() -> None:
    small = [gain("w4", way) for way in WAYS]
    said = (
        "With half the width (4) Mixup gains {} points and CutMix {}: neither differs significantly from zero"
    )
    assert said.format(*map(words, small)) in PAGE and not any(one.clear for one in small)
    plain, narrow = (ml.runs.load(f"curve-{place}-plain").values("accuracy") for place in ("centre", "w4"))
    for way in WAYS:  # "nor significantly less than at width 8"
        both = (ml.runs.load(f"curve-{place}-{way}").values("accuracy") for place in ("centre", "w4"))
        lost = [b - d - (a - c) for a, b, c, d in zip(*both, plain, narrow, strict=True)]
        assert not interval(lost).clear


def test_calibration() -> None:
    drawn = "".join(cells("09_curves", "code")[1]["source"])
    places = set(re.findall(r'": "([\w-]+)"', drawn))
    assert {"few-e160", "crops", "a02", "p75"} <= places
    known = {place for place in places if f"curve-{place}-cutmix" in ml.runs.names()}
    for place in known - {"crops", "few-crops"}:
        for way in WAYS:
            assert (gain(place, way, "ece").mean > 0) == (place in ("few-e10", "e10")), place
    half, whole = gain("centre", "mixup", "ece"), gain("p100", "mixup", "ece")
    said = "With $p$ = ½ Mixup lowers the error by {} points, with $p$ = 1 by {}, and CutMix likewise"
    assert said.format(words(half), words(whole)) in PAGE
    for way in WAYS:
        more = ml.runs.load(f"curve-p100-{way}").gain(ml.runs.load(f"curve-centre-{way}"), "ece")
        modest = [
            ml.runs.load(f"curve-{place}-{way}").measured("gap") for place in ("p100", "e10", "few-e10")
        ]
        assert more.clear and more.mean > 0 and all(one.clear and one.mean < 0 for one in modest)
