"""Data sets for the book and for experiments: `load`, `about`, `photos`."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, overload

from mixlearn.lab.data_emoji import load_emoji
from mixlearn.lab.data_fashion import load_fashion
from mixlearn.lab.data_files import DamagedFile
from mixlearn.lab.data_photos import Photos, photos
from mixlearn.lab.data_sets import Data, ImageSet

__all__ = ["DamagedFile", "Data", "ImageSet", "Photos", "load", "photos"]


def load(name: str, *, size: int | None = None, root: str | Path | None = None) -> Data[Any]:
    """Load a data set by name."""
    if name == "fashion":
        return load_fashion(root)
    if name == "emoji":
        return load_emoji(size)
    raise ValueError(f"unknown data set {name!r}{get_close_matches(name, ['fashion', 'emoji'])}")
