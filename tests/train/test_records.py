"""Run records: intervals, what is refused, the card."""

import json
import math
from pathlib import Path

import pytest
import scipy.stats

from experiments.records import write
from mixlearn.train import records as runs
from mixlearn.train.records import RecordError, interval
from tests.experiments.test_records import EVIL, hostile, record, run
from tests.refused import refused


def test_interval_is_scipys_and_one_run_has_none() -> None:
    for values in ([0.3, 0.5], [0.3, 0.5, 0.45, 0.38], [0.1 * k for k in range(20)]):
        n = len(values)
        ends = scipy.stats.t.interval(0.95, n - 1, sum(values) / n, scipy.stats.sem(values))
        found = interval(values)
        assert (found.mean - found.half, found.mean + found.half) == pytest.approx(ends, rel=1e-9)
    assert math.isnan(interval([0.5]).half) and str(interval([0.5])) == "0.500"
    assert interval([-0.012, -0.012]).percent() == "−1.2 ± 0.0"
    refused(lambda: interval([]), "at least one number, got none")


def test_record_comes_back_as_it_was(tmp_path: Path) -> None:
    given = record()
    path = write(given, tmp_path)
    assert path.name == "emoji-mixup.json"
    again = runs.load("emoji-mixup", tmp_path)
    assert again == given
    assert again.summary["accuracy"].mean == pytest.approx(0.81)
    assert again.summary["designers/accuracy"].half == pytest.approx(again.summary["accuracy"].half)
    assert [one.name for one in runs.all(tmp_path)] == runs.names(tmp_path) == ["emoji-mixup"]
    assert json.loads(path.read_text())["summary"]["accuracy"]["n"] == 3


def test_half_a_file_and_no_file(tmp_path: Path) -> None:
    file = write(record(), tmp_path)
    file.write_bytes(file.read_bytes()[:100])
    refused(lambda: runs.load("emoji-mixup", tmp_path), "emoji-mixup.json is no readable JSON", RecordError)
    for other in ([1], {"format": "2"}, {"format": runs.FORMAT, "name": "emoji-mixup"}):
        file.write_text(json.dumps(other))
        with pytest.raises(RecordError, match="must hold the format 'mixlearn run 1' with name, command"):
            runs.load("emoji-mixup", tmp_path)
    with pytest.raises(FileNotFoundError, match="no run record 'emoji'; there are: emoji-mixup"):
        runs.load("emoji", tmp_path)


def test_card_says_all_in_text_and_in_html() -> None:
    card = record(settings={"network": "</script><img onerror=alert(1)>"}).card()
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
    blind = record(runs=tuple(run(seed, 0.8, final=judged) for seed in range(3)))
    assert blind.values("accuracy") == blind.values("linear/accuracy") == [0.7] * 3
    assert blind.gain(record()).mean == pytest.approx(0.7 - 0.81)
    assert "60.0 ± 0.0" in str(blind.card())
    refused(lambda: blind.values("tuned/accuracy"), "'emoji-mixup' has no measure 'tuned/accuracy'", KeyError)
    refused(lambda: blind.values("ece"), "has no measure 'ece'", KeyError)


def test_a_folder_book_beside_the_installed_package_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "mixlearn"
    write(record(), package / "_results")
    (tmp_path / "site-packages" / "book" / "results").mkdir(parents=True)  # another distribution's
    monkeypatch.setattr(runs, "_PACKAGE", package)
    assert runs.folder() == package / "_results" and runs.names() == ["emoji-mixup"]
    checkout = tmp_path / "checkout"
    monkeypatch.setattr(runs, "_PACKAGE", checkout / "mixlearn")
    assert runs.folder() == checkout / "book" / "results"


def test_text_of_a_record_is_text_on_its_card() -> None:
    page = hostile().card()._repr_html_()
    assert "<script" not in page and page.count("&lt;script&gt;") >= 6


def test_text_of_records_is_text_in_a_table() -> None:
    from mixlearn.page.tables import table

    page = table(EVIL, [EVIL, "b"], [[EVIL, f"**{EVIL}**"]])._repr_html_()
    assert "<script" not in page and page.count("&lt;script&gt;") == 4
