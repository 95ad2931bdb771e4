"""The command line: one command trains, goes on, and says mistakes in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mixlearn import data as data_room
from mixlearn.__main__ import main
from mixlearn.train import records as runs
from tests.lab.sets import Blobs


@pytest.fixture
def small(monkeypatch, tmp_path: Path) -> Path:
    """Small images in place of the shipped sets, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data_room, "load", lambda name, **options: Blobs(24, 1 if name == "fashion" else 3))
    return tmp_path


TRAIN = ["train", "fashion", "--epochs", "1", "--images", "16", "--width", "8", "--accelerator", "cpu"]


def test_train_goes_on_with_seeds_that_are_missing(small: Path, capsys) -> None:
    assert main([*TRAIN, "--seeds", "0", "--out", "records"]) == 0
    first = json.loads((small / "records/fashion-plain.json").read_text())["runs"]
    assert main([*TRAIN, "--seeds", "0", "1", "2", "--out", "records"]) == 0
    record = runs.load("fashion-plain", small / "records")
    assert record.seeds == (0, 1, 2) and record.runs[0] == first[0]
    assert not list((small / "checkpoints").iterdir())
    assert "(3 seeds)" in capsys.readouterr().out
    assert main([*TRAIN[:-2], "--epochs", "2", "--seeds", "0", "--out", "records"]) == 1
    assert "has other settings: epochs was 1, is now 2" in capsys.readouterr().err
    assert main([*TRAIN, "--epochs", "2", "--seeds", "0", "--out", "records", "--again"]) == 0
    assert runs.load("fashion-plain", small / "records").seeds == (0,)


def test_the_record_says_what_was_typed_without_folders(small: Path, monkeypatch) -> None:
    words = [*TRAIN, "--alpha", "1", "--out", str(small / "records")]
    monkeypatch.setattr(sys, "argv", ["mixlearn", *words])
    assert main() == 0
    record = runs.load("fashion-mixup", small / "records")
    assert record.command.startswith("python -m mixlearn train fashion --epochs 1")
    assert record.command.endswith("--alpha 1 --out records")
    assert record.settings["mix"] == "mixup(alpha=1.0)"


def test_an_experiment_writes_each_record(small: Path, capsys) -> None:
    given = ["--epochs", "1", "--batch-size", "8", "--width", "8", "--accelerator", "cpu", "--out", "records"]
    assert main(["train", "embedded", *given]) == 0
    assert runs.names("records") == ["emoji-mixup", "emoji-plain", "fashion-mixup", "fashion-plain"]
    assert main(["runs", "--where", "records"]) == 0
    assert main(["runs", "emoji-mixup", "--where", "records"]) == 0
    assert main(["runs", "--where", "records", "--page", "results.md"]) == 0
    assert "wrote results.md from 4 run records" in capsys.readouterr().out
    assert (small / "results.md").read_text().count("| `emoji-mixup` |") == 3


def test_what_was_measured_by_a_judge_is_named_and_what_was_not_is_kept(
    small: Path, monkeypatch, capsys
) -> None:
    told = ["train", "pretrain", "--epochs", "1", "--images", "24", "--width", "4", "--batch-size", "8"]
    places = ["--accelerator", "cpu", "--out", "blind"]
    for name in ("mean", "std"):
        monkeypatch.setattr(Blobs, name, (0.5, 0.5, 0.5))
    judged = {"knn": {"k=20": 0.6}, "linear": {"accuracy": 0.7, "nll": 1.0}}
    for final, left in ((judged, []), ({}, ["pretrain-0.pt"])):
        monkeypatch.setattr(
            "experiments.recipes.contrast.examine_features", lambda net, data, final=final: final
        )
        assert main([*told, *places, "--again"]) == 0
        assert [file.name for file in (small / "checkpoints").iterdir()] == left
        capsys.readouterr()
        assert main(["runs", "--where", "blind"]) == 0
        line = capsys.readouterr().out
        assert ("linear: accuracy 70.0" in line) == bool(final) and line.startswith("pretrain: seeds 0")
    assert main([*told, *places, "--alpha", "1"]) == 1
    assert "mix must be a learner without labels" in capsys.readouterr().err


def test_evaluate_gives_the_measures_of_the_record(small: Path, capsys) -> None:
    assert main([*TRAIN, "--out", "records", "--keep"]) == 0
    capsys.readouterr()
    assert (
        main(
            ["evaluate", "fashion", "checkpoints/fashion-plain-0.pt", "--width", "8", "--accelerator", "cpu"]
        )
        == 0
    )
    final = runs.load("fashion-plain", "records").runs[0]["final"]["same"]
    expected = "same: " + ", ".join(f"{key} {value:.4f}" for key, value in final.items())
    assert expected in capsys.readouterr().out


def test_one_setting_of_an_experiment_goes_by_the_name_of_its_record(small: Path, capsys) -> None:
    short = ["--epochs", "2", "--images", "16", "--width", "4", "--accelerator", "cpu"]
    assert main(["train", "fashion-mixup", *short, "--out", "one", "--keep"]) == 0
    assert main(["train", "fashion", "--alpha", "1.0", *short, "--out", "same", "--name", "mine"]) == 0
    kept, same = runs.load("fashion-mixup", "one"), runs.load("mine", "same")
    assert kept.settings == same.settings and kept.runs[0]["final"] == same.runs[0]["final"]
    capsys.readouterr()
    network = ["checkpoints/fashion-mixup-0.pt", "--width", "4", "--accelerator", "cpu"]
    assert main(["evaluate", "fashion-mixup", *network]) == 0
    final = kept.runs[0]["final"]["same"]
    assert f"same: accuracy {final['accuracy']:.4f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (
            ["train", "cifar"],
            "recipe must be one of automix, boxes, contrast, dense, embedded, masks, mixskd, pilot_cifar, "
            "pilot_offcentre, sweep, transfer, automix",
        ),
        (["train", "fashion-mixup", "--alpha", "1"], "fashion-mixup is of an experiment: it sets α"),
        (
            ["evaluate", "fashion-none", "gone.pt"],
            "or the name of an experiment's record, got 'fash",
        ),
        (["train", "fashion", "--alpha", "-1"], "alpha must be"),
        (
            ["train", "fashion", "--seeds", "1", "1"],
            r"seeds must be one or more different whole numbers, got [1, 1]",
        ),
        (["train", "cifar100", "--images", "5"], "the recipe cifar100 takes no --images"),
        (["train", "embedded", "--alpha", "1"], "embedded is an experiment: it sets α and names itself"),
        (["runs", "nothing"], "no run record 'nothing'"),
        (["evaluate", "fashion", "gone.pt"], "there is no checkpoint gone.pt"),
        (["evaluate", "fashion", "bad.pt"], "bad.pt is truncated or no checkpoint of mixlearn (3 bytes)"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], answer: str, small: Path, capsys) -> None:
    (small / "bad.pt").write_bytes(b"bad")
    assert main(words) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith("error: ") and answer in said[0]


def test_usage_errors_and_help(capsys) -> None:
    assert main(["train", "fashion", "--epoch", "1"]) == 2
    assert "No such option" in capsys.readouterr().err
    assert main(["train", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "--seeds 0 1 2" in said
        and "Experiments: automix, boxes, contrast, dense, embedded, masks, mixskd, pilot_cifar, "
        "pilot_offcentre, sweep, transfer."
        in said
    )


def test_info_from_a_shell() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mixlearn", "info"], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0 and "torch: " in done.stdout and "commit: " in done.stdout
