"""Chapter 2's prose holds what the records and the libraries hold: its numbers and its comparisons."""

from __future__ import annotations

import inspect
import math
import re
from typing import Any

import pytest
import torch
from timm.loss import BinaryCrossEntropy

import mixlearn as ml
from benchmarks import whose_lam
from mixlearn.train.records import Interval, Record
from tests.prose import BOOK, cells, held, prose, words

PAGES = ("02_mixup", "02_mixup_results", "02_mixup_details")
HIDDEN = {"hide-input", "remove-input", "hide-cell", "remove-cell"}


METHOD, RESULTS, DETAILS = map(prose, PAGES)
RELEASED = (BOOK / "as_released.md").read_text(encoding="utf-8")


def pair(name: str) -> tuple[Record, Record]:
    return ml.runs.load(f"{name}-mixup"), ml.runs.load(f"{name}-plain")


def gain(name: str, measure: str) -> Interval:
    mixed, plain = pair(name)
    return mixed.gain(plain, measure)


# ------------------------------------------------------------------------------------------ the pages
@pytest.mark.parametrize("name", PAGES)
def test_pages_are_short(name: str) -> None:
    assert len(prose(name).split()) <= 2000
    code = cells(name, "code")
    shown = [cell["source"] for cell in code if not HIDDEN & set(cell["metadata"].get("tags", []))]
    assert len(shown) <= 12 and max(map(len, shown)) <= 25
    lines = [line.rstrip("\n") for cell in code if cell["id"] != "setup" for line in cell["source"]]
    assert max(map(len, lines)) <= 79


def test_every_exercise_has_a_solution() -> None:
    asked = re.findall(r":::\{exercise\}.*\n:label: (\S+)", " ".join((METHOD, RESULTS, DETAILS)))
    solved = re.findall(r":::\{solution\} (\S+)", prose("solutions/02_mixup"))
    assert len(asked) == len(set(asked)) == 9 and sorted(asked) == sorted(solved)


# ------------------------------------------------------------------------------------------ the method
def test_smaller_share() -> None:
    def mean(alpha: float) -> float:
        beta = math.exp(2 * math.lgamma(alpha) - math.lgamma(2 * alpha))
        return 0.5 - 1 / (alpha * 4**alpha * beta)

    shown = round(mean(0.2), 2), round(mean(1.0), 2)
    page = (BOOK / "02_mixup.ipynb").read_text(encoding="utf-8")  # in the answer to a question
    assert f"its mean is {shown[0]:.2f} here, and {shown[1]:.2f} at α = 1" in page


# ------------------------------------------------------------------------------------------ two data sets
def test_accuracy() -> None:
    fashion, emoji = gain("fashion", "accuracy"), gain("emoji", "concepts/accuracy")
    for change in (fashion, emoji):
        assert not change.clear and words(change, sign=True) in RESULTS, words(change, sign=True)
    assert pair("fashion")[1].settings["images"] == 2000 and pair("fashion")[1].settings["epochs"] == 40
    assert pair("emoji")[1].settings["images"] == 7200 and pair("emoji")[1].settings["epochs"] == 15
    assert {len(record.seeds) for name in ("fashion", "emoji") for record in pair(name)} == {3}
    for name in ("fashion", "emoji"):  # those of CutMix's page
        change = gain(f"boxes-{name}", "accuracy")
        assert change.clear and f"{words(change, sign=True)} " in RESULTS.replace(" points", "")


def test_confidence() -> None:
    for name, nll, ece in (("fashion", "nll", "ece"), ("emoji", "concepts/nll", "concepts/ece")):
        for change in (gain(name, nll), gain(name, ece)):
            assert change.mean < 0 and change.clear
        assert words(gain(name, ece), sign=True) in RESULTS
    shares = [f"{100 * record.measured('ece').mean:.1f} %" for record in reversed(pair("fashion"))]
    assert f"from {shares[0]} to {shares[1]}" in RESULTS
    for name, measure in (("fashion", "gap"), ("emoji", "concepts/gap")):
        before, after = (100 * record.measured(measure).mean for record in reversed(pair(name)))
        assert f"from {before:.1f} to {after:.1f}".replace("-", "−") in RESULTS.replace(" points", "")


def test_things_that_do_not_occur_in_training() -> None:
    emoji = ml.data.load("emoji")
    seen, met = set(emoji.train.names), set(emoji.tests["concepts"].names)
    assert "mammal" in emoji.classes and not seen & met
    assert "with bears and cats, and tested with foxes and giraffes" in RESULTS
    assert {"bear", "cat"} <= seen and {"fox", "giraffe"} <= met


def test_lowest_loss() -> None:
    """Half a nat at α = 1, where the classes differ: nine times in ten."""
    lam = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    entropy = -(lam * lam.log() + (1 - lam) * (1 - lam).log()).mean().item()
    assert abs(entropy - 0.5) < 1e-4 and f"{0.9 * entropy:.2f} for $\\alpha = 1$ and ten classes" in RESULTS


