"""Photographs with masks, and picture files that are decoded whole or refused by name."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.extras import need
from mixlearn.data.files import DamagedFile, shipped

SIZE = 256  # pixels of the files
NAMES = (
    *("dog", "cat", "duck", "sheep", "owl", "kingfisher"),
    *("panda", "koala", "scarlet macaw", "hedgehog", "polar bear", "bison"),
)


def decode(source: Any, mode: str | None = None, *, name: str | os.PathLike[str] | None = None) -> Any:
    """A path or open file as a PIL image with all its pixels read, in a mode such as "RGB" or its own.

    `DamagedFile` names the file (`name`, or else the source) that cannot be decoded, or that has more pixels
    than `PIL.Image.MAX_IMAGE_PIXELS`: a small file can unpack to more than the memory holds.
    """
    pil, file = need("PIL.Image", "reading pictures"), source if name is None else name
    try:
        with pil.open(source) as picture:
            width, height = picture.size
            if pil.MAX_IMAGE_PIXELS is not None and width * height > pil.MAX_IMAGE_PIXELS:
                raise pil.DecompressionBombError(f"{width} × {height}")
            return picture.convert(mode or picture.mode)
    except (pil.DecompressionBombError, pil.DecompressionBombWarning) as problem:
        raise DamagedFile(
            f"{file} has too many pixels ({problem}), more than PIL.Image.MAX_IMAGE_PIXELS = "
            f"{pil.MAX_IMAGE_PIXELS}: raise that number if the file is right, or remove the file"
        ) from problem
    except Exception as problem:  # what a damaged file raises depends on its format
        raise DamagedFile(f"{file} cannot be decoded ({problem}); get it again") from problem


def read_table(file: Any) -> list[dict[str, str]]:
    """The rows of a table whose columns are separated by tabs."""
    with open(file, encoding="utf8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


@dataclass(frozen=True, eq=False)
class Photos:
    """Square photographs with their masks and credits.

    Args:
        images: (N, 3, size, size) float32 in [0, 1].
        masks: share of each pixel that is animal, (N, 1, size, size) float32 in [0, 1].
        names: of the animals.
        credits: of each photograph: file, name, licence, author, source, changes.
    """

    images: Tensor
    masks: Tensor
    names: tuple[str, ...]
    credits: tuple[dict[str, str], ...]

    def __len__(self) -> int:
        return len(self.names)

    def pick(self, *names: str) -> Photos:
        """The photographs of these names alone, in this order."""
        for name in names:
            if name not in self.names:
                raise ValueError(f"no photograph of {name!r}; there are {', '.join(self.names)}")
        chosen = [self.names.index(name) for name in names]
        return Photos(self.images[chosen], self.masks[chosen], names, tuple(self.credits[k] for k in chosen))


def photos(size: int = SIZE) -> Photos:
    """The twelve photographs that come with mixlearn: public domain or CC0, the animal whole.

    Args:
        size: side in pixels, 1 to 256; below 256 they are made smaller by averaging.

    >>> animals = photos(size=64)
    >>> animals.images.shape, animals.masks.shape, animals.names[:2]
    (torch.Size([12, 3, 64, 64]), torch.Size([12, 1, 64, 64]), ('dog', 'cat'))
    """
    if not 1 <= size <= SIZE:
        raise ValueError(f"size must be between 1 and {SIZE} pixels, got {size}")
    stems = [name.replace(" ", "_") for name in NAMES]
    endings = {"webp": "RGB", "mask.png": "L"}
    files = shipped("photos", ["CREDITS.tsv", *(f"{stem}.{ending}" for stem in stems for ending in endings)])
    credits = {row["file"]: row for row in read_table(files["CREDITS.tsv"])}
    numpy: Any = need("numpy", "reading the photographs")
    parts = []
    for ending, mode in endings.items():
        pixels = numpy.stack([decode(files[f"{stem}.{ending}"], mode) for stem in stems])
        part = torch.from_numpy(pixels).view(len(stems), SIZE, SIZE, -1).permute(0, 3, 1, 2).float() / 255
        parts.append(part if size == SIZE else F.interpolate(part, (size, size), mode="area"))
    images, masks = parts
    return Photos(images, masks, NAMES, tuple(credits[stem] for stem in stems))
