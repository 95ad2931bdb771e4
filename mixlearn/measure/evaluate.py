"""Run a network over a test set once, and say how it did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixlearn.core.checks import as_ids
from mixlearn.core.fast import sent
from mixlearn.core.labels import soft_bce
from mixlearn.measure.metrics import calibration, multilabel
from mixlearn.nets.taps import evaluation


@runtime_checkable
class InMemory(Protocol):
    """A data set that hands out a whole batch by its indices, as `ml.data.ImageSet` does."""

    def __len__(self) -> int: ...
    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]: ...


class Prediction(NamedTuple):
    """What a network said of N images: logits (N, C), and the true labels (N,). Both on the CPU."""

    logits: Tensor
    labels: Tensor


def predict(
    model: nn.Module | Callable[[Tensor], Tensor],
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
    if device is None:
        parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
        device = torch.device("cpu") if parameter is None else parameter.device
    logits, truth = [], []
    with evaluation(model), torch.inference_mode():
        for images, labels in batches(data, batch_size):
            logits.append(model(sent(images, torch.device(device))).float())
            truth.append(torch.as_tensor(labels).cpu())
    if not logits:
        raise ValueError("data must hold at least one image, got none")
    return Prediction(torch.cat(logits).cpu().clone(), torch.cat(truth).clone())


def evaluate(
    model: nn.Module | Callable[[Tensor], Tensor],
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

    Raises:
        TypeError, ValueError: no images, labels outside 0…C−1 or of another type or shape, logits that are
            not finite.

    >>> images, labels = torch.eye(2), torch.tensor([0, 0])
    >>> evaluate(lambda x: 20 * x, [(images, labels)])["accuracy"]
    0.5
    >>> several = torch.tensor([[1, 1], [0, 1]])
    >>> evaluate(lambda x: 20 * several - 10, [(images, several)])["subset_accuracy"]
    1.0
    """
    logits, labels = predict(model, data, batch_size, device)
    if labels.dim() == 2 and labels.shape == logits.shape:
        told = multilabel(logits, labels)._asdict()
        del told["average_precision"]
        return told | {"nll": float(soft_bce(logits, labels))}
    found = calibration(logits, labels)
    return {
        "accuracy": float((logits.argmax(1) == labels).double().mean()),
        "nll": float(F.cross_entropy(logits, as_ids(labels))),
        "ece": found.ece,
        "gap": found.gap,
    }


def batches(data: InMemory | Iterable[Any], size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches (images, labels) of a test set; those of an iterable as they come."""
    if isinstance(data, InMemory):
        for start in range(0, len(data), size):
            yield data.batch(torch.arange(start, min(start + size, len(data))))
    else:
        yield from data
