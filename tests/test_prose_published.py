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
    assert f"it gained {words(better)}, which is not significant. CutMix gained {words(best)}." in PAGE
    assert best.clear and not better.clear
    assert f"is {words(cut.gain(mixed))} points lower than Mixup's" in PAGE and cut.gain(mixed).clear
    losses = [one["epochs"][-1]["loss"] for one in plain.runs]
    assert f"its training loss ends at {mean(losses):.2f}." in PAGE and max(losses) < 0.01
    settings = plain.settings
    assert (settings["images"], settings["epochs"]) == (1000, 80)
    assert settings["schedule"] == "one_cycle" and settings["network"] == "ResNet-8, width 16"


def test_published_numbers_of_wrong_labels(page: dict[str, Any]) -> None:
    last = [float(page["PAPER"][way].split()[-1]) for way in ("no mixing", "Mixup, strong")]
    assert f"Mixup gained {last[0] - last[1]:.1f} points in its paper." in PAGE
    names = ("wrong-50-plain", "curve-n1000-plain", "practice-deeper-plain", "wrong-50-cutmix")
    ends = [100 - 100 * ml.runs.load(name).measured("accuracy").mean for name in names]
    assert f"to end at an error of {ends[0] - last[0] + last[1]:.1f} %." in PAGE
    assert (
        f"end at {ends[1]:.1f} % (a ResNet-8 of half the width) and {ends[2]:.1f} % (a ResNet-20), both"
        in PAGE
    )
    assert all(abs(ends[0] - end - 30) < 2 for end in ends[1:3]) and "cost about 30 points, and" in PAGE
    assert 0.3 < (ends[0] - ends[3]) / (ends[0] - ends[1]) < 0.36, "a third"
    for name, network in (
        ("curve-n1000-plain", "ResNet-8, width 8"),
        ("practice-deeper-plain", "ResNet-20, width 8"),
    ):
        settings = ml.runs.load(name).settings
        assert (settings["images"], settings["epochs"], settings["network"]) == (1000, 40, network)
    assert "its error rises from {} to {} %".format(*page["PAPER"]["no mixing"].split(" / ")) in PAGE
    assert {row[1] for row in page["CLAIMS"][:2]} == {f"+{last[0] - last[1]:.1f}"}


def test_step_schedule(page: dict[str, Any]) -> None:
    plain, mixed = (ml.runs.load(f"wrong-50-steps-{way}") for way in ("plain", "mixup-8"))
    assert plain.settings["schedule"].startswith("steps") and plain.seeds == mixed.seeds == (0, 1, 2)
    better = mixed.gain(plain)
    assert f"gain in the last epoch, {words(better)} points, is not" in PAGE and not better.clear
    seen, errors = page["course"]("50-steps", "mixup-8")
    average = [mean(one) for one in zip(*errors, strict=True)]
    assert min(average) == average[seen.index(48)]  # the first measurement after the first step
    assert f"first step its error is {min(average):.0f} %," in PAGE
    rise = interval([(one[-1] - one[seen.index(48)]) / 100 for one in errors])
    assert f"ends {words(rise)} points higher" in PAGE and rise.clear
    ends = []
    for share in ("50", "50-steps"):  # "within 0.1 points of its lowest"
        average = [mean(one) for one in zip(*page["course"](share, "plain")[1], strict=True)]
        assert min(average) > average[-1] - 0.1
        ends.append(average[-1])
    assert "at {:.1f} % with one cycle and {:.1f} % with steps".format(*ends) in PAGE


def test_four_in_five_random(page: dict[str, Any]) -> None:
    plain, weak, strong, cut = (
        ml.runs.load(f"wrong-80-{way}") for way in ("plain", "mixup", "mixup-8", "cutmix")
    )
    assert all(one.seeds == (0, 1, 2) and one.settings["epochs"] == 80 for one in (plain, weak, strong, cut))
    gains = [one.gain(plain) for one in (strong, weak, cut)]
    assert [one.clear for one in gains] == [False, False, True] and cut.gain(strong).clear
    assert f"With 80 % it gains {words(gains[2])} points over no mixing" in PAGE
    for share in page["SETS"]:  # the table's best is that of the figure
        assert page["best_and_last"](share, "plain") in {row[0]: row for row in page["lines"]}["no mixing"]


