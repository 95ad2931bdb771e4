"""Scenes of several drawings on one photograph, composed of Emoji Scenes, with a box and a mask for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.boxes import masks_to_boxes
from mixlearn.core.checks import as_count, check_generator
from mixlearn.data.emoji import SIZE, SPLITS, load_emoji
from mixlearn.data.sets import ImageSet

SIDES = (3 / 16, 1 / 2)  # of an object's longer side, in sides of the scene: 24 to 64 of 128 pixels
SEEN = 0.7  # share of every object that later ones must leave in sight
CANDIDATES = 3  # for the background: the one with the smallest object leaves the least to be filled
TRIES = 20  # places that are tried for an object


@dataclass(frozen=True, eq=False)
class Scenes:
    """Images (N, 3, S, S) uint8 with the tight boxes, classes and masks of the k objects of each.

    Boxes (k, 4) int64 are x0, y0, x1, y1, half-open, in pixels, of what is seen; masks are (k, S, S) bool: no
    pixel shows two objects. Mean and standard deviation are those of the images that scenes are made of.
    """

    images: Tensor
    boxes: tuple[Tensor, ...]
    labels: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, index: Tensor | Sequence[int] | slice) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """Normalised images (n, 3, S, S), and for each its boxes as float32, its labels and its masks."""
        chosen: Any = index if isinstance(index, slice) else torch.as_tensor(index)
        places = torch.arange(len(self))[chosen].tolist()
        mean, std = (torch.tensor(value).view(-1, 1, 1) for value in (self.mean, self.std))
        targets = [
            {"boxes": self.boxes[i].float(), "labels": self.labels[i], "masks": self.masks[i]} for i in places
        ]
        return (self.images[places].float() / 255 - mean) / std, targets


def emoji_scenes(
    part: str = "train",
    count: int = 400,
    *,
    size: int = 128,
    objects: tuple[int, int] = (1, 5),
    generator: torch.Generator | None = None,
) -> Scenes:
    """Scenes composed of Emoji Scenes: the objects of several images on the background of another.

    Objects are cut out by their masks, scaled, flipped or not, and laid down one after the other; at least
    70 % of each stays in sight. An object that finds no such place in twenty tries is left out.

    Args:
        part: "train", "concepts" or "designers".
        count: how many scenes.
        size: of a side in pixels, at least 32. The longer sides of objects are uniform in 3/16 … 1/2 of it.
        objects: least and largest number of objects, drawn evenly.
        generator: source of randomness on the CPU; None uses torch's default one.

    Source: Dwibedi, Misra & Hebert, *Cut, Paste and Learn*, ICCV 2017, for scenes of pasted objects.

    >>> scenes = emoji_scenes("concepts", 2, size=64, generator=torch.Generator().manual_seed(0))
    >>> images, targets = scenes.batch([0, 1])
    >>> images.shape, targets[0]["masks"].shape[1:]
    (torch.Size([2, 3, 64, 64]), torch.Size([64, 64]))
    """
    if part not in SPLITS:
        raise ValueError(f"part must be one of {', '.join(SPLITS)}, got {part!r}")
    count, size = as_count(count, "count", 1), as_count(size, "size", 32)
    least, most = objects
    if not 1 <= least <= most:
        raise ValueError(f"objects must be a range (least, most) from at least 1, got {objects!r}")
    check_generator(generator)
    data = load_emoji(SIZE)
    source = {"train": data.train, **data.tests}[part]
    scenes = []
    for _ in range(count):
        number = int(torch.randint(least, most + 1, (), generator=generator))
        scenes.append(_composed(source, number, size, generator))
    images, masks, labels = zip(*scenes, strict=True)
    boxes = tuple(masks_to_boxes(each[:, None]) for each in masks)
    return Scenes(torch.stack(images), boxes, labels, masks, data.mean, data.std, data.classes)


def _composed(
    source: ImageSet, number: int, size: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor, Tensor]:
    """One scene: its image (3, size, size), the masks of its objects, and their labels."""
    chosen = torch.randint(len(source), (number + CANDIDATES,), generator=generator)
    assert source.masks is not None
    behind = source.masks[chosen[:CANDIDATES]].sum((1, 2, 3)).argmin()
    chosen = torch.cat([chosen[behind][None], chosen[CANDIDATES:]])
    backgrounds, drawings = _taken_apart(source, chosen)
    scene = F.interpolate(backgrounds[:1], (size, size), mode="bilinear")[0]
    shown = torch.full((size, size), -1)  # which object each pixel shows
    areas: list[int] = []
    labels: list[int] = []
    for drawing, label in zip(drawings[1:], source.labels[chosen[1:]].tolist(), strict=True):
        cut = _scaled(drawing, size, generator)
        cover = cut[3]
        solid = cover >= cover.max() / 2
        height, width = cover.shape
        for _ in range(TRIES):
            y, x = (int(torch.randint(size - side + 1, (), generator=generator)) for side in (height, width))
            rows, columns = slice(y, y + height), slice(x, x + width)
            after = shown.clone()
            after[rows, columns][solid] = len(areas)
            seen = [int((after == k).sum()) for k in range(len(areas))]
            if all(now >= SEEN * area for now, area in zip(seen, areas, strict=True)):
                scene[:, rows, columns] = torch.lerp(scene[:, rows, columns], cut[:3], cover)
                shown = after
                areas.append(int(solid.sum()))
                labels.append(label)
                break
    masks = shown == torch.arange(len(areas))[:, None, None]
    return scene.round().clamp(0, 255).byte(), masks, torch.tensor(labels)


def _taken_apart(source: ImageSet, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Backgrounds (n, 3, H, W) without their objects, and objects (n, 4, H, W): colours, then their cover."""
    assert source.masks is not None
    images, cover = source.images[chosen].float(), source.masks[chosen].float() / 255
    grown = F.max_pool2d((cover > 0).float(), 5, stride=1, padding=2)
    backgrounds = _filled(images, 1 - grown)
    own = (images - (1 - cover) * backgrounds) / cover.clamp_min(0.05)  # the edge without its background
    colours = _filled(own.clamp(0, 255), cover.square())
    return backgrounds, torch.cat([colours, cover], 1)


