"""The page of published comparisons holds what its records hold."""

from __future__ import annotations

import re
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
    plain, mixed, cut = (ml.runs.load(f"wrong-50-{way}") for way in ("plain", "mixup-8", "cutmix"))
    right = [100 * one.measured("accuracy").mean for one in (plain, mixed, cut)]
    said = "{:.1f} % of the test images. With Mixup (α = 8) it is right in {:.1f} %, with CutMix in {:.1f} %."
    assert said.format(*right) in PAGE
    best = cut.gain(plain)
    assert f"no gain in this book is larger than CutMix's {words(best)} points" in PAGE and best.clear
    better = mixed.gain(plain)
    assert f"it is {words(better)} points better, which is not significant" in PAGE and not better.clear
    gentle = ml.runs.load("wrong-50-mixup").gain(plain)
    assert f"With α = 1 it is {words(gentle)}." in PAGE and not gentle.clear
    assert f"It ends {words(cut.gain(mixed))} points above Mixup" in PAGE and cut.gain(mixed).clear
    gaps = [abs(100 * one.measured("gap").mean) for one in (plain, mixed, cut)]
    said = (
        "is {:.1f} points more sure than right. With Mixup it is {:.1f} points too sure, with CutMix {:.1f}"
    )
    assert said.format(*gaps) in PAGE and cut.measured("gap").mean < 0 < mixed.measured("gap").mean
    nll = [one.measured("nll").mean for one in (plain, mixed, cut)]
    assert "falls from {:.2f} to {:.2f} and {:.2f}".format(*nll) in PAGE
    assert all(one.gain(plain, "nll").clear and one.gain(plain, "gap").clear for one in (mixed, cut))
    losses = [one["epochs"][-1]["loss"] for one in plain.runs]
    assert f"a training loss of {mean(losses):.2f}" in PAGE and max(losses) < 0.01


def test_no_other_gain_is_as_large() -> None:
    found = {}
    for name in ml.runs.names():
        base = re.sub(r"-(mixup-8|mixup|cutmix)$", "-plain", name)
        if base != name and base in ml.runs.names() and ml.runs.load(base).seeds == ml.runs.load(name).seeds:
            found[name] = gain(name, base).mean
    assert len(found) > 20 and max(found, key=lambda name: found[name]).startswith("wrong-")
    assert found["wrong-50-cutmix"] == max(found.values())


def test_wrong_labels_on_the_way(page: dict[str, Any]) -> None:
    seen, errors = page["course"](50, "mixup-8")
    average = [mean(each) for each in zip(*errors, strict=True)]
    down, back = average[seen.index(24)], max(average[seen.index(40) :])
    assert f"down to {down:.0f} % after 24 epochs, rises to {back:.0f} % while" in PAGE
    assert f"wrong labels after all, and ends at {average[-1]:.0f} %" in PAGE
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
    sure = [way for way, one in zip(page["rows"], here, strict=True) if one.clear]
    assert sure == ["CutMix", "Mixup", "Manifold Mixup"] and "**Three signs hold" in PAGE
    assert all(page["theirs"][way] > 0 for way in sure)
    assert all(one.mean < 0 for one in there) and "On Emoji Scenes none gains" in PAGE
    clear = [way for way, one in zip(page["rows"], there, strict=True) if one.clear]
    assert clear == ["Mixup"] and f"Mixup loses {words(page['ours']('Mixup', 'emoji'))} points" in PAGE
    losses = {data: ml.runs.load(f"boxes-{data}-plain").runs for data in ("fashion", "emoji")}
    ends = {data: mean(one["epochs"][-1]["loss"] for one in runs) for data, runs in losses.items()}
    assert ends["fashion"] < 0.03 < 0.5 < ends["emoji"] and "ours stops far from that" in PAGE
    assert "no mixing" not in page["rows"] and page["theirs"]["CutMix"] == pytest.approx(1.98)


def test_combinations(page: dict[str, Any]) -> None:
    found = {change: gain(one, base) for change, (_, one, base) in page["CHANGES"].items()}
    assert len(page["lines"]) == len(found) == 3 and "Three of their changes" in PAGE
    shaken = found.pop("ShakeDrop under CutMix")
    assert f"**ShakeDrop hurts here**, by {words(shaken)} points" in PAGE and shaken.clear and shaken.mean < 0
    assert not any(one.clear for one in found.values())
    losses = [one["epochs"][-1]["loss"] for one in ml.runs.load("practice-shakedrop-cutmix").runs]
    assert min(losses) > 1 and "its training loss stays above 1" in PAGE
    assert all(abs(paper) < 0.7 for paper, *_ in page["CHANGES"].values())


def test_mixing_off_at_the_end() -> None:
    off = [
        words(gain(f"practice-early-{way}", f"curve-centre-{way}"), sign=True) for way in ("mixup", "cutmix")
    ]
    assert "changes by {} points with Mixup and by {} with CutMix".format(*off) in PAGE
    assert not any(gain(f"practice-early-{way}", f"curve-centre-{way}").clear for way in ("mixup", "cutmix"))
