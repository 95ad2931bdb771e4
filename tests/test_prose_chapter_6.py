"""Chapter 6's prose against its records: each number of the text, and what it says of them."""

from __future__ import annotations

import json
import math
import re
from functools import cache
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import mixlearn as ml
from mixlearn.methods.mixskd import TERMS
from mixlearn.train.records import Interval, Record
from tests.prose import cells

BOOK = Path(__file__).resolve().parents[1] / "book"
SETS = ("fashion", "emoji")


def text_of(page: str) -> str:
    """The Markdown of a page."""
    cells = json.loads((BOOK / f"{page}.ipynb").read_text(encoding="utf-8"))["cells"]
    return " ".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


@cache
def prose(page: str) -> str:
    """The Markdown of a page in one line, without comments and stars."""
    return " ".join(re.sub(r"<!--.*?-->", "", text_of(page), flags=re.DOTALL).replace("*", "").split())


def run(way: str) -> Record:
    return ml.runs.load(way if way.startswith("dense") else f"mixskd-{way}")


def gain(way: str, base: str, measure: str = "accuracy") -> Interval:
    return run(way).gain(run(base), measure)


def clear(way: str, base: str, measure: str = "accuracy") -> float:
    """The mean of an effect, 0 where it is not significant."""
    effect = gain(way, base, measure)
    return effect.mean if effect.clear else 0.0


def mean(way: str, measure: str = "accuracy") -> float:
    return run(way).measured(measure).mean


def words(effect: Interval, share: bool, signed: bool) -> str:
    """An effect as the text writes it: without a sign where the words say which way it goes."""
    scale, digits = (100, 1) if share else (1, 2)
    value = scale * (effect.mean if signed else abs(effect.mean))
    number = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    number = number.lstrip("+-") if not float(number) else number.replace("-", "−")
    return f"{number} ± {scale * effect.half:.{digits}f}"


# A piece of the text with a place for each effect, and the effects: way, base, measure. "{+}" is a signed
# effect, "{}" the size of one whose direction is in the words.
DISTILLED: list[tuple[str, ...]] = [
    ("fashion-mixskd", "fashion-labels-and-mixed", measure) for measure in ("accuracy", "ece")
]
RESULTS: list[tuple[str, list[tuple[str, ...]]]] = [
    ("longer plain training gains nothing, and MixSKD gains {} points.",
     [("fashion-mixskd", "fashion-plain")]),
    (
        "plain training for 4½ times the epochs ends {} points ahead of MixSKD:",
        [("emoji-plain-longer", "emoji-mixskd")],
    ),
    ("Without them the network loses {} points on Fashion-MNIST", DISTILLED[:1]),
    ("Without distillation MixSKD's ECE is {} points higher", DISTILLED[1:]),
]  # fmt: skip
FROZEN, TUNED = "detected frozen/map50", "detected tuned/map50"
SEGMENTED = ("segmented frozen/miou", "segmented tuned/miou")


def dense(way: str, base: str, *measures: str) -> list[tuple[str, ...]]:
    return [(f"dense-emoji-{way}", f"dense-emoji-{base}", measure) for measure in measures]


RESULTS += [
    ("With a frozen network it brings {} points of mAP50", dense("mixskd", "plain", FROZEN)),
    ("gives a detector {} points of mAP50 more than an", dense("plain", "untrained", FROZEN)),
    ("an untrained network, {} if fine-tuned", dense("plain", "untrained", TUNED)),
]
DETAILS: list[tuple[str, list[tuple[str, ...]]]] = [
    ("MixSKD's lead over CS-KD ({} points) and BYOT is significant", [("fashion-mixskd", "fashion-cskd")]),
    (
        "differs from the whole method's by {+} points on Fashion-MNIST",
        [("fashion-released", "fashion-mixskd")],
    ),
    (
        "Accuracy then changes by {+} points on Fashion-MNIST and not significantly",
        [("fashion-adversarial", "fashion-mixskd")],
    ),
]
METHOD: list[tuple[str, list[tuple[str, ...]]]] = [
    (
        "without it the network loses {} points on Fashion-MNIST (three",
        [("fashion-no-mixed", "fashion-mixskd")],
    ),
    (
        "on Emoji Scenes plain training is {} points more accurate",
        [("emoji-plain-longer", "emoji-mixskd")],
    ),
    ("the frozen network gains {} points of mAP50 on plain", dense("mixskd", "plain", FROZEN)),
]
PIECES = [("06_mixskd_results", *piece) for piece in RESULTS]
PIECES += [("06_mixskd_details", *piece) for piece in DETAILS] + [("06_mixskd", *piece) for piece in METHOD]


