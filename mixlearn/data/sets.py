"""What a loaded data set is: images in memory with their labels, and the parts that belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Part = TypeVar("Part", covariant=True)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images in memory as bytes, handed out normalised: value / 255, less the mean, over the deviation.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
        mean, std: mean and standard deviation of each channel of the training images, in [0, 1].
        masks: share of each pixel that is object, (N, 1, H, W) uint8, 255 for the whole; or None.
        boxes: tight box of the object, (N, 4) int64: x0, y0, x1, y1, half-open, in pixels; or None.
        names: what each image shows, one name an image; or None.
        sources: where each image comes from, one record an image; or None.

    >>> pixels = torch.tensor([0, 255], dtype=torch.uint8).expand(4, 1, 3, 2)
    >>> data = ImageSet(pixels, torch.tensor([0, 1, 0, 1]), mean=(0.5,), std=(0.5,))
    >>> images, labels = data.batch([1, 3])
    >>> images.shape, images.unique().tolist(), labels.tolist()
    (torch.Size([2, 1, 3, 2]), [-1.0, 1.0], [1, 1])
    """

    images: Tensor
    labels: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]
    masks: Tensor | None = None
    boxes: Tensor | None = None
    names: tuple[str, ...] | None = None
    sources: Sequence[Mapping[str, str]] | None = None

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != torch.uint8 or images.dim() != 4:
            raise TypeError(f"images must be (N, C, H, W) uint8, got {tuple(images.shape)} {images.dtype}")
        if labels.dtype != torch.int64 or labels.dim() != 1:
            raise TypeError(f"labels must be (N,) int64, got {tuple(labels.shape)} {labels.dtype}")
        for name in ("labels", "masks", "boxes", "names", "sources"):
            part = getattr(self, name)
            if part is not None and len(part) != len(images):
                raise ValueError(f"{name} must be {len(images)}, one an image, got {len(part)}")
        channels = images.shape[1]
        if not len(self.mean) == len(self.std) == channels or min(self.std) <= 0:
            raise ValueError(
                f"mean and std must be {channels} numbers, std positive, got {self.mean} and {self.std}"
            )

    @cached_property
    def _scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """What turns bytes into normalised values: byte · scale − shift."""
        mean, std = (torch.tensor(v, dtype=torch.float64).view(-1, 1, 1) for v in (self.mean, self.std))
        return (1 / (255 * std)).float(), (mean / std).float()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """One normalised image (C, H, W) float32 and its label, so that a DataLoader can read the set."""
        scale, shift = self._scale_and_shift
        return self.images[index] * scale - shift, int(self.labels[index])

    def batch(self, index: Tensor | Sequence[int] | slice) -> tuple[Tensor, Tensor]:
        """Normalised images (n, C, H, W) float32 and labels (n,) int64 at a slice or at (n,) positions."""
        chosen: Any = index if isinstance(index, (slice, Tensor)) else torch.as_tensor(index)
        scale, shift = self._scale_and_shift
        return self.images[chosen].mul(scale).sub_(shift), self.labels[chosen]

    def restore(self, images: Tensor) -> Tensor:
        """Normalised images back to values in [0, 1], to be looked at."""
        scale, shift = (part.to(images) for part in self._scale_and_shift)
        return (images + shift).div(scale * 255).clamp(0, 1)

    def take(self, index: Tensor | Sequence[int]) -> ImageSet:
        """The set of these images alone, in this order, with everything that belongs to them."""
        chosen = torch.as_tensor(index)
        parts: dict[str, Any] = {name: getattr(self, name) for name in ("images", "labels", "masks", "boxes")}
        parts = {name: part[chosen] for name, part in parts.items() if part is not None}
        for name in ("names", "sources"):
            each = getattr(self, name)
            if each is not None:
                parts[name] = tuple(each[k] for k in chosen.tolist())
        return replace(self, **parts)

    def subset(self, n: int, *, generator: torch.Generator | None = None) -> ImageSet:
        """A stratified random draw: each class keeps its share, to within one image.

        Args:
            n: how many images, at least one and at most all.
            generator: makes the draw; None is torch's default one.

        >>> pixels = torch.zeros(100, 1, 2, 2, dtype=torch.uint8)
        >>> data = ImageSet(pixels, torch.arange(100) % 4, mean=(0.0,), std=(1.0,))
        >>> data.subset(10, generator=torch.Generator().manual_seed(0)).labels.bincount().sort().values
        tensor([2, 2, 3, 3])
        """
        if not 1 <= n <= len(self):
            raise ValueError(f"n must be between 1 and {len(self)}, the images of this set, got {n}")
        order = torch.randperm(len(self), generator=generator)
        labels = self.labels[order]
        counts = labels.bincount()
        exact = counts.double() * n / len(self)
        quota = exact.floor().long()
        spare = torch.randperm(len(counts), generator=generator)  # ties are broken at random
        late = spare[(exact - quota)[spare].argsort(descending=True, stable=True)]
        quota[late[: n - int(quota.sum())]] += 1
        by_class = labels.argsort(stable=True)
        rank = torch.empty_like(by_class)  # of each image in its class
        rank[by_class] = torch.arange(len(self)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        return self.take(order[rank < quota[labels]])


@dataclass(frozen=True, eq=False)
class Data(Generic[Part]):
    """A data set: its training part, its test parts, and the names of its classes.

    Args:
        name: as given to `load`.
        classes: names, in the order of the labels.
        train: the training images.
        tests: the test parts by name, the main one first.
        mean, std: as of `ImageSet`.
        sha256: of the list of files used and their sha256, so equal data have equal values.
        source: what was read, in words, where a set can come in several forms; else empty.
    """

    name: str
    classes: tuple[str, ...]
    train: Part
    tests: Mapping[str, Part]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sha256: str
    source: str = ""

    @property
    def test(self) -> Part:
        """The main test part."""
        return next(iter(self.tests.values()))

    def __repr__(self) -> str:
        parts: dict[str, Any] = {"train": self.train, **self.tests}
        sizes = ", ".join(f"{name} {len(part)}" for name, part in parts.items())
        read = f"; read from {self.source}" if self.source else ""
        return f"Data({self.name!r}, {len(self.classes)} classes; {sizes}{read})"


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of images (N, C, H, W) uint8, in [0, 1].

    >>> channel_statistics(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1))
    ((0.5,), (0.5,))
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    counts = torch.stack([channel.flatten().bincount(minlength=256) for channel in images.unbind(1)])
    share = counts.double() / counts.sum(1, keepdim=True)
    mean = share @ values
    variance = share @ values.square() - mean.square()
    return tuple(mean.tolist()), tuple(variance.clamp(min=0).sqrt().tolist())
