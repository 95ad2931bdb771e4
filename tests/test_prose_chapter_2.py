"""Chapter 2's prose holds what the records and the libraries hold: its numbers and its comparisons."""

from __future__ import annotations

import math
import re

import pytest
import torch
from timm.loss import BinaryCrossEntropy

import mixlearn as ml
from benchmarks import whose_lam
from mixlearn.train.records import Interval, Record
from tests.prose import BOOK, cells, prose, words

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
    assert len(asked) == len(set(asked)) == 8 and sorted(asked) == sorted(solved)


# ------------------------------------------------------------------------------------------ the method
def test_smaller_share() -> None:
    def mean(alpha: float) -> float:
        beta = math.exp(2 * math.lgamma(alpha) - math.lgamma(2 * alpha))
        return 0.5 - 1 / (alpha * 4**alpha * beta)

    assert mean(0.265) < 1 / 8 < mean(0.275) and "about 0.27" in METHOD


# ------------------------------------------------------------------------------------------ two data sets
def test_accuracy() -> None:
    fashion, emoji = gain("fashion", "accuracy"), gain("emoji", "concepts/accuracy")
    designers = gain("emoji", "designers/accuracy")
    for change in (fashion, emoji, designers):
        assert not change.clear and words(change, sign=True) in RESULTS, words(change, sign=True)
    assert pair("fashion")[1].settings["images"] == 2000 and pair("fashion")[1].settings["epochs"] == 40
    assert pair("emoji")[1].settings["images"] == 7200 and pair("emoji")[1].settings["epochs"] == 15
    assert {len(record.seeds) for name in ("fashion", "emoji") for record in pair(name)} == {3}


def test_confidence() -> None:
    for name, nll, ece in (("fashion", "nll", "ece"), ("emoji", "concepts/nll", "concepts/ece")):
        for measure, digits, scale in ((nll, 2, 1), (ece, 1, 100)):
            change = gain(name, measure)
            assert change.mean < 0 and change.clear and words(change, digits, scale) in RESULTS
    shares = [f"{100 * record.measured('ece').mean:.1f} %" for record in reversed(pair("fashion"))]
    assert f"from {shares[0]} to {shares[1]}" in RESULTS
    for name, measure in (("fashion", "gap"), ("emoji", "concepts/gap")):
        before, after = (100 * record.measured(measure).mean for record in reversed(pair(name)))
        assert f"from {before:.1f} to {after:.1f}".replace("-", "−") in RESULTS.replace(" points", "")


def test_sampling_errors() -> None:
    def error(p: float, n: int) -> float:
        return round(100 * (p * (1 - p) / n) ** 0.5, 1)

    assert len(ml.data.load("fashion").test) == 10_000 and len(ml.data.load("emoji").test) == 1_100
    assert error(pair("fashion")[0].measured("accuracy").mean, 10_000) == 0.4
    assert error(pair("emoji")[0].measured("accuracy").mean, 1_100) == 1.5


# ------------------------------------------------------------------------------------------ the grid
GRID = [ml.runs.load(name) for name in ml.runs.names() if name.startswith("sweep-fashion")]


def changed(measure: str) -> dict[tuple[int, int, int], Interval]:
    found = ml.figures.differences(GRID, measure)
    return {(c.images, c.epochs, c.width): Interval(c.mean, c.half, 3) for c in found}


def test_where_it_pays() -> None:
    change = changed("accuracy")
    helped = {cell for cell, one in change.items() if one.clear and one.mean > 0}
    hurt = {cell for cell, one in change.items() if one.clear and one.mean < 0}
    assert len(change) == 8
    assert helped == {(500, 160, 8), (2000, 40, 8)} and hurt == {(2000, 10, 8), (2000, 10, 16)}
    for cell in helped:
        assert cell[1] == max(epochs for images, epochs, _ in change if images == cell[0])
        assert words(change[cell], sign=True) in RESULTS
    for cell in hurt:
        assert words(change[cell]) in RESULTS
    assert change[500, 10, 8].mean < change[2000, 10, 8].mean
    assert change[500, 10, 16].mean < change[2000, 10, 16].mean


def test_confidence_over_the_grid() -> None:
    nll, ece = changed("nll"), changed("ece")
    short = [cell for cell in nll if cell[1] == 10]
    longer = [cell for cell in nll if cell[1] > 10]
    assert len(short) == len(longer) == 4
    assert all(nll[cell].clear and nll[cell].mean > 0 for cell in short)
    assert all(ece[cell].mean > 0 for cell in short) and sum(ece[cell].clear for cell in short) == 3
    assert all(each[cell].clear and each[cell].mean < 0 for each in (nll, ece) for cell in longer)
    assert all(one.mean < 0 for one in changed("gap").values())
    plain = [r for r in GRID if r.name.endswith("plain") and r.settings["epochs"] == 10]
    assert len(plain) == 4 and all(record.measured("gap").mean < 0 for record in plain)


def test_learned_by_heart() -> None:
    for name in ("fashion-plain", *(f"sweep-fashion-n500-e40-w{width}-plain" for width in (8, 16))):
        assert max(run["epochs"][-1]["loss"] for run in ml.runs.load(name).runs) < 0.1, name
    for width in (8, 16):
        assert not changed("accuracy")[500, 40, width].clear


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


@pytest.mark.parametrize(("kind", "power"), [(torch.float16, 12), (torch.bfloat16, 9)])
def test_half_precision(kind: torch.dtype, power: int) -> None:
    lam = torch.rand(200_000, generator=torch.Generator().manual_seed(0)).to(kind)
    off = (lam.double() + (1 - lam).double() - 1).abs()
    assert off[lam >= 0.5].max() == 0 and off[lam < 0.5].max() == 2.0**-power
    assert f"$2^{{-{power}}}$" in DETAILS


# ------------------------------------------------------------------------------------------ libraries
def row(title: str) -> list[str]:
    found = re.search(rf"^\* - {re.escape(title)}.*\n((?:  - .*\n)+)", RELEASED, re.MULTILINE)
    assert found, title
    return [cell.strip(" -*") for cell in found[1].splitlines()]


@pytest.mark.parametrize(
    ("title", "call", "partner", "each"),
    [
        ("torchvision 0.29, `v2.MixUp`", "torchvision v2.MixUp", "i − 1", "batch"),
        ("timm 1.0, `Mixup`", "timm Mixup", "B − 1 − i", "batch"),
        ("kornia 0.9, `RandomMixUpV2`", "kornia RandomMixUpV2", "random", "image"),
        ("mixlearn, `ml.mixup`", "mixlearn mixup", "random", "batch"),
    ],
)
def test_whose_lam(title: str, call: str, partner: str, each: str) -> None:
    found = ml.measure.probe(whose_lam.libraries()[call][1], rounds=150)
    assert (found.lam_weighs, found.partner, found.lam_for_each) == (row(title)[0], partner, each)
    assert row(title)[2].startswith(each)
    told = row(title)[1].strip("$")
    assert told.replace("-", " − ") == partner or told == "random permutation" and partner == "random"
    assert found.changes_input == title.startswith("timm")