@pytest.mark.parametrize(("page", "piece", "effects"), PIECES, ids=[piece[1][:40] for piece in PIECES])
def test_effects_are_those_of_the_records(page: str, piece: str, effects: list[tuple[str, ...]]) -> None:
    for effect in effects:
        share = "nll" not in effect
        signed = 0 <= piece.find("{+}") < (piece + "{}").find("{}")
        text = words(gain(*effect), share, signed)
        piece = piece.replace("{+}" if signed else "{}", text, 1)
    assert piece in prose(page)


def test_table_of_terms() -> None:
    rows = {f"without *{term}*": f"no-{term}" for term in TERMS}
    rows["*labels* and *mixed* alone"] = "labels-and-mixed"
    text, left_out = text_of("06_mixskd_results"), []
    for row, way in rows.items():
        parts = [(measure, data) for measure in ("accuracy", "ece") for data in SETS]
        effects = [gain(f"{data}-{way}", f"{data}-mixskd", measure) for measure, data in parts]
        if not any(effect.clear for effect in effects):
            left_out.append(way.removeprefix("no-"))
            continue
        entries = [words(effect, share=True, signed=True) for effect in effects]
        bold = [f"**{e}**" if effect.clear else e for e, effect in zip(entries, effects, strict=True)]
        assert f"| {row} | {' | '.join(bold)} |" in text
    assert left_out == ["labels", "features", "branches", "teacher"]
    assert "*labels*, *features*, *branches* or *teacher* alone changes neither accuracy nor ECE" in text


def test_single_numbers() -> None:
    text = prose("06_mixskd_results")
    ends = f"Yet Mixup, without a teacher, ends at {100 * mean('fashion-mixup', 'ece'):.1f} %"
    other = ml.runs.load("automix-fashion-mixup").measured("ece").mean
    assert ends in text and f"'s Mixup is too unsure: {100 * other:.1f} %" in text
    assert ml.runs.load("automix-fashion-mixup").measured("gap").mean < -0.05
    assert 0.4 < mean("emoji-smoothed", "ece") / mean("emoji-mixskd", "ece") < 0.6  # about half
    rise = 100 * mean("fashion-mixskd", "ece"), 100 * mean("fashion-no-mixed", "ece")
    assert "calibration error rises from {:.1f} to {:.0f} %".format(*rise) in prose("06_mixskd")
    assert "confidence and accuracy, rises from {:.1f} to {:.0f} %".format(*rise) in text
    ways = ("mixskd", "plain", "labels-and-mixed", "mixup")
    rate = [100 * mean(f"fashion-{way}", "between/misses") for way in ways]
    assert "for {:.1f} % of the mixtures, plain training for {:.1f} %.".format(*rate) in text
    piece = "for {1:.1f} % of the mixtures after plain training, is named for {2:.1f} % without distillation "
    assert (piece + "and for {0:.1f} % with all terms. Mixup alone gives {3:.1f} %.").format(*rate) in text
    for data in SETS:
        assert abs(mean(f"{data}-released", "ece") + mean(f"{data}-released", "gap")) < 0.001
    luck = [0.4 * math.sqrt(1 - common) * 1.0294 for common in (0.9, 0.5)]  # E of the largest of four: 1.0294
    assert "gains {:.2f} to {:.2f} points by luck".format(*luck) in prose("06_mixskd_details")
    ece_released = [100 * mean(f"{data}-released", "ece") for data in ("fashion", "emoji")]
    assert "their ECE is {:.1f} and {:.1f} %".format(*ece_released) in prose("06_mixskd_details")
    assert f"far too unsure (calibration error up to {ece_released[0]:.1f} %)" in prose("06_mixskd_details")


