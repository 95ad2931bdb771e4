"""Robustness: the fifteen common corruptions at five severities, made on the fly."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.lab.data.sets import ImageSet
from mixlearn.measure.evaluate import predict
from mixlearn.measure.noise_and_blur import (
    defocus_blur,
    gaussian_noise,
    glass_blur,
    impulse_noise,
    motion_blur,
    shot_noise,
    zoom_blur,
)
from mixlearn.measure.weather_and_digital import (
    brightness,
    contrast,
    elastic_transform,
    fog,
    frost,
    jpeg_compression,
    pixelate,
    snow,
)

Corruption = Callable[..., Tensor]

COMMON: tuple[Corruption, ...] = (
    *(gaussian_noise, shot_noise, impulse_noise),
    *(defocus_blur, glass_blur, motion_blur, zoom_blur),
    *(snow, frost, fog, brightness),
    *(contrast, elastic_transform, pixelate, jpeg_compression),
)


@dataclass(frozen=True, eq=False)
class Robustness:
    """What `robustness` found. Accuracies are in [0, 1].

    Args:
        accuracy: (corruptions, severities).
        names: of the corruptions, in the order of the rows.
        severities: in the order of the columns.
    """

    accuracy: Tensor
    names: tuple[str, ...]
    severities: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Over all corruptions and severities."""
        return float(self.accuracy.mean())

    def of(self, name: str) -> float:
        """The mean over severities of one corruption."""
        return float(self.accuracy[self.names.index(name)].mean())


def corrupt(
    images: Tensor, corruption: Corruption, severity: int = 3, *, generator: torch.Generator | None = None
) -> Tensor:
    """Corrupt images and round them to whole grey levels, as a file would hold them.

    Args:
        images: (B, C, H, W) in [0, 1], grey or colour. Not changed.
        corruption: one of `COMMON`, or a function of its kind.
        severity: 1 to 5.
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        (B, C, H, W) in [0, 1], multiples of 1/255 (fractions cut off, as published).

    Raises:
        ValueError: images outside [0, 1] or of another shape, a severity other than 1 to 5.

    Source: Hendrycks & Dietterich, *Benchmarking Neural Network Robustness to Common Corruptions and
    Perturbations*, ICLR 2019, and the severities of its CIFAR-10-C.

    >>> from mixlearn.measure import contrast
    >>> corrupt(torch.tensor([0., 1.]).view(1, 1, 1, 2), contrast, 5).mul(255).flatten().tolist()
    [108.0, 146.0]
    """
    if images.dim() != 4 or images.shape[1] not in (1, 3) or not images.is_floating_point():
        raise ValueError(
            "images must be floating point (B, 1, H, W) or (B, 3, H, W), "
            f"got {tuple(images.shape)} {images.dtype}"
        )
    if severity not in (1, 2, 3, 4, 5):
        raise ValueError(f"severity must be a whole number from 1 to 5, got {severity!r}")
    if images.numel() and not bool(((images >= 0) & (images <= 1)).all()):
        raise ValueError(
            f"images must lie in [0, 1], got {float(images.min()):.3g} to {float(images.max()):.3g}; "
            "restore normalised ones first"
        )
    return (corruption(images, severity, generator=generator) * 255 + 1e-4).floor_().clamp_(0, 255).div_(255)


def corrupted(data: ImageSet, corruption: Corruption, severity: int = 3, *, seed: int = 0) -> ImageSet:
    """A set of images in memory, corrupted; labels, mean and deviation stay.

    Args:
        data: such as `ml.data.load("fashion").test`.
        corruption, severity: as for `corrupt`.
        seed: of the draws; the corruption's name and severity go in too.

    >>> import mixlearn as ml
    >>> few = ml.data.load("fashion").test.take([0, 1])
    >>> corrupted(few, ml.measure.fog, 5).images.shape
    torch.Size([2, 1, 28, 28])
    """
    number = zlib.crc32(f"{corruption.__name__} {severity} {seed}".encode())
    generator = torch.Generator().manual_seed(number)
    found = corrupt(data.images.float() / 255, corruption, severity, generator=generator)
    return ImageSet((found * 255).round().byte(), data.labels, data.mean, data.std)


class CorruptedSets:
    """The test images under every corruption and severity, made once and kept for many networks.

    Args:
        data: an `ImageSet`.
        images: how many, chosen with equal shares of the classes; None takes all.
        corruptions: such as `COMMON`.
        severities: of 1 to 5.
        seed: of the choice and the draws.

    >>> import mixlearn as ml
    >>> sets = CorruptedSets(ml.data.load("fashion").test, 10, corruptions=[ml.measure.contrast])
    >>> sets.robustness(lambda images: torch.eye(10)[:1].expand(len(images), 10)).mean
    0.1
    """

    def __init__(
        self,
        data: ImageSet,
        images: int | None = None,
        *,
        corruptions: Sequence[Corruption] = COMMON,
        severities: Sequence[int] = (1, 2, 3, 4, 5),
        seed: int = 0,
    ) -> None:
        choice = torch.Generator().manual_seed(seed)
        self.clean = data if images is None else data.subset(images, generator=choice)
        self.names, self.severities = tuple(each.__name__ for each in corruptions), tuple(severities)
        self.sets = [[corrupted(self.clean, each, k, seed=seed) for k in severities] for each in corruptions]

    def robustness(
        self, model: nn.Module | Callable[[Tensor], Tensor], device: torch.device | str | None = None
    ) -> Robustness:
        """The accuracy of a network under each corruption at each severity."""
        rows = []
        for row in self.sets:
            found = [predict(model, data, device=device) for data in row]
            rows.append([float((one.logits.argmax(1) == one.labels).double().mean()) for one in found])
        return Robustness(torch.tensor(rows, dtype=torch.float64), self.names, self.severities)


def robustness(model: Any, data: ImageSet, images: int | None = None, **options: Any) -> Robustness:
    """The accuracy of a network under the fifteen common corruptions at five severities.

    Args:
        model: images (B, C, H, W) → logits (B, classes).
        data: an `ImageSet`, such as a test set.
        images: how many of them; None takes all.
        options: of `CorruptedSets`, which keeps the corrupted images for several networks.

    Returns:
        A `Robustness`: `.mean`, `.of("fog")`, `.accuracy`.

    >>> import mixlearn as ml
    >>> test = ml.data.load("fashion").test
    >>> always = lambda images: torch.eye(10)[:1].expand(len(images), 10)
    >>> round(robustness(always, test, 20, severities=[1]).mean, 3)
    0.1
    """
    return CorruptedSets(data, images, **options).robustness(model)
