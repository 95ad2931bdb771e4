"""Scenes that are easy to learn: bright squares on black."""

from __future__ import annotations

import torch

import mixlearn as ml
from mixlearn.data.scenes import Scenes
from tests.seeds import seeded

NAMES = ("red", "green")


def squares(count: int, objects: int, *, size: int = 32, seed: int = 0) -> Scenes:
    """Bright squares on black, red ones of class 0 and green ones of class 1; one in each quarter at most."""
    generator = seeded(seed)
    images = torch.zeros(count, 3, size, size, dtype=torch.uint8)
    boxes, labels, masks = [], [], []
    for image in images:
        quarters = torch.randperm(4, generator=generator)[:objects]
        corners = torch.stack([quarters % 2, quarters // 2], 1) * (size // 2)
        corners = corners + torch.randint(5, (objects, 2), generator=generator)
        found = torch.cat([corners, corners + torch.randint(7, 12, (objects, 1), generator=generator)], 1)
        kinds = torch.randint(2, (objects,), generator=generator)
        mask = ml.boxes_to_masks(found, size, size)[:, 0].bool()
        for kind, where in zip(kinds.tolist(), mask, strict=True):
            image[kind, where] = 255
        boxes.append(found), labels.append(kinds), masks.append(mask)
    return Scenes(images, tuple(boxes), tuple(labels), tuple(masks), (0.3,) * 3, (0.3,) * 3, NAMES)
