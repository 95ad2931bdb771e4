"""The page "Which method should I use?": every answer is a call that runs, its numbers are the records'."""

from __future__ import annotations

import json
import re
from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import mixlearn as ml
from tests.prose import BOOK, words

PAGE = (BOOK / "which.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())
FORM = (BOOK / "_assets" / "which.html").read_text(encoding="utf-8")
RULES: list[dict[str, str]] = json.loads(FORM.partition('id="which-rules">')[2].partition("</script>")[0])
CHOICES = {name: re.findall(f'name="{name}" value="([a-z]+)"', FORM) for name in ("train", "time", "goal")}


def rule(**given: str) -> dict[str, str]:
    return next(one for one in RULES if all(one.get(key, value) == value for key, value in given.items()))


def test_every_rule_answers_somebody() -> None:
    given = [dict(zip(CHOICES, some, strict=True)) for some in product(*CHOICES.values())]
    assert len(given) == 4 * 3 * 5
    assert {one["title"] for one in RULES} == {rule(**some)["title"] for some in given}
    assert all(f"({one['more']})=" in PAGE for one in RULES)


@pytest.mark.parametrize("call", sorted({one["call"] for one in RULES}))
def test_every_call_runs(call: str) -> None:
    net = ml.nets.resnet(8, 5, width=4)
    images, labels = torch.rand(6, 3, 32, 32), torch.arange(6) % 5
    known: dict[str, Any] = {"ml": ml, "F": F, "partial": partial, "net": net, "num_classes": 5}
    known |= {"images": images, "labels": labels, "logits": net(images)}
    exec(call, known)
    if "mix" in known:
        mixed = known["mix"](images, labels, generator=torch.Generator().manual_seed(0))
        assert mixed.targets.shape == (6, 5)
    elif "learner" in known:
        given = (images,) if "SimCLR" in call else (images, labels)
        assert sum(known["learner"](net, *given).values()).isfinite()
    else:
        assert known["loss"].isfinite()


def test_numbers_are_those_of_the_records() -> None:
    def gain(name: str, base: str, measure: str, *, sign: bool = True) -> str:
        found = ml.runs.load(name).gain(ml.runs.load(base), measure)
        assert sign or found.mean > 0
        return words(found, sign=sign)

    name = "n2000-e10-w8"
    assert gain(f"sweep-fashion-{name}-mixup", f"sweep-fashion-{name}-plain", "test/accuracy") in PAGE
    name = "n500-e160-w8"
    found = gain(f"sweep-fashion-{name}-mixup", f"sweep-fashion-{name}-plain", "test/accuracy", sign=False)
    assert f"to gain {found} points" in TEXT
    found = gain("boxes-fashion-mixup", "boxes-fashion-plain", "test/accuracy", sign=False)
    assert f"in 40 epochs it gained {found}." in PAGE  # the other run of 40 epochs, but for what was measured
    one, other = (
        ml.runs.load(name).settings for name in ("boxes-fashion-mixup", "sweep-fashion-n2000-e40-w8-mixup")
    )
    assert {key: one[key] for key in other} == other


@pytest.mark.parametrize(("data", "test", "title"), [
    ("fashion", "test", "Fashion-MNIST"), ("emoji", "concepts", "Emoji Scenes"),
])  # fmt: skip
def test_table_of_our_runs_is_that_of_the_records(data: str, test: str, title: str) -> None:
    ways, plain = ("mixup", "cutmix", "both", "plain-smoothed"), ml.runs.load(f"boxes-{data}-plain")
    gains: dict[tuple[str, str], Any] = {}
    for label, measure in (
        ("accuracy", f"{test}/accuracy"), ("ECE", f"{test}/ece"),
        ("accuracy, corrupted", "corrupted/accuracy"),
    ):  # fmt: skip
        found = [ml.runs.load(f"boxes-{data}-{way}").gain(plain, measure) for way in ways]
        gains |= {(label, way): one for way, one in zip(ways, found, strict=True)}
        cells = [f"**{words(one, sign=True)}**" if one.clear else words(one, sign=True) for one in found]
        assert f"| {' | '.join((label, title, *cells))} |" in PAGE
    images, epochs = (plain.settings[key] for key in ("images", "epochs"))
    assert (
        f"{images:,} images of {title} for {epochs} epochs" in PAGE
        or f"{images:,} {title} for only {epochs}" in PAGE
    )
    mixes = [ml.runs.load(f"boxes-{data}-{way}").settings["mix"] for way in ways[:2]]
    assert mixes == ["mixup(alpha=1.0)", "RandomMix([cutmix(alpha=1.0)], p=0.5)"]
    mixtures = ways[:3]
    assert {gains["accuracy", way].clear and gains["accuracy", way].mean > 0 for way in mixtures} == {
        data == "fashion"
    }
    assert all(gains["ECE", way].clear and gains["ECE", way].mean < 0 for way in ways if way != "both")
    helped = {way for way in mixtures if (one := gains["accuracy, corrupted", way]).clear and one.mean > 0}
    assert helped == ({"mixup", "both"} if data == "fashion" else set())
    if "mixup" in helped:
        assert f"gained {100 * gains['accuracy, corrupted', 'mixup'].mean:.0f} points on [corr" in PAGE
    assert not gains["accuracy", "plain-smoothed"].clear  # "smoothing nothing significant"


def test_comparisons_are_those_of_the_records() -> None:
    load = ml.runs.load
    ahead = load("automix-fashion-automix").gain(load("automix-fashion-plain-longer"), "test/accuracy")
    assert ahead.clear and f"stayed {words(ahead)} points behind on Fashion-MNIST" in TEXT
    longer = load("automix-emoji-plain-longer").gain(load("automix-emoji-automix"), "concepts/accuracy")
    assert not longer.clear
    even = load("automix-fashion-cutmix").gain(load("automix-fashion-automix"), "test/accuracy")
    assert not even.clear and f"it did not beat CutMix ({words(even)} points)" in PAGE
    lower = load("boxes-emoji-plain").gain(load("boxes-emoji-cutmix"), "foreign photographs/auroc")
    assert lower.clear and lower.mean > 0 and f"*lowered* it by {words(lower)} points" in PAGE
    mixup, cutmix = (load(f"wrong-50-{way}").gain(load("wrong-50-plain")) for way in ("mixup-8", "cutmix"))
    assert cutmix.clear and f"it gained {words(cutmix)} points in" in PAGE
    assert not mixup.clear and f"Mixup with α = 8 changed accuracy by {words(mixup, sign=True)}.\n" in PAGE
    for data, test in (("fashion", "test"), ("emoji", "concepts")):  # too much of it
        assert load(f"boxes-{data}-mixup-smoothed").measured(f"{test}/gap").mean < 0
    for way, percent in (("mixup", 15), ("cutmix", 11), ("puzzlemix", 21)):
        assert round(100 * load(f"judge-offcentre-{way}").measured("all/top 2").mean) == percent
        assert f"{percent} %" in PAGE


def test_coin_toss_is_a_hedge() -> None:
    load = ml.runs.load
    for data, way in product(("fashion", "emoji"), ("cutmix", "mixup")):
        assert not load(f"boxes-{data}-both").gain(load(f"boxes-{data}-{way}"), "accuracy").clear


def test_numbers_as_targets_are_mixed() -> None:
    mixed = ml.mixup(torch.rand(2, 3, 4, 4), torch.tensor([[1.0], [3.0]]), lam=0.5, partner=[1, 0])
    assert torch.equal(mixed.targets, torch.tensor([[2.0], [2.0]]))


def test_calls_of_the_page_are_python() -> None:
    net, images = ml.nets.resnet(8, 5, width=4), torch.rand(6, 3, 32, 32)
    known: dict[str, Any] = {
        "ml": ml,
        "num_classes": 5,
        "net": net,
        "images": images,
        "labels": torch.arange(6) % 5,
    }
    for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.S):
        exec(code, known)


