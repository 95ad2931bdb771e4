"""The data that come with mixlearn are listed, whole, and checked when loaded."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest

import mixlearn as ml
from mixlearn.data import files as data_files
from mixlearn.data.emoji import FILES
from mixlearn.data.fashion import SHA256, read_fashion
from mixlearn.data.files import digest, read_sums
from tests.lab.shipped import DATA


def test_every_shipped_file_is_listed_and_is_what_the_list_says() -> None:
    sums = read_sums(DATA / "SHA256SUMS")
    files = {
        f"{folder}/{file.name}"
        for folder in ("emoji", "fashion", "photos")
        for file in (DATA / folder).iterdir()
    }
    assert set(sums) == files
    assert {name: digest(DATA / name) for name in files} == sums
    assert {f"fashion/{name}": value for name, value in SHA256.items()}.items() <= sums.items()


def test_the_shipped_files_fit_the_wheel_and_the_repository() -> None:
    sizes = {
        folder: sum(file.stat().st_size for file in (DATA / folder).iterdir())
        for folder in ("emoji", "photos", "fashion")
    }
    assert sizes["emoji"] + sizes["photos"] < 18e6
    assert sum(sizes.values()) < 50 * 2**20
    assert "LICENSES.md" in {file.name for file in DATA.iterdir()}


def test_fashion_mnist_is_complete() -> None:
    data = ml.data.load("fashion")
    assert data.train.images.shape == (60000, 1, 28, 28)
    assert data.test.images.shape == (10000, 1, 28, 28)
    assert data.train.labels.bincount().tolist() == [6000] * 10
    assert data.test.labels.bincount().tolist() == [1000] * 10
    assert data.classes[9] == "Ankle boot" and int(data.train.labels[0]) == 9
    # the mean and deviation that the literature quotes
    assert (round(data.mean[0], 4), round(data.std[0], 4)) == (0.2860, 0.3530)


def test_a_damaged_file_of_fashion_mnist_is_refused_by_name(tmp_path: Path) -> None:
    for name in SHA256:
        with gzip.open(tmp_path / name, "wb") as file:
            file.write(b"\0" * 100)
    with pytest.raises(
        ml.data.DamagedFile, match=r"train-images-idx3-ubyte.gz is damaged.*expected 3aede38d6186"
    ):
        ml.data.load("fashion", root=tmp_path)


def test_an_idx_file_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    sums = {}
    for name in SHA256:
        with gzip.open(tmp_path / name, "wb") as file:
            file.write(bytes.fromhex("00000801 00000001 05"))  # one label
        sums[name] = digest(tmp_path / name)
    with pytest.raises(ValueError, match="train-images-idx3-ubyte.gz starts with 0x801, expected 0x803"):
        read_fashion(tmp_path, sums)


def test_a_missing_file_of_fashion_mnist_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte.gz is missing"):
        ml.data.load("fashion", root=tmp_path)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped data where an installed package has them."""
    for folder in ("emoji", "photos"):
        shutil.copytree(DATA / folder, tmp_path / folder)
    shutil.copy(DATA / "SHA256SUMS", tmp_path)
    monkeypatch.setattr(data_files, "shipped_folders", lambda: [tmp_path])
    return tmp_path


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_of_emoji_scenes_is_refused_by_name(elsewhere: Path, file: str) -> None:
    content = bytearray((elsewhere / "emoji" / file).read_bytes())
    content[len(content) // 2] ^= 1
    (elsewhere / "emoji" / file).write_bytes(content)
    expected = read_sums(DATA / "SHA256SUMS")[f"emoji/{file}"]
    with pytest.raises(ml.data.DamagedFile, match=f"{file} is damaged.*sha256 is .*expected {expected}"):
        ml.data.load("emoji")


def test_a_truncated_photograph_is_refused_by_name(elsewhere: Path) -> None:
    assert len(ml.data.photos(32)) == 12
    content = (elsewhere / "photos" / "cat.webp").read_bytes()
    (elsewhere / "photos" / "cat.webp").write_bytes(content[:1000])
    with pytest.raises(
        ml.data.DamagedFile, match=r"cat.webp is damaged or not the right file \(1000 bytes\)"
    ):
        ml.data.photos(32)


def test_data_that_lie_nowhere_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_files, "shipped_folders", lambda: [tmp_path / "a", tmp_path / "b"])
    with pytest.raises(FileNotFoundError, match="reinstall mixlearn, or use its checkout"):
        ml.data.load("emoji")
