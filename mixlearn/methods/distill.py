"""DDGSD: the predictions of two augmentations of each image are distilled from each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import Tensor

from mixlearn.core.checks import check_range
from mixlearn.core.labels import cross_entropy
from mixlearn.methods.learner import Draws, Plain, Terms, check_callable, dealt, interleaved
from mixlearn.methods.mixskd import both_ways, distillation
from mixlearn.nets.taps import check_taps, logits_of, read

__all__ = ["DDGSD", "ddgsd_terms", "distillation"]


def ddgsd_terms(
    logits: Sequence[Tensor],
    features: Sequence[Tensor],
    labels: Tensor,
    *,
    temperature: float = 4.0,
    weight: float = 5e-4,
    smoothing: float = 0.0,
    released: bool = False,
) -> Terms:
    """The terms of data-distortion guided self-distillation for one batch, float32 scalars.

    - "labels": cross-entropy, the mean over both augmentations.
    - "answers": each augmentation's logits are distilled from the other's, without a gradient to the latter.
    - "features": `weight` times the squared distance of the two mean feature vectors; gradients reach both.

    Args:
        logits, features: two (B, classes) and two pooled (B, C), one of each augmentation.
        labels: (B,) class ids, of both.
        temperature: T of the distillation.
        weight: of "features".
        smoothing: share of each label spread over all classes, in "labels".
        released: as Self-KD-Lib has it, the code published with MixSKD: "features" compares two numbers, each
            the mean over batch and channels, and "labels" counts half.
    """
    answers = both_ways(logits[0], logits[1], temperature)
    losses = [cross_entropy(one.float(), labels, smoothing) for one in logits]
    first, second = (one.float() for one in features)
    difference = (first.mean() - second.mean()) if released else (first.mean(0) - second.mean(0))  # (C,)
    return {
        "labels": (losses[0] + losses[1]) / (4 if released else 2),
        "answers": answers,
        "features": weight * difference.square().sum(),  # the linear maximum mean discrepancy
    }


class DDGSD(Plain):
    """Two augmentations of each image learn from each other: data-distortion guided self-distillation.

    Its terms are those of `ddgsd_terms`: "labels", "answers" and "features".

    Args:
        augment: `augment(images, generator=…)`, called twice for each batch. Give it here, and none to `fit`.
        temperature, weight, released: see `ddgsd_terms`.
        num_classes, smoothing: as for `Plain`.

    Source: Xu & Liu, *Data-Distortion Guided Self-Distillation for Deep Neural Networks*, AAAI 2019.

    >>> import torch, mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> list(DDGSD(ml.augment.crop_and_flip)(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1])))
    ['labels', 'answers', 'features']
    """

    term_names = ("labels", "answers", "features")
    shown: ClassVar[tuple[str, ...]] = ("augment", "temperature", "weight", "released")

    def __init__(
        self,
        augment: Callable[..., Tensor],
        *,
        temperature: float = 4.0,
        weight: float = 5e-4,
        released: bool = False,
        num_classes: int | None = None,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, smoothing)
        check_callable("augment", augment, "images, *, generator")
        check_range("(0, inf)", temperature=temperature)
        check_range("[0, inf)", weight=weight)
        self.augment, self.temperature, self.weight = augment, temperature, weight
        self.released = released

    def __call__(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        check_taps(model, "DDGSD")
        both = interleaved(*(self.augment(images, generator=generator) for _ in range(2)))  # (2B, C, H, W)
        logits, features = read(model, both, "pool")
        if not features:
            raise ValueError("DDGSD compares what the head is given, and the network has no tap 'pool'")
        options = {name: getattr(self, name) for name in ("temperature", "weight", "smoothing", "released")}
        return ddgsd_terms(dealt(logits_of(logits), 2), dealt(features["pool"], 2), labels, **options)
