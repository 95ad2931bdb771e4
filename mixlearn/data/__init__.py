"""Data sets for the book and for experiments.

`load` gives a data set, `about` its licence and source, `photos` photographs for figures. Fashion-MNIST and
Emoji Scenes come with mixlearn, Off-centre Fashion is generated, CIFAR is downloaded or read from a folder.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from mixlearn.core.extras import moved
from mixlearn.data.cifar import load_cifar
from mixlearn.data.emoji import load_emoji
from mixlearn.data.fashion import load_fashion
from mixlearn.data.files import DamagedFile
from mixlearn.data.offcentre import load_offcentre
from mixlearn.data.photos import Photos, photos
from mixlearn.data.sets import Data, ImageSet

__all__ = ["DamagedFile", "Data", "ImageSet", "Photos", "about", "load", "names", "photos"]

LOADERS: dict[str, Callable[..., Data[ImageSet]]] = {
    "fashion": load_fashion,
    "emoji": load_emoji,
    "offcentre": load_offcentre,
    "cifar10": partial(load_cifar, "cifar10"),
    "cifar100": partial(load_cifar, "cifar100"),
}
CIFAR = (
    "none is stated; cite the technical report. Not shipped",
    "https://www.cs.toronto.edu/~kriz/cifar.html, a mirror (mirror=), or a folder or zip of images (root=)",
)
FACTS = {  # what it is; its licence; its source
    "fashion": (
        "Fashion-MNIST (Xiao, Rasul and Vollgraf 2017)",
        "MIT, © 2017 Zalando SE",
        "https://github.com/zalandoresearch/fashion-mnist",
    ),
    "emoji": (
        "Emoji Scenes, made for this book: emoji drawings on photographs",
        "drawings: Noto Emoji Apache-2.0 (Google), Fluent Emoji MIT (Microsoft), Twemoji CC-BY-4.0 (Twitter "
        "and contributors), EmojiOne 2 CC-BY-4.0 (Emoji One), Firefox OS Emoji CC-BY-4.0 (Mozilla); "
        "photographs: public domain or CC0; the composition: CC-BY-4.0; see data/LICENSES.md",
        "data/make_emoji.py; each image's own in ImageSet.sources",
    ),
    "offcentre": (
        "Off-centre Fashion, made for this book: small garments of Fashion-MNIST anywhere on photographs",
        "garments: MIT, © 2017 Zalando SE; photographs: public domain or CC0; the composition: CC-BY-4.0",
        "generated on first use, kept in the cache (450 MB); each image's photograph in ImageSet.sources",
    ),
    "cifar10": ("CIFAR-10 (Krizhevsky 2009)", *CIFAR),
    "cifar100": ("CIFAR-100 (Krizhevsky 2009)", *CIFAR),
}
GONE = (
    *("tiny-imagenet", "cub200", "aircraft", "inaturalist2017", "inaturalist2018"),
    *("places205", "places365", "imagenet-folder"),
)


def load(
    name: str,
    *,
    size: int | None = None,
    root: str | Path | None = None,
    mirror: str | None = None,
    download: bool | None = None,
    train_transform: Any = None,
    test_transform: Any = None,
) -> Data[ImageSet]:
    """Load a data set by name; its files are checked first.

    Args:
        name: "fashion", "emoji", "offcentre", "cifar10" or "cifar100".
        size: pixels of a side of Emoji Scenes, 32 (the default) or 64.
        root: folder of the files; downloads go there. None is $MIXLEARN_DATA or the user's cache. For CIFAR
            also a folder or a zip of images by class, as …/train/CLASS/NAME.jpg and …/test/CLASS/NAME.jpg;
            they are decoded once and kept in the cache, and `.source` says what was read.
        mirror: address of a folder that holds CIFAR's archive, in place of its home.
        download: whether CIFAR may be fetched, as is the default.
        train_transform, test_transform: for sets in folders, which `experiments.data.pictures` reads now.

    Returns:
        The data set: `.train`, `.test`, `.tests`, `.classes`, `.mean`, `.std`, `.sha256`, `.source`.

    Raises:
        ValueError: the name is unknown (the nearest names are offered), or an option does not fit the set.
        FileNotFoundError: the files are not there; the message says where to get them.
        DamagedFile: a file is damaged; the message names it.
        ConnectionError: a download failed; the message says how to go on.

    >>> data = load("emoji", size=32)
    >>> data
    Data('emoji', 10 classes; train 7200, concepts 1100, designers 1100)
    >>> data.train.batch([0, 1, 2])[0].shape
    torch.Size([3, 3, 32, 32])
    """
    _check_name(name)
    options: dict[str, Any] = {"size": size, "root": root, "mirror": mirror, "download": download}
    options |= {"train_transform": train_transform, "test_transform": test_transform}
    options = {key: value for key, value in options.items() if value is not None}
    known = list(inspect.signature(LOADERS[name]).parameters)
    for key in options:
        if key not in known:
            raise ValueError(f"{name!r} takes {', '.join(known)}, got {key}={options[key]!r}")
    return LOADERS[name](**options)


def about(name: str) -> str:
    """What a data set is, its licence and its source.

    Raises:
        ValueError: the name is unknown.

    >>> print(about("fashion").splitlines()[0])
    fashion: Fashion-MNIST (Xiao, Rasul and Vollgraf 2017)
    """
    _check_name(name)
    title, licence, source = FACTS[name]
    return f"{name}: {title}\n  Licence: {licence}\n  Source: {source}"


def names() -> tuple[str, ...]:
    """The names that `load` knows.

    >>> names()[:2]
    ('fashion', 'emoji')
    """
    return tuple(LOADERS)


def _check_name(name: str) -> None:
    if name in GONE:
        raise ValueError(
            f"{name!r} has left ml.data.load: experiments.data.pictures(root), in the repository, reads "
            "pictures laid out as ROOT/train/CLASS and ROOT/val/CLASS; torchvision.datasets reads archives"
        )
    if name not in LOADERS:
        near = get_close_matches(str(name).lower().replace("_", "-"), LOADERS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise ValueError(f"unknown data set {name!r}: {hint}There are {', '.join(LOADERS)}")


def __getattr__(name: str) -> Any:
    gone = ("PictureSet", "centre_crop", "random_crop", "whole")
    return moved(name, __name__, dict.fromkeys(gone, "experiments.data"))
