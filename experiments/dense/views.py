"""Pictures with boxes or labelled pixels as they are trained on: flipped, scaled, cut out, in batches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from experiments.data import IMAGENET_MEAN, IMAGENET_STD
from experiments.dense.sets import IGNORE
from experiments.dense.transfer_training import flipped


def mirrored(
    image: Tensor, target: dict[str, Tensor], *, generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """A picture and its boxes in a mirror or not, without objects that are not to be found.

    Args:
        image: (3, H, W).
        target: `boxes`, `labels` and `iscrowd`, as a `DenseSet` gives them.
        generator: source of the draw.

    >>> target = {"boxes": torch.zeros(2, 4), "labels": torch.tensor([3, 5]), "iscrowd": torch.tensor([0, 1])}
    >>> mirrored(torch.zeros(3, 4, 4), target, generator=torch.Generator())[1]["labels"].tolist()
    [3]
    """
    found = target["iscrowd"] == 0
    target = {key: target[key][found] for key in ("boxes", "labels")}
    if torch.rand((), generator=generator) < 0.5:
        images, (target,) = flipped(image[None], [target])
        image = images[0]
    return image, target


def listed(items: list[tuple[Tensor, dict[str, Tensor]]]) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """A batch as torchvision's Faster R-CNN takes it: lists, with labels from 1.

    Args:
        items: images (3, H, W), each with `boxes`, `labels` from 0, and perhaps `iscrowd`.

    >>> item = torch.zeros(3, 4, 4), {"boxes": torch.zeros(1, 4), "labels": torch.tensor([0])}
    >>> listed([item])[1][0]["labels"]
    tensor([1])
    """
    wanted = ("boxes", "iscrowd")
    targets = [
        {key: target[key] for key in wanted if key in target} | {"labels": target["labels"] + 1}
        for _, target in items
    ]
    return [image for image, _ in items], targets


def cut_out(
    image: Tensor,
    labels: Tensor,
    *,
    size: int,
    scale: tuple[float, float] = (0.5, 2.0),
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """A square part of a picture that was scaled and flipped at random, normalised; what it lacks is ignored.

    Args:
        image: (3, H, W) in [0, 1].
        labels: of its pixels, (H, W).
        size: pixels of the part's side.
        scale: range of the picture's shorter side, in units of `size`, drawn evenly.
        generator: source of the draws.

    Returns:
        The image (3, size, size), 0 where it lacks pixels, and its labels (size, size), 255 there.

    >>> image, labels = torch.ones(3, 20, 30), torch.ones(20, 30, dtype=torch.int64)
    >>> part, known = cut_out(image, labels, size=16, scale=(0.5, 0.5), generator=torch.Generator())
    >>> part.shape, (known == 1).sum().item()
    (torch.Size([3, 16, 16]), 96)
    """
    draws = torch.rand(4, generator=generator).tolist()
    image = scaled(image, round(size * (scale[0] + draws[0] * (scale[1] - scale[0]))))
    shape = image.shape[-2:]
    labels = F.interpolate(labels[None, None].float(), shape, mode="nearest-exact")[0, 0].long()
    if draws[1] < 0.5:
        image, labels = image.flip(-1), labels.flip(-1)
    room = [max(0, side - size) + 1 for side in shape]
    starts = [int(draw * each) for draw, each in zip(draws[2:], room, strict=True)]
    rows, columns = (slice(start, start + size) for start in starts)
    image, labels = image[:, rows, columns], labels[rows, columns]
    height, width = labels.shape
    missing = (0, size - width, 0, size - height)
    return F.pad(image, missing), F.pad(labels, missing, value=IGNORE)


def scaled(image: Tensor, shorter: int) -> Tensor:
    """A picture whose shorter side is made so many pixels, normalised by ImageNet's mean and deviation.

    Args:
        image: (3, H, W) in [0, 1]. shorter: pixels.

    >>> scaled(torch.zeros(3, 20, 30), 10).shape
    torch.Size([3, 10, 15])
    """
    factor = shorter / min(image.shape[-2:])
    height, width = (max(1, round(side * factor)) for side in image.shape[-2:])
    mean, std = (torch.tensor(value).view(-1, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))
    resized = F.interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]
    return (resized - mean) / std