def test_sampling_errors() -> None:
    def error(p: float, n: int) -> float:
        return round(100 * (p * (1 - p) / n) ** 0.5, 1)

    assert len(ml.data.load("fashion").test) == 10_000 and len(ml.data.load("emoji").test) == 1_100
    assert error(pair("fashion")[0].measured("accuracy").mean, 10_000) == 0.4
    assert error(pair("emoji")[0].measured("accuracy").mean, 1_100) == 1.5


# ------------------------------------------------------------------------------------------ the grid
SWEEP = [ml.runs.load(name) for name in ml.runs.names() if name.startswith("sweep-fashion")]
GRID = [*SWEEP, *pair("fashion")]


def changed(measure: str) -> dict[tuple[int, int, int], Interval]:
    found = ml.figures.differences(GRID, measure)
    return {(c.images, c.epochs, c.width): Interval(c.mean, c.half, 3) for c in found}


def test_where_it_pays() -> None:
    change = changed("accuracy")
    helped = {cell for cell, one in change.items() if one.clear and one.mean > 0}
    hurt = {cell for cell, one in change.items() if one.clear and one.mean < 0}
    assert len(change) == 9 and len(SWEEP) == 16  # eight settings and that of the first figure
    assert (
        "in two of the nine settings, hurt significantly in two" in RESULTS
        and "difference in five" in RESULTS
    )
    assert helped == {(500, 160, 8), (2000, 40, 8)} and hurt == {(2000, 10, 8), (2000, 10, 16)}
    for cell in helped:
        assert cell[1] == max(epochs for images, epochs, _ in change if images == cell[0])
    told = "500 images for 160 epochs and 2,000 images for 40, "
    for where, text in ((helped, told), (hurt, "on 2,000 images, ")):
        low, high = sorted(f"{100 * abs(change[cell].mean):.1f}" for cell in where)
        assert f"{text}by {low} to {high} points" in RESULTS
    assert change[500, 10, 8].mean < change[2000, 10, 8].mean
    assert change[500, 10, 16].mean < change[2000, 10, 16].mean


def test_confidence_over_the_grid() -> None:
    nll, ece = changed("nll"), changed("ece")
    short = [cell for cell in nll if cell[1] == 10]
    longer = [cell for cell in nll if cell[1] > 10]
    assert len(short) == 4 and len(longer) == 5
    assert all(nll[cell].clear and nll[cell].mean > 0 for cell in short)
    assert all(ece[cell].mean > 0 for cell in short) and sum(ece[cell].clear for cell in short) == 3
    assert all(each[cell].clear and each[cell].mean < 0 for each in (nll, ece) for cell in longer)
    assert all(one.mean < 0 for one in changed("gap").values())
    for way, told in (("plain", "({} to {} points)"), ("mixup", "further below ({} to {})")):
        of = [r for r in GRID if r.name.endswith(way) and r.settings["epochs"] == 10]
        gaps = sorted(record.measured("gap").mean for record in of)
        ends = [f"−{-100 * end:.1f}" for end in (gaps[0], gaps[-1])]
        assert len(of) == 4 and gaps[-1] < 0 and told.format(*ends) in RESULTS, ends


def test_calibration_improves_where_the_network_was_overconfident() -> None:
    assert "improved the calibration wherever the plain network was overconfident" in RESULTS
    for before in (record for record in GRID if record.name.endswith("plain")):
        change = ml.runs.load(before.name.replace("plain", "mixup")).gain(before, "ece")
        assert (max if change.mean > 0 else min)(before.values("gap")) * change.mean < 0, before.name
    assert min(pair("emoji")[1].values("concepts/gap")) > 0


