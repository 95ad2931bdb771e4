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

    for name in ("n2000-e10-w8", "n2000-e40-w8"):
        assert gain(f"sweep-fashion-{name}-mixup", f"sweep-fashion-{name}-plain", "test/accuracy") in PAGE
    name = "n500-e160-w8"
    found = gain(f"sweep-fashion-{name}-mixup", f"sweep-fashion-{name}-plain", "test/accuracy", sign=False)
    assert f"to gain {found}" in PAGE
    for data, test in (("fashion", "test"), ("emoji", "concepts")):
        lower = gain(f"boxes-{data}-plain", f"boxes-{data}-mixup", f"{test}/ece", sign=False)
        assert f"by {lower}" in PAGE
    lower = gain("boxes-emoji-plain", "boxes-emoji-plain-smoothed", "concepts/ece", sign=False)
    assert f"({lower})" in PAGE
    assert gain("boxes-emoji-plain", "boxes-emoji-mixup", "concepts/accuracy", sign=False) in PAGE
    for way, sign in (("mixup", False), ("cutmix", True)):
        assert gain(f"boxes-fashion-{way}", "boxes-fashion-plain", "corrupted/accuracy", sign=sign) in PAGE
    for way in ("mixup", "cutmix"):
        assert gain(f"boxes-emoji-{way}", "boxes-emoji-plain", "corrupted/accuracy") in PAGE
    assert gain("boxes-emoji-plain-smoothed", "boxes-emoji-plain", "concepts/accuracy") in PAGE
    found = gain("boxes-fashion-mixup", "boxes-fashion-plain", "test/accuracy", sign=False)
    assert f"gains {found}.)" in PAGE  # "repeats the longer setting", but for what was measured
    one, other = (
        ml.runs.load(name).settings for name in ("boxes-fashion-mixup", "sweep-fashion-n2000-e40-w8-mixup")
    )
    assert {key: one[key] for key in other} == other
    for way in ("mixup", "cutmix", "both", "plain-smoothed"):  # "neither helped"
        record = ml.runs.load(f"boxes-emoji-{way}")
        found = record.gain(ml.runs.load("boxes-emoji-plain"), "corrupted/accuracy")
        assert not (found.clear and found.mean > 0)


def test_comparisons_are_those_of_the_records() -> None:
    load = ml.runs.load
    ahead = load("automix-fashion-automix").gain(load("automix-fashion-plain-longer"), "test/accuracy")
    assert ahead.clear and f"without mixing by {words(ahead)} points" in PAGE.replace("\n", " ")
    longer = load("automix-emoji-plain-longer").gain(load("automix-emoji-automix"), "concepts/accuracy")
    assert not longer.clear and longer.mean > 0 and f"led by {words(longer)}," in PAGE
    lower = load("boxes-emoji-plain").gain(load("boxes-emoji-cutmix"), "foreign photographs/auroc")
    assert lower.clear and lower.mean > 0 and f"*lowered* it by {words(lower)} points" in PAGE
    unsure = load("boxes-emoji-mixup").gain(load("boxes-emoji-plain"), "foreign photographs/auroc")
    assert not unsure.clear and f"changed it by {words(unsure, sign=True)}" in PAGE
    mixup, cutmix = (load(f"wrong-50-{way}").gain(load("wrong-50-plain")) for way in ("mixup-8", "cutmix"))
    assert cutmix.clear and f"every batch gained\n{words(cutmix)} points in" in PAGE
    assert not mixup.clear and f"Mixup with α = 8 {words(mixup)}.\n" in PAGE
    for data, test in (("fashion", "test"), ("emoji", "concepts")):  # too much of it
        assert load(f"boxes-{data}-mixup-smoothed").measured(f"{test}/gap").mean < 0
    for way, percent in (("mixup", 15), ("cutmix", 11), ("resizemix", 8), ("puzzlemix", 21)):
        assert round(100 * load(f"judge-offcentre-{way}").measured("all/top 2").mean) == percent
        assert f"{percent} %" in PAGE


def test_coin_toss_is_a_hedge() -> None:
    load = ml.runs.load
    gain = load("boxes-fashion-both").gain(load("boxes-fashion-plain"), "test/accuracy")
    loss = load("boxes-emoji-both").gain(load("boxes-emoji-plain"), "concepts/accuracy")
    assert gain.clear and gain.mean > 0 and not loss.clear
    text = " ".join(PAGE.split())
    assert f"it gained {words(gain)} points on Fashion-MNIST" in text
    assert f"accuracy on Emoji Scenes by {words(loss, sign=True)}." in text
    for data, way in product(("fashion", "emoji"), ("cutmix", "mixup")):
        assert not load(f"boxes-{data}-both").gain(load(f"boxes-{data}-{way}"), "accuracy").clear


def test_numbers_as_targets_are_mixed() -> None:
    mixed = ml.mixup(torch.rand(2, 3, 4, 4), torch.tensor([[1.0], [3.0]]), lam=0.5, partner=[1, 0])
    assert torch.equal(mixed.targets, torch.tensor([[2.0], [2.0]]))


def test_calls_of_the_page_are_python() -> None:
    net, images = ml.nets.resnet(8, 5, width=4), torch.rand(6, 3, 32, 32)
    known: dict[str, Any] = {"ml": ml, "num_classes": 5, "net": net, "images": images}
    for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.S):
        exec(code, known)


def test_intervals_of_the_page_are_over_three_seeds() -> None:
    names = [name for name in ml.runs.names() if name.startswith(("boxes-", "sweep-", "automix-"))]
    assert "over three seeds" in PAGE
    assert {ml.runs.load(name).seeds for name in names} == {(0, 1, 2)}


def test_published_table_is_what_the_text_says() -> None:
    lines = [line.strip("|").split("|") for line in PAGE.splitlines() if " epochs |" in line]
    rows = {first.strip(): [float(x.strip(" *") or "nan") for x in rest] for first, *rest in lines}
    gains = {key: [round(value - row[0], 1) for value in row] for key, row in rows.items()}
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
