"""Features of a whole test set, and the plane in which they differ most."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mixlearn.lab.learners.branches import as_map
from mixlearn.lab.nets.taps import Only
from mixlearn.measure.evaluate import predict


class Plane(NamedTuple):
    """Where features lie along the directions in which they differ most.

    Args:
        coordinates: (N, dims) float32, of mean 0; the features' distance from `centre` along each direction.
        share: (dims,) float32, of the whole variance, falling, in [0, 1].
        directions: (dims, F) float32, orthonormal.
        centre: (F,) float32, the mean of the features. Other features have the coordinates
            `(features - centre) @ directions.T`.
    """

    coordinates: Tensor
    share: Tensor
    directions: Tensor
    centre: Tensor


def principal_plane(features: Tensor, dims: int = 2) -> Plane:
    """Principal components by singular value decomposition, in double precision.

    The sign of a direction is arbitrary; here its entry of largest size is positive, so that equal features
    give equal pictures.

    Args:
        features: (N, F), at least two rows. Not changed.
        dims: how many directions, 1 to min(N − 1, F). One along which nothing varies has the share 0.

    Returns:
        A `Plane`, on the CPU.

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
    """What a network makes of every image at one of its stages, averaged over places.

    Args:
        model: a network with taps, in any mode, on any device. Its mode is restored afterwards.
        data: an `ImageSet`, or any iterable of (images, labels) batches.
        stage: the tap's name; "pool" is what the network's head is given. Maps (B, C, h, w) are averaged
            over places, tokens (B, N, C) over tokens.
        batch_size: of an `ImageSet`.

    Returns:
        Features (N, C) and the labels (N,), on the CPU.

    Raises:
        ValueError: a stage that the network does not have, no images.

    >>> import mixlearn as ml
    >>> batch = torch.rand(2, 3, 16, 16), torch.tensor([0, 3])
    >>> features, labels = features_of(ml.nets.resnet(8, 4, width=4), [batch, batch], "stage2")
    >>> features.shape, labels.tolist()
    (torch.Size([4, 8]), [0, 3, 0, 3])
    """
    reading = Reading(model, stage)
    found, labels = predict(reading, data, batch_size)
    return found[:, reading.classes :].clone(), labels


class Reading(nn.Module):
    """A network that puts out its logits and, beside them, the features of a stage, averaged over places.

    Args:
        model: a network with taps.
        stage: the tap's name.

    Raises:
        ValueError: a stage that the network does not have.

    >>> import mixlearn as ml
    >>> reading = Reading(ml.nets.resnet(8, 4, width=4), "stage2")
    >>> reading(torch.zeros(2, 3, 8, 8)).shape, reading.classes
    (torch.Size([2, 12]), 4)
    """

    def __init__(self, model: Any, stage: str) -> None:
        super().__init__()
        known = getattr(getattr(model, "module", model), "stages", ())
        if stage not in known:
            raise ValueError(f"the network has the taps {', '.join(known) or 'none'}, it has no {stage!r}")
        self.model, self.stage, self.classes = model, stage, 0

    def forward(self, images: Tensor) -> Tensor:
        kept: list[Tensor] = []

        def keep(name: str, features: Tensor) -> Tensor:
            kept.append(features)
            return features

        logits = self.model(images, tap=Only(self.stage, keep)).float()
        self.classes = logits.shape[1]
        features = kept[0].float()
        if features.dim() > 2:
            features = as_map(features).mean((2, 3))
        return torch.cat([logits, features], 1)
