"""The page of curves holds what its records hold: each number and each comparison."""

from __future__ import annotations

import re
from typing import Any

import mixlearn as ml
from mixlearn.train.records import Interval, interval
from tests.prose import cells, prose, words

PAGE = prose("09_curves")
WAYS = ("mixup", "cutmix")


def gain(place: str, way: str, measure: str = "accuracy") -> Interval:
    base = "centre" if place[0] in "ap" else place
    return ml.runs.load(f"curve-{place}-{way}").gain(ml.runs.load(f"curve-{base}-plain"), measure)


def spread(places: list[str], *ways: str) -> list[float]:
    return sorted(round(100 * gain(place, way).mean, 1) for place in places for way in ways)


SETTINGS = [name[6:-6] for name in ml.runs.names() if re.fullmatch("curve-.*-plain", name)]
SETTINGS = [name for name in SETTINGS if {f"curve-{name}-{way}" for way in WAYS} <= set(ml.runs.names())]


def test_what_fits_gains_and_what_does_not_loses() -> None:
    losses = {place: last_loss(place) for place in SETTINGS}
    assert (
        len(losses) >= 9 and "in every setting whose training loss *without* mixing ended below 0.1" in PAGE
    )
    assert sum(loss > 0.3 for loss in losses.values()) == 3 and "in every setting (three) where" in PAGE
    for place, loss in losses.items():
        for way in WAYS:
            assert loss > 0.1 or gain(place, way).mean > 0, place
            assert loss < 0.3 or gain(place, way).mean < 0, place


def test_a_counterexample_on_photographs() -> None:
    plain = ml.runs.load("cifar10-plain")
    loss = sum(run["epochs"][-1]["loss"] for run in plain.runs) / len(plain.runs)
    found = ml.runs.load("cifar10-cutmix").gain(plain)
    assert f"CutMix gains {words(found)} points at a loss of {loss:.2f}, with crops." in PAGE and found.clear
    assert plain.settings["augment"] == "crop_and_flip"


def test_the_page_finds_the_records() -> None:
    page: dict[str, Any] = {}
    for cell in cells("09_curves", "code")[1:5]:
        exec("".join(cell["source"]), page)
    assert set(page["SETTINGS"]) == set(SETTINGS) and page["words"]("crops").endswith(
        "epochs, crops and flips"
    )
    sure = sum(gain(place, way).clear for place in page["low"] for way in WAYS)
    assert page["count"](page["low"], 1) == f"{sure} of {2 * len(page['low'])}"


def last_loss(place: str, way: str = "plain") -> float:
    runs = ml.runs.load(f"curve-{place}-{way}").runs
    return sum(run["epochs"][-1]["loss"] for run in runs) / len(runs)


def test_passes_not_steps() -> None:
    settings = [ml.runs.load(f"curve-{place}-plain").settings for place in ("n500", "e10")]
    steps = {-(-one["images"] // one["batch_size"]) * one["epochs"] for one in settings}
    assert steps == {320} and "the same number of steps, 320" in PAGE
    losses = [last_loss(place) for place in ("n500", "e10")]
    cutmix = [words(gain(place, "cutmix")) for place in ("n500", "e10")]
    assert f"ends at a loss of {losses[0]:.2f}, and CutMix gains {cutmix[0]} points." in PAGE
    assert f"The second ends at {losses[1]:.2f}, and CutMix loses {cutmix[1]}." in PAGE


def test_alpha() -> None:
    strong = ["a05", "centre", "a2", "a4"]
    low, *_, high = spread(strong, "mixup")
    assert f"Mixup gains between {low} and {high} from α = 0.5 on" in PAGE and 1.8 < low <= high < 2.2
    assert f"it gains {words(gain('a02', 'mixup'))}, which is significantly less" in PAGE
    again = ml.runs.load("boxes-fashion-cutmix").gain(ml.runs.load("boxes-fashion-plain"))
    assert f"has CutMix gain {words(again)} points" in PAGE
    weak = ml.runs.load("curve-a02-mixup").gain(ml.runs.load("curve-centre-mixup"))
    assert weak.clear and weak.mean < 0
    low, *_, high = spread([*strong, "a02"], "cutmix")
    assert f"CutMix gains between {low} and {high} points for α from 0.2 to 4" in PAGE


def test_share_of_batches() -> None:
    for way in WAYS:  # "no p from ¼ to 1 differs significantly from ½"
        middle = ml.runs.load(f"curve-centre-{way}")
        assert not any(ml.runs.load(f"curve-{p}-{way}").gain(middle).clear for p in ("p25", "p75", "p100"))


def test_images_and_crops() -> None:
    low, *_, high = spread(["n500", "n1000", "centre"], *WAYS)
    assert f"the gain stays between {low} and {high} points" in PAGE
    ends = [last_loss(place) for place in ("centre", "crops", "few-crops", "w4")]
    assert (
        "rises from {:.2f} to {:.2f}".format(*ends) in PAGE
        and f"the loss is {ends[2]:.2f}, and neither" in PAGE
    )
    assert f"At half the width the loss is {ends[3]:.2f}" in PAGE
    assert not any(gain(place, way).clear for place in ("crops", "few-crops", "w4") for way in WAYS)
    errors = [gain("few-crops", way, "ece") for way in WAYS]
    assert all(
        error.clear and f"calibration error, by {-100 * error.mean:.1f} points" in PAGE for error in errors
    )
    assert "(Mixup ± {:.1f}, CutMix ± {:.1f})".format(*(100 * error.half for error in errors)) in PAGE
    plain, narrow = (ml.runs.load(f"curve-{place}-plain").values("accuracy") for place in ("centre", "w4"))
    for way in WAYS:  # "or from the gain at full width"
        both = (ml.runs.load(f"curve-{place}-{way}").values("accuracy") for place in ("centre", "w4"))
        lost = [b - d - (a - c) for a, b, c, d in zip(*both, plain, narrow, strict=True)]
        assert not interval(lost).clear
    twice = [gain("w16", way) for way in WAYS]
    gains = f"Mixup gains {words(twice[0])} points, CutMix {words(twice[1])}:"
    assert f"it is {last_loss('w16'):.2f}, and {gains}" in PAGE
    assert all(wide.mean < gain("centre", way).mean for wide, way in zip(twice, WAYS, strict=True))


def test_calibration() -> None:
    found = []
    for way in WAYS:
        whole, quarter = (
            ml.runs.load(f"curve-{p}-{way}").gain(ml.runs.load(f"curve-centre-{way}"), "ece")
            for p in ("p100", "p25")
        )
        modest = ml.runs.load(f"curve-p100-{way}").measured("gap")
        assert whole.clear and whole.mean > 0 and modest.clear and modest.mean < 0 and not quarter.clear
        found.append(words(whole))
    assert "by {} points with Mixup and {} with CutMix (the same seeds compared)".format(*found) in PAGE
