"""The page of all methods holds what its run records and its count of arithmetic hold."""

from __future__ import annotations

import re
from typing import Any

import pytest

import mixlearn as ml
from mixlearn.train.records import Interval
from tests.prose import prose, run, words

PAGE = prose("09_methods")
CHEAP = ["cutout", "mixup", "both"]
MASKS = ["resizemix", "gridmix", "fmix", "smoothmix", "saliencymix", "attentivemix", "manifold", "alignmix"]


def gain(name: str, base: str, measure: str = "accuracy") -> Interval:
    return ml.runs.load(name).gain(ml.runs.load(base), measure)


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    return run("09_methods")


def test_what_to_try(page: dict[str, Any]) -> None:
    means = sorted(100 * one.mean for one in page["gains"].values())
    ends = f"Sixteen of these eighteen methods gained {means[2]:.1f} to {means[-1]:.1f} points on average"
    assert len(means) == 18 and means[1] < 0 and ends in PAGE
    clear = [one.mean > 0 for one in page["gains"].values() if one.clear]
    assert sum(clear) == 15 and "points on average, fifteen of them significantly" in PAGE
    costs = sorted(round(one, 1) for one in page["costs"].values())
    said = (
        "Twelve methods need about as much arithmetic as plain training, the other six {} to {} times as much"
    )
    assert costs[11] < 1.1 and said.format(costs[12], costs[-1]) in PAGE
    assert 3 < max(page["times"].values()) < 8 and "from one to about five times as long" in PAGE
    first = words(gain("boxes-fashion-cutmix", "boxes-fashion-plain"))
    assert f"It gained {first} points at about the cost of plain training" in PAGE
    later = gain("boxes-fashion-both", "boxes-fashion-cutmix", "ece")
    assert f"calibration error {words(later)} points above CutMix's" in PAGE and later.clear
    equal = [gain(f"{way}-fashion-{way}", f"{way}-fashion-cutmix-longer") for way in ("mixskd", "automix")]
    said = "MixSKD was then better by {} points, and AutoMix was worse by {}."
    assert said.format(*map(words, equal)) in PAGE and equal[0].mean > 0 > equal[1].mean
    ends = [100 * (one.mean + one.half) for one in equal]
    assert "nor exclude a lead of up to {:.1f} points for MixSKD and {:.1f} for AutoMix".format(*ends) in PAGE
    assert not any(one.clear for one in equal)
    for way, name in (("mixskd", "MixSKD"), ("automix", "AutoMix")):  # "about as much arithmetic"
        epochs = [ml.runs.load(f"{way}-fashion-{one}").settings["epochs"] for one in (way, "cutmix-longer")]
        assert abs(epochs[1] / epochs[0] / page["costs"][name] - 1) < 0.2, way
        assert epochs[0] == 40 and re.search(rf"\[{name}\]\(\S+\) \({epochs[1]}\b", PAGE)
    assert f"MixSKD needs {page['costs']['MixSKD']:.1f} times the arithmetic" in PAGE
    assert round(40 * page["costs"]["MixSKD"], -1) == 160 and "some 160 of CutMix" in PAGE
    longer = gain("mixskd-fashion-cutmix-longer", "mixskd-fashion-cutmix")
    epochs = [ml.runs.load(f"mixskd-fashion-{one}").settings["epochs"] for one in ("cutmix-longer", "cutmix")]
    said = "CutMix with {} epochs was {} points above CutMix with {}"
    assert said.format(epochs[0], words(longer), epochs[1]) in PAGE and not longer.clear
    leads = {way: gain(f"boxes-fashion-{way}", "boxes-fashion-cutmix") for way in CHEAP}
    leads |= {way: gain(f"masks-fashion-{way}", "boxes-fashion-cutmix") for way in MASKS}
    assert (
        [way for way, one in leads.items() if one.clear] == ["smoothmix"]
        and len(leads) == 11
        and abs(1 - 0.95 ** len(leads) - 0.5) < 0.1  # "about as likely as not", were they independent
    )
    assert (
        "Of the eleven others, only SmoothMix differed significantly from CutMix, by "
        + words(leads["smoothmix"], sign=True)
        in PAGE
    )
    assert sum(2 * one.half > 0.01 for one in leads.values()) > 6  # "Most … are wider than a point"
    pairs = [(f"boxes-emoji-{way}", "boxes-emoji-plain") for way in (*CHEAP, "cutmix")]
    pairs += [(f"{way}-emoji-{way}", f"{way}-emoji-plain") for way in ("automix", "mixskd")]
    pairs += [("automix-emoji-samix", "automix-emoji-plain")]
    masks = [*MASKS, "comixup", "puzzlemix", "snapmix"]
    pairs += [(f"masks-emoji-{way}", "boxes-emoji-plain") for way in masks]
    emoji = [gain(*pair) for pair in pairs]
    assert not any(one.clear and one.mean > 0 for one in emoji) and "none of these methods gained" in PAGE
    mixup = gain("boxes-emoji-mixup", "boxes-emoji-plain")
    assert len(emoji) == 18 and sum(one.clear for one in emoji) == 5
    assert (
        f"five lost significantly, Mixup by {words(mixup)} points" in PAGE and mixup.clear and mixup.mean < 0
    )


