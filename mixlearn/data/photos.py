"""Picture files, decoded whole or refused by name."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mixlearn.core.extras import need
from mixlearn.data.files import DamagedFile, shipped


def decode(source: Any, mode: str | None = None, *, name: str | os.PathLike[str] | None = None) -> Any:
    """A picture as a PIL image with all its pixels read.

    Args:
        source: a path, or an open file.
        mode: such as "RGB" or "L", which the picture is converted to; None leaves it as it is.
        name: of the file in messages; None takes `source`.

    Raises:
        DamagedFile: it cannot be decoded, or it has more pixels than `PIL.Image.MAX_IMAGE_PIXELS` allows (a
            small file can unpack to more than the memory holds). The message names the file.

    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("L", (3, 2)).save(file, "PNG")
    >>> decode(file, "RGB").size
    (3, 2)
    """
    pil, file = need("PIL.Image", "reading pictures"), source if name is None else name
    try:
        with pil.open(source) as picture:
            _check_size(picture.size, file, pil.MAX_IMAGE_PIXELS)
            if mode is not None:
                return picture.convert(mode)
            picture.load()
            return picture.copy()
    except DamagedFile:
        raise
    except (pil.DecompressionBombError, pil.DecompressionBombWarning) as problem:
        raise DamagedFile(f"{file} has too many pixels: {problem}") from problem
    except Exception as problem:  # what a damaged file raises depends on its format
        raise DamagedFile(
            f"{file} cannot be decoded ({problem}); take it again from its archive"
        ) from problem


def _check_size(size: tuple[int, int], file: Any, most: int | None) -> None:
    width, height = size
    if most is not None and width * height > most:
        raise DamagedFile(
            f"{file} has too many pixels: {width} × {height}, more than PIL.Image.MAX_IMAGE_PIXELS = {most}. "
            "If it is right, raise that number; otherwise take the file out"
        )


SIZE = 256  # pixels of the files


NAMES = (
    "dog",
    "cat",
    "duck",
    "sheep",
    "owl",
    "kingfisher",
    "panda",
    "koala",
    "scarlet macaw",
    "hedgehog",
    "polar bear",
    "bison",
)


@dataclass(frozen=True, eq=False)
class Photos:
    """Square photographs.

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
        """The photographs of these names alone, in this order.

        Raises:
            ValueError: a name is not among them.
        """
        for name in names:
            if name not in self.names:
                raise ValueError(f"no photograph of {name!r}; there are {', '.join(self.names)}")
        places = [self.names.index(name) for name in names]
        return Photos(
            self.images[places], self.masks[places], tuple(names), tuple(self.credits[k] for k in places)
        )


def photos(size: int = SIZE) -> Photos:
    """The twelve photographs that come with mixlearn: public domain or CC0, the animal whole.

    Args:
        size: side in pixels; below 256 they are made smaller by averaging.

    Raises:
        ValueError: size is not between 1 and 256.

    >>> animals = photos(size=64)
    >>> animals.images.shape, animals.masks.shape, animals.names[:2]
    (torch.Size([12, 3, 64, 64]), torch.Size([12, 1, 64, 64]), ('dog', 'cat'))
    """
    if not 1 <= size <= SIZE:
        raise ValueError(f"size must be between 1 and {SIZE} pixels, got {size}")
    stems = [name.replace(" ", "_") for name in NAMES]
    files = shipped(
        "photos", ["CREDITS.tsv", *(f"{s}.webp" for s in stems), *(f"{s}.mask.png" for s in stems)]
    )
    with open(files["CREDITS.tsv"], encoding="utf8", newline="") as file:
        credits = {row["file"]: row for row in csv.DictReader(file, delimiter="\t")}
    numpy: Any = need("numpy", "reading the photographs")

    def read(name: str, mode: str) -> Tensor:
        pixels = numpy.array(decode(files[name], mode)).reshape(SIZE, SIZE, -1)
        return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255

    images = torch.stack([read(f"{stem}.webp", "RGB") for stem in stems])
    masks = torch.stack([read(f"{stem}.mask.png", "L") for stem in stems])
    if size < SIZE:
        images, masks = (functional.interpolate(part, (size, size), mode="area") for part in (images, masks))
    return Photos(images, masks, NAMES, tuple(credits[stem] for stem in stems))
