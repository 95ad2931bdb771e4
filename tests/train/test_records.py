"""Run records: intervals, what is refused, the card and the results page."""

from __future__ import annotations

import json
import math
import platform
import sys
from pathlib import Path

import pytest
import scipy.stats

from experiments.records import environment, write
from mixlearn.train import records as runs
from mixlearn.train.records import Record, RecordError, interval

sys.path.append(str(Path(__file__).resolve().parents[2] / "book" / "_tools"))

import results


def _run(seed: int, accuracy: float, **more) -> dict:
    final = {"concepts": {"accuracy": accuracy, "nll": 1.0, "ece": 0.05, "gap": -0.02}}
    final["designers"] = {"accuracy": accuracy - 0.1, "nll": 1.2, "ece": 0.06, "gap": 0.01}
    base = {"seed": seed, "environment": environment("cpu"), "seconds": 75.0, "peak_memory": 2**30}
    return base | {"epochs": [{"epoch": 1, "loss": 2.0}], "final": final} | more


def _record(name: str = "emoji-mixup", **change) -> Record:
    given = {
        "name": name,
        "command": "python -m mixlearn train embedded --seeds 0 1 2",
        "settings": {"network": "ResNet-8", "mix": "mixup(alpha=1.0)", "images": 7200, "epochs": 15},
        "data": {"name": "emoji", "sha256": "ab" * 32},
        "runs": tuple(_run(seed, accuracy) for seed, accuracy in enumerate((0.80, 0.82, 0.81))),
    }
    return Record(**(given | change))


def test_interval_is_scipys_and_one_run_has_none() -> None:
    for values in ([0.3, 0.5], [0.3, 0.5, 0.45, 0.38], [0.1 * k for k in range(20)]):
        n = len(values)
        ends = scipy.stats.t.interval(0.95, n - 1, sum(values) / n, scipy.stats.sem(values))
        found = interval(values)
        assert (found.mean - found.half, found.mean + found.half) == pytest.approx(ends, rel=1e-9)
    assert math.isnan(interval([0.5]).half) and str(interval([0.5])) == "0.500"
    assert interval([-0.012, -0.012]).percent() == "−1.2 ± 0.0"
    with pytest.raises(ValueError, match="at least one number, got none"):
        interval([])


def test_record_comes_back_as_it_was(tmp_path: Path) -> None:
    record = _record()
    path = write(record, tmp_path)
    assert path.name == "emoji-mixup.json"
    again = runs.load("emoji-mixup", tmp_path)
    assert again == record
    assert again.summary["accuracy"].mean == pytest.approx(0.81)
    assert again.summary["designers/accuracy"].half == pytest.approx(again.summary["accuracy"].half)
    assert [one.name for one in runs.all(tmp_path)] == runs.names(tmp_path) == ["emoji-mixup"]
    assert json.loads(path.read_text())["summary"]["accuracy"]["n"] == 3


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
    file = write(_record(), tmp_path)
    file.write_text(json.dumps(_damage(json.loads(file.read_text()), path, value)))
    with pytest.raises(RecordError, match=words):
        runs.load("emoji-mixup", tmp_path)


def test_half_a_file_and_no_file(tmp_path: Path) -> None:
    file = write(_record(), tmp_path)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(RecordError, match="emoji-mixup.json is no readable JSON"):
        runs.load("emoji-mixup", tmp_path)
    with pytest.raises(FileNotFoundError, match="no run record 'emoji'; there are: emoji-mixup"):
        runs.load("emoji", tmp_path)


