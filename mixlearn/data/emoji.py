"""Emoji Scenes: drawings on photographs, with a mask, a box, a name and the sources of each image."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from mixlearn.core.boxes import masks_to_boxes
from mixlearn.core.extras import need
from mixlearn.data.files import digest, joint_digest, shipped
from mixlearn.data.photos import decode, read_table
from mixlearn.data.sets import Data, ImageSet, channel_statistics

CLASSES = (
    *("face", "mammal", "fruit and vegetable", "plant", "meal"),
    *("ground vehicle", "building", "clothing", "weather and sky", "music and sound"),
)
SPLITS = ("train", "concepts", "designers")
FILES = (*(f"{split}.npz" for split in SPLITS), "drawings.tsv", "backgrounds.tsv")
SIZE = 64  # pixels of the images as kept; 32 is their box-filtered half


def load_emoji(size: int = 32) -> Data[ImageSet]:
    """The set at 64 or 32 pixels."""
    if size not in (SIZE, SIZE // 2):
        raise ValueError(f"size must be 32 or 64, got {size}")
    files = shipped("emoji", FILES)
    sums = {name: digest(path) for name, path in files.items()}
    drawings, backgrounds = (read_table(files[f"{name}.tsv"]) for name in ("drawings", "backgrounds"))
    pixels = {split: _pixels(files[f"{split}.npz"], sums[f"{split}.npz"], size) for split in SPLITS}
    mean, std = channel_statistics(pixels["train"]["images"])
    parts = {}
    for split, part in pixels.items():
        shown = [drawings[k] for k in part["drawings"].tolist()]
        behind = [backgrounds[k] for k in part["backgrounds"].tolist()]
        parts[split] = ImageSet(
            part["images"],
            part["labels"],
            mean,
            std,
            masks=part["masks"],
            boxes=masks_to_boxes(part["masks"] >= 128),
            names=tuple(row["concept"] for row in shown),
            sources=[{**a, **b} for a, b in zip(shown, behind, strict=True)],
        )
    train = parts.pop("train")
    return Data("emoji", CLASSES, train, parts, mean, std, joint_digest(sums))


@lru_cache(maxsize=6)
def _pixels(path: Path, sha256: str, size: int) -> dict[str, Tensor]:
    """The arrays of one part at 64 or 32 pixels; a changed file, with another sha256, is read again."""
    numpy = need("numpy", "reading Emoji Scenes")
    with numpy.load(path, allow_pickle=False) as arrays:
        blob, ends, packed = arrays["pictures"].tobytes(), arrays["ends"].tolist(), arrays["masks"]
        part = {key: torch.from_numpy(arrays[key]) for key in ("labels", "drawings", "backgrounds")}
    planes = numpy.empty((len(ends), 3, SIZE, SIZE), numpy.uint8)
    for k, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        grey = numpy.asarray(decode(io.BytesIO(blob[start:end]), "RGB", name=path))[..., 0]  # three equal
        planes[k] = grey.reshape(3, SIZE, SIZE)
    part["images"] = torch.cat([_to_rgb(some) for some in torch.from_numpy(planes).split(1024)])
    part["masks"] = torch.from_numpy(packed)[:, None] * 17  # sixteen steps of cover
    if size < SIZE:
        part |= {key: halve(part[key]) for key in ("images", "masks")}
    return part


def _to_rgb(planes: Tensor) -> Tensor:
    """Planes Y, Co + 128, Cg + 128 to red, green, blue; all (N, 3, H, W) uint8."""
    y, orange, green = planes.short().unbind(1)
    orange, green = orange - 128, green - 128
    rest = y - green
    return torch.stack([rest + orange, y + green, rest - orange], 1).clamp_(0, 255).byte()


def halve(images: Tensor) -> Tensor:
    """Images (N, C, H, W) uint8 at half their size: the rounded mean of each 2 × 2 pixels.

    >>> halve(torch.tensor([[[[0, 10], [20, 31]]]], dtype=torch.uint8)).tolist()
    [[[[15]]]]
    """
    rows = images[..., ::2, :].short() + images[..., 1::2, :]
    return ((rows[..., ::2] + rows[..., 1::2] + 2) >> 2).byte()
