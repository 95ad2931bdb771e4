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


def gain(name: str, base: str, measure: str = "test/accuracy") -> Any:
    return ml.runs.load(name).gain(ml.runs.load(base), measure)


def test_numbers_are_those_of_the_records() -> None:
    short, usual = (gain(f"{name}-cutmix", f"{name}-plain") for name in ("curve-e10", "boxes-fashion"))
    assert short.clear and usual.clear
    said = f"CutMix {words(short, sign=True)} in 10 epochs, {words(usual, sign=True)} in 40."
    assert said in TEXT
    one, other = (ml.runs.load(f"{name}-cutmix").settings for name in ("curve-e10", "boxes-fashion"))
    assert (one["epochs"], other["epochs"]) == (10, 40) and one["images"] == other["images"] == 2000
    few, crops = (gain(f"curve-few-{way}-cutmix", f"curve-few-{way}-plain") for way in ("e160", "crops"))
    assert few.clear and not crops.clear
    assert f"CutMix {words(few, sign=True)}; on top of crops and flips {words(crops, sign=True)}." in TEXT
    for way in ("e160", "crops"):
        settings = ml.runs.load(f"curve-few-{way}-cutmix").settings
        assert (settings["images"], settings["epochs"]) == (500, 160)


def test_common_case_is_that_of_the_records() -> None:
    """The four tests of the setting: CutMix with α = 1 on half of the batches."""
    for data, test, row in (
        ("fashion", "test", "2,000 images of Fashion-MNIST, 40"),
        ("emoji", "concepts", "7,200 Emoji Scenes, 15"),
    ):
        plain = ml.runs.load(f"boxes-{data}-plain")
        level = 100 * plain.measured(f"{test}/accuracy").mean
        found = gain(f"boxes-{data}-cutmix", f"boxes-{data}-plain", f"{test}/accuracy")
        assert f"| ResNet-8, {row} (ours) | {level:.1f} | {words(found, sign=True)} |" in PAGE
        assert found.clear == (data == "fashion")
        assert ml.runs.load(f"boxes-{data}-cutmix").settings["mix"] == "RandomMix([cutmix(alpha=1.0)], p=0.5)"
    plain, found = ml.runs.load("cifar10-plain"), gain("cifar10-cutmix", "cifar10-plain")
    row = f"| {plain.measured('accuracy').percent()[:4]} | {words(found, sign=True)} |"
    assert f"2,500 images of CIFAR-10, 100 ([ours](09_cifar10.ipynb)) {row}" in TEXT and found.clear
    assert plain.settings["network"] == "ResNet-18, width 16, stride 2 at first"  # of 64
    plain, cutmix = 100 - 16.45, 100 - 14.47  # errors in the paper's ablation
    assert f"300 {{cite:p}}`yun2019cutmix` | {plain:.2f} | +{cutmix - plain:.2f} |" in PAGE
    call = rule(train="scratch", time="usual", goal="accuracy")["call"]
    assert "[ml.cutmix], p=0.5" in call


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
        level = f"{100 * plain.measured(measure).mean:.1f}"
        assert f"| {' | '.join((label, title, level, *cells))} |" in PAGE
    images, epochs = (plain.settings[key] for key in ("images", "epochs"))
    assert (
        f"{images:,} images of {title} for {epochs} epochs" in TEXT
        or f"{images:,} {title} for only {epochs}" in TEXT
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
    if data == "fashion":
        both = (words(gains["accuracy, corrupted", way], sign=True) for way in ("mixup", "cutmix"))
        assert "Fashion-MNIST: Mixup {}, CutMix {}. Emoji Scenes: no gain.".format(*both) in TEXT
    else:
        lost = gains["accuracy", "mixup"]
        assert lost.clear and f"none gained, and Mixup lost {words(lost)}." in TEXT
    for way in ("cutmix", "plain-smoothed"):
        assert (
            words(gains["ECE", way], sign=True) in TEXT.partition("Calibration error]")[2].partition("* -")[0]
        )
    assert not gains["accuracy", "plain-smoothed"].clear  # "smoothing nothing significant"


def test_comparisons_are_those_of_the_records() -> None:
    load = ml.runs.load
    even = gain("automix-fashion-cutmix", "automix-fashion-automix")
    assert not even.clear and f"it did not beat CutMix ({words(even)})" in TEXT
    lower = gain("boxes-emoji-cutmix", "boxes-emoji-plain", "foreign photographs/auroc")
    assert lower.clear and lower.mean < 0 and f"photographs: CutMix {words(lower, sign=True)}." in TEXT
    mixup, cutmix = (
        gain(f"wrong-50-{way}", "wrong-50-plain", "test/accuracy") for way in ("mixup-8", "cutmix")
    )
    assert cutmix.clear and not mixup.clear
    said = f"CutMix {words(cutmix, sign=True)}, Mixup with α = 8 {words(mixup, sign=True)}."
    assert f"1,000 images of Fashion-MNIST, ResNet-8, 80 epochs: {said}" in TEXT
    settings = load("wrong-50-cutmix").settings
    assert (settings["images"], settings["epochs"], settings["mix"]) == (1000, 80, "cutmix(alpha=1.0)")
    for data, test in (("fashion", "test"), ("emoji", "concepts")):  # too much of it
        assert load(f"boxes-{data}-mixup-smoothed").measured(f"{test}/gap").mean < 0
    names = {"mixup": "Mixup", "cutmix": "CutMix", "puzzlemix": "PuzzleMix"}
    for way, percent in (("mixup", 15), ("cutmix", 11), ("puzzlemix", 21)):
        assert round(100 * load(f"judge-offcentre-{way}").measured("all/top 2").mean) == percent
        assert f"{percent} % of {names[way]}'s" in TEXT


def test_labels_that_are_few_or_uneven() -> None:
    weights, cutmix = (gain(f"uneven-{way}", "uneven-plain") for way in ("weighted", "cutmix"))
    assert f"weights {words(weights, sign=True)}, CutMix without {words(cutmix, sign=True)} (" in TEXT
    forty, more = (gain(f"few-{n}-mixmatch", f"few-{n}-plain") for n in (40, 250))
    assert f"{words(forty, sign=True)} with 40 labels, {words(more, sign=True)} with 250." in TEXT
    assert all(one.clear for one in (weights, cutmix, forty)) and not more.clear


def test_coin_toss_is_a_hedge() -> None:
    load = ml.runs.load
    for data, way in product(("fashion", "emoji"), ("cutmix", "mixup")):
        assert not load(f"boxes-{data}-both").gain(load(f"boxes-{data}-{way}"), "accuracy").clear
    found = gain("boxes-fashion-both", "boxes-fashion-cutmix")
    assert f"the toss is no better than CutMix ({words(found, sign=True)})" in TEXT


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
        "mix": ml.RandomMix([ml.cutmix], p=0.5, num_classes=5),
    }
    for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.S):
        exec(code, known)


