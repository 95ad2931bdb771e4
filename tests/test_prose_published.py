"""The page of published comparisons holds what its records hold."""

from __future__ import annotations

from statistics import mean
from typing import Any

import pytest

import mixlearn as ml
from mixlearn.train.records import Interval
from tests.prose import prose, run, words

PAGE = prose("09_published")


def gain(one: str, base: str, measure: str = "accuracy") -> Interval:
    return ml.runs.load(one).gain(ml.runs.load(base), measure)


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    return run("09_published")


def test_wrong_labels_at_the_end() -> None:
    plain, mixed = (ml.runs.load(f"wrong-50-{way}") for way in ("plain", "mixup-8"))
    said = "right in {:.1f} % of the cases, and {:.1f} points more sure than that. With Mixup (α = 8) it is"
    here, there = ([100 * one.measured(key).mean for key in ("accuracy", "gap")] for one in (plain, mixed))
    assert said.format(*here) in PAGE
    assert "right in {:.1f} %, no significant difference, but only {:.1f} points more".format(*there) in PAGE
    better = mixed.gain(plain)
    assert f"is {words(better)} points better, which is not significant" in PAGE and not better.clear
    assert f"is {here[1]:.1f} points more sure than right. With Mixup the gap is {there[1]:.1f}" in PAGE
    nll = [one.measured("nll") for one in (mixed, plain)]
    assert "is {:.2f} in place of {:.2f}.".format(*(each.mean for each in nll)) in PAGE
    assert mixed.gain(plain, "nll").clear and mixed.gain(plain, "gap").clear
    losses = [one["epochs"][-1]["loss"] for one in plain.runs]
    assert f"a training loss of {mean(losses):.2f}" in PAGE and max(losses) < 0.01


def test_wrong_labels_on_the_way(page: dict[str, Any]) -> None:
    seen, errors = page["course"](50, "mixup-8")
    average = [mean(each) for each in zip(*errors, strict=True)]
    down, back = average[seen.index(24)], max(average[seen.index(40) :])
    said = f"down to {down:.0f} % after 24 epochs, comes back to {back:.0f} % and ends at {average[-1]:.0f} %"
    assert said in PAGE
    assert f"The best measurement of each seed averages {mean(map(min, errors)):.0f} %" in PAGE
    _, plain = page["course"](50, "plain")
    average = [mean(each) for each in zip(*plain, strict=True)]
    assert min(average) > average[-1] - 0.1 and "Without mixing the error is lowest at the end" in PAGE
    settings = ml.runs.load("wrong-50-plain").settings
    assert (settings["images"], settings["epochs"], len(seen)) == (1000, 80, 10)
    assert settings["schedule"] == "one_cycle" and settings["network"] == "ResNet-8, width 16"


def test_regularisers_side_by_side(page: dict[str, Any]) -> None:
    here, there = ([page["ours"](way, data) for way in page["rows"]] for data in ("fashion", "emoji"))
    means, halves = ([100 * getattr(one, part) for one in here] for part in ("mean", "half"))
    assert f"gain between {min(means):.1f} and {max(means):.1f} points there" in PAGE and len(here) == 5
    assert f"intervals of {min(halves):.1f} to {max(halves):.1f} points" in PAGE
    assert max(means) - min(means) < min(halves), "no order can be seen"
    assert all(one.mean < 0 for one in there) and "On Emoji Scenes none gains" in PAGE
    clear = [way for way, one in zip(page["rows"], there, strict=True) if one.clear]
    assert clear == ["Mixup"] and f"Mixup loses {words(page['ours']('Mixup', 'emoji'))} points" in PAGE
    losses = {data: ml.runs.load(f"boxes-{data}-plain").runs for data in ("fashion", "emoji")}
    ends = {data: mean(one["epochs"][-1]["loss"] for one in runs) for data, runs in losses.items()}
    assert ends["fashion"] < 0.03 < 0.5 < ends["emoji"] and "ours stops far from that" in PAGE
    assert "no mixing" not in page["rows"] and page["theirs"]["CutMix"] == pytest.approx(2.22)


def test_combinations(page: dict[str, Any]) -> None:
    assert len(page["lines"]) >= 2 and "Three of these changes" in PAGE
    for _, one, base in page["CHANGES"].values():
        if {one, base} <= page["known"]:
            assert not gain(one, base).clear


def test_mixing_off_at_the_end() -> None:
    off = [
        words(gain(f"practice-early-{way}", f"curve-centre-{way}"), sign=True) for way in ("mixup", "cutmix")
    ]
    assert "changes by {} points with Mixup and by {} with CutMix".format(*off) in PAGE
    assert not any(gain(f"practice-early-{way}", f"curve-centre-{way}").clear for way in ("mixup", "cutmix"))
