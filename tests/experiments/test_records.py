"""How run records are written and checked, and the results page that is made from them."""

import json
import platform
import re
import sys
from pathlib import Path

import pytest

from experiments.records import check, environment, write
from mixlearn.train import records as runs
from mixlearn.train.records import Record, RecordError, shown

sys.path.append(str(Path(__file__).resolve().parents[2] / "book" / "_tools"))

import results

from tests.refused import refused


def run(seed: int, accuracy: float, **more) -> dict:
    final = {"concepts": {"accuracy": accuracy, "nll": 1.0, "ece": 0.05, "gap": -0.02}}
    final["designers"] = {"accuracy": accuracy - 0.1, "nll": 1.2, "ece": 0.06, "gap": 0.01}
    base = {"seed": seed, "environment": environment("cpu"), "seconds": 75.0, "peak_memory": 2**30}
    return base | {"epochs": [{"epoch": 1, "loss": 2.0}], "final": final} | more


def record(name: str = "emoji-mixup", **change) -> Record:
    given = {
        "name": name,
        "command": "python -m mixlearn train embedded --seeds 0 1 2",
        "settings": {"network": "ResNet-8", "mix": "mixup(alpha=1.0)", "images": 7200, "epochs": 15},
        "data": {"name": "emoji", "sha256": "ab" * 32},
        "runs": tuple(run(seed, accuracy) for seed, accuracy in enumerate((0.80, 0.82, 0.81))),
    }
    return Record(**(given | change))


def _damage(body: dict, path: str, value) -> dict:
    *way, last = path.split("/")
    place = body
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("command", None, "emoji-mixup.json: the field 'command' is missing"),
        ("settings", [], "the field 'settings' has the wrong type, list"),
        ("format", "2", "format must be 'mixlearn run 1', got '2'"),
        ("name", "other", "name must be 'emoji-mixup', got 'other'"),
        ("runs", [], "runs must hold at least one seed"),
        ("runs/1/seconds", None, "a run: the field 'seconds' is missing"),
        ("runs/1/seed", True, "a run: the field 'seed' has the wrong type, bool"),
        ("runs/1/seed", 0, r"seeds must differ, got \[0, 0, 2\]"),
        ("runs/2/final/concepts/nll", None, "seed 2 has other final measures than the seeds before"),
        ("runs/2/final/concepts/accuracy", 0.99, "summary 'concepts/accuracy|summary 'accuracy'"),
        ("summary/accuracy/mean", 0.99, "summary 'accuracy' says mean = 0.99, its runs give 0.81"),
        ("summary/accuracy", None, "summary 'accuracy' says mean = None"),
    ],
)
def test_a_damaged_record_is_refused_by_name_and_field(path: str, value, words: str, tmp_path: Path) -> None:
    file = write(record(), tmp_path)
    refused(lambda: check(_damage(json.loads(file.read_text()), path, value), file), words, RecordError)


