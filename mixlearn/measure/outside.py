"""Out-of-distribution detection: is a network less confident on images of none of its classes?"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mixlearn.measure.evaluate import predict


class Detection(NamedTuple):
    """How well a score separates known from out-of-distribution images; each in [0, 1], 1 is best.

    Args:
        auroc: probability that a known image scores above an out-of-distribution one (ties count half).
        tnr: share of out-of-distribution images rejected at the threshold that keeps 95 % of the known.
        accuracy: the best mean of both rates that any threshold reaches.
    """

    auroc: float
    tnr: float
    accuracy: float


def detection(known: Tensor, foreign: Tensor) -> Detection:
    """Compare the scores of `known` images (N,) and of `foreign` ones (M,); a higher score means known.

    Raises:
        ValueError: no scores, another shape, or scores that are not finite.

    Source: Hendrycks & Gimpel, *A Baseline for Detecting Misclassified and Out-of-Distribution Examples*,
    ICLR 2017; the three measures as in Yun et al., *CutMix*, ICCV 2019, appendix.

    >>> detection(torch.tensor([.9, .8, .7]), torch.tensor([.6, .75]))
    Detection(auroc=0.8333333333333334, tnr=0.5, accuracy=0.8333333333333333)
    """
    for name, scores in (("known", known), ("foreign", foreign)):
        if scores.dim() != 1 or scores.numel() == 0:
            raise ValueError(f"{name} must hold scores of shape (N,), N ≥ 1, got {tuple(scores.shape)}")
        if not bool(scores.isfinite().all()):
            raise ValueError(f"{name} scores must be finite, got NaN or infinity")
    known, foreign = known.double().sort().values, foreign.double().sort().values
    below, not_above = (torch.searchsorted(foreign, known, right=right) for right in (False, True))
    auroc = float((below + not_above).double().mean()) / (2 * len(foreign))
    # a threshold at a known score keeps the known ones at or above it
    kept = (len(known) - torch.searchsorted(known, known)).double() / len(known)
    refused = below.double() / len(foreign)
    tnr = float(refused[kept >= 0.95].max())
    accuracy = max(float((kept + refused).max()) / 2, 0.5)
    return Detection(auroc, tnr, accuracy)


def confidence(logits: Tensor) -> Tensor:
    """The largest softmax probability of each row, (N, C) → (N,) in double precision.

    In single precision all logits that lead by more than about 17 would tie at 1.

    >>> confidence(torch.tensor([[0.0, 0.0]])).tolist()
    [0.5]
    """
    return logits.double().softmax(1).amax(1)


def out_of_distribution(model: Any, known: Any, foreign: dict[str, Any]) -> dict[str, Detection]:
    """How well a network's confidence separates its own test images from others.

    Args:
        model: images (B, C, H, W) → logits (B, classes).
        known: an `ImageSet` or loader of test images.
        foreign: others by name: `ImageSet`s, loaders, or tensors (N, C, H, W) as the network takes them.

    >>> sure = lambda images: 9 * torch.eye(2)[:1] * images.mean((1, 2, 3))[:, None]
    >>> one, zero = torch.ones(4, 1, 2, 2), torch.zeros(4, 1, 2, 2)
    >>> out_of_distribution(sure, [(one, torch.zeros(4))], {"black": zero})["black"].auroc
    1.0
    """
    inside = confidence(predict(model, known).logits)
    result = {}
    for name, data in foreign.items():
        if isinstance(data, Tensor):
            data = [(part, torch.zeros(len(part), dtype=torch.long)) for part in data.split(512)]
        result[name] = detection(inside, confidence(predict(model, data).logits))
    return result


def noise_images(
    n: int, like: Tensor, *, normal: bool = False, generator: torch.Generator | None = None
) -> Tensor:
    """Images of pure noise in [0, 1]: uniform, or normal around ½ with deviation ¼.

    Args:
        n: how many.
        like: images whose channels and size they take, (…, C, H, W).
        normal: normal rather than uniform.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> noise_images(2, torch.zeros(1, 3, 4, 4)).shape
    torch.Size([2, 3, 4, 4])
    """
    shape = (n, *like.shape[-3:])
    if not normal:
        return torch.rand(shape, generator=generator)
    return (0.5 + 0.25 * torch.randn(shape, generator=generator)).clamp_(0, 1)
