"""Features of a whole test set, and the plane in which they differ most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import as_count, is_count, is_integer
from mixlearn.measure.evaluate import predict
from mixlearn.methods.mixskd import as_map
from mixlearn.nets.taps import bare, read

AT_ONCE = 2**24  # similarities held at a time


class Plane(NamedTuple):
    """Where features lie along the directions in which they differ most.

    Args:
        coordinates: (N, dims), of mean 0: `(features - centre) @ directions.T`.
        share: (dims,), of the whole variance, falling, in [0, 1].
        directions: (dims, F), orthonormal.
        centre: (F,), the mean of the features.
    """

    coordinates: Tensor
    share: Tensor
    directions: Tensor
    centre: Tensor


def principal_plane(features: Tensor, dims: int = 2) -> Plane:
    """Principal components by singular value decomposition, in double precision.

    Of each direction the entry of largest size is positive, so that equal features give equal pictures.

    Args:
        features: (N, F), at least two rows. Not changed.
        dims: how many directions, 1 to min(N − 1, F). One along which nothing varies has the share 0.

    Returns:
        A `Plane` of float32, on the CPU.

    Raises:
        ValueError: features of another shape, not finite or all alike, dims out of range.

    Source: Pearson, *On Lines and Planes of Closest Fit to Systems of Points in Space*, 1901.

    >>> found = principal_plane(torch.tensor([[0., 0., 1.], [3., 4., 1.], [6., 8., 1.]]), dims=1)
    >>> found.coordinates.flatten().tolist(), found.share.tolist()
    ([-5.0, 0.0, 5.0], [1.0])
    """
    if features.dim() != 2 or len(features) < 2 or not features.shape[1]:
        raise ValueError(f"features must have shape (N, F) with N ≥ 2, got {tuple(features.shape)}")
    most = min(len(features) - 1, features.shape[1])
    if not 1 <= dims <= most:
        raise ValueError(f"dims must lie in 1…{most} for features {tuple(features.shape)}, got {dims}")
    if not bool(features.isfinite().all()):
        raise ValueError("features must be finite, got NaN or infinity")
    values = features.detach().cpu().double()
    if not bool((values != values[0]).any()):
        raise ValueError(f"features must differ, got {len(features)} equal rows")
    centre = values.mean(0)
    _, sizes, directions = torch.linalg.svd(values - centre, full_matrices=False)
    directions = directions[:dims]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    directions = directions * largest.sign()
    share = sizes.square() / sizes.square().sum()
    coordinates = (values - centre) @ directions.T
    return Plane(coordinates.float(), share[:dims].float(), directions.float(), centre.float())


def features_of(model: Any, data: Any, stage: str = "pool", batch_size: int = 512) -> tuple[Tensor, Tensor]:
    """The features of every image at one stage of a network, averaged over places.

    Args:
        model: a network with taps.
        data, batch_size: as for `predict`.
        stage: the tap's name; "pool" is what the network's head is given. Maps (B, C, h, w) are averaged
            over places, tokens (B, N, C) over tokens.

    Returns:
        Features (N, C) and the labels (N,), on the CPU.

    >>> import mixlearn as ml
    >>> batch = torch.rand(2, 3, 16, 16), torch.tensor([0, 3])
    >>> features, labels = features_of(ml.nets.resnet(8, 4, width=4), [batch, batch], "stage2")
    >>> features.shape, labels.tolist()
    (torch.Size([4, 8]), [0, 3, 0, 3])
    """
    reading = Reading(model, stage)
    outputs, labels = predict(reading, data, batch_size)
    return outputs[:, reading.classes :].clone(), labels


class Reading(nn.Module):
    """A network that puts out its logits and, beside them, the features of a stage, averaged over places."""

    def __init__(self, model: Any, stage: str) -> None:
        super().__init__()
        known = getattr(bare(model), "stages", ())
        if stage not in known:
            raise ValueError(f"the network has the taps {', '.join(known) or 'none'}, it has no {stage!r}")
        self.model, self.stage, self.classes = model, stage, 0

    def forward(self, images: Tensor) -> Tensor:
        logits, found = read(self.model, images, self.stage)
        self.classes, features = logits.shape[1], found[self.stage].float()
        if features.dim() > 2:
            features = as_map(features).mean((2, 3))
        return torch.cat([logits.float(), features], 1)


class Nearest(NamedTuple):
    """The neighbours of M queries, the nearest first.

    Args:
        indices: (M, k) int64, rows of the bank.
        similarities: (M, k) cosines, in [−1, 1] up to rounding.
    """

    indices: Tensor
    similarities: Tensor


def nearest(bank: Tensor, queries: Tensor, k: int) -> Nearest:
    """The rows of a bank whose direction is nearest to that of each query.

    Features are compared by their cosine, some queries at a time.

    Args:
        bank: (N, F) features, finite, none of length 0.
        queries: (M, F) features, on the same device. A query that is in the bank finds itself first.
        k: neighbours of each, 1 to N.

    Returns:
        A `Nearest`, on the device of the features. Of equal similarities the lower index comes first.

    >>> bank = torch.tensor([[1., 0.], [0., 3.], [2., 2.]])
    >>> found = nearest(bank, torch.tensor([[5., 1.]]), 2)
    >>> found.indices.tolist(), [round(one, 3) for one in found.similarities[0].tolist()]
    ([[0, 2]], [0.981, 0.832])
    """
    if bank.dim() != 2 or queries.dim() != 2 or bank.shape[1] != queries.shape[1] or not bank.numel():
        shapes = f"{tuple(bank.shape)} and {tuple(queries.shape)}"
        raise ValueError(f"expected a bank (N, F) and queries (M, F), got {shapes}")
    if bank.device != queries.device:
        raise ValueError(f"bank and queries must be on one device, got {bank.device} and {queries.device}")
    if not is_count(k) or k > len(bank):
        raise ValueError(f"k must lie in 1…{len(bank)}, the rows of the bank, got {k!r}")
    keys = _directions(bank, "the bank").mT
    rows = max(1, AT_ONCE // len(bank))
    parts = [_top(some @ keys, k) for some in _directions(queries, "the queries").split(rows)]
    indices, similarities = zip(*parts, strict=True)
    return Nearest(torch.cat(indices), torch.cat(similarities))


def knn_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    features: Tensor,
    labels: Tensor,
    *,
    k: int | Sequence[int] = 20,
    temperature: float = 0.07,
) -> Any:
    """Share of images whose k nearest neighbours among the training images vote for the right class.

    A neighbour of cosine s has the weight exp(s / temperature). Give features that the head would be given
    (`features_of(net, data)`), not its logits.

    Args:
        train_features, train_labels: (N, F) and (N,) class ids: the bank.
        features, labels: (M, F) and (M,): the images to be named.
        k: how many neighbours vote, or several such numbers.
        temperature: positive; the smaller, the more the nearest prevail.

    Returns:
        The accuracy in [0, 1], or a dict of one for each k. Of equally near neighbours those of lower index
        vote; of classes with equal votes the lower is named.

    Source: Wu et al., *Unsupervised Feature Learning via Non-parametric Instance Discrimination*, CVPR 2018,
    section 3.4, with their temperature. PatchMix's released script takes k = 10, 20, 100 and 200, and reads
    the logits of a head that was never trained in place of the features.

    >>> bank, classes = torch.tensor([[1., 0.], [0., 1.], [0.1, 1.]]), torch.tensor([0, 1, 1])
    >>> knn_accuracy(bank, classes, torch.tensor([[2., 1.], [2., 3.]]), torch.tensor([0, 1]), k=[1, 3])
    {1: 1.0, 3: 1.0}
    """
    given: Any = k
    single = is_count(given, least=None)
    counts = [as_count(count, "k", 1) for count in ([given] if single else given)]
    if not counts:
        raise ValueError("k must hold at least one number of neighbours, got none")
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be positive and finite, got {temperature}")
    known = _labels(train_labels, len(train_features), "train_labels")
    truth = _labels(labels, len(features), "labels")
    indices, similarities = nearest(train_features, features, max(counts))
    classes, near = known[indices.cpu()], similarities.cpu().double()  # (M, k)
    weights = ((near - near[:, :1]) / temperature).exp()  # of the nearest: 1
    result = {}
    for count in counts:
        votes = weights.new_zeros(len(classes), int(known.max()) + 1)  # (M, classes)
        votes.scatter_add_(1, classes[:, :count], weights[:, :count])
        result[count] = float((votes.argmax(1) == truth).double().mean())
    return result[counts[0]] if single else result


def _directions(features: Tensor, name: str) -> Tensor:
    """Features of length 1, in single precision or better."""
    values = features.detach()
    values = values if values.dtype == torch.float64 else values.float()
    if not bool(values.isfinite().all()):
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    largest = values.abs().amax(1, keepdim=True)  # so that no square is lost
    if not bool((largest > 0).all()):
        first = int((largest[:, 0] == 0).nonzero()[0])
        raise ValueError(f"{name} must have a direction, got length 0 in row {first}")
    return F.normalize(values / largest, dim=1)


def _top(similarities: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row, falling; of equal ones those of lower index, in their order."""
    values, indices = similarities.topk(k, dim=1)
    more = (similarities >= values[:, -1:]).sum(1) > k  # equal ones are left out
    if bool(more.any()):
        order = similarities[more].argsort(dim=1, descending=True, stable=True)[:, :k]
        indices[more] = order
    indices = indices.sort(dim=1).values
    values, order = similarities.gather(1, indices).sort(dim=1, descending=True, stable=True)
    return indices.gather(1, order), values


def _labels(labels: Tensor, count: int, name: str) -> Tensor:
    """Class ids (N,), N ≥ 1, as int64 on the CPU."""
    if not is_integer(labels):
        raise TypeError(f"{name} must be integer class ids, got {labels.dtype}")
    if labels.shape != (count,) or not count:
        raise ValueError(f"{name} must be one for each of {count} images, got {tuple(labels.shape)}")
    if int(labels.min()) < 0:
        raise ValueError(f"{name} must be 0 or more, got {int(labels.min())}")
    return labels.detach().cpu().long()
