"""The command `probe`: three evaluations of a saved checkpoint, and mistakes in one line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import TensorDataset

import mixlearn as ml
from experiments.command import trained
from experiments.training import fine_tune
from mixlearn import data as data_room
from mixlearn.__main__ import main
from mixlearn.train.finetune import linear_layer
from tests.lab.sets import Blobs

TRAIN = ["train", "fashion", "--epochs", "2", "--images", "16", "--width", "4", "--accelerator", "cpu"]
FILE = "checkpoints/fashion-plain-0.pt"
PROBE = ["probe", "fashion", FILE, "--width", "4", "--accelerator", "cpu"]
SETS = {"fashion": Blobs(24, 1), "cifar10": Blobs(40, 1, seed=3), "emoji": Blobs(8, 3)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A trained network's checkpoint, of small images in place of the shipped sets."""
    place = tmp_path_factory.mktemp("probe")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(data_room, "load", lambda name, **options: SETS[name])
        assert main([*TRAIN, "--out", "records", "--keep"]) == 0
    return place


@pytest.fixture
def small(folder: Path, monkeypatch) -> Path:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(data_room, "load", lambda name, **options: SETS[name])
    return folder


def network():
    return trained("fashion", Path(FILE), width=4, accelerator="cpu").model


def lines(found: dict[str, dict[str, float]]) -> str:
    return "".join(
        f"{part}: " + ", ".join(f"{key} {value:.4f}" for key, value in measures.items()) + "\n"
        for part, measures in found.items()
    )


@pytest.mark.parametrize("name", ["blobs", "cifar10"])
def test_neighbours(small: Path, capsys, monkeypatch, name: str) -> None:
    monkeypatch.setitem(SETS, "blobs", SETS["fashion"])  # the recipe's own, by the name that it has
    words = [] if name == "blobs" else ["--data", name]
    assert main([*PROBE, *words, "--k", "1", "--k", "7", "--temperature", "0.5"]) == 0
    given = ml.measure.features_of(network(), SETS[name])
    votes = ml.measure.knn_accuracy(*given, *given, k=[1, 7], temperature=0.5)
    measures = {f"k={k} accuracy": value for k, value in votes.items()}
    assert capsys.readouterr().out == lines({"same": measures, "again": measures})


def test_linear(small: Path, capsys) -> None:
    words = ["--data", "cifar10", "--how", "linear", "--epochs", "3", "--batch-size", "8", "--lr", "0.5"]
    assert main([*PROBE, *words, "--stage", "stage2", "--standardise", "--seed", "4"]) == 0
    data = SETS["cifar10"]
    features, labels = ml.measure.features_of(network(), data, "stage2")
    layer = linear_layer(features, labels, epochs=3, batch_size=8, lr=0.5, standardise=True, seed=4)
    found = ml.measure.evaluate(layer, [(features, labels)])
    assert capsys.readouterr().out == lines({"same": found, "again": found})


def test_tune(small: Path, capsys) -> None:
    words = ["--data", "cifar10", "--how", "tune", "--epochs", "2", "--batch-size", "8", "--lr", "0.1"]
    assert main([*PROBE, *words, "--images", "24", "--decay", "0.5", "--crop"]) == 0
    options = {"images": 24, "epochs": 2, "batch_size": 8, "lr": 0.1, "decay": 0.5, "progress": False}
    crop = ml.augment.crop_and_flip
    found = fine_tune(network(), SETS["cifar10"], augment=crop, accelerator="cpu", **options).final
    assert capsys.readouterr().out == lines(found)


@pytest.mark.parametrize("how", ["knn", "linear", "tune"])
def test_pictures_that_are_read_from_files(small: Path, capsys, monkeypatch, how: str) -> None:
    whole = SETS["cifar10"]
    part = TensorDataset(whole.images, whole.labels)
    read = SimpleNamespace(
        name="read", train=part, test=part, tests={"test": part}, classes=whole.classes, sha256=""
    )
    monkeypatch.setitem(SETS, "read", read)
    monkeypatch.setattr("experiments.command.WORKERS", 0)
    words = ["--data", "read", "--how", how, "--epochs", "1", "--batch-size", "8"]
    assert main([*PROBE, *words]) == 0
    said = capsys.readouterr().out
    if how == "knn":
        given = ml.measure.features_of(network(), whole)
        assert said == lines({"test": {"k=20 accuracy": ml.measure.knn_accuracy(*given, *given)}})
    else:
        assert said.startswith("test: accuracy ")
    assert main([*PROBE, *words, "--images", "4"]) == 1
    assert "--images chooses among images in memory, those of read are" in capsys.readouterr().err


def test_the_network_is_the_trained_one(small: Path) -> None:
    torch.manual_seed(0)
    state = ml.train.checkpoints.load(FILE)["model"]
    assert all(torch.equal(value, state[name]) for name, value in network().state_dict().items())


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["probe", "cifar", FILE], "recipe must be one of automix_cifar100, cifar100, "),
        (["probe", "fashion", "gone.pt"], "there is no checkpoint gone.pt"),
        (["probe", "fashion", "bad.pt"], "bad.pt is truncated or no checkpoint of mixlearn (3 bytes)"),
        (["probe", "small_vit", FILE, "--width", "4"], "the recipe small_vit takes no --width"),
        (["probe", "fashion", FILE, "--accelerator", "cpu"], "holds another network or optimiser"),
        ([*PROBE, "--data", "emoji"], "sees images of 1 channels, those of emoji have 3"),
        ([*PROBE, "--data", "cifar10", "--k", "41"], "k must lie in 1…40, the training images, got 41"),
        ([*PROBE, "--data", "cifar10", "--stage", "stage9"], "it has no 'stage9'"),
        ([*PROBE, "--data", "cifar10", "--temperature", "0"], "temperature must be positive"),
        ([*PROBE, "--data", "cifar10", "--how", "linear", "--lr", "0"], "lr must be positive"),
        ([*PROBE, "--data", "cifar10", "--how", "tune", "--decay", "2"], "decay must lie in (0, 1], got 2.0"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], answer: str, small: Path, capsys) -> None:
    (small / "bad.pt").write_bytes(b"bad")
    assert main(words) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith("error: ") and answer in said[0]


def test_a_run_that_is_not_finished(small: Path, capsys, monkeypatch) -> None:
    state = ml.train.checkpoints.load(FILE)
    state["place"]["epoch"] = 1
    ml.train.checkpoints.save("half.pt", {key: value for key, value in state.items() if key != "format"})
    assert main(["probe", "fashion", "half.pt"]) == 1
    assert "half.pt has done 1 of 2 epochs; finish it" in capsys.readouterr().err


def test_usage_and_help(capsys) -> None:
    assert main(["probe", "fashion", "some.pt", "--how", "guess"]) == 2
    assert "'guess' is not one of 'knn', 'linear', 'tune'" in capsys.readouterr().err
    assert main(["probe", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in ("nearest neighbours vote", "a linear layer on frozen features", "layer-decayed rates"):
        assert words in said