def test_intervals_of_the_page_are_over_three_seeds() -> None:
    names = [name for name in ml.runs.names() if name.startswith(("boxes-", "sweep-", "automix-"))]
    assert "over three seeds" in TEXT
    assert {ml.runs.load(name).seeds for name in names} == {(0, 1, 2)}


def test_published_table_is_what_the_text_says() -> None:
    lines = [
        line.strip("|").split("|")
        for line in PAGE.splitlines()
        if re.search(r", [\d,]+ \| \d\d\.\d\d \| [+−]\S+ \| [+−]\S+ \| ", line)
    ]
    rows = {
        first.strip(): dict(zip(("none", "mixup", "cutmix", "automix"), map(value, rest), strict=True))
        for first, *rest in lines
    }
    assert len(rows) == 9
    assert all(max(row["mixup"], row["cutmix"], 0) < row["automix"] for row in rows.values())
    large = [row for name, row in rows.items() if name.startswith("ResNet-50")]
    assert len(large) == 3 and min(row["cutmix"] for row in large) > 0, "the ResNet-50 gained in every row"
    small = {name: row for name, row in rows.items() if name.startswith("ResNet-18")}
    much = [row for name, row in small.items() if "CIFAR" not in name]
    assert len(much) == 3 and max(row["cutmix"] for row in much) < 0, "much data costs a ResNet-18"
    assert max(row["automix"] for name, row in small.items() if "ImageNet" in name) < 0.5
    short, long = (small[f"ResNet-18, CIFAR-100, {epochs}"] for epochs in ("200", "1,200"))
    assert short["cutmix"] == 3.03 and long["cutmix"] < 0, "3.0 points in 200, but nothing in 1,200"
    fell = [f"{row[way]:.1f}".replace("-", "−") for way in ("automix", "cutmix") for row in (short, long)]
    assert "AutoMix's gain fell from {} to {}, CutMix's from {} to {}.".format(*fell) in TEXT
    assert abs(rows["ResNet-50, ImageNet, 100"]["cutmix"] - 1 / 3) < 0.05
    opening = [abs(rows[f"ResNet-{depth}, ImageNet, 300"]["cutmix"]) for depth in (50, 18)]
    assert (
        "raised a ResNet-50 by {:.1f} points and lowered a ResNet-18 by {:.1f} points.".format(*opening)
        in TEXT
    )
    deit = rows["DeiT-S, ImageNet, 300"]
    toss = 79.80 - deit["none"]
    said = f"the toss +{toss:.1f}, CutMix alone +{deit['cutmix']:.1f}, Mixup alone +{deit['mixup']:.1f}"
    assert f"DeiT-S, ImageNet, 300 epochs: {said} {{cite:p}}" in TEXT


def value(cell: str) -> float:
    return float(cell.strip().replace("−", "-"))


def test_published_differences_of_the_cases() -> None:
    """From the accuracies in the benchmark's tables."""
    none, birds, aircraft = {"CUB": 77.68, "Aircraft": 80.23}, {}, {}
    for way, cub, craft in (("manifold", 79.76, 80.68), ("cutmix", 78.40, 78.84), ("automix", 79.87, 81.37)):
        birds[way], aircraft[way] = cub - none["CUB"], craft - none["Aircraft"]
        assert f"{birds[way]:+.2f}" in TEXT and f"{aircraft[way]:+.2f}".replace("-", "−") in TEXT
    assert all(found["cutmix"] < found["manifold"] < found["automix"] for found in (birds, aircraft))
    assert f"CutMix +{63.91 - 62.53:.2f}, AutoMix +{64.73 - 62.53:.2f} on average" in TEXT
    assert (
        f"the toss {78.08 - 77.62:.2f} above CutMix alone (α = 0.2) in 100 epochs, {79.80 - 79.38:.2f} in 300"
        in TEXT
    )
    assert f"{59 / 27:.1f} times the time and memory" in TEXT and round(18.2 / 8.1, 1) == round(59 / 27, 1)
