"""Sets in folders, read from small copies of the same layout; and the names that `load` knows."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import mixlearn as ml
from experiments import data as data_large

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def picture(file: Path, colour: tuple[int, int, int] | int, size: tuple[int, int] = (64, 64)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(file, quality=100)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny-imagenet-200"
    ids = {"n01": RED, "n02": 90}
    for one, colour in ids.items():
        rows = []
        for k in range(3):
            picture(folder / "train" / one / "images" / f"{one}_{k}.JPEG", colour)
            rows.append(f"{one}_{k}.JPEG\t{k}\t1\t62\t63\n")
        (folder / "train" / one / f"{one}_boxes.txt").write_text("".join(rows))
    picture(folder / "val" / "images" / "val_0.JPEG", 90)
    (folder / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn02\t0\t0\t63\t63\n")
    (folder / "wnids.txt").write_text("n01\nn02\n")
    (folder / "words.txt").write_text("n01\tgoldfish, Carassius auratus\nn02\tkoala, bear\nn99\tnot used\n")
    return folder


def test_tiny_imagenet(tiny: Path) -> None:
    data = ml.data.load("tiny-imagenet", root=tiny.parent)
    assert data.classes == ("goldfish", "koala")
    assert (len(data.train), len(data.test)) == (6, 1)
    image, label = data.train[0]
    assert image.shape == (3, 64, 64) and image.dtype == torch.float32 and type(image) is torch.Tensor
    red = (torch.tensor([254.0, 0, 0]) / 255 - torch.tensor(data.mean)) / torch.tensor(data.std)
    torch.testing.assert_close(image[:, 5, 5], red, atol=0.02, rtol=0)
    assert label == 0 and data.test[0][1] == 1
    assert data.train.boxes is not None and data.train.boxes[1].tolist() == [1, 1, 63, 64]
    assert ml.data.load("tiny-imagenet", root=tiny).sha256 == data.sha256
    assert ml.data.load("tiny-imagenet", root=tiny, size=32).train[4][0].shape == (3, 32, 32)
    images, labels = next(iter(DataLoader(data.train, batch_size=6)))
    assert images.shape == (6, 3, 64, 64) and labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_missing_picture_of_tiny_imagenet_is_named(tiny: Path) -> None:
    (tiny / "train" / "n02" / "images" / "n02_1.JPEG").unlink()
    with pytest.raises(ml.data.DamagedFile, match="1 of 7 pictures are missing, the first is .*n02_1.JPEG"):
        ml.data.load("tiny-imagenet", root=tiny)


def test_a_missing_list_of_tiny_imagenet_is_named(tiny: Path) -> None:
    (tiny / "val" / "val_annotations.txt").unlink()
    with pytest.raises(ml.data.DamagedFile, match=r"val_annotations.txt is missing, so the set is not whole"):
        ml.data.load("tiny-imagenet", root=tiny)


def test_a_picture_that_cannot_be_decoded_is_named(tiny: Path) -> None:
    file = tiny / "train" / "n01" / "images" / "n01_2.JPEG"
    file.write_bytes(file.read_bytes()[:300])
    data = ml.data.load("tiny-imagenet", root=tiny)
    with pytest.raises(ml.data.DamagedFile, match=r"n01_2.JPEG cannot be decoded"):
        data.train[2]


def test_the_archive_of_tiny_imagenet_is_checked_then_unpacked(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    archive = base / "tiny-imagenet-200.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in tiny.rglob("*"):
            packed.write(file, file.relative_to(tiny.parent))
    with pytest.raises(
        ml.data.DamagedFile, match=r"tiny-imagenet-200.zip is damaged.*expected 90528d7ca1a4.*terms"
    ):
        ml.data.load("tiny-imagenet", root=base)
    monkeypatch.setattr(data_large, "TINY_MD5", hashlib.md5(archive.read_bytes()).hexdigest())
    assert len(ml.data.load("tiny-imagenet", root=base).train) == 6


def test_without_its_files_the_reader_is_told_the_terms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"accept the terms at https://www.image-net.org.*248 MB, md5 90528d"
    ):
        ml.data.load("tiny-imagenet", root=tmp_path)
    monkeypatch.setenv("MIXLEARN_DATA", str(tmp_path / "mine"))
    with pytest.raises(
        FileNotFoundError, match=rf"{tmp_path}/mine/CUB_200_2011.tgz.*read the terms at .*md5 97eceeb"
    ):
        ml.data.load("cub200")


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    folder = tmp_path / "CUB_200_2011"
    names = ["001.Black_footed_Albatross/a.jpg", "002.Laysan_Albatross/b.jpg", "002.Laysan_Albatross/c.jpg"]
    for name, colour in zip(names, (RED, GREEN, BLUE), strict=True):
        picture(folder / "images" / name, colour, (40, 30))
    tables = {
        "images": names,
        "image_class_labels": ["1", "2", "2"],
        "train_test_split": ["1", "1", "0"],
        "bounding_boxes": ["2.0 3.0 10.0 20.0", "0.0 0.0 40.0 30.0", "5.0 6.0 7.0 8.0"],
        "classes": ["001.Black_footed_Albatross", "002.Laysan_Albatross"],
    }
    for table, rows in tables.items():
        (folder / f"{table}.txt").write_text("".join(f"{k} {row}\n" for k, row in enumerate(rows, 1)))
    return folder


def test_cub(birds: Path) -> None:
    data = ml.data.load("cub200", root=birds.parent, size=28)
    assert data.classes == ("Black footed Albatross", "Laysan Albatross")
    assert data.train.labels.tolist() == [0, 1] and data.test.labels.tolist() == [1]
    assert data.train.boxes is not None and data.train.boxes[0].tolist() == [2, 3, 12, 23]
    assert data.test[0][0].shape == data.train[1][0].shape == (3, 28, 28)
    assert data.train.open(0).size == (40, 30)


def test_the_archive_of_cub_is_checked_then_unpacked(
    birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    with tarfile.open(base / "CUB_200_2011.tgz", "w:gz") as tar:
        tar.add(birds, birds.name)
    with pytest.raises(ml.data.DamagedFile, match=r"CUB_200_2011.tgz is damaged.*expected 97eceeb"):
        ml.data.load("cub200", root=base)
    monkeypatch.setattr(
        data_large, "CUB_MD5", hashlib.md5((base / "CUB_200_2011.tgz").read_bytes()).hexdigest()
    )
    assert len(ml.data.load("cub200", root=base).train) == 2


def test_a_missing_picture_of_cub_is_named(birds: Path) -> None:
    (birds / "images" / "002.Laysan_Albatross" / "c.jpg").unlink()
    with pytest.raises(ml.data.DamagedFile, match=r"1 of 3 pictures are missing, the first is .*c.jpg"):
        ml.data.load("cub200", root=birds)


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    for part, count in (("train", 3), ("val", 1)):
        for name, colour in (("n01", RED), ("n02", BLUE)):
            for k in range(count):
                picture(tmp_path / part / name / f"{k}.JPEG", colour, (50, 40))
    return tmp_path


def test_imagenet_folder(imagenet: Path) -> None:
    data = ml.data.load("imagenet-folder", root=imagenet, size=21)
    assert data.classes == ("n01", "n02")
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1] and data.test.labels.tolist() == [0, 1]
    assert data.train[0][0].shape == data.test[0][0].shape == (3, 21, 21)
    torch.testing.assert_close(data.test[1][0], data.test[1][0])
    own = ml.data.load("imagenet-folder", root=imagenet, train_transform=lambda _: torch.full((3, 2, 2), 0.5))
    expected = (0.5 - torch.tensor(own.mean)) / torch.tensor(own.std)
    torch.testing.assert_close(own.train[0][0][:, 0, 0], expected)
    (imagenet / "train" / "n01" / "more.JPEG").write_bytes(b"")
    assert ml.data.load("imagenet-folder", root=imagenet).sha256 != data.sha256


def test_a_training_view_is_drawn_from_the_default_generator(imagenet: Path) -> None:
    Image.linear_gradient("L").convert("RGB").save(imagenet / "train" / "n01" / "0.JPEG")
    data = ml.data.load("imagenet-folder", root=imagenet, size=21)
    views = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        views.append(data.train[0][0])
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_a_folder_laid_out_otherwise_is_explained(imagenet: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"needs root=, a folder laid out as ROOT/train/CLASS.*accept its terms"
    ):
        ml.data.load("imagenet-folder")
    with pytest.raises(FileNotFoundError, match=r"elsewhere/train is missing; expected ROOT/train/CLASS"):
        ml.data.load("imagenet-folder", root=tmp_path / "elsewhere")
    (imagenet / "val" / "n02" / "0.JPEG").unlink()
    with pytest.raises(ml.data.DamagedFile, match=r"n02"):
        ml.data.load("imagenet-folder", root=imagenet)
    (imagenet / "val" / "n02").rmdir()
    with pytest.raises(ml.data.DamagedFile, match="1 stand in one alone, the first is 'n02'"):
        ml.data.load("imagenet-folder", root=imagenet)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("fashon", "fashion"),
        ("Emoji", "emoji"),
        ("cifar-100", "cifar100"),
        ("tiny_imagenet", "tiny-imagenet"),
    ],
)
def test_an_unknown_name_offers_the_nearest(wrong: str, near: str) -> None:
    for ask in (ml.data.load, ml.data.about):
        with pytest.raises(ValueError, match=f"unknown data set '{wrong}': did you mean '{near}'"):
            ask(wrong)


def test_a_name_like_no_other_lists_them_all() -> None:
    with pytest.raises(
        ValueError, match="unknown data set 'zzz': There are fashion, emoji, offcentre, cifar10"
    ) as caught:
        ml.data.load("zzz")
    assert all(name in str(caught.value) for name in ml.data.names())


def test_an_option_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="'fashion' takes root, got size=32"):
        ml.data.load("fashion", size=32)
    with pytest.raises(ValueError, match="'emoji' takes size, got mirror='x'"):
        ml.data.load("emoji", mirror="x")
    with pytest.raises(ValueError, match="size must be 32 or 64, got 48"):
        ml.data.load("emoji", size=48)


@pytest.mark.parametrize("name", ml.data.names())
def test_every_set_says_what_it_is_and_whose(name: str) -> None:
    text = ml.data.about(name)
    for key in ("What:", "Parts:", "Classes:", "Licence:", "Source:", "Checked by:", "Beware:"):
        assert f"\n  {key} " in text
    assert max(map(len, text.splitlines())) <= 100


def test_about_emoji_warns_and_gives_the_sums_of_the_loaded_files() -> None:
    text = ml.data.about("emoji")
    assert "drawings on photographs" in " ".join(text.split())
    assert ml.data.load("emoji").sha256 in text
    assert ml.data.load("fashion").sha256 in ml.data.about("fashion")
