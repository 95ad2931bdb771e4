"""The names that `load` knows; pictures in folders; picture files that are damaged or too large."""

import struct
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import mixlearn as ml
from experiments.data import PictureSet, centre_crop, pictures, random_crop, whole
from mixlearn.data.files import DamagedFile
from mixlearn.data.photos import decode
from tests.refused import refused


@pytest.mark.parametrize(("wrong", "near"), [("Emoji", "emoji"), ("cifar-100", "cifar100")])
def test_an_unknown_name_offers_the_nearest(wrong: str, near: str) -> None:
    for call in (ml.data.load, ml.data.about):
        with pytest.raises(ValueError, match=f"unknown data set '{wrong}': did you mean '{near}'"):
            call(wrong)


def test_a_name_like_no_other_lists_them_all() -> None:
    with pytest.raises(
        ValueError, match="unknown data set 'zzz': There are fashion, emoji, offcentre, cifar10"
    ):
        ml.data.load("zzz")


@pytest.mark.parametrize("name", ["imagenet-folder", "cub200", "places205"])
def test_a_set_that_has_gone_says_where_it_is(name: str) -> None:
    for call in (ml.data.load, ml.data.about):
        with pytest.raises(ValueError, match=f"'{name}' has left ml.data.load: experiments.data.pictures"):
            call(name)


def test_names_that_have_gone_are_found_in_experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(
        DeprecationWarning, match="mixlearn.data.PictureSet is now experiments.data.PictureSet"
    ):
        assert ml.data.PictureSet is PictureSet
    monkeypatch.setitem(sys.modules, "experiments.data", None)  # as after an installation
    with pytest.raises(AttributeError, match="whole is now experiments.data.whole.*clone the repository"):
        _ = ml.data.whole


def test_an_option_that_does_not_fit_is_refused() -> None:
    refused(lambda: ml.data.load("fashion", size=32), "'fashion' takes root, got size=32")
    with pytest.raises(ValueError, match="'cifar10' takes root, mirror, download, got train_transform=1"):
        ml.data.load("cifar10", train_transform=1)
    refused(lambda: ml.data.load("emoji", size=48), "size must be 32 or 64, got 48")


def test_every_set_says_what_it_is_and_whose() -> None:
    for name in ml.data.names():
        assert [line.split(":")[0] for line in ml.data.about(name).splitlines()] == [
            name,
            "  Licence",
            "  Source",
        ]
    assert "Twemoji CC-BY-4.0" in ml.data.about("emoji")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, count in (("train", 3), ("val", 1)):
        for name, colour in (("n01", "red"), ("n02", "blue")):
            (tmp_path / part / name).mkdir(parents=True)
            for k in range(count):
                Image.new("RGB", (50, 40), colour).save(tmp_path / part / name / f"{k}.jpg", quality=100)
    return tmp_path


def test_pictures_in_folders(folder: Path) -> None:
    data = pictures(folder, size=21)
    assert data.classes == ("n01", "n02") and data.name == "imagenet-folder"
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1] and data.test.labels.tolist() == [0, 1]
    image, label = data.test[1]
    blue = (torch.tensor([0.0, 0.0, 1.0]) - torch.tensor(data.mean)) / torch.tensor(data.std)
    assert image.shape == (3, 21, 21) and type(image) is torch.Tensor and label == 1
    torch.testing.assert_close(image[:, 5, 5], blue, atol=0.05, rtol=0)
    assert data.train.open(0).size == (50, 40)
    own = pictures(folder, train_transform=lambda _: torch.full((3, 2, 2), 0.5))
    expected = (0.5 - torch.tensor(own.mean)) / torch.tensor(own.std)
    torch.testing.assert_close(own.train[0][0][:, 0, 0], expected)
    (folder / "train" / "n01" / "more.jpg").write_bytes(b"")
    assert pictures(folder).sha256 != data.sha256


def test_views_of_a_picture(folder: Path) -> None:
    picture = Image.linear_gradient("L").convert("RGB")  # 256 × 256, dark above
    assert whole(64)(picture)[0, :, 0].diff().min() >= 0
    assert centre_crop(224)(picture).shape == (3, 224, 224)
    torch.testing.assert_close(
        centre_crop(224)(picture)[0, :, 0], torch.arange(16, 240) / 255, atol=0.01, rtol=0
    )
    views = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        views.append(random_crop(21)(picture))
    assert torch.equal(views[0], views[1]) and not torch.equal(views[0], views[2])


def test_folders_laid_out_otherwise_are_explained(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"elsewhere/train is missing; expected ROOT/train/CLASS"):
        pictures(folder / "elsewhere")
    (folder / "val" / "n02" / "0.jpg").unlink()
    refused(lambda: pictures(folder), r"n02", DamagedFile)
    (folder / "val" / "n02").rmdir()
    refused(lambda: pictures(folder), "classes must be in train and val, got 'n02' in one", DamagedFile)


def opens(file: Path) -> list[Any]:
    """Each way in which a user's picture is read."""
    part = PictureSet((file,), torch.zeros(1, dtype=torch.int64), whole(8), (0.0,) * 3, (1.0,) * 3)
    return [lambda: decode(file), lambda: part[0]]


@pytest.mark.parametrize("action", ["ignore", "error"])
@pytest.mark.parametrize("side", [10_000, 60_000])  # Pillow warns of the first and refuses the second
def test_a_picture_too_large_for_memory_is_refused_by_name(tmp_path: Path, side: int, action: Any) -> None:
    """A PNG of a few bytes that says it has side × side pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "small.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with warnings.catch_warnings():
        warnings.simplefilter(action, Image.DecompressionBombWarning)
        for call in opens(tmp_path / "small.png"):
            with pytest.raises(DamagedFile, match=r"small\.png has too many pixels"):
                call()


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp"])
def test_a_damaged_picture_is_refused_by_name(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"cut{ending}"
    Image.effect_noise((64, 64), 50).save(file)
    for call in opens(file):
        call()
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    for call in opens(file):
        with pytest.raises(DamagedFile, match=rf"cut\{ending} cannot be decoded"):
            call()