def test_verdicts_of_the_table(page: dict[str, Any]) -> None:
    assert len(page["lines"]) == 4 and len(page["CLAIMS"]) == 9
    found = [
        page["verdict"](page["gain"](*(one.format("fashion") for one in row[2:]))) for row in page["CLAIMS"]
    ]
    assert [found.count(one) for one in ("**seen**", "not seen", "**opposite**")] == [3, 5, 1]
    assert "three show a gain again, five do not, and one comes out opposite" in PAGE
    there = [
        page["verdict"](page["gain"](*(one.format("emoji") for one in row[2:])))
        for row in page["CLAIMS"][3:8]
    ]
    assert sorted(there) == ["**opposite**"] + 4 * ["not seen"] and "four of five show no gain" in PAGE
    halves = [
        100 * page["gain"](*(one.format(data) for one in row[2:])).half
        for row in page["CLAIMS"]
        for data in ("fashion", "emoji")
    ]
    assert f"reached {min(halves):.1f} to {max(halves):.1f} points to either side" in PAGE
    for name, paper, *_ in page["CLAIMS"][3:7]:
        assert f"{page['theirs'][name.removesuffix(' helps')]:+.1f}" == paper
    assert f"{page['theirs']['CutMix'] - page['theirs']['Mixup']:+.1f}" == page["CLAIMS"][7][1]


def test_regularisers_side_by_side(page: dict[str, Any]) -> None:
    here, there = ([page["ours"](way, data) for way in page["rows"]] for data in ("fashion", "emoji"))
    means, halves = ([100 * getattr(one, part) for one in here] for part in ("mean", "half"))
    assert (
        f"All five means lie between {min(means):.1f} and {max(means):.1f} points" in PAGE and len(here) == 5
    )
    assert f"with intervals of {min(halves):.1f} to {max(halves):.1f} points" in PAGE
    assert max(means) - min(means) < min(halves), "no order can be seen"
    sure = [way for way, one in zip(page["rows"], here, strict=True) if one.clear]
    assert sure == ["CutMix", "Mixup", "Manifold Mixup"] and "three of five gains are significant" in PAGE
    assert all(page["theirs"][way] > 0 for way in sure) and page["theirs"]["Cutout"] < 0
    far = [
        way
        for way, one in zip(page["rows"], here, strict=True)
        if 100 * (one.mean - one.half) > page["theirs"][way]
    ]
    assert {"Mixup", "Manifold Mixup"} <= set(far) & set(sure) and "CutMix" not in far
    assert (
        "Mixup ({Mixup:.1f}) and Manifold Mixup ({Manifold Mixup:.1f}) lie".format(**page["theirs"]) in PAGE
    )
    assert all(one.mean < 0 for one in there) and "On Emoji Scenes none gains" in PAGE
    clear = [way for way, one in zip(page["rows"], there, strict=True) if one.clear]
    assert clear == ["Mixup"] and f"Mixup loses {words(page['ours']('Mixup', 'emoji'))} points" in PAGE
    losses = {data: ml.runs.load(f"boxes-{data}-plain").runs for data in ("fashion", "emoji")}
    ends = {data: mean(one["epochs"][-1]["loss"] for one in runs) for data, runs in losses.items()}
    assert ends["fashion"] < 0.03 < 0.5 < ends["emoji"]
    assert f"ours stops far from that, at a training loss of {ends['emoji']:.2f} without mixing" in PAGE
    middle = [page["theirs"][way] for way in ("Mixup", "Manifold Mixup", "Cutout + smoothing")]
    assert (
        max(middle) - min(middle) == pytest.approx(0.5, abs=0.05) and "differ by about half a point" in PAGE
    )
    assert "no mixing" not in page["rows"] and page["theirs"]["CutMix"] == pytest.approx(1.98)


def test_shakedrop() -> None:
    shaken = gain("practice-shakedrop-cutmix", "practice-deeper-cutmix")
    assert (
        f"It loses {words(shaken)} points here" in PAGE
        and "comes out opposite" in PAGE
        and shaken.clear
        and shaken.mean < 0
    )
    ends = [
        mean(one["epochs"][-1]["loss"] for one in ml.runs.load(f"practice-{way}-plain").runs)
        for way in ("shakedrop", "deeper")
    ]
    assert f"the training loss ends at {ends[0]:.1f}, without ShakeDrop near zero" in PAGE and ends[1] < 0.01
