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

BOOK = Path(__file__).resolve().parents[1] / "book"
SETS = ("fashion", "emoji")


@cache
def prose(page: str) -> str:
    """The Markdown of a page in one line, without comments and stars."""
    cells = json.loads((BOOK / f"{page}.ipynb").read_text(encoding="utf-8"))["cells"]
    text = " ".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return " ".join(re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).replace("*", "").split())


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
RESULTS: list[tuple[str, list[tuple[str, ...]]]] = [
    ("MixSKD gains {} points on plain training, and", [("fashion-mixskd", "fashion-plain")]),
    ("On Emoji Scenes it gains {}.", [("emoji-mixskd", "emoji-plain")]),
    ("is {} points more accurate than MixSKD there", [("emoji-plain-longer", "emoji-mixskd")]),
    (
        "change accuracy by {+} and {+} points",
        [(f"{data}-labels-and-mixed", f"{data}-mixskd") for data in ("fashion", "emoji")],
    ),
    (
        "MixSKD gains {} points, CutMix {}, Mixup {}.",
        [(f"fashion-{way}", "fashion-plain") for way in ("mixskd", "cutmix", "mixup")],
    ),
    ("beats MixSKD by {} points. CutMix", [("emoji-plain-longer", "emoji-mixskd")]),
    ("CutMix for as long is {} points above", [("emoji-cutmix-longer", "emoji-mixskd")]),
    ("its ECE is {} points above MixSKD's", [("emoji-plain-longer", "emoji-mixskd", "ece")]),
    ("its NLL is higher by {}.", [("emoji-plain-longer", "emoji-mixskd", "nll")]),
    ("lower NLL of the two, by {}.", [("emoji-cutmix-longer", "emoji-mixskd", "nll")]),
    ("falls by {} points on Fashion-MNIST and ECE", [("fashion-no-mixed", "fashion-mixskd")]),
    (
        "accuracy changes by {+} and ECE rises by {}.",
        [("emoji-no-mixed", "emoji-mixskd"), ("emoji-no-mixed", "emoji-mixskd", "ece")],
    ),
    (
        "does not lower accuracy on either set ({+} and {+} points)",
        [(f"{data}-no-features", f"{data}-mixskd") for data in ("fashion", "emoji")],
    ),
    (
        "Without features accuracy changes by {+} and {+} points",
        [(f"{data}-no-features", f"{data}-mixskd") for data in ("fashion", "emoji")],
    ),
    (
        "Without critic accuracy changes by {+} and {+} points, and on Emoji Scenes ECE improves by {}.",
        [
            *[(f"{data}-no-critic", f"{data}-mixskd") for data in ("fashion", "emoji")],
            ("emoji-no-critic", "emoji-mixskd", "ece"),
        ],
    ),
    (
        "Accuracy changes by {+} on Fashion-MNIST, the one significant loss, and by {+} on Emoji Scenes.",
        [(f"{data}-labels-and-mixed", f"{data}-mixskd") for data in ("fashion", "emoji")],
    ),
    (
        "without features ({+}), the one without critic ({+}) and the released form ({+}) are "
        "significantly better; the full method is not ({+})",
        [(f"emoji-{way}", "emoji-plain") for way in ("no-features", "no-critic", "released", "mixskd")],
    ),
    (
        "the rate falls by {} points against plain training and by {} against Mixup",
        [("emoji-mixskd", f"emoji-{way}", "between/misses") for way in ("plain", "mixup")],
    ),
]
FROZEN, TUNED = "detected frozen/map50", "detected tuned/map50"
SEGMENTED = ("segmented frozen/miou", "segmented tuned/miou")


def dense(way: str, base: str, *measures: str) -> list[tuple[str, ...]]:
    return [(f"dense-emoji-{way}", f"dense-emoji-{base}", measure) for measure in measures]