def test_intervals_of_the_page_are_over_three_seeds() -> None:
    names = [name for name in ml.runs.names() if name.startswith(("boxes-", "sweep-", "automix-"))]
    assert "over three seeds" in TEXT
    assert {ml.runs.load(name).seeds for name in names} == {(0, 1, 2)}


def test_published_table_is_what_the_text_says() -> None:
    lines = [line.strip("|").split("|") for line in PAGE.splitlines() if re.search(r"\d epochs \|", line)]
    added = {
        first.strip(): [float(x.strip(" *").replace("−", "-") or "nan") for x in rest]
        for first, *rest in lines
    }
    assert len(added) == 6
    for row, line in zip(added.values(), lines, strict=True):
        assert max(row[1], row[2], row[5]) == row[5] and f"**+{row[5]:.2f}**" in line[-1]
        assert not row[4] >= row[5]  # PuzzleMix's, where it has one
    rows = {key: [row[0], *(row[0] + gain for gain in row[1:])] for key, row in added.items()}
    gains = {key: [0.0, *(round(gain, 1) for gain in row[1:])] for key, row in added.items()}
    short, long = (gains[f"ResNet-18, CIFAR-100, {epochs} epochs"] for epochs in ("200", "1,200"))
    assert (short[5], long[5], short[2], long[2]) == (3.7, 3.4, 3.0, -0.3)
    lost = [a - b for a, b in zip(short[1:], long[1:], strict=True) if a == a]
    assert min(lost) > 0 and lost[-1] == min(lost), "all gains shrink, AutoMix's least"
    assert [gains[f"ResNet-50, ImageNet, {epochs} epochs"][5] for epochs in (100, 300)] == [1.1, 1.9]
    none, _, cutmix, both, _, _ = rows["DeiT-S, ImageNet, 300 epochs"]
    assert 4 < both - none < cutmix - none < 5
    none, *mixed = rows["ResNet-18, ImageNet, 100 epochs"][:3]
    assert max(mixed) < none, "a small network may lose"
    assert gains["ResNet-18, ImageNet, 100 epochs"][2] == -1.1
    _, mixup, cutmix, *_ = gains["DeiT-S, ImageNet, 300 epochs"]
    assert mixup < cutmix / 2
    none, mixup, cutmix, *_ = rows["ResNet-50, ImageNet, 100 epochs"]
    assert max(abs(way - none - 1 / 3) for way in (mixup, cutmix)) < 0.05
    assert "about a third of a point" in PAGE
    *_, cutmix, both, _, _ = rows["DeiT-S, ImageNet, 300 epochs"]
    assert abs(cutmix - both - 1 / 3) < 0.05
