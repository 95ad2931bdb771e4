"""The map of the field: the form of its data, and that nothing on its pages is typed twice."""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "book" / "_tools"))

import field  # noqa: E402
import toc  # noqa: E402

FAMILIES, METHODS = field.field()
HEADINGS = {  # the methods of each section of the history that has years
    "2017–2018": "cutout mixup bc-sound bc-image samplepairing manifold-mixup ricap adamixup",
    "2019": "cutmix ict mixmatch augmix",
    "2020–2021": "supermix attentive-cutmix saliencymix puzzlemix snapmix co-mixup fmix gridmix smoothmix"
    " resizemix",
    "2020–2023": "automix-barycentre automix samix adautomix",
    "2021–2025": "transmix tokenmix tl-align tokenmixup smmix mixpro mergemix",
    "2022–2024": "decoupled-mixup regmixup mixskd sumix",
    "2020–2023 ": "un-mix mixco i-mix patchmix",
    "2024": "diff-mix diffusemix",
}
KNOWN = {"setting", "measure", "source", "from", "to", "gain"}
NEEDED = {"key", "name", "family", "authors", "venue", "first", "who", "where", "much"}


def faults(method: dict[str, Any]) -> list[str]:
    """What is wrong with one entry."""
    number = method.get("number", {})
    year = re.search(r"\b(\d{4})$", method.get("venue", ""))
    read = number.get("source", "paper")
    values = [number[key] for key in ("from", "to", "gain") if key in number]
    checks = {
        "fields": set(method) - NEEDED <= {"arxiv", "link", "page", "number", "lead", "same"}
        and set(method) >= NEEDED,
        "family": method.get("family") in FAMILIES,
        "paper": ("arxiv" in method) != ("link" in method) and field.address(method).startswith("https://"),
        "first": 2017 <= method["first"] <= 2026,
        "arxiv": "arxiv" not in method or 2000 + int(method["arxiv"][:2]) == method["first"],
        "venue": bool(year) and method["first"] <= int(year[1]) <= 2026 if year else False,
        "page": method.get("page", "map") in toc.pages(),
        "number": not number
        or {"setting", "measure", "source"} <= set(number) <= KNOWN
        and ("to" in number or "gain" in number)
        and not {"from", "gain"} <= set(number),
        "source": read in ("paper", "openmixup") or read.startswith("https://github.com/"),
        "values": all(isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value) for value in values),
    }
    return [name for name, holds in checks.items() if not holds]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["key"])
def test_entry_is_whole(method: dict[str, Any]) -> None:
    assert faults(method) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"arxiv": "1805.04899"}, "arxiv"),
        ({"venue": "ICCV 2018"}, "venue"),
        ({"first": 2016}, "first"),
        ({"page": "03_boxes"}, "page"),
        ({"family": "boxes"}, "family"),
        ({"link": "https://example.org"}, "paper"),
        ({"who": "nobody", "wher": "somewhere"}, "fields"),
        ({"number": {"setting": "ImageNet", "measure": "error", "to": "21.4"}}, "number"),
        ({"number": {"setting": "x", "measure": "error", "source": "paper"}}, "number"),
        ({"number": {"setting": "x", "measure": "error", "to": 21.4, "source": "a blog"}}, "source"),
        ({"number": {"setting": "x", "measure": "error", "to": 21.4, "source": "paper"}}, "values"),
    ],
)
def test_a_fault_is_found(change: dict[str, Any], fault: str) -> None:
    whole = next(method for method in METHODS if method["key"] == "cutmix")
    assert fault in faults({**whole, **change})


def test_keys_and_papers_are_unique_and_no_family_is_empty() -> None:
    for values in ([m["key"] for m in METHODS], [field.address(m) for m in METHODS]):
        assert len(values) == len(set(values))
    assert {m["family"] for m in METHODS} == set(FAMILIES)
    for family in FAMILIES:
        assert sum(bool(m.get("lead")) for m in METHODS if m["family"] == family) <= 1