def test_what_was_run() -> None:
    text = prose("06_mixskd_results")
    ways = {data: [name for name in ml.runs.names() if name.startswith(f"mixskd-{data}-")] for data in SETS}
    assert (
        f"{len(ways['fashion'])} ways on Fashion-MNIST and {len(ways['emoji'])} on Emoji Scenes, three"
        in text
    )
    assert {len(ml.runs.load(name).runs) for names in ways.values() for name in names} == {3}
    fashion, emoji = ml.data.load("fashion"), ml.data.load("emoji")
    sizes = len(fashion.test), len(emoji.tests["concepts"])
    assert sizes == (10_000, 1_100)
    errors = [
        100 * math.sqrt(p * (1 - p) / n)
        for p, n in zip((mean(f"{d}-mixskd") for d in SETS), sizes, strict=True)
    ]
    assert "for one network {:.1f} points on Fashion-MNIST and {:.1f} on Emoji Scenes".format(*errors) in text
    for data, images, epochs, words in (
        ("fashion", 2000, 40, "Fashion-MNIST: 2,000 images, 40 epochs."),
        ("emoji", 7200, 15, "Emoji Scenes: ten classes, 7,200 images, 15 epochs."),
    ):
        facts = run(f"{data}-mixskd").settings
        assert (facts["images"], facts["epochs"]) == (images, epochs) and words in text
        assert (facts["network"], facts["batch_size"]) == ("ResNet-8, width 8", 64)
        assert run(f"{data}-plain-longer").settings["epochs"] in (4.5 * epochs, 4.5 * epochs + 0.5)
        assert run(f"{data}-released").settings["mix"] == "MixSKD(critics_learn=False)"  # α = .2, weight 1


def test_the_price_of_a_step_of_the_small_network() -> None:
    net = ml.nets.resnet(8, 10, width=8, channels=1).eval()
    learner, seen = ml.learners.MixSKD(net), {}
    with FlopCounterMode(display=False) as alone, torch.no_grad():
        net(torch.zeros(1, 1, 28, 28), tap=lambda name, x: seen.setdefault(name, x))
    with FlopCounterMode(display=False) as beside, torch.no_grad():
        learner.teacher([*[side(seen[side.stage])[0] for side in learner.side], seen["stage3"]])
    plain, more = alone.get_total_flops(), beside.get_total_flops()
    step = 2 * (plain + more) / plain
    assert f"costs as much arithmetic as {step:.1f} plain steps" in prose("06_mixskd_results")
    assert f"are {100 * (4.5 / step - 1):.0f} % more arithmetic" in prose("06_mixskd_results")
    source = "".join(
        next(c for c in cells("06_mixskd_results", "code") if "STEP =" in "".join(c["source"]))["source"]
    )
    assert f"STEP = {step:.1f} " in source and "LONG = 4.5 " in source  # what the figure is drawn with


def test_accuracy() -> None:
    assert clear("fashion-mixskd", "fashion-plain") > 0 == clear("fashion-plain-longer", "fashion-plain")
    assert not any(clear("fashion-mixskd", f"fashion-{way}") for way in ("mixup", "cutmix"))
    assert not clear("fashion-mixup", "fashion-cutmix")
    for way in ("smoothed", "ddgsd", "mixup", "cutmix", "mixskd"):
        assert not clear(f"emoji-{way}", "emoji-plain")
    assert clear("emoji-plain-longer", "emoji-mixskd") > 0
    for way in ("plain-longer", "cutmix-longer"):  # MixSKD lies below both lines
        assert mean(f"emoji-{way}") > mean("emoji-mixskd") > mean(f"emoji-{way.removesuffix('-longer')}")
    for data in SETS:
        assert not clear(
            f"{data}-cutmix-longer", f"{data}-mixskd"
        )  # no better than CutMix at equal arithmetic
        for term in ("labels", "branches", "teacher", "features", "critic"):
            assert not clear(f"{data}-no-{term}", f"{data}-mixskd")
        assert not clear(f"{data}-released", f"{data}-mixskd")
        assert not clear(f"{data}-adversarial", f"{data}-mixskd")
    assert clear("fashion-labels-and-mixed", "fashion-mixskd") < 0
    assert clear("fashion-no-mixed", "fashion-mixskd") < 0 == clear("emoji-no-mixed", "emoji-mixskd")
    assert {f"no-{term}" for term in TERMS} <= {
        name[13:] for name in ml.runs.names() if "mixskd-emoji" in name
    }


