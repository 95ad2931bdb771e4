"""DDGSD's losses: two augmentations of the same images, whose answers teach each other."""

from __future__ import annotations

from torch import Tensor

from mixlearn.core.labels import cross_entropy
from mixlearn.methods.distill import distillation, mean_discrepancy


def ddgsd_terms(
    logits: tuple[Tensor, Tensor],
    features: tuple[Tensor, Tensor],
    labels: Tensor,
    *,
    temperature: float = 4.0,
    weight: float = 5e-4,
    smoothing: float = 0.0,
    released: bool = False,
) -> dict[str, Tensor]:
    """The terms of data-distortion guided self-distillation for one batch.

    - "labels": cross-entropy, the mean over both augmentations.
    - "answers": each answer learns from the other, which is held fixed.
    - "features": `weight` times the squared distance of the two mean feature vectors; gradients reach both.

    Args:
        logits: two answers (B, classes), one to each augmentation.
        features: two (B, C), what the head was given.
        labels: (B,) class ids, of both.
        temperature: T of the distillation.
        weight: of "features".
        smoothing: share of each label spread over all classes, in "labels".
        released: as a public library has it: "features" compares two numbers, each the mean over batch and
            channels, and "labels" counts half.

    Returns:
        Scalars by name, float32; their sum is the loss.

    Raises:
        ValueError: not two answers and two features, or of other shapes.

    Source: Xu & Liu, *Data-Distortion Guided Self-Distillation for Deep Neural Networks*, AAAI 2019.
    `released`: Self-KD-Lib, the code published with MixSKD.

    >>> import torch
    >>> one, other = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    >>> terms = ddgsd_terms((one, other), (one, other), torch.tensor([0]), weight=1.0)
    >>> {name: round(float(value), 4) for name, value in terms.items()}
    {'labels': 1.1269, 'answers': 3.9187, 'features': 8.0}
    >>> float(ddgsd_terms((one, other), (one, other), torch.tensor([0]), released=True)["features"])
    0.0
    """
    if len(logits) != 2 or len(features) != 2:
        raise ValueError(
            "logits and features must be two each, one of each augmentation, got "
            f"{len(logits)} and {len(features)}"
        )
    one, other = logits
    answers = distillation(one, other, temperature=temperature) + distillation(
        other, one, temperature=temperature
    )
    right = [cross_entropy(said.float(), labels, smoothing) for said in logits]
    first, second = (part.float() for part in features)
    apart = mean_discrepancy(first, second)
    if released:
        apart = (first.mean() - second.mean()).square()
    return {
        "labels": (right[0] + right[1]) / (4 if released else 2),
        "answers": answers,
        "features": weight * apart,
    }
