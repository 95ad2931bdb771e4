"""Emoji Scenes: drawings on photographs, with a mask, a box, a name and the sources of each image."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from mixlearn.core.boxes import masks_to_boxes
from mixlearn.core.extras import need
from mixlearn.data.files import digest, joint_digest, shipped
from mixlearn.data.photos import decode
from mixlearn.data.sets import Data, ImageSet, channel_statistics

CLASSES = (
    "face",
    "mammal",
    "fruit and vegetable",
    "plant",
    "meal",
    "ground vehicle",
    "building",
    "clothing",
    "weather and sky",
    "music and sound",
)
SPLITS = ("train", "concepts", "designers")
FILES = (*(f"{split}.npz" for split in SPLITS), "drawings.tsv", "backgrounds.tsv")
SIZE = 64  # pixels of the images as kept; 32 is their box-filtered half


def load_emoji(size: int | None = None) -> Data[ImageSet]:
    """The set at 64 or at 32 pixels (the default)."""
    if size is None:
        size = 32
    if size not in (SIZE, SIZE // 2):
        raise ValueError(f"size must be 32 or 64, got {size}")
    files = shipped("emoji", FILES)
    sums = {name: digest(path) for name, path in files.items()}
    drawings, backgrounds = _table(files["drawings.tsv"]), _table(files["backgrounds.tsv"])
    pixels = {split: _pixels(files[f"{split}.npz"], sums[f"{split}.npz"], size) for split in SPLITS}
    mean, std = channel_statistics(pixels["train"]["images"])
    parts = {split: _part(part, mean, std, drawings, backgrounds) for split, part in pixels.items()}
    tests = {split: parts[split] for split in SPLITS[1:]}
    return Data("emoji", CLASSES, parts["train"], tests, mean, std, joint_digest(sums))


def halve(images: Tensor) -> Tensor:
    """Box filter by two: the rounded mean of each 2 × 2 pixels.

    Args:
        images: (N, C, H, W) uint8, H and W even.

    >>> halve(torch.tensor([[[[0, 10], [20, 31]]]], dtype=torch.uint8)).tolist()
    [[[[15]]]]
    """
    rows = images[..., ::2, :].short() + images[..., 1::2, :]
    return ((rows[..., ::2] + rows[..., 1::2] + 2) >> 2).byte()


def tight_boxes(masks: Tensor) -> Tensor:
    """Boxes around the pixels that are at least half object.

    Args:
        masks: (N, 1, H, W) uint8.

    Returns:
        (N, 4) int64: x0, y0, x1, y1, half-open.
    """
    return masks_to_boxes(masks >= 128)


@lru_cache(maxsize=6)
def _pixels(path: Path, sha256: str, size: int) -> dict[str, Tensor]:
    """The arrays of one part at 64 or 32 pixels; `sha256` makes a changed file be read anew."""
    part = _decode(path)
    if size == SIZE:
        return part
    return {**part, "images": halve(part["images"]), "masks": halve(part["masks"])}


def _decode(path: Path) -> dict[str, Tensor]:
    """The arrays of one part at 64 pixels."""
    numpy = need("numpy", "reading Emoji Scenes")
    with numpy.load(path, allow_pickle=False) as arrays:
        blob, ends, packed = arrays["pictures"].tobytes(), arrays["ends"].tolist(), arrays["masks"]
        rest = {key: torch.from_numpy(arrays[key]) for key in ("labels", "drawings", "backgrounds")}
    planes = numpy.empty((len(ends), 3, SIZE, SIZE), numpy.uint8)
    for k, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        rgb = numpy.asarray(decode(io.BytesIO(blob[start:end]), "RGB", name=path))  # grey: three equal
        planes[k] = rgb[..., 0].reshape(3, SIZE, SIZE)
    masks = torch.from_numpy(packed)[:, None] * 17  # sixteen steps of cover
    return {"images": _to_rgb(torch.from_numpy(planes)), "masks": masks, **rest}


def _to_rgb(planes: Tensor) -> Tensor:
    """Planes Y, Co + 128, Cg + 128 to red, green, blue; all (N, 3, H, W) uint8."""
    images = torch.empty_like(planes)
    for chunk, out in zip(planes.split(1024), images.split(1024), strict=True):
        y, orange, green = chunk.short().unbind(1)
        orange, green = orange - 128, green - 128
        rest = y - green
        out.copy_(torch.stack([rest + orange, y + green, rest - orange], 1).clamp_(0, 255))
    return images


def _part(
    part: Mapping[str, Tensor],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    drawings: list[dict[str, str]],
    backgrounds: list[dict[str, str]],
) -> ImageSet:
    shown = [drawings[k] for k in part["drawings"].tolist()]
    behind = [backgrounds[k] for k in part["backgrounds"].tolist()]
    return ImageSet(
        part["images"],
        part["labels"],
        mean,
        std,
        masks=part["masks"],
        boxes=tight_boxes(part["masks"]),
        names=tuple(row["concept"] for row in shown),
        sources=[{**a, **b} for a, b in zip(shown, behind, strict=True)],
    )


def _table(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))