def test_likelihood_and_calibration() -> None:
    assert clear("fashion-mixskd", "fashion-labels-and-mixed", "ece") < 0
    assert not clear("emoji-mixskd", "emoji-labels-and-mixed", "ece")
    again = ml.runs.load("confirmed-mixskd"), ml.runs.load("confirmed-labels-and-mixed")
    repeated, lost = again[0].gain(again[1], "ece"), again[0].gain(again[1])
    assert repeated.n == 5 and repeated.clear and repeated.mean < 0 and not lost.clear
    assert not clear("emoji-smoothed", "emoji-mixskd")
    assert (
        not clear("emoji-no-labels", "emoji-mixskd", "ece")
        and clear("emoji-no-critic", "emoji-mixskd", "ece") < 0
    )
    shown = ("smoothed", "ddgsd", "mixup", "cutmix", "mixskd", "plain", "plain-longer", "cutmix-longer")
    for measure in ("accuracy", "ece"):
        assert max(shown, key=lambda way: mean(f"emoji-{way}", measure)) == "plain-longer"
    assert (
        clear("emoji-smoothed", "emoji-mixskd", "ece")
        < 0
        < clear("fashion-smoothed", "fashion-mixskd", "ece")
    )
    for data in SETS:
        assert clear(f"{data}-mixskd", f"{data}-mixup", "ece") >= 0  # no gain over Mixup
        assert mean(f"{data}-mixup", "ece") < mean(f"{data}-mixskd", "ece")
        for way in ("no-mixed", "released"):
            assert mean(f"{data}-{way}", "gap") < -0.2  # too unsure


def test_the_straight_line() -> None:
    for data in SETS:
        for way in ("plain", "smoothed", "ddgsd", "mixup", "cutmix", "plain-longer", "cutmix-longer"):
            for measure in ("between/logits", "between/features"):
                assert clear(f"{data}-{way}", f"{data}-mixskd", measure) > 0
        for way in ("no-critic", "adversarial"):
            assert clear(f"{data}-{way}", f"{data}-mixskd", "between/features") < 0
    assert not clear("fashion-no-features", "fashion-plain", "between/features")
    assert clear("fashion-no-features", "fashion-mixskd", "between/features") > 0
    assert not clear("emoji-no-features", "emoji-mixskd", "between/features")
    for data in SETS:
        off = [mean(f"{data}-{way}", "between/logits") for way in ("mixskd", "labels-and-mixed", "mixup")]
        assert off == sorted(off)  # without distillation a network lies between the two
    order = sorted(
        (name for name in ml.runs.names() if name.startswith("mixskd-emoji-")),
        key=lambda name: -ml.runs.load(name).measured("accuracy").mean,
    )
    for way in ("plain-longer", "cutmix-longer"):
        assert mean(f"emoji-{way}", "between/logits") > mean("emoji-plain", "between/logits")
        assert f"mixskd-emoji-{way}" in order[:3]  # the other of the three is an ablation


def test_transfer() -> None:
    def effect(way: str, base: str, measure: str) -> float:
        return clear(f"dense-emoji-{way}", f"dense-emoji-{base}", measure)

    for measure in (FROZEN, TUNED, *SEGMENTED):
        means = {way: mean(f"dense-emoji-{way}", measure) for way in ("mixskd", "mixup", "cutmix", "plain")}
        assert max(means, key=means.__getitem__) == "mixskd"
    for measure in (FROZEN, TUNED):
        assert min(effect("mixskd", "plain", measure), effect("mixup", "plain", measure)) > 0
        assert not effect("cutmix", "plain", measure)
    assert not effect("mixskd", "mixup", FROZEN) and effect("mixskd", "mixup", TUNED) > 0
    lead = gain("dense-emoji-mixskd", "dense-emoji-mixup", TUNED)
    assert lead.mean < 1.05 * lead.half  # "and barely"
    assert not any(effect(way, "plain", m) for way in ("mixskd", "mixup", "cutmix") for m in SEGMENTED)


def test_a_quick_trial_shows_what_the_text_says() -> None:
    for data in SETS:
        for one in run(f"{data}-mixskd").runs:
            first, second = one["epochs"][:2]
            assert all(second[term] < first[term] for term in ("labels", "mixed"))
            assert all(second[term] > first[term] for term in ("branches", "teacher"))


def test_relatives() -> None:
    rows = ("smoothed", "tfkd", "pskd", "cskd", "byot", "augmented", "ddgsd", "mixup", "mixskd")
    assert [row for row in rows if clear(f"fashion-{row}", "fashion-plain")] == ["mixup", "mixskd"]
    assert not any(clear("fashion-mixskd", f"fashion-{row}") for row in ("ddgsd", "tfkd", "pskd"))
    lead = {row: gain("fashion-mixskd", f"fashion-{row}").mean for row in ("cskd", "byot", "tfkd", "pskd")}
    assert max(lead["cskd"], lead["byot"]) < min(lead["tfkd"], lead["pskd"])
    assert all(clear("fashion-mixskd", f"fashion-{row}") for row in ("cskd", "byot"))
    for measure in ("accuracy", "nll", "ece"):
        assert not clear("fashion-ddgsd", "fashion-augmented", measure)