def test_learned_by_heart() -> None:
    plain = [record for record in GRID if record.name.endswith("plain")]
    for record in plain:
        ends, epochs = [run["epochs"][-1]["loss"] for run in record.runs], record.settings["epochs"]
        assert (max(ends) < 0.1) if epochs > 10 else (min(ends) > 0.3), record.name
    told = "in the five longer settings their training loss ends below 0.1, in the four short ones above 0.3"
    assert told in RESULTS and [r.settings["epochs"] for r in plain].count(10) == 4 and len(plain) == 9
    batches = {-(-n // 64) * epochs for n, epochs in ((2000, 10), (500, 40))}
    assert {record.settings["batch_size"] for record in plain} == {64}
    assert batches == {320} and "forty on 500 are both 320 batches, but only the first lost" in RESULTS
    for width in (8, 16):
        assert not changed("accuracy")[500, 40, width].clear


def test_published_gains() -> None:
    number = r" \| ([\d.]+)"
    table = re.findall(rf"^\| ResNet-(\d+){number * 4} \|$", RESULTS, re.MULTILINE)
    gains = {int(d): (float(b) - float(a), float(e) - float(c)) for d, a, b, c, e in table}
    assert max(gains.pop(18)) < 0 and set(gains) == {50, 101}
    assert all(long > short > 0 for short, long in gains.values())
    assert all(deep > shallow for deep, shallow in zip(gains[101], gains[50], strict=True))
    assert "deeper networks gain more, and more from longer training; ResNet-18 gains nothing" in RESULTS
    low, high = (gains[depth][1] for depth in (50, 101))
    assert f"reach {round(low)} to {high:.1f} points for ResNet-50 and ResNet-101 in long training" in RESULTS


# ------------------------------------------------------------------------------------------ losses
def test_binarised_rows_are_those_of_timm() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(8, 5, generator=generator), torch.arange(8) % 5
    soft = ml.mixup(torch.zeros(8, 1), labels, num_classes=5, per_image=True, generator=generator).targets
    theirs = BinaryCrossEntropy(target_threshold=0.2)(logits, soft)
    assert torch.allclose(ml.soft_bce(logits, (soft > 0.2).float()), theirs)
    assert torch.equal((ml.smooth(soft, 0.1) > 0.2) | (soft > 0.2), soft > 0.2)
    own = torch.eye(5)[:1]
    assert torch.equal((ml.smooth(own, 0.1) > 0.2).float(), own)


def test_a_network_learns_what_its_target_asks() -> None:
    space: dict[str, Any] = {}
    code = next(cell for cell in cells("02_mixup_details", "code") if cell["id"] == "5b1d7c40")
    exec("".join(code["source"]), space)
    soft, binarised = space["halves"].values()
    assert held(
        f"answers {soft:.2f} for each of the two classes in the mixture, the second {binarised:.2f}", DETAILS
    )
    assert [f"{one:.0%}" for one in space["right"].values()] == ["99%"] * 2
    assert "name 99 % of the plain test images correctly" in DETAILS


@pytest.mark.parametrize(
    ("kind", "power", "printed"), [(torch.float16, 12, 0.0002), (torch.bfloat16, 9, 0.002)]
)
def test_half_precision(kind: torch.dtype, power: int, printed: float) -> None:
    lam = torch.rand(200_000, generator=torch.Generator().manual_seed(0)).to(kind)
    off = (lam.double() + (1 - lam).double() - 1).abs()
    assert off[lam >= 0.5].max() == 0 and off[lam < 0.5].max() == 2.0**-power
    name = str(kind).removeprefix("torch.")
    assert float(f"{2.0**-power:.1g}") == printed and f"{printed} (`{name}`)" in DETAILS


# ------------------------------------------------------------------------------------------ libraries
def row(title: str) -> list[str]:
    mixup = RELEASED.partition("(sec-released-mixup)=")[2].partition("(cutmix)=")[0]
    found = re.search(rf"^\| {re.escape(title)} \|(.*)\|$", mixup, re.MULTILINE)
    assert found, title
    return [cell.strip(" *") for cell in found[1].split("|")]


@pytest.mark.parametrize(
    ("title", "call", "partner", "each"),
    [
        ("torchvision 0.29", "torchvision v2.MixUp", "i − 1", "batch"),
        ("timm 1.0", "timm Mixup", "B − 1 − i", "batch"),
        ("kornia 0.9", "kornia RandomMixUpV2", "random", "image"),
        ("this book, `ml.mixup`", "mixlearn mixup", "random", "batch"),
    ],
)
def test_whose_lam(title: str, call: str, partner: str, each: str) -> None:
    found = ml.measure.probe(whose_lam.libraries()[call][1], rounds=150)
    assert (found.lam_weighs, found.partner, found.lam_for_each) == (row(title)[0], partner, each)
    assert row(title)[2] == each and row(title)[1].strip("$").replace("-", "−") == partner
    assert found.changes_input == title.startswith("timm") and abs(found.own_share - 0.5) < 0.12
    assert re.search(r"^\| \*\*timm\*\* \|.*It writes into your batch", RELEASED, re.MULTILINE)


def test_inverted_labels_are_half_wrong() -> None:
    """A label (λ, 1 − λ) in place of (1 − λ, λ) has |2λ − 1| of its weight on the wrong image."""
    lam = (torch.arange(1000) + 0.5) / 1000
    assert (
        abs((2 * lam - 1).abs().mean() - 0.5) < 1e-3
        and "on average half of the label's weight on the wrong image" in RELEASED
    )


def test_default_alpha() -> None:
    v2, timm, kornia = map(
        pytest.importorskip, ("torchvision.transforms.v2", "timm.data", "kornia.augmentation")
    )
    calls = {"this book, `ml.mixup`": (ml.mixup, "alpha"), "torchvision 0.29": (v2.MixUp, "alpha")}
    calls["timm 1.0"] = timm.Mixup, "mixup_alpha"
    for title, (call, name) in calls.items():
        assert inspect.signature(call).parameters[name].default == float(row(title)[3])
    assert row("kornia 0.9")[3] == "uniform"
    assert inspect.signature(kornia.RandomMixUpV2).parameters["lambda_val"].default is None
    assert inspect.signature(timm.Mixup).parameters["cutmix_alpha"].default == 0
    assert inspect.signature(timm.Mixup).parameters["label_smoothing"].default == 0.1
    assert "`label_smoothing=0` to compare with other libraries (default 0.1)" in RELEASED
    for call in (ml.cutmix, v2.CutMix):
        assert inspect.signature(call).parameters["alpha"].default == 1
