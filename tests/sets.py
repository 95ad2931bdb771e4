"""A small set of images in memory, and nets without batch normalisation, for the tests of this room."""

from __future__ import annotations

import torch
from torch import Tensor


class Blobs:
    """Images whose class is where they are bright: easy to learn, quick to make."""

    classes = ("left", "right", "top", "bottom")
    mean = (0.5,)
    std = (0.5,)
    name = "blobs"
    sha256 = "0" * 64

    def __init__(self, count: int = 64, channels: int = 1, size: int = 8, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(count) % 4
        self.images = 0.5 * torch.randn(count, channels, size, size, generator=generator)
        half = size // 2
        places = [(slice(None), slice(0, half)), (slice(None), slice(half, size))]
        places += [(slice(0, half), slice(None)), (slice(half, size), slice(None))]
        for label, (rows, columns) in enumerate(places):
            self.images[self.labels == label, :, rows, columns] += 1.5

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.images[i], int(self.labels[i])

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]

    def subset(self, n: int, *, generator: torch.Generator | None = None) -> Blobs:
        chosen = Blobs(0, self.images.shape[1], self.images.shape[2])
        chosen.images, chosen.labels = self.images[:n], self.labels[:n]
        return chosen

    @property
    def train(self) -> Blobs:
        return self

    test = train

    @property
    def tests(self) -> dict[str, Blobs]:
        return {"same": self, "again": self}


def weights(module: torch.nn.Module) -> Tensor:
    """All numbers of a network's state in one vector."""
    return torch.cat([value.double().flatten() for value in module.state_dict().values()])