def _filled(images: Tensor, known: Tensor) -> Tensor:
    """Where little is known (weights in [0, 1]), the colours of what is known around it: pull and push."""
    if max(images.shape[-2:]) == 1:
        return images
    weight = F.avg_pool2d(known, 2)
    mean = F.avg_pool2d(images * known, 2) / weight.clamp_min(1e-6)
    coarse = _filled(mean, (4 * weight).clamp_max(1))
    around = F.interpolate(coarse, images.shape[-2:], mode="bilinear")
    return torch.lerp(around, images, known)


def _scaled(drawing: Tensor, size: int, generator: torch.Generator | None) -> Tensor:
    """An object (4, h, w) cut out tightly, its longer side drawn for a scene of this size, flipped or not."""
    draws = torch.rand(2, generator=generator).tolist()
    x0, y0, x1, y1 = masks_to_boxes(drawing[None, 3:])[0].tolist()
    framed = F.pad(drawing[None], (1, 1, 1, 1), mode="replicate")  # a rim, so that edges stay soft
    framed[:, 3, [0, -1]] = 0
    framed[:, 3, :, [0, -1]] = 0
    tight = framed[..., y0 : y1 + 2, x0 : x1 + 2]
    longer = (SIDES[0] + draws[0] * (SIDES[1] - SIDES[0])) * size
    scale = longer / max(y1 - y0, x1 - x0)
    height, width = (max(1, round(side * scale)) for side in tight.shape[-2:])
    cut = F.interpolate(tight, (height, width), mode="bilinear", antialias=True)[0]
    return cut.flip(2) if draws[1] < 0.5 else cut
