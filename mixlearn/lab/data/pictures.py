"""Picture files, decoded whole or refused by name."""

from __future__ import annotations

import os
from typing import Any

from mixlearn.lab.data.files import DamagedFile
from mixlearn.lab.extras import need


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
