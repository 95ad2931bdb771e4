"""Whether labels tell the truth: what of each named object can be seen in the mixture."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mixlearn.core.mixed import Mixed
from mixlearn.core.plan import MixPlan


class LabelNoise(NamedTuple):
    """How far the labels of mixtures are from what the mixtures show; each in [0, 1].

    `unseen` is the share of the label that names an object of which less than a tenth is seen. `unnamed` is
    how often more than half of an object is seen to whose class less than a tenth of the label goes. `error`
    is the mean distance between an object's share of the label and its share of what is seen.
    """

    unseen: float
    unnamed: float
    error: float


@torch.no_grad()
def visible(plan: MixPlan, objects: Tensor) -> Tensor:
    """How much of each source's object each mixture shows.

    Args:
        plan: that mixed a batch of B.
        objects: (B, 1, H, W) in [0, 1], 1 where the object is.

    Returns:
        (K, B) in [0, 1]: of the object of source k, the share that mixture i shows; transparent counts by its
        share, and an object that was made smaller counts as whole. A source that comes twice counts once.

    Raises:
        ValueError: objects of another shape.

    >>> from mixlearn.core.box_plan import BoxPlan
    >>> left = torch.zeros(2, 1, 2, 4); left[..., :2] = 1
    >>> visible(BoxPlan(torch.tensor([1, 0]), torch.tensor([[0, 0, 1, 2]]), (2, 4)), left)
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    batch = len(plan)
    if objects.dim() != 4 or objects.shape[:2] != (batch, 1):
        raise ValueError(f"objects must have shape ({batch}, 1, H, W), got {tuple(objects.shape)}")
    # Image j holds its object in channel j, so that channel j of a mixture is what it shows of object j.
    each = torch.arange(batch, device=objects.device)
    apart = objects.new_zeros(batch, batch, *objects.shape[2:])
    apart[each, each] = objects[:, 0]
    shown = plan.mix(apart.float()).sum((2, 3))
    whole = objects.float().sum((1, 2, 3)).clamp_min(1e-6)
    seen = torch.stack([shown[each, source] / whole[source] for source in plan.sources])
    scales = getattr(plan, "scales", None)
    if scales is not None:
        seen = seen / scales.to(seen).clamp_min(1e-6)
    again = [(plan.sources[:k] == plan.sources[k]).any(0) for k in range(len(plan.sources))]
    return seen.masked_fill(torch.stack(again), 0).clamp(0, 1)


@torch.no_grad()
def label_noise(
    mix: Callable[..., Mixed],
    images: Tensor,
    labels: Tensor,
    objects: Tensor,
    *,
    num_classes: int,
    batch_size: int = 50,
    generator: torch.Generator | None = None,
) -> LabelNoise:
    """Mix a data set once and ask of every label whether the picture bears it out.

    Pairs of one class are left out, and images that were paired with themselves: their label is always true.

    Args:
        mix: a method, `mix(images, labels, num_classes=…, generator=…)` → `Mixed`.
        images: (N, C, H, W) float. Not changed.
        labels: (N,) class ids.
        objects: (N, 1, H, W) in [0, 1], 1 where the object of the label is.
        num_classes: of the labels.
        batch_size: images that are mixed among themselves.
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        `LabelNoise(unseen, unnamed, error)`, each in [0, 1].

    Raises:
        ValueError: numbers of images, labels and objects that differ.

    Source: a measure of this book.

    >>> import mixlearn as ml
    >>> objects = torch.zeros(8, 1, 8, 8); objects[:, :, 2:6, 2:6] = 1
    >>> noise = label_noise(ml.mixup, torch.rand(8, 3, 8, 8), torch.arange(8), objects, num_classes=8,
    ...                     generator=torch.Generator().manual_seed(0))
    >>> round(noise.error, 6), noise.unnamed
    (0.0, 0.0)
    """
    if not len(images) == len(labels) == len(objects):
        raise ValueError(
            f"expected as many labels and objects as images, got {len(images)}, {len(labels)}, {len(objects)}"
        )
    order = torch.randperm(len(images), generator=generator)
    sums, count = torch.zeros(3, dtype=torch.float64), 0
    for chosen in order.split(batch_size):
        known, shapes = labels[chosen], objects[chosen]
        plan = mix(images[chosen], known, num_classes=num_classes, generator=generator).plan
        seen, weights = visible(plan, shapes), plan.weights
        classes = known[plan.sources]
        several = (classes != classes[:1]).any(0)
        share = seen / seen.sum(0).clamp_min(1e-6)
        parts = torch.stack(
            [
                (weights * (seen < 0.1)).sum(0) / weights.sum(0).clamp_min(1e-6),
                ((seen > 0.5) & (weights < 0.1)).any(0),
                (weights - share).abs().sum(0) / 2,
            ]
        )
        sums += parts[:, several].double().sum(1)
        count += int(several.sum())
    unseen, unnamed, error = (sums / max(count, 1)).tolist()
    return LabelNoise(unseen, unnamed, error)