RESULTS += [
    ("gains {} points of mAP50 frozen and {} fine-tuned", dense("mixskd", "plain", FROZEN, TUNED)),
    ("Mixup gains {} and {}, and CutMix's", dense("mixup", "plain", FROZEN, TUNED)),
    ("beats plain training by {} points frozen and {} fine-tuned", dense("mixskd", "plain", FROZEN, TUNED)),
    ("Mixup's gains are smaller, {} and {};", dense("mixup", "plain", FROZEN, TUNED)),
    (
        "Against Mixup, MixSKD gains {} frozen and {} fine-tuned; against CutMix {} and {}.",
        dense("mixskd", "mixup", FROZEN, TUNED) + dense("mixskd", "cutmix", FROZEN, TUNED),
    ),
    ("its gains on plain training, {} and {}, are within", dense("mixskd", "plain", *SEGMENTED)),
]
DETAILS: list[tuple[str, list[tuple[str, ...]]]] = [
    ("against CS-KD ({}) and", [("fashion-mixskd", "fashion-cskd")]),
    ("and BYOT ({}) it is significant", [("fashion-mixskd", "fashion-byot")]),
    (
        "differs from the whole method by {+} points on Fashion-MNIST and {+} on Emoji Scenes",
        [(f"{data}-released", f"{data}-mixskd") for data in ("fashion", "emoji")],
    ),
    (
        "Accuracy then changes by {+} and {+} points",
        [(f"{data}-adversarial", f"{data}-mixskd") for data in ("fashion", "emoji")],
    ),
]
PIECES = [("results", *piece) for piece in RESULTS] + [("details", *piece) for piece in DETAILS]


@pytest.mark.parametrize(("page", "piece", "effects"), PIECES, ids=[piece[1][:40] for piece in PIECES])
def test_effects_are_those_of_the_records(page: str, piece: str, effects: list[tuple[str, ...]]) -> None:
    for effect in effects:
        share = "nll" not in effect
        signed = 0 <= piece.find("{+}") < (piece + "{}").find("{}")
        text = words(gain(*effect), share, signed)
        piece = piece.replace("{+}" if signed else "{}", text, 1)
    assert piece in prose(f"06_mixskd_{page}")


def test_single_numbers() -> None:
    text = prose("06_mixskd_results")
    ece = {way: 100 * mean(way, "ece") for way in ("fashion-plain", "fashion-mixskd", "fashion-mixup")}
    assert (
        "lowers ECE from {:.1f} to {:.1f} %. Mixup alone does the same ({:.1f} %)".format(*ece.values())
        in text
    )
    assert f"is slightly better ({100 * mean('fashion-cutmix-longer', 'ece'):.1f} %)" in text
    two = [100 * mean(f"emoji-{way}", "ece") for way in ("smoothed", "mixskd")]
    assert "half its calibration error ({:.1f} against {:.1f} %)".format(*two) in text
    assert f"and ECE rises to {100 * mean('fashion-no-mixed', 'ece'):.0f} %" in text
    rate = [100 * mean(f"fashion-{way}", "between/misses") for way in ("mixskd", "plain", "mixup")]
    piece = (
        "does so for {:.1f} % of mixtures, averaged over λ, plain training for {:.1f} %, Mixup for {:.1f} %"
    )
    assert piece.format(*rate) in text
    ece_released = [100 * mean(f"{data}-released", "ece") for data in ("fashion", "emoji")]
    assert "ECE is {:.1f} and {:.1f} %".format(*ece_released) in prose("06_mixskd_details")


def test_what_was_run() -> None:
    text = prose("06_mixskd_results")
    ways = {data: [name for name in ml.runs.names() if name.startswith(f"mixskd-{data}-")] for data in SETS}
    assert f"in {len(ways['fashion'])} ways on Fashion-MNIST and in {len(ways['emoji'])} on Emoji" in text
    assert {len(ml.runs.load(name).runs) for names in ways.values() for name in names} == {3}
    fashion, emoji = ml.data.load("fashion"), ml.data.load("emoji")
    sizes = len(fashion.test), len(emoji.tests["concepts"])
    assert sizes == (10_000, 1_100)
    errors = [
        100 * math.sqrt(p * (1 - p) / n)
        for p, n in zip((mean(f"{d}-mixskd") for d in SETS), sizes, strict=True)
    ]
    assert "{:.1f} points on Fashion-MNIST (n = 10 000) and {:.1f} on Emoji Scenes (n = 1 100)".format(
        *errors
    ) in text.replace("$n$", "n")
    for data, epochs in (("fashion", 40), ("emoji", 15)):
        assert run(f"{data}-mixskd").settings["epochs"] == epochs
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
    assert f"costs {2 * (plain + more) / plain:.1f} plain steps" in prose("06_mixskd_results")


