"""The command line: it trains, goes on, measures and probes, and answers mistakes in one line."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch.utils.data import TensorDataset

import mixlearn as ml
from experiments.command import main, trained
from experiments.training import fine_tune
from mixlearn import __main__ as shim
from mixlearn import data as data_room
from mixlearn.train import records as runs
from mixlearn.train.finetune import linear_layer
from tests.sets import Blobs

SETS = {"fashion": Blobs(24, 1), "emoji": Blobs(24, 3), "cifar10": Blobs(40, 1, seed=3)}
SHORT = ["--epochs", "2", "--images", "16", "--width", "4", "--accelerator", "cpu"]
TRAIN = ["train", "fashion", *SHORT]
FILE = "checkpoints/fashion-plain-0.pt"
PROBE = ["probe", "fashion", FILE, "--width", "4", "--accelerator", "cpu"]


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
    capsys.readouterr()
    network = ["checkpoints/fashion-mixup-0.pt", "--width", "4", "--accelerator", "cpu"]
    assert main(["evaluate", "fashion-mixup", *network]) == 0
    assert capsys.readouterr().out == lines(record.runs[0]["final"])


# ---------------------------------------------------------------------------------------- the checkpoint
def network():
    return trained("fashion", Path(FILE), width=4, accelerator="cpu").model


def lines(final: dict[str, dict[str, float]]) -> str:
    return "".join(
        f"{part}: " + ", ".join(f"{key} {value:.4f}" for key, value in measures.items()) + "\n"
        for part, measures in final.items()
    )


def test_probe_asks_neighbours_a_linear_layer_or_a_copy_that_is_trained_on(small: Path, capsys) -> None:
    assert main([*TRAIN, "--keep", "--out", "records"]) == 0
    probe, data = [*PROBE, "--data", "cifar10"], SETS["cifar10"]
    capsys.readouterr()
    assert main([*probe, "--k", "1", "--k", "7", "--temperature", "0.5"]) == 0
    given = ml.measure.features_of(network(), data)
    votes = ml.measure.knn_accuracy(*given, *given, k=[1, 7], temperature=0.5)
    measures = {f"k={k} accuracy": value for k, value in votes.items()}
    assert capsys.readouterr().out == lines({"same": measures, "again": measures})
    short = ["--epochs", "2", "--batch-size", "8", "--lr", "0.1"]
    assert main([*probe, "--how", "linear", *short, "--stage", "stage2", "--standardise", "--seed", "4"]) == 0
    seen = ml.measure.features_of(network(), data, "stage2")
    layer = linear_layer(*seen, epochs=2, batch_size=8, lr=0.1, standardise=True, seed=4)
    measures = ml.measure.evaluate(layer, [seen])
    assert capsys.readouterr().out == lines({"same": measures, "again": measures})
    assert main([*probe, "--how", "tune", *short, "--images", "24", "--decay", "0.5", "--crop"]) == 0
    options = {"images": 24, "epochs": 2, "batch_size": 8, "lr": 0.1, "decay": 0.5, "progress": False}
    crop = ml.augment.crop_and_flip
    final = fine_tune(network(), data, augment=crop, accelerator="cpu", **options).final
    assert capsys.readouterr().out == lines(final)


def test_pictures_that_are_read_from_files(small: Path, capsys, monkeypatch) -> None:
    assert main([*TRAIN, "--keep", "--out", "records"]) == 0
    whole = SETS["cifar10"]
    part = TensorDataset(whole.images, whole.labels)
    read = SimpleNamespace(train=part, test=part, tests={"test": part}, classes=whole.classes, name="read")
    monkeypatch.setitem(SETS, "read", read)
    monkeypatch.setattr("experiments.command.WORKERS", 0)
    words = [*PROBE, "--data", "read", "--epochs", "1", "--batch-size", "8"]
    capsys.readouterr()
    assert main(words) == 0
    given = ml.measure.features_of(network(), whole)
    expected = lines({"test": {"k=20 accuracy": ml.measure.knn_accuracy(*given, *given)}})
    assert main([*words, "--how", "tune"]) == 0
    assert capsys.readouterr().out.startswith(f"{expected}test: accuracy ")
    assert "images in memory, those of read are" in answer([*words, "--images", "4"], capsys)


# ---------------------------------------------------------------------------------------------- mistakes
MISTAKES = [
    (["train", "cifar"], "recipe must be one of automix, boxes, contrast, curves, dense, embedded,"),
    (["train", "fashion-mixup", "--alpha", "1"], "fashion-mixup is of an experiment: it sets α"),
    (["train", "fashion", "--alpha", "-1"], "alpha must be"),
    (["train", "fashion", "--seeds", "1", "1"], "different whole numbers, got [1, 1]"),
    (["train", "cifar100", "--images", "5"], "the recipe cifar100 takes no --images"),
    (["runs", "nothing"], "no run record 'nothing'"),
    (["evaluate", "fashion-none", FILE], "or the name of an experiment's record, got 'fash"),
    (["probe", "fashion", "bad.pt"], "bad.pt is truncated or no checkpoint of mixlearn (3 bytes)"),
    (["probe", "fashion", "half.pt"], "half.pt has done 1 of 2 epochs; finish it"),
    (["probe", "small_vit", FILE, "--width", "4"], "the recipe small_vit takes no --width"),
    ([*PROBE, "--data", "emoji"], "sees images of 1 channels, those of emoji have 3"),
    ([*PROBE, "--data", "cifar10", "--how", "tune", "--decay", "2"], "decay must lie in (0, 1], got 2.0"),
]


def test_a_mistake_is_one_line(small: Path, capsys) -> None:
    assert main([*TRAIN, "--keep", "--out", "records"]) == 0
    Path("bad.pt").write_bytes(b"bad")
    state = ml.train.checkpoint.load(FILE)
    state["place"]["epoch"] = 1
    ml.train.checkpoint.save("half.pt", {key: value for key, value in state.items() if key != "format"})
    capsys.readouterr()
    for words, expected in MISTAKES:
        assert expected in answer(words, capsys)


def test_usage_errors_and_help(capsys) -> None:
    assert main(["train", "fashion", "--epoch", "1"]) == 2
    assert "No such option" in capsys.readouterr().err
    assert main(["train", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "Experiments: automix, boxes, contrast, curves, dense, embedded," in words
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
