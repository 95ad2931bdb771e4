"""The data that come with mixlearn are listed, whole, and checked when loaded; and their makers' scripts."""

import gzip
import hashlib
import importlib.util
import shutil
import struct
import zlib
from pathlib import Path
from types import ModuleType

import pytest
import torch

import mixlearn as ml
from mixlearn.data import files as data_files
from mixlearn.data.emoji import FILES
from mixlearn.data.fashion import SHA256
from mixlearn.data.files import digest, read_sums
from mixlearn.data.photos import NAMES
from tests.data.host import DATA
from tests.refused import refused


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


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped data where an installed package has them."""
    for folder in ("emoji", "photos"):
        shutil.copytree(DATA / folder, tmp_path / folder)
    shutil.copy(DATA / "SHA256SUMS", tmp_path)
    monkeypatch.setattr(data_files, "shipped_folders", lambda: [tmp_path])
    return tmp_path


@pytest.mark.parametrize("file", [FILES[0], FILES[-1]])
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


def test_photographs_and_masks() -> None:
    photos = ml.data.photos()
    assert photos.images.shape == (12, 3, 256, 256) and photos.masks.shape == (12, 1, 256, 256)
    assert photos.images.dtype == torch.float32
    assert float(photos.images.min()) >= 0 and float(photos.images.max()) <= 1
    assert photos.names == NAMES
    share = photos.masks.mean((1, 2, 3))
    assert float(share.min()) > 0.1 and float(share.max()) < 0.6
    assert float(photos.masks.round().sub(photos.masks).abs().mean()) < 0.01  # edges alone are soft
    for credit in photos.credits:
        assert credit["licence"] in ("Public Domain", "CC0-1.0") and credit["source"].startswith("https://")


def test_smaller_photographs_are_means_of_the_large_ones() -> None:
    large, small = ml.data.photos(), ml.data.photos(128)
    torch.testing.assert_close(small.images, torch.nn.functional.avg_pool2d(large.images, 2))
    torch.testing.assert_close(small.masks, torch.nn.functional.avg_pool2d(large.masks, 2))


def test_photographs_are_picked_by_name() -> None:
    photos = ml.data.photos(32)
    two = photos.pick("polar bear", "dog")
    assert two.names == ("polar bear", "dog")
    assert torch.equal(two.images[1], photos.images[0])
    assert two.credits[0]["file"] == "polar_bear"
    refused(lambda: photos.pick("tiger"), "no photograph of 'tiger'; there are dog, cat")
    for size in (0, 257):
        with pytest.raises(ValueError, match=f"between 1 and 256 pixels, got {size}"):
            ml.data.photos(size)


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DATA / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def resource_archive(version: int, content: bytes, compressed: bool) -> bytes:
    """A Qt resource archive with the one file folder/file."""
    packed = struct.pack(">i", len(content)) + zlib.compress(content) if compressed else content
    data = struct.pack(">i", len(packed)) + packed
    names = b"".join(
        struct.pack(">Hi", len(name), 0) + name.encode("utf-16-be") for name in ("folder", "file")
    )
    time = bytes(8) if version > 1 else b""
    tree = struct.pack(">iHii", 0, 2, 1, 1) + time  # the root, its one child is node 1
    tree += struct.pack(">iHii", 0, 2, 1, 2) + time  # folder
    tree += struct.pack(">iHHHi", 6 + 2 * len("folder"), int(compressed), 0, 0, 0) + time  # file
    head = struct.pack(">4i", version, 20, 20 + len(tree), 20 + len(tree) + len(data))
    return b"qres" + head + tree + data + names


@pytest.mark.parametrize(("version", "compressed"), [(1, False), (3, True)])
def test_resource_archives_are_read(version: int, compressed: bool) -> None:
    content = b"some content" * 9
    archive = resource_archive(version, content, compressed)
    assert dict(script("rcc").entries(archive)) == {"folder/file": content}


def test_published_sums_are_those_of_the_shipped_files() -> None:
    for name, (_, md5) in script("make_fashion").FILES.items():
        assert hashlib.md5((DATA / "fashion" / name).read_bytes()).hexdigest() == md5
