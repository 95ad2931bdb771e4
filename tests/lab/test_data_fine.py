"""FGVC-Aircraft, iNaturalist and Places in small copies of their layouts, read as torchvision reads them."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision import datasets

import mixlearn as ml
from experiments import data as data_fine

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def picture(file: Path, colour: tuple[int, int, int], size: tuple[int, int] = (40, 50)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(file, quality=100)


def write(file: Path, *rows: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{row}\n" for row in rows))


@pytest.fixture
def aircraft(tmp_path: Path) -> Path:
    inside = tmp_path / "fgvc-aircraft-2013b" / "data"
    for name, colour in (("0000001", RED), ("0000002", GREEN), ("0000003", BLUE)):
        picture(inside / "images" / f"{name}.jpg", colour)
    write(inside / "variants.txt", "707-320", "Boeing 717")
    write(inside / "images_variant_trainval.txt", "0000002 Boeing 717", "0000001 707-320")
    write(inside / "images_variant_test.txt", "0000003 Boeing 717")
    write(inside / "images_box.txt", "0000001 1 2 30 25", "0000002 3 3 40 30", "0000003 5 6 7 8")
    return inside.parent


def test_aircraft_is_read_as_torchvision_reads_it(aircraft: Path) -> None:
    data = ml.data.load("aircraft", root=aircraft.parent, size=28)
    assert data.classes == ("707-320", "Boeing 717") and (len(data.train), len(data.test)) == (2, 1)
    for part, split in ((data.train, "trainval"), (data.test, "test")):
        theirs = datasets.FGVCAircraft(str(aircraft.parent), split=split)
        assert [str(file) for file in part.files] == theirs._image_files
        assert part.labels.tolist() == theirs._labels
    assert data.train[0][0].shape == data.test[0][0].shape == (3, 28, 28)
    assert data.train.boxes is not None
    assert data.train.boxes.tolist() == [[2, 2, 40, 30], [0, 1, 30, 25]]
    assert ml.data.load("aircraft", root=aircraft).sha256 == data.sha256


def test_views_of_aircraft_are_made_without_the_banner(aircraft: Path) -> None:
    with Image.open(aircraft / "data/images/0000003.jpg") as whole:
        whole.paste((255, 255, 255), (0, 30, 40, 50))
        whole.save(aircraft / "data/images/0000003.jpg", quality=100)
    seen = []

    def view(picture: Image.Image) -> torch.Tensor:
        seen.append(picture.size)
        return ml.data.whole(30)(picture)

    data = ml.data.load("aircraft", root=aircraft, test_transform=view)
    image = data.test[0][0]
    blue = (torch.tensor([0.0, 0.0, 1.0]) - torch.tensor(data.mean)) / torch.tensor(data.std)
    assert seen == [(40, 30)] and data.test.open(0).size == (40, 50)
    torch.testing.assert_close(image[:, 15, 15], blue, atol=0.05, rtol=0)


def test_the_archive_of_aircraft_is_checked_then_unpacked(
    aircraft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    with pytest.raises(FileNotFoundError, match=r"read the terms at https://www.robots.*2.75 GB, md5 d4acdd"):
        ml.data.load("aircraft", root=base)
    archive = base / "fgvc-aircraft-2013b.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(aircraft, aircraft.name)
    with pytest.raises(ml.data.DamagedFile, match=r"2013b.tar.gz is damaged.*expected d4acdd"):
        ml.data.load("aircraft", root=base)
    monkeypatch.setattr(data_fine, "AIRCRAFT_MD5", hashlib.md5(archive.read_bytes()).hexdigest())
    assert len(ml.data.load("aircraft", root=base).train) == 2
    (base / aircraft.name / "data/images/0000001.jpg").unlink()
    with pytest.raises(ml.data.DamagedFile, match=r"1 of 3 pictures are missing, the first is .*0000001.jpg"):
        ml.data.load("aircraft", root=base)


def nature(base: Path, year: int) -> Path:
    """Three pictures of two classes, laid out as the archives of a year unpack."""
    home = "train_val_images" if year == 2017 else "train_val2018"
    kinds = [("Aves/Corvus corax", "Corvus corax"), ("Plantae/Rosa canina", "Rosa canina")]
    if year == 2018:
        kinds = [("Aves/1", "1"), ("Plantae/0", "0")]
    ids = [0, 1] if year == 2017 else [1, 0]
    files = [f"{home}/{kinds[k][0]}/{name}.jpg" for k, name in ((0, "a"), (1, "b"), (1, "c"))]
    for file, colour in zip(files, (RED, GREEN, BLUE), strict=True):
        picture(base / file, colour)
    categories = [{"id": one, "name": kind} for one, (_, kind) in zip(ids, kinds, strict=True)]
    for part, rows in (("train", [(7, 0, 0), (3, 1, 1)]), ("val", [(5, 2, 1)])):
        table = {
            "images": [{"id": one, "file_name": files[k]} for one, k, _ in reversed(rows)],
            "annotations": [{"id": one, "image_id": one, "category_id": ids[kind]} for one, _, kind in rows],
            "categories": categories,
        }
        inner = "train_val2017/" if year == 2017 else ""
        write(base / f"{inner}{part}{year}.json", json.dumps(table))
    return base


@pytest.mark.parametrize("year", [2017, 2018])
def test_inaturalist_has_the_labels_of_torchvision_and_the_parts_of_its_lists(
    year: int, tmp_path: Path
) -> None:
    base = nature(tmp_path / f"inaturalist{year}", year)
    data = ml.data.load(f"inaturalist{year}", root=tmp_path, size=14)
    assert data.classes == (("Corvus corax", "Rosa canina") if year == 2017 else ("0", "1"))
    assert [file.name for file in data.train.files] == ["a.jpg", "b.jpg"]
    assert [file.name for file in data.test.files] == ["c.jpg"]
    assert data.train[1][0].shape == data.test[0][0].shape == (3, 14, 14)
    (base / ("train_val_images" if year == 2017 else "train_val2018")).rename(base / str(year))
    theirs = datasets.INaturalist(str(base), version=str(year))
    labels = {name: label for label, name in theirs.index}
    for part in (data.train, data.test):
        assert part.labels.tolist() == [labels[file.name] for file in part.files]


def test_what_inaturalist_lacks_is_named_with_its_terms(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"lacks train2018.json and val2018.json.*terms at .*/2018"):
        ml.data.load("inaturalist2018", root=tmp_path)
    base = nature(tmp_path, 2018)
    (base / "train_val2018/Aves/1/a.jpg").unlink()
    with pytest.raises(ml.data.DamagedFile, match=r"1 of 2 pictures are missing, the first is .*a.jpg"):
        ml.data.load("inaturalist2018", root=tmp_path)
    (base / "val2018.json").write_text('{"images": [')
    with pytest.raises(ml.data.DamagedFile, match=r"val2018.json is not whole"):
        ml.data.load("inaturalist2018", root=tmp_path)
    (base / "train_val2018").rename(base / "elsewhere")
    with pytest.raises(FileNotFoundError, match="lacks the folder train_val2018 of"):
        ml.data.load("inaturalist2018", root=tmp_path)


def test_places365_is_read_as_torchvision_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not in the order of the alphabet, so that names must be found by their numbers.
    write(tmp_path / "categories_places365.txt", "/b/bar 0", "/a/arch 1", "/a/apartment_building/outdoor 2")
    write(tmp_path / "places365_train_standard.txt", "/b/bar/1.jpg 0", "/a/arch/1.jpg 1", "/a/arch/2.jpg 1")
    write(tmp_path / "places365_val.txt", "Places365_val_1.jpg 2")
    for file in ("b/bar/1.jpg", "a/arch/1.jpg", "a/arch/2.jpg"):
        picture(tmp_path / "data_256_standard" / file, RED)
    picture(tmp_path / "val_256" / "Places365_val_1.jpg", BLUE)
    data = ml.data.load("places365", root=tmp_path, size=14)
    assert data.classes == ("bar", "arch", "apartment building, outdoor")
    monkeypatch.setattr(datasets.Places365, "_check_integrity", lambda *_: True)
    for part, split in ((data.train, "train-standard"), (data.test, "val")):
        theirs = datasets.Places365(str(tmp_path), split=split, small=True)
        assert list(zip(map(str, part.files), part.labels.tolist(), strict=True)) == theirs.imgs
    assert data.train[0][0].shape == data.test[0][0].shape == (3, 14, 14)
    (tmp_path / "data_256_standard").rename(tmp_path / "data_256")  # as the archive itself unpacks
    assert len(ml.data.load("places365", root=tmp_path).train) == 3


def test_places205(tmp_path: Path) -> None:
    lists, inside = tmp_path / "trainvalsplit_places205", "data/vision/torralba/deeplearning/images256"
    trained = ("a/abbey/gsun_1.jpg 0", "b/boat_deck/gsun_2.jpg 1", "a/abbey/gsun_3.jpg 0")
    write(lists / "train_places205.csv", *trained)
    write(lists / "val_places205.csv", "b/boat_deck/gsun_4.jpg 1")
    for file in ("a/abbey/gsun_1", "b/boat_deck/gsun_2", "a/abbey/gsun_3", "b/boat_deck/gsun_4"):
        picture(tmp_path / inside / f"{file}.jpg", GREEN)
    data = ml.data.load("places205", root=tmp_path, size=14)
    assert data.classes == ("abbey", "boat deck")
    assert data.train.labels.tolist() == [0, 1, 0] and data.test.labels.tolist() == [1]
    assert [file.name for file in data.test.files] == ["gsun_4.jpg"]
    assert data.train[2][0].shape == (3, 14, 14)
    (tmp_path / inside / "a/abbey/gsun_1.jpg").unlink()
    with pytest.raises(ml.data.DamagedFile, match=r"places205 is not whole: 1 of 3 pictures"):
        ml.data.load("places205", root=tmp_path)


def test_what_places_lack_is_named_with_their_terms(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"does not hold places365_train.*terms at http://places2"):
        ml.data.load("places365", root=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"does not hold trainvalsplit.*terms at http://places.csail"):
        ml.data.load("places205", root=tmp_path)
    for name in ("categories_places365", "places365_train_standard", "places365_val"):
        write(tmp_path / f"{name}.txt", "/b/bar 0")
    with pytest.raises(FileNotFoundError, match="none of the folders data_256_standard, data_256"):
        ml.data.load("places365", root=tmp_path)


def test_only_some_pictures_of_a_large_set_are_looked_for(tmp_path: Path) -> None:
    picture(tmp_path / "here.jpg", RED)
    rows = [(tmp_path / ("here.jpg" if k % 3 == 0 else "gone.jpg"), 0) for k in range(2500)]
    part = data_fine._sampled(rows, ml.data.whole(8), "places", tmp_path)  # it looks at every third
    assert len(part) == 2500
    with pytest.raises(
        ml.data.DamagedFile, match="one picture in 3 was looked for, is not whole: 833 of 833"
    ):
        data_fine._sampled(rows[1:], ml.data.whole(8), "places", tmp_path)
