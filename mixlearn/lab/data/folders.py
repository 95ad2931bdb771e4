"""Sets too large for memory: pictures in folders, decoded when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mixlearn.lab.data.files import DamagedFile
from mixlearn.lab.data.pictures import decode
from mixlearn.lab.extras import need

Transform = Callable[[Any], Tensor]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class PictureSet(Dataset[tuple[Tensor, int]]):
    """Picture files, handed out one at a time as normalised images, for a DataLoader.

    Args:
        files: the pictures.
        labels: (N,) int64.
        transform: from a PIL picture in RGB to (3, H, W) float in [0, 1].
        mean: of each channel, taken off.
        std: of each channel, divided by.
        boxes: box of the object in pixels of the file, (N, 4): x0, y0, x1, y1, half-open; or None.
    """

    files: tuple[Path, ...]
    labels: Tensor
    transform: Transform
    mean: tuple[float, ...]
    std: tuple[float, ...]
    boxes: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("labels", "boxes"):
            part = getattr(self, name)
            if part is not None and len(part) != len(self.files):
                raise ValueError(f"{name} must be {len(self.files)}, one a picture, got {len(part)}")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.transform(self.open(index))
        mean, std = (torch.tensor(v, dtype=image.dtype).view(-1, 1, 1) for v in (self.mean, self.std))
        return (image - mean) / std, int(self.labels[index])

    def open(self, index: int) -> Any:
        """One picture as a PIL image in RGB, as it lies in its file.

        Raises:
            DamagedFile: it cannot be decoded, or has too many pixels; the message names the file.
        """
        return decode(self.files[index], "RGB")


def random_crop(size: int, least: float = 0.08) -> Transform:
    """The ordinary training view of large pictures: a random part (8–100 %) made size × size, flipped or not.

    Its draws come from torch's default generator, which each worker of a DataLoader seeds for itself.

    Args:
        size: pixels of a side.
        least: share of the picture that the part shows at least.
    """
    v2 = need("torchvision.transforms.v2", "cropping pictures")
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(least, 1), antialias=True),
            v2.RandomHorizontalFlip(),
            *_to_tensor(v2),
        ]
    )


def centre_crop(size: int) -> Transform:
    """The ordinary test view: the shorter side made size · 8/7, then the middle size × size."""
    v2 = need("torchvision.transforms.v2", "cropping pictures")
    return v2.Compose([v2.Resize(round(size * 8 / 7), antialias=True), v2.CenterCrop(size), *_to_tensor(v2)])


def whole(size: int) -> Transform:
    """The whole picture made size × size."""
    v2 = need("torchvision.transforms.v2", "resizing pictures")
    return v2.Compose([v2.Resize((size, size), antialias=True), *_to_tensor(v2)])


def _to_tensor(v2: Any) -> list[Any]:
    return [v2.ToImage(), partial(v2.functional.to_dtype, dtype=torch.float32, scale=True), _plain]


def _plain(image: Tensor) -> Tensor:
    return image.as_subclass(Tensor)


def all_there(files: Sequence[Path], what: str, remedy: str) -> None:
    """Check that files exist.

    Raises:
        DamagedFile: some are missing; the message says how many and names the first.
    """
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise DamagedFile(
            f"{what} is not whole: {len(missing)} of {len(files)} pictures are missing, "
            f"the first is {missing[0]}. {remedy}"
        )
