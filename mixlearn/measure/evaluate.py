"""Run a network over a test set once, and say how it did; also on corrupted images."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixlearn.core.checks import as_ids
from mixlearn.core.fast import sent
from mixlearn.core.labels import soft_bce
from mixlearn.data.sets import ImageSet
from mixlearn.measure.corruptions import COMMON, Corruption, corrupt
from mixlearn.measure.metrics import calibration, multilabel
from mixlearn.nets.taps import evaluation

Model = nn.Module | Callable[[Tensor], Tensor]


@runtime_checkable
class InMemory(Protocol):
    """A data set that hands out a whole batch by its indices, as `ml.data.ImageSet` does."""

    def __len__(self) -> int: ...
    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]: ...


class Prediction(NamedTuple):
    """The logits (N, C) of N images and their true labels (N,), both on the CPU."""

    logits: Tensor
    labels: Tensor

    @property
    def accuracy(self) -> float:
        """The share of images whose largest logit is the label's."""
        return float((self.logits.argmax(1) == self.labels).double().mean())


def predict(
    model: Model,
    data: InMemory | Iterable[Any],
    batch_size: int = 512,
    device: torch.device | str | None = None,
) -> Prediction:
    """The logits of every image, in evaluation mode and without gradients.

    Args:
        model: images (B, C, H, W) → logits (B, classes). Its training mode is restored afterwards.
        data: an `ImageSet`, or any iterable of (images, labels) batches such as a DataLoader.
        batch_size: of an `ImageSet`; an iterable brings its own.
        device: where to compute; None takes the device of the model's parameters.

    Raises:
        ValueError: no images.

    >>> images, labels = torch.eye(3), torch.tensor([0, 1, 2])
    >>> predict(lambda x: 2 * x, [(images, labels)]).logits.argmax(1)
    tensor([0, 1, 2])
    """
    place = device_of(model) if device is None else torch.device(device)
    logits, truth = [], []
    with evaluation(model), torch.inference_mode():
        for images, labels in batches(data, batch_size):
            logits.append(model(sent(images, place)).float())
            truth.append(labels.cpu())
    if not logits:
        raise ValueError("data must hold at least one image, got none")
    return Prediction(torch.cat(logits).cpu().clone(), torch.cat(truth).clone())


def evaluate(
    model: Model,
    data: InMemory | Iterable[Any],
    batch_size: int = 512,
    device: torch.device | str | None = None,
) -> dict[str, float]:
    """Accuracy, negative log-likelihood and calibration of a network on a test set.

    Args:
        model, data, batch_size, device: as for `predict`. Labels are class ids (B,), or zeros and ones (B, C)
            for images of several classes at once.

    Returns:
        `accuracy` in [0, 1]; `nll` in nats; `ece` (15 bins) and the signed `gap` (mean confidence minus
        accuracy), both in [0, 1]. For several classes at once: `mean_average_precision`, `subset_accuracy`
        and `f1` as `multilabel` has them, and the binary cross-entropy as `nll`, the mean over classes.

    >>> images, labels = torch.eye(2), torch.tensor([0, 0])
    >>> evaluate(lambda x: 20 * x, [(images, labels)])["accuracy"]
    0.5
    """
    prediction = predict(model, data, batch_size, device)
    logits, labels = prediction
    if labels.dim() == 2 and labels.shape == logits.shape:
        measures = multilabel(logits, labels)._asdict()
        del measures["average_precision"]
        return measures | {"nll": float(soft_bce(logits, labels))}
    bins = calibration(logits, labels)
    nll = float(F.cross_entropy(logits, as_ids(labels)))
    return {"accuracy": prediction.accuracy, "nll": nll, "ece": bins.ece, "gap": bins.gap}


def batches(data: InMemory | Iterable[Any], size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches (images, labels) of a test set; those of an iterable as they come."""
    parts: Any = data
    if isinstance(data, InMemory):
        starts = range(0, len(data), size)
        parts = (data.batch(torch.arange(start, min(start + size, len(data)))) for start in starts)
    for images, labels in parts:
        yield images, torch.as_tensor(labels)


def device_of(model: Any) -> torch.device:
    """Where a network's parameters are; the CPU for a function."""
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device


@dataclass(frozen=True, eq=False)
class Robustness:
    """The accuracy (corruptions, severities) in [0, 1]; `names` and `severities` are its rows and columns."""

    accuracy: Tensor
    names: tuple[str, ...]
    severities: tuple[int, ...]

    @property
    def mean(self) -> float:
        """The mean over all corruptions and severities."""
        return float(self.accuracy.mean())

    def of(self, name: str) -> float:
        """The mean over severities of one corruption."""
        return float(self.accuracy[self.names.index(name)].mean())


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
    own_seed = zlib.crc32(f"{corruption.__name__} {severity} {seed}".encode())
    generator = torch.Generator().manual_seed(own_seed)
    images = corrupt(data.images.float() / 255, corruption, severity, generator=generator)
    return ImageSet((images * 255).round().byte(), data.labels, data.mean, data.std)


class CorruptedSets:
    """The test images under every corruption and severity, made once and kept for many networks.

    Args:
        data: an `ImageSet`.
        images: how many, chosen with equal shares of the classes; None takes all.
        corruptions, severities: such as `COMMON`, and of 1 to 5.
        seed: of the choice and the draws.
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

    def robustness(self, model: Model, device: torch.device | str | None = None) -> Robustness:
        """The accuracy of a network under each corruption at each severity."""
        rows = [[predict(model, data, device=device).accuracy for data in row] for row in self.sets]
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
    >>> always = lambda images: torch.eye(10)[:1].expand(len(images), 10)
    >>> round(robustness(always, ml.data.load("fashion").test, 20, severities=[1]).mean, 3)
    0.1
    """
    return CorruptedSets(data, images, **options).robustness(model)
