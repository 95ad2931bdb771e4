"""CIFAR as images by class, in a folder or a zip: decoded once, checked, and told apart from the archive."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mixlearn as ml
from experiments import recipes

COUNTS = {"train": 3, "test": 2}


def pixels(split: str, label: int, k: int) -> np.ndarray:
    seed = 1000 * label + 10 * k + (split == "test")
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def lay_out(folder: Path, classes: int = 10, ending: str = "png") -> Path:
    for split, count in COUNTS.items():
        for label in range(classes):
            inside = folder / split / f"class {label:02}"
            inside.mkdir(parents=True)
            for k in range(count):
                Image.fromarray(pixels(split, label, k)).save(inside / f"{k + 1:04}.{ending}")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIXLEARN_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "given" / "small")


def packed(folder: Path, inner: bool = True) -> Path:
    """The zip of a folder, with or without the folder's own name inside."""
    base = folder.parent / f"packed-{inner}"
    if inner:
        return Path(shutil.make_archive(str(base), "zip", folder.parent, folder.name))
    return Path(shutil.make_archive(str(base), "zip", folder))


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_a_folder_is_read_to_the_pixel(name: str, classes: int, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "given", classes)
    data = ml.data.load(name, root=root)
    assert data.name == name and data.classes == tuple(f"class {k:02}" for k in range(classes))
    for split, part in (("train", data.train), ("test", data.test)):
        assert part.images.shape == (COUNTS[split] * classes, 3, 32, 32)
        assert part.labels.tolist() == [k for k in range(classes) for _ in range(COUNTS[split])]
        for k in (0, len(part) - 1):
            label, rank = divmod(k, COUNTS[split])
            expected = torch.from_numpy(pixels(split, label, rank)).permute(2, 0, 1)
            assert torch.equal(part.images[k], expected)
    images, _ = data.train.batch(slice(None))
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)


def test_folder_and_zips_give_the_same_data_and_say_what_was_read(folder: Path) -> None:
    ways = {
        "folder small": folder,
        "folder small ": folder.parent,  # the folder above
        "zip packed-True.zip": packed(folder),
        "zip packed-False.zip": packed(folder, inner=False),
    }
    read = {words.strip(): ml.data.load("cifar10", root=root) for words, root in ways.items()}
    first = read["folder small"]
    for words, data in read.items():
        assert data.source == f"50 images by class (png) in the {words}"
        assert data.source in repr(data)
        assert data.sha256 == first.sha256 and len(data.sha256) == 64
        assert torch.equal(data.train.images, first.train.images)
        assert torch.equal(data.test.labels, first.test.labels)


@pytest.mark.parametrize("zipped", [False, True])
def test_images_are_decoded_once_and_anew_when_they_change(
    zipped: bool, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = packed(folder) if zipped else folder
    before = ml.data.load("cifar10", root=root)
    assert [place.name for place in cache.iterdir()] == ["cifar10-by-class"]
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", lambda *_: pytest.fail("decoded a second time"))
        again = ml.data.load("cifar10", root=root)
    assert again.sha256 == before.sha256 and torch.equal(again.train.images, before.train.images)
    Image.fromarray(pixels("train", 77, 0)).save(folder / "train" / "class 00" / "0001.png")
    changed = ml.data.load("cifar10", root=packed(folder) if zipped else folder)
    assert changed.sha256 != before.sha256
    assert not torch.equal(changed.train.images[0], before.train.images[0])


def test_a_damaged_cache_is_refused_by_name(folder: Path, cache: Path) -> None:
    ml.data.load("cifar10", root=folder)
    (kept,) = (cache / "cifar10-by-class").iterdir()
    (kept / "test-images.bin").write_bytes(b"\0" * 3072 * 20)
    with pytest.raises(ml.data.DamagedFile, match=r"test-images.bin is damaged.*Remove the folder"):
        ml.data.load("cifar10", root=folder)


def test_a_missing_class_is_named(folder: Path) -> None:
    shutil.rmtree(folder / "test" / "class 03")
    with pytest.raises(ml.data.DamagedFile, match=r"small must have .*10 in train and 9 in test.*: class 03"):
        ml.data.load("cifar10", root=folder)
    shutil.rmtree(folder / "train" / "class 03")  # another set beside does not pass for CIFAR
    with pytest.raises(FileNotFoundError, match=r"cifar-10-python.tar.gz is missing.*or zip of images"):
        ml.data.load("cifar10", root=folder.parent, download=False)


def test_an_image_of_another_size_is_named_and_nothing_is_kept(folder: Path, cache: Path) -> None:
    Image.new("RGB", (31, 33)).save(folder / "test" / "class 03" / "0001.png")
    with pytest.raises(ml.data.DamagedFile, match="03/0001.png in .* has 31 × 33 pixels, expected 32 × 32"):
        ml.data.load("cifar10", root=folder)
    assert not [file for file in cache.rglob("*") if file.is_file()]


def test_an_image_that_cannot_be_decoded_is_named(folder: Path) -> None:
    (folder / "train" / "class 09" / "0003.png").write_bytes(b"no picture")
    for root in (folder, packed(folder)):
        with pytest.raises(ml.data.DamagedFile, match=r"train/class 09/0003.png in .* cannot be decoded"):
            ml.data.load("cifar10", root=root)


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no zip")
    with pytest.raises(ml.data.DamagedFile, match=r"a.zip is damaged or no zip"):
        ml.data.load("cifar10", root=tmp_path / "a.zip")
    (tmp_path / "a.rar").write_bytes(b"no zip")
    with pytest.raises(ValueError, match=r"root must be a folder .* or a folder or zip of images.*a.rar"):
        ml.data.load("cifar10", root=tmp_path / "a.rar")


def test_a_record_bears_the_sum_of_what_was_read(folder: Path) -> None:
    run = partial(recipes.cifar10_small, depth=8, width=4, images=20, epochs=1, batch_size=8)
    outcome = run(ml.cutmix, root=packed(folder), progress=False, accelerator="cpu")
    assert outcome.data == {"name": "cifar10", "sha256": ml.data.load("cifar10", root=folder).sha256}
    assert outcome.settings["network"] == "ResNet-8, width 4"
