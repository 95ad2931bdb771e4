"""Data sets for the book and for experiments.

`load` gives a data set, `about` says what it is and whose, `photos` gives photographs for figures.
Fashion-MNIST and Emoji Scenes come with mixlearn, Off-centre Fashion is generated from shipped files;
the others are fetched or read from a folder of yours.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, overload

from experiments.data import (
    PictureSet,
    Transform,
    centre_crop,
    load_aircraft,
    load_cub200,
    load_imagenet_folder,
    load_inaturalist,
    load_places,
    load_tiny_imagenet,
    random_crop,
    whole,
)
from mixlearn.data.cifar import load_cifar
from mixlearn.data.emoji import load_emoji
from mixlearn.data.facts import FACTS, describe
from mixlearn.data.fashion import load_fashion
from mixlearn.data.files import DamagedFile
from mixlearn.data.offcentre import load_offcentre
from mixlearn.data.photos import Photos, photos
from mixlearn.data.sets import Data, ImageSet

__all__ = [
    "DamagedFile",
    "Data",
    "ImageSet",
    "Photos",
    "PictureSet",
    "about",
    "centre_crop",
    "load",
    "names",
    "photos",
    "random_crop",
    "whole",
]

_FOLDER = ("root", "size", "train_transform", "test_transform")
_OPTIONS: dict[str, tuple[str, ...]] = {
    "fashion": ("root",),
    "emoji": ("size",),
    "offcentre": ("root",),
    "cifar10": ("root", "mirror", "download"),
    "cifar100": ("root", "mirror", "download"),
    "tiny-imagenet": _FOLDER,
    "cub200": _FOLDER,
    "aircraft": _FOLDER,
    "inaturalist2017": _FOLDER,
    "inaturalist2018": _FOLDER,
    "places205": _FOLDER,
    "places365": _FOLDER,
    "imagenet-folder": _FOLDER,
}


@overload
def load(
    name: Literal["fashion", "emoji", "offcentre", "cifar10", "cifar100"],
    *,
    size: int | None = None,
    root: str | Path | None = None,
    mirror: str | None = None,
    download: bool | None = None,
) -> Data[ImageSet]: ...


@overload
def load(
    name: Literal[
        "tiny-imagenet",
        "cub200",
        "aircraft",
        "inaturalist2017",
        "inaturalist2018",
        "places205",
        "places365",
        "imagenet-folder",
    ],
    *,
    size: int | None = None,
    root: str | Path | None = None,
    train_transform: Transform | None = None,
    test_transform: Transform | None = None,
) -> Data[PictureSet]: ...


@overload
def load(
    name: str,
    *,
    size: int | None = None,
    root: str | Path | None = None,
    mirror: str | None = None,
    download: bool | None = None,
    train_transform: Transform | None = None,
    test_transform: Transform | None = None,
) -> Data[Any]: ...


def load(
    name: str,
    *,
    size: int | None = None,
    root: str | Path | None = None,
    mirror: str | None = None,
    download: bool | None = None,
    train_transform: Transform | None = None,
    test_transform: Transform | None = None,
) -> Data[Any]:
    """Load a data set by name; its files are checked first.

    Args:
        name: "fashion", "emoji", "offcentre", "cifar10", "cifar100", "tiny-imagenet", "cub200", "aircraft",
            "inaturalist2017", "inaturalist2018", "places205", "places365" or "imagenet-folder".
        size: pixels of a side. Emoji Scenes: 32 (the default) or 64; Tiny-ImageNet: 64; the other sets in
            folders: 224.
        root: folder of the files; downloads go there. None is $MIXLEARN_DATA or the user's cache. For CIFAR
            also a folder or a zip of images by class, as …/train/CLASS/NAME.jpg and …/test/CLASS/NAME.jpg;
            they are decoded once and kept in the cache, and `.source` says what was read.
        mirror: address of a folder that holds CIFAR's archive, in place of its home.
        download: whether CIFAR may be fetched, as is the default.
        train_transform: from a PIL picture to a float image in [0, 1], for the sets in folders. The default
            is `random_crop(size)`, for Tiny-ImageNet `whole(size)`.
        test_transform: likewise; the default is `centre_crop(size)`, for Tiny-ImageNet `whole(size)`.

    Returns:
        The data set: `.train`, `.test`, `.tests`, `.classes`, `.mean`, `.std`, `.sha256`, `.source`. Its
        parts are `ImageSet`s in memory, or `PictureSet`s that read files.

    Raises:
        ValueError: the name is unknown (the nearest names are offered), or an option does not fit the set.
        FileNotFoundError: the files are not there; the message says where to get them and under which terms.
        DamagedFile: a file is not whole; the message names it.
        ConnectionError: a download failed; the message says how to go on.

    >>> data = load("emoji", size=32)
    >>> data
    Data('emoji', 10 classes; train 7200, concepts 1100, designers 1100)
    >>> images, labels = data.train.batch([0, 1, 2])
    >>> images.shape, data.train.masks.shape
    (torch.Size([3, 3, 32, 32]), torch.Size([7200, 1, 32, 32]))
    """
    given = {
        "size": size,
        "root": root,
        "mirror": mirror,
        "download": download,
        "train_transform": train_transform,
        "test_transform": test_transform,
    }
    _known(name)
    options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    for key in options:
        if key not in _OPTIONS[name]:
            raise ValueError(f"{name!r} takes {', '.join(_OPTIONS[name])}, got {key}={options[key]!r}")
    if name == "fashion":
        return load_fashion(**options)
    if name == "emoji":
        return load_emoji(**options)
    if name == "offcentre":
        return load_offcentre(**options)
    if name == "tiny-imagenet":
        return load_tiny_imagenet(**options)
    if name == "cub200":
        return load_cub200(**options)
    if name == "aircraft":
        return load_aircraft(**options)
    if name.startswith("inaturalist"):
        return load_inaturalist(int(name[-4:]), **options)
    if name.startswith("places"):
        return load_places(name, **options)
    if name == "imagenet-folder":
        return load_imagenet_folder(**options)
    return load_cifar(name, **options)


def about(name: str) -> str:
    """What a data set is, its licence and source, its checksums, its parts, and what to beware of.

    Raises:
        ValueError: the name is unknown.

    >>> print(about("fashion").splitlines()[0])
    fashion: Fashion-MNIST (Xiao, Rasul and Vollgraf 2017)
    """
    _known(name)
    return describe(name)


def names() -> tuple[str, ...]:
    """The names that `load` knows.

    >>> names()[:2]
    ('fashion', 'emoji')
    """
    return tuple(FACTS)


def _known(name: str) -> None:
    if name not in FACTS:
        near = get_close_matches(str(name).lower().replace("_", "-"), FACTS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise ValueError(f"unknown data set {name!r}: {hint}There are {', '.join(FACTS)}")