@pytest.mark.parametrize(
    "text",
    ["/home/someone/data", "--root=/data/imagenet/x", "C:\\data\\x", f"on {platform.node() or 'x:/y/z'}"],
)
def test_a_record_names_no_machine_and_no_folder(text: str, tmp_path: Path) -> None:
    if len(platform.node()) <= 3 and text.startswith("on"):
        text = "at /tmp/somewhere/else"
    with pytest.raises(RecordError, match="must not name a machine or an absolute path"):
        write(record(command=text), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_books_own_records_load_and_name_clean_commits() -> None:
    for record in runs.all():
        path = runs.folder() / f"{record.name}.json"
        check(json.loads(path.read_text(encoding="utf-8")), path)
        for run in record.runs:
            assert run["environment"]["dirty"] is False and len(run["environment"]["commit"]) == 40
        assert len(record.data["sha256"]) == 64


def test_results_page_has_a_row_for_each_record_with_its_numbers() -> None:
    page = results.page([record("a"), record("b", settings=record().settings | {"epochs": 40})])
    lines = page.splitlines()
    assert ":::{dropdown} Other records" in lines
    a, b = (next(line for line in lines if line.startswith(f"| `{name}` |")) for name in "ab")
    assert "71.0 ± 2.5 |" in a and "epochs 40" in b and "epochs" not in a
    assert "There is no run record yet." in results.page([])


def test_results_page_holds_every_record_once() -> None:
    records = runs.all()
    page, found = results.page(records), []
    for fold in page.split(":::{dropdown} ")[1:]:
        start = (re.findall(r"Names begin with `(.+?)`", fold) or [""])[0]
        table = [line for line in fold.splitlines() if line.startswith("| ")]
        for line in table[1:]:
            name, _, *cells = (cell.strip() for cell in line.strip("| ").split(" | "))
            found.append(start + name.strip("`"))
            values = [shown(key, value) for key, value in runs.load(found[-1]).summary.items()]
            assert all(cell == "–" or cell in values for cell in cells), line
            assert len(line) <= 250, line
        assert not re.search(r"--unfinished|--out|--no-progress", fold)
    assert sorted(found) == sorted(record.name for record in records)


def test_headline_compares_like_with_like_and_its_sentence_is_the_records() -> None:
    text = (Path(results.__file__).parents[1] / "results.md").read_text(encoding="utf-8")
    *mixing, longer, both = [
        {data: [runs.load(name.format(data)) for name in names] for data in results.SETS}
        for _, *names in results.MAIN
    ]
    assert [way.settings["epochs"] for way, _ in both.values()] == [
        way.settings["epochs"] for way, _ in longer.values()
    ]
    for way, base in (pair for row in (*mixing, both) for pair in row.values()):
        for key in ("network", "images", "epochs", "batch_size", "augment", "optimizer", "schedule"):
            assert way.settings[key] == base.settings[key], (way.name, key)
        assert way.settings["network"] == "ResNet-8, width 8" and way.seeds == (0, 1, 2)
    assert all(way.settings["epochs"] == 3 * base.settings["epochs"] for way, base in longer.values())
    assert [longer[data][1].settings["epochs"] for data in results.SETS] == [40, 15]
    fashion, emoji = ([way.gain(base) for way, base in (row[d] for row in mixing)] for d in results.SETS)
    assert all(gain.clear and gain.mean > 0 for gain in fashion)
    low, high = (f"{100 * end(gain.mean for gain in fashion):.1f}" for end in (min, max))
    assert f"the six methods of this table gain {low} to {high} points" in text and len(mixing) == 6
    assert not any(gain.clear and gain.mean > 0 for gain in emoji)
    assert f"Mixup loses {emoji[0].percent().removeprefix('−')} points" in text
    assert longer["emoji"][0].gain(longer["emoji"][1]).clear
    assert not longer["fashion"][0].gain(longer["fashion"][1]).clear
    best, first = (row["fashion"][0] for row in (mixing[-1], mixing[0]))
    lead = best.gain(first)
    assert max(row["fashion"][0].gain(first).mean for row in mixing) == lead.mean and not lead.clear
    assert f"leads Mixup, the cheapest, by {lead.percent()} points: not significant" in text
    assert f"added {both['emoji'][0].gain(both['emoji'][1]).percent()} points" in text

    def gain(way: str, base: str, measure: str = "accuracy"):
        return runs.load(way).gain(runs.load(base), measure)

    sweep, curve = "sweep-fashion-n2000-e10-w8-{}", "curve-e10-{}"
    lost = [
        gain(name.format(way), name.format("plain")) for name, way in ((sweep, "mixup"), (curve, "cutmix"))
    ]
    assert (
        "Mixup loses {} points and CutMix {}.".format(*(g.percent().removeprefix("−") for g in lost)) in text
    )
    for way in ("mixup", "cutmix"):
        assert gain(f"curve-crops-{way}", "curve-crops-plain").mean < 0  # "neither gains"
    short = gain("mixskd-emoji-mixskd", "mixskd-emoji-plain-longer")
    assert f"beats MixSKD by {short.percent().removeprefix('−')} points" in text
    epochs = [runs.load(f"mixskd-emoji-{way}").settings["epochs"] for way in ("plain-longer", "mixskd")]
    assert round(epochs[0] / epochs[1], 1) == 4.5
    ece = [gain(f"boxes-{data}-cutmix", f"boxes-{data}-plain", "ece") for data in results.SETS]
    assert "by {} and {} points".format(*(g.percent().removeprefix("−") for g in ece)) in text
    more = gain("curve-e10-cutmix", "curve-e10-plain", "ece")
    assert more.clear and more.mean > 0
    wide = [gain(f"{data}-mixup", f"{data}-plain").percent() for data in results.SETS]
    assert "by {} and {} points".format(*wide) in text
    table = results.headline(runs.all())
    assert table.count("<svg") == 2 * len(results.MAIN) == table.count("±")
    ends = re.findall(r"M(-?[\d.]+) 0H(-?[\d.]+)", table)
    assert all(-results.REACH <= float(end) <= results.REACH for pair in ends for end in pair)


def test_the_words_on_the_lids_are_the_records() -> None:
    known = {record.name: record for record in runs.all()}
    for data, count, gain, lose in (("fashion", 12, 9, 1), ("emoji", 11, 0, 4)):
        names = [n for n in known if n.startswith(f"masks-{data}-") and "vit" not in n]
        gains = [known[name].gain(known[f"boxes-{data}-plain"]) for name in names]
        assert len(gains) == count and sum(g.clear and g.mean > 0 for g in gains) == gain
        assert sum(g.clear and g.mean < 0 for g in gains) == lose
    error = {n: r.summary["drawn/error"].mean for n, r in known.items() if n.startswith("truth-emoji-")}
    assert (min(error, key=error.get), max(error, key=error.get)) == (
        "truth-emoji-mixup",
        "truth-emoji-resizemix",
    )
    seen = {n: r.summary["all/top 2"].mean for n, r in known.items() if n.startswith("judge-offcentre-")}
    assert max(seen, key=seen.get) == "judge-offcentre-true-masks"
    again = {n: r.summary["all/top 2"].mean for n, r in known.items() if n.startswith("again-")}
    assert max(again, key=again.get) == "again-true-masks"
    for name, record in known.items():
        if name.startswith("kin-emoji-"):
            same, near, other = (
                record.summary[f"kin/{kind}"].mean for kind in ("same thing", "same class", "other class")
            )
            untrained = known["kin-emoji-scratch"].summary["kin/same thing"].mean
            assert same > near > other and same <= untrained  # "without training already"
    page = results.page(runs.all())
    assert ":::{dropdown} Does CutMix help on Fashion-MNIST? +2.1 ± 0.9\n" in page
    assert set(results.ANSWERS) == set(results.GROUPS)


EVIL = "<script>alert(1)</script>"


def hostile() -> Record:
    settings = {"network": EVIL, "mix": f"`{EVIL}[a](javascript:x) $x$", EVIL: "b", "images": 1, "epochs": 2}
    facts = environment("cpu") | {"device": EVIL, "torch": EVIL}
    final = {EVIL: {"accuracy": 0.5, "nll": 1.0, EVIL: 1.0}}
    made = tuple(run(seed, 0.5, environment=facts, final=final) for seed in range(3))
    data = {"name": EVIL, "sha256": "ab"}
    return record(EVIL, command=f"``{EVIL}", settings=settings, data=data, runs=made)


def test_text_of_a_record_is_text_on_the_results_page() -> None:
    import markdown_it

    page = results.page([hostile()])
    html = markdown_it.MarkdownIt("commonmark").enable("table").render(page)
    assert "<script" not in html and "javascript:x)" in html and "<a " not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 5  # network, mixing, a key, device, name
    assert r"\$x\$" in page  # no formula