@pytest.mark.parametrize(
    "text",
    ["/home/someone/data", "--root=/data/imagenet/x", "C:\\data\\x", f"on {platform.node() or 'x:/y/z'}"],
)
def test_a_record_names_no_machine_and_no_folder(text: str, tmp_path: Path) -> None:
    if len(platform.node()) <= 3 and text.startswith("on"):
        text = "at /tmp/somewhere/else"
    with pytest.raises(RecordError, match="must not name a machine or an absolute path"):
        write(_record(command=text), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_books_own_records_load_and_name_clean_commits() -> None:
    for record in runs.all():
        for run in record.runs:
            assert run["environment"]["dirty"] is False and len(run["environment"]["commit"]) == 40
        assert len(record.data["sha256"]) == 64


def test_card_says_all_in_text_and_in_html() -> None:
    card = _record(settings={"network": "</script><img onerror=alert(1)>"}).card()
    text, page = str(card), card._repr_html_().replace("&nbsp;", " ")
    for words in (
        "81.0 ± 2.5",
        "3 min 45 s in all, 1 min 15 s a seed",
        "1 024 MiB",
        "train embedded",
        "0, 1, 2",
    ):
        assert words in text and words in page
    assert "designers: accuracy (%)" in text
    assert "<img" not in page and "&lt;img onerror" in page


def test_without_labels_a_judge_stands_where_a_test_set_would() -> None:
    judged = {"knn": {"k=20": 0.6}, "linear": {"accuracy": 0.7, "nll": 1.0}}
    blind = _record(runs=tuple(_run(seed, 0.8, final=judged) for seed in range(3)))
    assert blind.values("accuracy") == blind.values("linear/accuracy") == [0.7] * 3
    assert blind.gain(_record()).mean == pytest.approx(0.7 - 0.81)
    assert "60.0 ± 0.0" in str(blind.card())
    assert "| linear | 3 | 70.0 ± 0.0 |" in results.page([blind])
    with pytest.raises(KeyError, match="'emoji-mixup' has no measure 'tuned/accuracy'"):
        blind.values("tuned/accuracy")
    with pytest.raises(KeyError, match="has no measure 'ece'"):
        blind.values("ece")


def test_results_page_has_a_row_for_each_test_set_and_its_source() -> None:
    page = results.page([_record("a"), _record("b", data={"name": "fashion", "sha256": "0" * 64})])
    lines = page.splitlines()
    assert sum(line.startswith("| `a` | ResNet-8 | 7200 | 15 |") for line in lines) == 2
    assert any(
        "| designers | 3 | 71.0 ± 2.5 | 1.200 ± 0.000 | 6.0 ± 0.0 | 1.0 ± 0.0 |" in line for line in lines
    )
    assert "## emoji" in lines and "## fashion" in lines
    assert any(line.startswith("| `b` | `python -m mixlearn train embedded") for line in lines)
    assert "There is no run record yet." in results.page([])


def test_a_folder_book_beside_the_installed_package_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "mixlearn"
    write(_record(), package / "_results")
    (tmp_path / "site-packages" / "book" / "results").mkdir(parents=True)  # another distribution's
    monkeypatch.setattr(runs, "_PACKAGE", package)
    assert runs.folder() == package / "_results" and runs.names() == ["emoji-mixup"]
    checkout = tmp_path / "checkout"
    monkeypatch.setattr(runs, "_PACKAGE", checkout / "mixlearn")
    assert runs.folder() == checkout / "book" / "results"


EVIL = "<script>alert(1)</script>"


def _hostile() -> Record:
    settings = {"network": EVIL, "mix": f"`{EVIL}[a](javascript:x) $x$", EVIL: "b", "images": 1, "epochs": 2}
    facts = environment("cpu") | {"device": EVIL, "torch": EVIL}
    final = {EVIL: {"accuracy": 0.5, "nll": 1.0, EVIL: 1.0}}
    made = tuple(_run(seed, 0.5, environment=facts, final=final) for seed in range(3))
    data = {"name": EVIL, "sha256": "ab"}
    return _record(EVIL, command=f"``{EVIL}", settings=settings, data=data, runs=made)


def test_text_of_a_record_is_text_on_its_card() -> None:
    page = _hostile().card()._repr_html_()
    assert "<script" not in page and page.count("&lt;script&gt;") >= 6


def test_text_of_a_record_is_text_on_the_results_page() -> None:
    import markdown_it

    page = results.page([_hostile()])
    html = markdown_it.MarkdownIt("commonmark").enable("table").render(page)
    assert "<script" not in html and "javascript:x)" in html and "<a " not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 6
    assert r"\$x\$" in page  # no formula


def test_text_of_records_is_text_in_a_table() -> None:
    from mixlearn.page.tables import table

    page = table(EVIL, [EVIL, "b"], [[EVIL, f"**{EVIL}**"]])._repr_html_()
    assert "<script" not in page and page.count("&lt;script&gt;") == 4
