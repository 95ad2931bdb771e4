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
    for way in ("mixup", "cutmix", "both", "plain-smoothed"):  # "neither helped"
        record = ml.runs.load(f"boxes-emoji-{way}")
        found = record.gain(ml.runs.load("boxes-emoji-plain"), "corrupted/accuracy")
        assert not (found.clear and found.mean > 0)


def test_comparisons_are_those_of_the_records() -> None:
    load = ml.runs.load
    ahead = load("automix-fashion-automix").gain(load("automix-fashion-plain-longer"), "test/accuracy")
    assert ahead.clear and f"without mixing by {words(ahead)} points" in PAGE
    longer = load("automix-emoji-plain-longer").gain(load("automix-emoji-automix"), "concepts/accuracy")
    assert not longer.clear and longer.mean > 0 and f"led by {words(longer)}," in PAGE
    lower = load("boxes-emoji-plain").gain(load("boxes-emoji-cutmix"), "foreign photographs/auroc")
    assert lower.clear and lower.mean > 0 and f"*lowered* it by {words(lower)} points" in PAGE
    for data, test in (("fashion", "test"), ("emoji", "concepts")):  # too much of it
        assert load(f"boxes-{data}-mixup-smoothed").measured(f"{test}/gap").mean < 0
    for way, percent in (("mixup", 15), ("cutmix", 11), ("resizemix", 8), ("puzzlemix", 21)):
        assert round(100 * load(f"judge-offcentre-{way}").measured("all/top 2").mean) == percent
        assert f"{percent} %" in PAGE


def test_numbers_as_targets_are_mixed() -> None:
    mixed = ml.mixup(torch.rand(2, 3, 4, 4), torch.tensor([[1.0], [3.0]]), lam=0.5, partner=[1, 0])
    assert torch.equal(mixed.targets, torch.tensor([[2.0], [2.0]]))


def test_calls_of_the_page_are_python() -> None:
    known: dict[str, Any] = {"ml": ml, "num_classes": 5}
    for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.S):
        exec(code, known)