def test_pages_take_their_numbers_from_the_data() -> None:
    """In the text no published number of the map is typed by hand, and each mark finds its number."""
    for name in ("history", "map"):
        source = (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")
        assert "@PUBLISHED" in source and "@" not in re.sub(r"\]\(\S+\)", "", field.fill_in(source))
        typed = set(re.findall(r"\d+\.\d+", re.sub(r"<!--.*?-->|\]\(\S+\)", "", source, flags=re.S)))
        assert not typed


def test_errors_are_shown_as_accuracies_with_the_gain_first() -> None:
    number = {"setting": "x", "measure": "error", "from": "23.68", "to": "21.40", "source": "paper"}
    shown = field.published(number)
    assert shown == {"value": "76.32\u00a0→\u00a078.60", "measure": "accuracy", "gain": "**+2.28**"}
    cells = {m["key"]: field._cell(m).replace("\u00a0", " ") for m in METHODS}
    assert cells["cutmix"].startswith("**+2.28** [76.32 → 78.60](https://github.com/clovaai/")
    assert cells["copy-paste"].startswith("**+0.6** [49.1](") and ") mask AP, COCO" in cells["copy-paste"]
    assert cells["mixgen"].startswith("[**+6.2**](") and cells["augmix"].startswith(
        "**−11.4** [76.7 → 65.3]("
    )
    assert cells["mixpro"].startswith("[73.8](")
    assert not [key for key, cell in cells.items() if re.search(r"\berror\b(?! \(lower)|\+-", cell)]
    assert (
        field.when({**METHODS[0], "arxiv": "1905.04899", "first": 2019, "venue": "arXiv 2020"})
        == "2019-05, arXiv"
    )


def test_each_name_of_the_index_leads_to_a_row() -> None:
    names = re.findall(r'href="#(m-[\w-]+)">([^<]+)<', field.index())
    assert sorted(key for key, _ in names) == sorted(re.findall(r'id="(m-[\w-]+)"', field.table()))
    assert [name for _, name in names] == sorted((name for _, name in names), key=str.casefold)


def test_names_of_the_timeline_do_not_touch() -> None:
    """The methods of the chapters and the leads have names, apart from all else in their row."""
    named = [m for m in METHODS if field.taught(m) or m.get("lead")]
    assert field.timeline().count("<b class=") == len(named)
    for family in FAMILIES:  # "in a row without one, the best known"
        own = [m for m in named if m["family"] == family]
        assert all(map(field.taught, own)) or len(own) == 1
    taken: list[list[tuple[float, float]]] = []
    assert [field._row_of(taken, ends) for ends in ((0, 10), (9, 12), (11, 20), (30, 31))] == [0, 1, 0, 0]


def test_words_of_the_map_hold() -> None:
    """One table of one benchmark, the same numbers as in the rows; each dot on its place, with its number."""
    found = {method["key"]: [float(gain) for gain in both] for method, both in field.gains()}
    large, small = [both[0] for both in found.values()], [both[1] for both in found.values() if both[1:]]
    assert (len(large), len(small)) == (10, 9) and min(large) > 0  # "all ten methods gain"
    assert sum(gain < 0 for gain in small) == 7  # which.md: "seven of nine lose"
    assert [key for key, both in found.items() if both[1:] and both[1] > 0] == ["automix", "samix"]
    assert (
        sum(-0.2 < gain < 0 for gain in small) == 3
    )  # "Three of the other seven lose less than a fifth of a point"
    assert found["samix"][1] - found["cutmix"][1] > 1  # "more than a point below SAMix"
    assert round(found["automix"][1] - found["resizemix"][1], 1) == 0.7  # in the history, "seven tenths"
    assert round(found["samix"][0] - found["cutmix"][0], 1) == 0.7 and max(large) == found["samix"][0]
    for method, _ in field.gains():
        number = method.get("number", {})
        if number.get("source") == "openmixup" and number["setting"] == field.BASELINE:
            assert number["to"] == method["same"][0]
    by = {method["key"]: method.get("number", {}) for method in METHODS}
    ends = [(by[key]["from"], by[key]["to"]) for key in ("automix", "resizemix")]
    assert ends[0][0] == ends[1][0]  # "plain training": one baseline
    for key in ("cutmix", "puzzlemix", "manifold-mixup"):  # "other gains", of the lower baseline
        gain = float(field.published(by[key])["gain"].strip("*+"))
        assert by[key]["setting"] == field.BASELINE and abs(gain - found[key][0]) > 0.3
        assert by[key]["source"].startswith("https://github.com/")
        assert str(100 - Decimal(by[key]["from"])) == field.baselines(METHODS)[0]
    assert 0 < found["resizemix"][0] - found["puzzlemix"][0] < 0.1  # "gains as much as PuzzleMix"
    shown = field.comparison()
    assert shown.count('class="here"') == 10 and shown.count('class="there"') == 9
    assert 'style="left:74.2%;--row:0"><b class=after>+1.34</b>' in shown  # (1.34 + 2) / 4.5
    assert "<b class=after>−1.53</b>" in shown


def test_our_own_numbers_are_those_of_the_pages_that_tests_hold() -> None:
    """In test_which.py and test_verdicts.py they are checked against the records."""
    texts = {
        name: " ".join((ROOT / "book" / name).read_text(encoding="utf-8").split())
        for name in ("history.md", "gallery.ipynb", "which.md", "verdicts.md")
    }
    assert "in 21 % of PuzzleMix's mixtures" in texts["which.md"] and "11 % of CutMix's" in texts["which.md"]
    assert (
        "in only 11 % of CutMix's mixtures of small garments, and in 21 % of PuzzleMix's"
        in texts["history.md"]
    )
    assert "in 11 % of CutMix's mixtures and in 21 % of those of PuzzleMix" in texts["gallery.ipynb"]
    assert "Of 76 claims about a quarter came out as claimed" in texts["verdicts.md"]
    assert "About a quarter of 76 claims" in texts["history.md"]


def test_words_of_the_history_hold() -> None:
    page = " ".join((ROOT / "book" / "history.md").read_text(encoding="utf-8").split())
    assert re.findall(r"## (\d{4}(?:–\d{4})?): ", page) == [years.strip() for years in HEADINGS]
    for years, keys in HEADINGS.items():
        firsts = [m["first"] for m in METHODS if m["key"] in keys.split()]
        assert (min(firsts), max(firsts)) == (int(years[:4]), int(years.strip()[-4:])) and len(firsts) == len(
            keys.split()
        )
    by = {m["key"]: m for m in METHODS}
    looked = [m for m in METHODS if m["family"] == "saliency" and m["first"] == 2020]
    assert len(looked) == 5  # "at least five methods looked at the images"
    assert {by[key]["arxiv"][:4] for key in ("mixco", "i-mix")} == {"2010"}  # "In October"
    later = [
        field.date(by[key]) - field.date(by["mixup"]) for key in ("bc-sound", "bc-image", "samplepairing")
    ]
    assert min(later) > 0 and max(later) < 0.34  # "within four months"
    later = [field.date(by[key]) - field.date(by["mixup"]) for key in ("manifold-mixup", "ricap", "adamixup")]
    assert max(later) < 1.2  # "within about a year"
    low, high = map(float, field.baselines(METHODS))
    assert 0.95 < high - low < 1.05  # "differ by a point"
    shown = [field.published(m["number"]) for m in METHODS if "from" in m.get("number", {})]
    gains = [float(one["gain"].strip("*+")) for one in shown if one["measure"] == "accuracy"]
    assert sum(gain <= high - low for gain in gains) == 10  # "Ten of the map's gains are no larger"
    numbers = [by[key]["number"] for key in ("transmix", "tokenmix", "tl-align")]
    gains = sorted(round(float(n["to"]) - float(n["from"]), 1) for n in numbers)
    assert (gains[0], gains[-1]) == (0.8, 1.0)  # "each gain about a point"
