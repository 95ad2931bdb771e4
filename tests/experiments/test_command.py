"""The command line: it trains, goes on, shows records, and answers mistakes in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import mixlearn as ml
from experiments.command import main
from mixlearn import __main__ as shim
from mixlearn import data as data_room
from mixlearn.train import records as runs
from tests.sets import Blobs

SETS = {"fashion": Blobs(24, 1), "emoji": Blobs(24, 3), "cifar10": Blobs(40, 1, seed=3)}
SHORT = ["--epochs", "2", "--images", "16", "--width", "4", "--accelerator", "cpu"]
TRAIN = ["train", "fashion", *SHORT]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Small images in place of the shipped sets, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data_room, "load", lambda name, **options: SETS[name])
    return tmp_path


def answer(words: list[str], capsys) -> str:
    """The one line that a mistake is answered with."""
    assert main(words) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


# ---------------------------------------------------------------------------------------------- training
def test_train_goes_on_with_seeds_that_are_missing(small: Path, capsys) -> None:
    assert main([*TRAIN, "--seeds", "0", "--out", "records"]) == 0
    first = json.loads((small / "records/fashion-plain.json").read_text())["runs"]
    assert main([*TRAIN, "--seeds", "0", "1", "2", "--out", "records"]) == 0
    record = runs.load("fashion-plain", small / "records")
    assert record.seeds == (0, 1, 2) and record.runs[0] == first[0]
    assert not list((small / "checkpoints").iterdir())
    assert "(3 seeds)" in capsys.readouterr().out
    other = [*TRAIN, "--epochs", "1", "--seeds", "0", "--out", "records"]
    assert "has other settings: epochs was 2, is now 1" in answer(other, capsys)
    assert main([*other, "--again"]) == 0
    assert runs.load("fashion-plain", small / "records").seeds == (0,)


def test_the_record_says_what_was_typed_without_folders(small: Path, monkeypatch) -> None:
    words = [*TRAIN, "--alpha", "1", "--out", str(small / "records")]
    monkeypatch.setattr(sys, "argv", ["experiments", *words])
    assert main() == 0
    record = runs.load("fashion-mixup", small / "records")
    assert record.command.startswith("python -m experiments train fashion --epochs 2")
    assert record.command.endswith("--alpha 1 --out records")
    assert record.settings["mix"] == "mixup(alpha=1.0)"


def test_an_experiment_writes_each_record_also_without_the_word_train(small: Path, capsys) -> None:
    given = ["--epochs", "1", "--batch-size", "8", "--width", "4", "--accelerator", "cpu", "--out", "records"]
    assert main(["embedded", *given]) == 0
    assert runs.names("records") == ["emoji-mixup", "emoji-plain", "fashion-mixup", "fashion-plain"]
    assert main(["runs", "--where", "records"]) == 0
    assert main(["runs", "emoji-mixup", "--where", "records"]) == 0
    assert "emoji-plain: seeds 0  same: accuracy" in capsys.readouterr().out


def test_one_setting_of_an_experiment_goes_by_the_name_of_its_record(small: Path, capsys) -> None:
    assert main(["train", "fashion-mixup", *SHORT, "--out", "one", "--keep"]) == 0
    assert main([*TRAIN, "--alpha", "1.0", "--out", "same", "--name", "mine"]) == 0
    record, same = runs.load("fashion-mixup", "one"), runs.load("mine", "same")
    assert record.settings == same.settings and record.runs[0]["final"] == same.runs[0]["final"]
    kept = ml.train.checkpoint.load("checkpoints/fashion-mixup-0.pt")
    assert kept["place"]["epoch"] == kept["settings"]["epochs"] == 2


# ---------------------------------------------------------------------------------------------- mistakes
MISTAKES = [
    (
        ["train", "cifar-10"],
        "recipe must be one of again, automix, boxes, cifar, confirmed, contrast, curves, dense, divided,",
    ),
    (["train", "fashion-mixup", "--alpha", "1"], "fashion-mixup is of an experiment: it sets α"),
    (["train", "fashion", "--alpha", "-1"], "alpha must be"),
    (["train", "fashion", "--seeds", "1", "1"], "different whole numbers, got [1, 1]"),
    (["train", "cifar100", "--images", "5"], "the recipe cifar100 takes no --images"),
    (["runs", "nothing"], "no run record 'nothing'"),
]


def test_a_mistake_is_one_line(small: Path, capsys) -> None:
    for words, expected in MISTAKES:
        assert expected in answer(words, capsys)


def test_usage_errors_and_help(capsys) -> None:
    assert main(["train", "fashion", "--epoch", "1"]) == 2
    assert "No such option" in capsys.readouterr().err
    assert main(["train", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "Experiments: again, automix, boxes, cifar, confirmed, contrast, curves, dense, divided," in words
    assert "--seeds 0 1 2" in words


@pytest.mark.parametrize("package", ["mixlearn", "experiments"])
def test_info_from_a_shell(package: str) -> None:
    command = [sys.executable, "-m", package, "info"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and "torch: " in done.stdout and "commit: " in done.stdout


def test_without_the_repository_the_old_command_says_where_it_went(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "experiments", None)
    monkeypatch.delitem(sys.modules, "experiments.command")
    assert shim.main(["info"]) == 1
    assert "the command line is in the repository" in capsys.readouterr().err
