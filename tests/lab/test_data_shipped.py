"""The data that come with mixlearn are whole, balanced, honest in their splits, and checked when loaded."""

from __future__ import annotations

import csv
import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import mixlearn as ml
from mixlearn.lab import data_files
from mixlearn.lab.data_emoji import FILES, tight_boxes
from mixlearn.lab.data_fashion import SHA256, read_fashion
from mixlearn.lab.data_files import digest, read_sums
from mixlearn.lab.data_photos import NAMES
from mixlearn.lab.data_sets import Data, ImageSet

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def emoji() -> Data[ImageSet]:
    return ml.data.load("emoji", size=64)


@pytest.fixture(scope="module")
def small() -> Data[ImageSet]:
    return ml.data.load("emoji")


def parts(data: Data[ImageSet]) -> Iterator[tuple[str, ImageSet]]:
    yield "train", data.train
    yield from data.tests.items()


def column(part: ImageSet, key: str) -> set[str]:
    assert part.sources is not None
    return {row[key] for row in part.sources}


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


def test_emoji_scenes_are_balanced_and_whole(emoji: Data[ImageSet]) -> None:
    assert len(emoji.classes) == 10
    for name, part in parts(emoji):
        each = 720 if name == "train" else 110
        assert part.labels.bincount(minlength=10).tolist() == [each] * 10
        assert part.images.shape[1:] == (3, 64, 64)
        assert part.masks is not None and part.masks.shape == (len(part), 1, 64, 64)
        assert part.sources is not None
        assert [row["class"] for row in part.sources] == [emoji.classes[k] for k in part.labels.tolist()]
    assert emoji.test is emoji.tests["concepts"]


def test_concepts_of_the_test_part_never_occur_in_training(emoji: Data[ImageSet]) -> None:
    train, concepts = column(emoji.train, "code point"), column(emoji.tests["concepts"], "code point")
    assert not train & concepts
    assert column(emoji.tests["concepts"], "set") <= column(emoji.train, "set")
    kin = (DATA / "emoji_classes.txt").read_text(encoding="utf8").splitlines()
    groups = [
        {f"U+{one.split(' ')[0].upper()}" for one in line.split(" + ")}
        for line in kin
        if line[:1] not in ("", "#", "[")
    ]
    assert not [group for group in groups if group & train and group & concepts]
    for k in range(10):
        rows = emoji.tests["concepts"].sources or []
        assert len({row["concept"] for row in rows if row["class"] == emoji.classes[k]}) >= 4


def test_the_designer_of_the_other_test_part_never_occurs_in_training(emoji: Data[ImageSet]) -> None:
    assert column(emoji.tests["designers"], "set") == {"twemoji"}
    assert "twemoji" not in column(emoji.train, "set") | column(emoji.tests["concepts"], "set")
    assert column(emoji.tests["designers"], "code point") <= column(emoji.train, "code point")


def test_backgrounds_never_cross_the_split(emoji: Data[ImageSet]) -> None:
    train = column(emoji.train, "photograph")
    assert len(train) >= 15
    for part in emoji.tests.values():
        assert not train & column(part, "photograph")


def test_every_background_is_free_and_credited() -> None:
    with open(DATA / "emoji" / "backgrounds.tsv", encoding="utf8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    for row in rows:
        assert row["licence"].lower() in ("public domain", "cc0-1.0"), row
        assert row["author"] and row["source"].startswith("http"), row


def test_masks_and_boxes_fit_the_drawings(emoji: Data[ImageSet]) -> None:
    for _, part in parts(emoji):
        assert part.masks is not None and part.boxes is not None
        share = part.masks.float().mean((1, 2, 3)) / 255
        assert float(share.min()) > 0.02 and float(share.max()) < 0.95
        x0, y0, x1, y1 = part.boxes.unbind(1)
        assert bool((x0 >= 0).all() & (y0 >= 0).all() & (x1 <= 64).all() & (y1 <= 64).all())
        longer = torch.maximum(x1 - x0, y1 - y0).float() / 64
        assert float(longer.min()) > 0.3 and float(longer.mean()) > 0.6
        solid = part.masks[:, 0] >= 128
        k = int(share.argmin())
        assert bool(solid[k, :, x0[k] : x1[k]].any(0)[[0, -1]].all())
        assert not bool(solid[k, :, : x0[k]].any()) and not bool(solid[k, :, x1[k] :].any())
        assert not bool(solid[k, : y0[k]].any()) and not bool(solid[k, y1[k] :].any())


def test_drawings_stand_out_from_their_backgrounds(emoji: Data[ImageSet]) -> None:
    part = emoji.train
    assert part.masks is not None
    inside = part.masks[:2000].float() / 255
    images = part.images[:2000].float()
    means = [(images * m).sum((2, 3)) / m.sum((2, 3)) for m in (inside, 1 - inside)]
    assert float((means[0] - means[1]).abs().mean()) > 30


def test_32_pixels_are_the_box_filtered_64(emoji: Data[ImageSet], small: Data[ImageSet]) -> None:
    large = emoji.train.images[:50].double()
    direct = torch.nn.functional.avg_pool2d(large, 2)
    difference = (small.train.images[:50].double() - direct).abs().max()
    assert float(difference) <= 0.5
    assert small.train.names == emoji.train.names
    assert small.sha256 == emoji.sha256
    assert small.std != emoji.std


def test_tight_boxes_of_known_masks() -> None:
    masks = torch.zeros(2, 1, 5, 6, dtype=torch.uint8)
    masks[0, 0, 1:3, 2:5] = 255
    masks[1, 0, 4, 0] = 128
    assert tight_boxes(masks).tolist() == [[2, 1, 5, 3], [0, 4, 1, 5]]


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
    with pytest.raises(ValueError, match="no photograph of 'tiger'; there are dog, cat"):
        photos.pick("tiger")
    for size in (0, 257):
        with pytest.raises(ValueError, match=f"between 1 and 256 pixels, got {size}"):
            ml.data.photos(size)
