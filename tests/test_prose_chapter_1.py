"""Chapter 1's prose holds what the records hold, and its page is short."""

from __future__ import annotations

import re
from typing import Any

import mixlearn as ml
from tests.prose import BOOK, cells, prose, words

HIDDEN = {"hide-input", "remove-input", "hide-cell", "remove-cell"}


PAGE = prose("01_why_mix")
PLAIN, CROPS, MIXUP = map(
    ml.runs.load, ("mixskd-fashion-plain", "mixskd-fashion-augmented", "boxes-fashion-mixup")
)


def test_the_page_is_short() -> None:
    assert len(PAGE.partition("## Exercises")[0].split()) <= 1700
    code = cells("01_why_mix", "code")
    shown = [cell["source"] for cell in code if not HIDDEN & set(cell["metadata"].get("tags", []))]
    assert len(shown) <= 12 and max(map(len, shown)) <= 25
    lines = [line.rstrip("\n") for cell in code if cell["id"] != "setup" for line in cell["source"]]
    assert max(map(len, lines)) <= 79


def test_every_exercise_has_a_solution() -> None:
    asked = re.findall(r":::\{exercise\}.*\n:label: (\S+)", PAGE)
    solved = re.findall(r":::\{solution\} (\S+)", prose("solutions/01_why_mix"))
    assert len(asked) == len(set(asked)) >= 6 and sorted(asked) == sorted(solved)


def test_the_three_records_differ_in_the_augmentation_alone() -> None:
    for record in (PLAIN, CROPS, MIXUP):
        assert record.seeds == (0, 1, 2) and record.settings["network"] == "ResNet-8, width 8"
        assert record.settings["images"] == 2000 and record.settings["epochs"] == 40
    assert "A ResNet-8 of width 8, trained with three seeds for 40 epochs on 2,000 images" in PAGE
    own = {"mix", "augment", "examined"}
    rest = [{k: v for k, v in r.settings.items() if k not in own} for r in (PLAIN, CROPS, MIXUP)]
    assert rest[0] == rest[1] == rest[2] and PLAIN.data == CROPS.data == MIXUP.data
    assert CROPS.settings["augment"] == "crop_and_flip" and MIXUP.settings["mix"] == "mixup(alpha=1.0)"
    assert PLAIN.settings["mix"] == CROPS.settings["mix"] == "none"


def test_what_they_gain() -> None:
    crops, mixup = (record.gain(PLAIN, "accuracy") for record in (CROPS, MIXUP))
    assert mixup.clear and f"Mixup gains {words(mixup)} points" in PAGE
    assert not crops.clear and f"Crops and flips gain {words(crops)}, which is not significant" in PAGE
    nll = words(MIXUP.gain(PLAIN, "nll"), 2, 1)
    told = f"Both lower NLL (Mixup by {nll}) and ECE significantly, crops and flips more than Mixup"
    assert told in PAGE, nll
    for measure in ("nll", "ece"):
        for less, more in ((PLAIN, MIXUP), (MIXUP, CROPS)):
            change = more.gain(less, measure)
            assert change.clear and change.mean < 0


def test_front_page_prints_what_its_comment_says() -> None:
    code = (BOOK / "intro.md").read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    known: dict[str, Any] = {}
    exec(code, known)
    assert code.rstrip().endswith(f"# {known['mixed'].plan.describe(0)}")


def test_notation_prints_what_its_comments_say() -> None:
    known: dict[str, Any] = {}
    text = (BOOK / "notation.md").read_text(encoding="utf-8")
    exec(text.partition("```python\n")[2].partition("```")[0], known)
    plan, target = known["plan"], known["mixed"].targets[0]
    assert "# s: 0 and 2," in text and plan.sources[:, 0].tolist() == [0, 2]
    assert plan.masks[0, 0, 0, :16, :16].max() == 0 and plan.masks[0, 0].mean() == 0.75
    assert "# λ: 0.75\n" in text and plan.lam[0] == 0.75
    assert "# label: 0.75 of class 3, 0.25 of class 1\n" in text and target.tolist() == [
        0,
        0.25,
        0,
        0.75,
        0,
        0,
    ]