def test_accuracy() -> None:
    assert clear("fashion-mixskd", "fashion-plain") > 0 == clear("fashion-plain-longer", "fashion-plain")
    assert not any(clear("fashion-mixskd", f"fashion-{way}") for way in ("mixup", "cutmix"))
    assert not clear("fashion-mixup", "fashion-cutmix")
    assert abs(gain("fashion-cutmix-longer", "fashion-mixskd").mean) < 0.005
    for way in ("smoothed", "ddgsd", "mixup", "cutmix", "mixskd"):
        assert not clear(f"emoji-{way}", "emoji-plain")
    assert clear("emoji-plain-longer", "emoji-mixskd") > 0
    for data in SETS:
        assert not clear(f"{data}-cutmix-longer", f"{data}-mixskd")  # no better than CutMix at equal time
        for term in ("labels", "branches", "teacher", "features", "critic"):
            assert not clear(f"{data}-no-{term}", f"{data}-mixskd")
        assert not clear(f"{data}-released", f"{data}-mixskd")
    assert clear("fashion-labels-and-mixed", "fashion-mixskd") < 0
    above = [
        way for way in ("mixed", "features", "critic") if gain(f"emoji-no-{way}", "emoji-mixskd").mean > 0
    ]
    assert above == ["features", "critic"] and gain("emoji-labels-and-mixed", "emoji-mixskd").mean > 0
    assert {f"no-{term}" for term in TERMS} <= {
        name[13:] for name in ml.runs.names() if "mixskd-emoji" in name
    }


def test_likelihood_and_calibration() -> None:
    assert clear("fashion-cutmix-longer", "fashion-mixskd", "ece") < 0
    for measure in ("accuracy", "nll"):
        assert not clear("emoji-smoothed", "emoji-mixskd", measure)
    assert clear("emoji-smoothed", "emoji-mixskd", "ece") < 0
    for data in SETS:
        for way in ("no-mixed", "released"):
            assert mean(f"{data}-{way}", "gap") < -0.2  # too unsure
        assert clear(f"{data}-mixskd", f"{data}-plain", "quality/said") < 0
        assert clear(f"{data}-mixskd", f"{data}-plain", "quality/missed") > 0
    for way in ("smoothed", "ddgsd", "mixup", "cutmix"):
        assert clear(f"fashion-{way}", "fashion-plain", "quality/said") < 0
        assert clear(f"fashion-{way}", "fashion-plain", "quality/missed") > 0


def test_the_straight_line() -> None:
    for data in SETS:
        for way in ("plain", "smoothed", "ddgsd", "mixup", "cutmix"):
            for measure in ("between/logits", "between/features"):
                assert clear(f"{data}-{way}", f"{data}-mixskd", measure) > 0
        for way in ("no-critic", "adversarial"):
            assert clear(f"{data}-{way}", f"{data}-mixskd", "between/features") < 0
    assert not clear("fashion-no-features", "fashion-plain", "between/features")
    order = sorted(
        (name for name in ml.runs.names() if name.startswith("mixskd-emoji-")),
        key=lambda name: -ml.runs.load(name).measured("accuracy").mean,
    )
    for way in ("plain-longer", "cutmix-longer"):
        assert mean(f"emoji-{way}", "between/logits") > mean("emoji-plain", "between/logits")
        assert f"mixskd-emoji-{way}" in order[:4]


def test_transfer() -> None:
    def effect(way: str, base: str, measure: str) -> float:
        return clear(f"dense-emoji-{way}", f"dense-emoji-{base}", measure)

    for measure in (FROZEN, TUNED, *SEGMENTED):
        means = {way: mean(f"dense-emoji-{way}", measure) for way in ("mixskd", "mixup", "cutmix", "plain")}
        assert max(means, key=means.__getitem__) == "mixskd"
    for measure in (FROZEN, TUNED):
        assert min(effect("mixskd", "plain", measure), effect("mixup", "plain", measure)) > 0
        assert not effect("cutmix", "plain", measure)
    assert not any(effect(way, "plain", m) for way in ("mixskd", "mixup", "cutmix") for m in SEGMENTED)


def test_relatives() -> None:
    rows = ("smoothed", "tfkd", "pskd", "cskd", "byot", "augmented", "ddgsd", "mixskd")
    assert [row for row in rows if clear(f"fashion-{row}", "fashion-plain")] == ["mixskd"]
    assert not any(clear("fashion-mixskd", f"fashion-{row}") for row in ("ddgsd", "tfkd", "pskd"))
    assert all(clear("fashion-mixskd", f"fashion-{row}") for row in ("cskd", "byot"))
    for measure in ("accuracy", "nll", "ece"):
        assert not clear("fashion-ddgsd", "fashion-augmented", measure)
