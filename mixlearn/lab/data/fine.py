"""FGVC-Aircraft, iNaturalist and Places, read from folders that the reader has filled."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixlearn.lab.data.files import DamagedFile, cache_folder
from mixlearn.lab.data.folders import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    PictureSet,
    Transform,
    all_there,
    centre_crop,
    random_crop,
)
from mixlearn.lab.data.large import from_lists, lines_of, place
from mixlearn.lab.data.sets import Data

AIRCRAFT_MD5 = "d4acdd33327262359767eeaa97a4f732"
AIRCRAFT_URL = "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft"
INATURALIST_URL = "https://github.com/visipedia/inat_comp/tree/master"
PLACES_URL = {
    "places205": "http://places.csail.mit.edu/downloadData.html",
    "places365": "http://places2.csail.mit.edu/download.html",
}
_PLACES: dict[str, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]] = {  # lists; folders of pictures
    "places205": (
        ("trainvalsplit_places205/train_places205.csv", "trainvalsplit_places205/val_places205.csv"),
        (("data/vision/torralba/deeplearning/images256", "images256"),) * 2,
    ),
    "places365": (
        ("places365_train_standard.txt", "places365_val.txt", "categories_places365.txt"),
        (("data_256_standard", "data_256", "data_large_standard", "data_large"), ("val_256", "val_large")),
    ),
}
BANNER = 20  # pixels at the bottom of each picture of an aircraft, with the photographer's name

Rows = list[tuple[Path, int]]


def load_aircraft(
    root: str | Path | None = None,
    size: int = 224,
    train_transform: Transform | None = None,
    test_transform: Transform | None = None,
) -> Data[PictureSet]:
    """FGVC-Aircraft with its hundred variants and the box of each aircraft; trained on its first two thirds.

    Each view is made of the picture without the banner at its bottom, as its makers ask.
    """
    folder = place(
        root,
        "fgvc-aircraft-2013b",
        "data/variants.txt",
        "fgvc-aircraft-2013b.tar.gz",
        AIRCRAFT_MD5,
        f"Its pictures are for research that earns nothing: read the terms at {AIRCRAFT_URL} and get "
        f"fgvc-aircraft-2013b.tar.gz (2.75 GB, md5 {AIRCRAFT_MD5}) there.",
    )
    inside = folder / "data"
    classes = tuple(line.strip() for line in lines_of(inside / "variants.txt"))
    number = {name: label for label, name in enumerate(classes)}
    boxes = {
        name: [int(v) for v in corners]
        for name, *corners in (line.split() for line in lines_of(inside / "images_box.txt"))
    }
    lists = [inside / f"images_variant_{part}.txt" for part in ("trainval", "test")]
    parts = []
    for file, view in zip(
        lists, (train_transform or random_crop(size), test_transform or centre_crop(size)), strict=True
    ):
        rows = [line.strip().split(" ", 1) for line in lines_of(file)]
        corners = torch.tensor([boxes[name] for name, _ in rows])
        parts.append(
            _pictures(
                [(inside / "images" / f"{name}.jpg", number[variant]) for name, variant in rows],
                partial(_without_banner, view=view),
                corners - torch.tensor([1, 1, 0, 0]),  # the file counts pixels from 1, the last one inside
            )
        )
    files = parts[0].files + parts[1].files
    all_there(files, "FGVC-Aircraft", f"Remove {folder} and unpack its archive anew.")
    return from_lists("aircraft", classes, parts[0], parts[1], [*lists, inside / "images_box.txt"])


def load_inaturalist(
    year: int,
    root: str | Path | None = None,
    size: int = 224,
    train_transform: Transform | None = None,
    test_transform: Transform | None = None,
) -> Data[PictureSet]:
    """iNaturalist of the competition of 2017 or 2018; its validation pictures are the test part."""
    name, pictures = f"inaturalist{year}", "train_val_images" if year == 2017 else "train_val2018"
    base = cache_folder() if root is None else Path(root)
    names = [f"{part}{year}.json" for part in ("train", "val")]
    homes = [base, base / name]
    choices = [[one / inner / file for file in names] for one in homes for inner in ("", f"train_val{year}")]
    lists = next((files for files in choices if all(file.is_file() for file in files)), None)
    folder = next((one for one in homes if (one / pictures).is_dir()), None)
    if lists is None or folder is None:
        what = f"{names[0]} and {names[1]}" if lists is None else f"the folder {pictures}"
        raise FileNotFoundError(
            f"{base} lacks {what} of iNaturalist {year}. Its pictures are for research and teaching that "
            f"earn nothing: read the terms at {INATURALIST_URL}/{year}, get pictures and annotations there, "
            f"unpack both into {base} and load again."
        )
    read = [_read_json(file) for file in lists]
    kinds = sorted(read[0]["categories"], key=lambda kind: kind["id"])
    number = {kind["id"]: label for label, kind in enumerate(kinds)}
    parts = []
    views = train_transform or random_crop(size), test_transform or centre_crop(size)
    for table, view in zip(read, views, strict=True):
        files = {image["id"]: folder / image["file_name"] for image in table["images"]}
        rows = [(files[note["image_id"]], number[note["category_id"]]) for note in table["annotations"]]
        parts.append(_sampled(rows, view, f"iNaturalist {year}", folder / pictures))
    return from_lists(name, tuple(str(kind["name"]) for kind in kinds), parts[0], parts[1], lists)


def load_places(
    name: str,
    root: str | Path | None = None,
    size: int = 224,
    train_transform: Transform | None = None,
    test_transform: Transform | None = None,
) -> Data[PictureSet]:
    """Places205, or Places365 in its standard part; the validation pictures are the test part."""
    base = cache_folder() if root is None else Path(root)
    wanted, folders = _PLACES[name]
    home = next((one for one in (base, base / name) if all((one / file).is_file() for file in wanted)), None)
    get = f"get lists and pictures there, unpack both into {base} and load again"
    if home is None:
        raise FileNotFoundError(
            f"{base} does not hold {', '.join(wanted)}. The pictures are for research and teaching that earn "
            f"nothing: read the terms at {PLACES_URL[name]}, {get}."
        )
    parts: list[PictureSet] = []
    paths: dict[int, str] = {}
    views = train_transform or random_crop(size), test_transform or centre_crop(size)
    for file, choice, view in zip(wanted[:2], folders, views, strict=True):
        inside = next((home / one for one in choice if (home / one).is_dir()), None)
        if inside is None:
            raise FileNotFoundError(
                f"{home} has none of the folders {', '.join(choice)}. See {PLACES_URL[name]}, {get}."
            )
        rows = [line.split() for line in lines_of(home / file)]
        parts.append(
            _sampled([(inside / path.lstrip("/"), int(label)) for path, label in rows], view, name, inside)
        )
        paths |= {int(label): path.rpartition("/")[0] for path, label in rows if not parts[1:]}
    for file in wanted[2:]:  # Places205 has no list of classes: folders are named after them
        paths = {int(label): path for path, label in (line.split() for line in lines_of(home / file))}
    classes = tuple(_scene(paths[label]) for label in sorted(paths))
    return from_lists(name, classes, parts[0], parts[1], [home / file for file in wanted])


def _without_banner(picture: Any, view: Transform) -> Tensor:
    return view(picture.crop((0, 0, picture.width, max(1, picture.height - BANNER))))


def _pictures(rows: Rows, view: Transform, boxes: Tensor | None = None) -> PictureSet:
    files, labels = tuple(file for file, _ in rows), torch.tensor([label for _, label in rows])
    return PictureSet(files, labels, view, IMAGENET_MEAN, IMAGENET_STD, boxes)


def _sampled(rows: Rows, view: Transform, what: str, folder: Path) -> PictureSet:
    """Pictures of which a thousandth must be there: to look for each of millions would take minutes."""
    part, every = _pictures(rows, view), 1 + len(rows) // 1000
    if every > 1:
        what += f", of which one picture in {every} was looked for,"
    all_there(part.files[::every], what, f"Unpack the archive of {folder} anew.")
    return part


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf8"))
    except ValueError as problem:
        raise DamagedFile(f"{file} is not whole ({problem}); unpack its archive anew") from problem


def _scene(path: str) -> str:
    """The name of a class from its path: /a/airport_terminal → airport terminal.

    >>> _scene("/a/apartment_building/outdoor"), _scene("b/bar")
    ('apartment building, outdoor', 'bar')
    """
    return path.strip("/").partition("/")[2].replace("/", ", ").replace("_", " ")