def test_gains_and_costs_in_the_tables(page: dict[str, Any]) -> None:
    costs, gains = page["costs"], page["gains"]
    assert gains["CutMix"] == gain("boxes-fashion-cutmix", "boxes-fashion-plain")
    assert gains["AutoMix"] == gain("automix-fashion-automix", "automix-fashion-plain")
    rows = dict(re.findall(r"^\| \[(\S[^\]]*)\]\([^)]*\) \| (.*) \|$", PAGE, re.M))
    assert {name: row.split(" | ")[0] for name, row in rows.items()} == {
        name: words(one, sign=True) for name, one in gains.items()
    }
    told = words(gain("masks-fashion-vit-transmix", "masks-fashion-vit-plain"))
    assert f"TransMix gained {told} points over a plain transformer" in PAGE
    for name, row in rows.items():
        cost = re.search(r"([\d.]+) times the arithmetic", row)
        assert abs(costs[name] - float(cost[1] if cost else 1)) < 0.06, name
        typed = re.search(r"about (\w+)(?: times)? the time", row)
        slow = {"twice": 2, "five": 5}[typed[1]] if typed else 0
        time = page["times"][name]  # typed where it differs from arithmetic; machines differ
        assert 0.6 < time / (slow or costs[name]) < 1.6, (name, time)


def test_cost_of_adautomix(page: dict[str, Any]) -> None:
    """The mean of its two kinds of step: with the block against the twin, and with it."""
    found = []
    for hard in (True, False):

        def build(net: Any, hard: bool = hard) -> Any:
            learner = ml.learners.AdAutoMix(net, stage="stage2", image_size=28)
            learner._hard = hard
            return learner

        found.append(page["step"](build) / page["plain"])
    row = next(line for line in prose("05_automix_details").splitlines() if line.startswith("| AdAutoMix |"))
    assert found[0] > found[1] and f"| {sum(found) / 2:.1f} |" in row


def test_what_the_masks_show() -> None:
    """The tables' numbers and words, from the tests with true masks and with a classifier."""
    tests = ("judge-offcentre", "all/top 2"), ("truth-emoji", "drawn/error")
    cell = r"^\| \[(\S[^\]]*)\]\([^)]*\) \| [^|]* \| (\d+) \| (\d+) \|"
    found = re.findall(cell, PAGE, re.M)
    assert len(found) == 10
    for name, *typed in found:
        way = re.sub(r"\W", "", name).lower()
        values = [100 * ml.runs.load(f"{test}-{way}").measured(measure).mean for test, measure in tests]
        assert [f"{one:.0f}" for one in values] == typed, (name, values)
    known = [
        "resizemix",
        "gridmix",
        "fmix",
        "smoothmix",
        "saliencymix",
        "attentivemix",
        "snapmix",
        "puzzlemix",
    ]
    measure = "drawn/error"
    error = {way: gain(f"truth-emoji-{way}", "truth-emoji-cutmix", measure) for way in known}
    seen = {way: gain(f"judge-offcentre-{way}", "judge-offcentre-cutmix", "all/top 2") for way in known}
    for way in ("smoothmix", "fmix"):
        assert error[way].clear and error[way].mean < 0, way
    for way in ("saliencymix", "snapmix"):
        assert error[way].clear and error[way].mean > 0, way
    assert max(error, key=lambda way: error[way].mean) == "resizemix"
    assert min(seen, key=lambda way: seen[way].mean) == "gridmix" and seen["fmix"].mean < 0
    assert max(seen, key=lambda way: seen[way].mean) == "puzzlemix"
    assert min(error, key=lambda way: error[way].mean) == "puzzlemix" and "best in both columns" in PAGE
    gains = [gain(f"masks-fashion-{way}", "boxes-fashion-plain").mean for way in ("gridmix", "puzzlemix")]
    said = "GridMix shows both least often and gains {:.1f} points, PuzzleMix most often and gains {:.1f}."
    assert said.format(*(100 * one for one in gains)) in PAGE


def test_when_to_doubt_cutmix() -> None:
    for data in ("fashion", "emoji"):
        lost = gain(f"masks-{data}-comixup", f"boxes-{data}-plain")
        assert lost.clear and lost.mean < 0 and "lost on both our sets" in PAGE
    top = "all/top 2"
    found = 100 * ml.runs.load("judge-offcentre-cutmix").measured(top).mean
    assert f"in {found:.0f} % of CutMix's mixtures" in PAGE
    seen = [gain(f"judge-offcentre-{way}", "judge-offcentre-cutmix", top) for way in ("mixup", "puzzlemix")]
    assert "Mixup shows both in {} points more, PuzzleMix in {} more.".format(*map(words, seen)) in PAGE
    noisy = gain("boxes-fashion-mixup", "boxes-fashion-cutmix", "corrupted/accuracy")
    assert f"Mixup's accuracy is {words(noisy)} points above CutMix's" in PAGE
    short = gain("curve-e10-cutmix", "curve-e10-plain")
    assert f"CutMix lost {words(short)} points" in PAGE and short.clear and short.mean < 0
    assert not gain("curve-e10-mixup", "curve-e10-plain").clear and "Mixup did not gain either" in PAGE
