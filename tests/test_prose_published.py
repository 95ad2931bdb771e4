"""The page of published comparisons holds what its records hold."""

from __future__ import annotations

from statistics import mean
from typing import Any

import pytest

import mixlearn as ml
from mixlearn.train.records import Interval, interval
from tests.prose import prose, run, words

PAGE = prose("09_published")


def gain(one: str, base: str, measure: str = "accuracy") -> Interval:
    return ml.runs.load(one).gain(ml.runs.load(base), measure)


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    return run("09_published")


def test_wrong_labels_at_the_end() -> None:
    plain, mixed, cut = (ml.runs.load(f"wrong-50-{way}") for way in ("plain", "mixup-8", "cutmix"))
    best, better = cut.gain(plain), mixed.gain(plain)
    said = f"our network {words(best)} points more accurate, Mixup (α = 8) {words(better)}."
    assert said in PAGE and best.clear and not better.clear
    assert f"one cycle of the learning rate Mixup gains {words(better)} points" in PAGE
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
    settings = plain.settings
    assert (settings["images"], settings["epochs"]) == (1000, 80)
    assert settings["schedule"] == "one_cycle" and settings["network"] == "ResNet-8, width 16"


def test_published_numbers_of_wrong_labels(page: dict[str, Any]) -> None:
    last = [float(page["PAPER"][way].split()[-1]) for way in ("no mixing", "Mixup, strong")]
    assert f"published gain of Mixup is {last[0] - last[1]:.1f}" in PAGE
    assert {row[1] for row in page["CLAIMS"][:2]} == {f"+{last[0] - last[1]:.1f}"}


def test_step_schedule(page: dict[str, Any]) -> None:
    plain, mixed = (ml.runs.load(f"wrong-50-steps-{way}") for way in ("plain", "mixup-8"))
    assert plain.settings["schedule"].startswith("steps") and plain.seeds == mixed.seeds == (0, 1, 2)
    better = mixed.gain(plain)
    assert f"With steps it gains {words(better)}." in PAGE and not better.clear
    cycle = [ml.runs.load(f"wrong-50-{way}").values("accuracy") for way in ("plain", "mixup-8")]
    each = zip(plain.values("accuracy"), mixed.values("accuracy"), *cycle, strict=True)
    more = interval([(b - a) - (d - c) for a, b, c, d in each])
    assert f"(by {words(more)} points)" in PAGE and not more.clear
    seen, errors = page["course"]("50-steps", "mixup-8")
    average = [mean(one) for one in zip(*errors, strict=True)]
    assert min(average) == average[seen.index(48)]  # the first measurement after the first step
    assert f"is down to {min(average):.0f} %, and at the end it is back at {average[-1]:.0f} %" in PAGE
    for share in ("50", "50-steps"):  # "no such early best"
        average = [mean(one) for one in zip(*page["course"](share, "plain")[1], strict=True)]
        assert min(average) > average[-1] - 0.1


def test_verdicts_of_the_table(page: dict[str, Any]) -> None:
    assert len(page["lines"]) >= 4 and len(page["CLAIMS"]) == 8
    for name, paper, *_ in page["CLAIMS"][2:5]:
        assert f"{page['theirs'][name.removesuffix(' helps')]:+.1f}" == paper
    assert f"{page['theirs']['CutMix'] - page['theirs']['Mixup']:+.1f}" == page["CLAIMS"][5][1]


def test_regularisers_side_by_side(page: dict[str, Any]) -> None:
    here, there = ([page["ours"](way, data) for way in page["rows"]] for data in ("fashion", "emoji"))
    means, halves = ([100 * getattr(one, part) for one in here] for part in ("mean", "half"))
    assert f"All five lie between {min(means):.1f} and {max(means):.1f} points" in PAGE and len(here) == 5
    assert f"with intervals of {min(halves):.1f} to {max(halves):.1f} points" in PAGE
    assert max(means) - min(means) < min(halves), "no order can be seen"
    sure = [way for way, one in zip(page["rows"], here, strict=True) if one.clear]
    assert sure == ["CutMix", "Mixup", "Manifold Mixup"] and "three of five gains are significant" in PAGE
    assert all(page["theirs"][way] > 0 for way in sure)
    assert all(one.mean < 0 for one in there) and "On Emoji Scenes none gains" in PAGE
    clear = [way for way, one in zip(page["rows"], there, strict=True) if one.clear]
    assert clear == ["Mixup"] and f"Mixup loses {words(page['ours']('Mixup', 'emoji'))} points" in PAGE
    losses = {data: ml.runs.load(f"boxes-{data}-plain").runs for data in ("fashion", "emoji")}
    ends = {data: mean(one["epochs"][-1]["loss"] for one in runs) for data, runs in losses.items()}
    assert ends["fashion"] < 0.03 < 0.5 < ends["emoji"] and "ours stops far from that" in PAGE
    assert "no mixing" not in page["rows"] and page["theirs"]["CutMix"] == pytest.approx(1.98)


def test_shakedrop() -> None:
    shaken = gain("practice-shakedrop-cutmix", "practice-deeper-cutmix")
    assert f"hurts here**, by {words(shaken)} points" in PAGE and shaken.clear and shaken.mean < 0
    losses = [one["epochs"][-1]["loss"] for one in ml.runs.load("practice-shakedrop-cutmix").runs]
    assert min(losses) > 1 and "its training loss stays above 1" in PAGE
