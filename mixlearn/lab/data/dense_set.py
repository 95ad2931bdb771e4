"""Pictures of any size with what they show and where: how they are handed out, where their files are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mixlearn.lab.data.files import cache_folder
from mixlearn.lab.data.folders import all_there
from mixlearn.lab.data.pictures import decode
from mixlearn.lab.extras import need

IGNORE = 255  # the label of a pixel that counts neither in a loss nor in a measure


@dataclass(frozen=True, eq=False)
class DenseSet(Dataset[tuple[Tensor, Any]]):
    """Picture files of any size, each handed out with what it shows and where.

    An item is an image (3, H, W) float32 in [0, 1], and its target. Of boxes that is a dict: `boxes` (k, 4)
    float32 as x0, y0, x1, y1, half-open, in pixels; `labels` (k,) int64; `iscrowd` (k,) int64, 1 for what is
    to be neither found nor missed; perhaps `masks` (k, H, W) bool. Of pixels it is their labels (H, W)
    int64, 255 where they do not count.

    Args:
        name: of the set.
        files: the pictures.
        read: the number of a picture and its height and width → its target.
        classes: names, in the order of the labels.

    >>> DenseSet("none", (), lambda index, size: torch.zeros(size), ("cat", "dog"))
    DenseSet('none', 0 pictures, 2 classes)
    """

    name: str
    files: tuple[Path, ...]
    read: Callable[[int, tuple[int, int]], Any]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        image = decoded(self.files[index], "RGB").permute(2, 0, 1).contiguous().float() / 255
        height, width = image.shape[-2:]
        return image, self.read(index, (height, width))

    def __repr__(self) -> str:
        return f"DenseSet({self.name!r}, {len(self)} pictures, {len(self.classes)} classes)"


def chosen(name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {given!r}")


def found(root: str | Path | None, name: str, wanted: Sequence[str], what: str, get: str) -> Path:
    """The folder that holds all that is wanted: the root, or the one of that name in it."""
    base = cache_folder() if root is None else Path(root)
    for folder in (base, base / name):
        if all((folder / part).exists() for part in wanted):
            return folder
    raise FileNotFoundError(
        f"{base} holds neither {what} nor the folder {name} with them: {get}, unpack into {base / name} and "
        "load again"
    )


def some_there(files: Sequence[Path], what: str, folder: Path) -> None:
    """Check that files exist; of very many a thousandth, since looking for each would take minutes."""
    every = 1 + len(files) // 1000
    if every > 1:
        what += f", of which one file in {every} was looked for,"
    all_there(files[::every], what, f"Unpack the archive of {folder} anew.")


def decoded(file: Path, mode: str | None = None) -> Tensor:
    """A picture's numbers (H, W) or (H, W, 3), uint8; without a mode those of its palette."""
    numpy = need("numpy", "reading pictures")
    return torch.from_numpy(numpy.array(decode(file, mode)))
