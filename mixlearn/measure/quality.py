"""Beyond right and wrong: the probabilities of a network's answers, above all of its mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mixlearn.core.checks import check_predictions


class Quality(NamedTuple):
    """What `prediction_quality` found. Without a mistake all but `true` and `mistakes` are NaN.

    Args:
        true: mean probability of the true class, over all images.
        said: mean probability of the class that was named, over the mistakes. A better network is less sure
            of what is wrong.
        missed: mean probability of the true class, over the mistakes.
        log_said, log_missed: the same means of log-probabilities, in nats.
        mistakes: how many images the four means are over.
    """

    true: float
    said: float
    missed: float
    log_said: float
    log_missed: float
    mistakes: int


def prediction_quality(logits: Tensor, labels: Tensor, among: Tensor | None = None) -> Quality:
    """How probable a network finds the true class, and what it says where it is wrong.

    Networks differ in which images they get wrong, and the one with fewer mistakes is left with the harder
    images. To compare networks, look at the images that all of them get wrong: `common_mistakes`.

    Args:
        logits: (N, C), before the softmax.
        labels: (N,) integer class ids.
        among: (M,) indices of misclassified images, the only ones whose mistakes count; None takes all that
            this network gets wrong. Where there are none, the means over mistakes are NaN.

    Returns:
        A `Quality`.

    Raises:
        TypeError: labels or indices that are no integers.
        ValueError: shapes that disagree, no predictions, logits that are not finite, labels or indices out of
            range, indices of images that the network gets right.

    Source: Yun et al., *Regularizing Class-wise Predictions via Self-knowledge Distillation*, CVPR 2020,
    and Yang et al., *MixSKD*, ECCV 2022, which draw these log-probabilities.

    >>> logits = torch.tensor([[0.8, 0.2], [0.6, 0.4]]).log()
    >>> found = prediction_quality(logits, torch.tensor([0, 1]))
    >>> f"{found.true:.2f}, {found.said:.2f} against {found.missed:.2f} in {found.mistakes} mistake"
    '0.60, 0.60 against 0.40 in 1 mistake'
    """
    check_predictions(logits, labels)
    logits, labels = logits.detach().cpu().double(), labels.detach().cpu().long()
    log_p = logits.log_softmax(1)
    said = logits.argmax(1)
    of_true = log_p.gather(1, labels[:, None])[:, 0]
    of_said = log_p.gather(1, said[:, None])[:, 0]
    wrong = said != labels
    which = wrong.nonzero()[:, 0] if among is None else _chosen(among, wrong)
    log_said, log_missed = of_said[which], of_true[which]  # without a mistake their means are NaN
    return Quality(
        true=float(of_true.exp().mean()),
        said=float(log_said.exp().mean()),
        missed=float(log_missed.exp().mean()),
        log_said=float(log_said.mean()),
        log_missed=float(log_missed.mean()),
        mistakes=len(which),
    )


def common_mistakes(logits: Sequence[Tensor], labels: Tensor) -> Tensor:
    """The images that every one of several networks gets wrong.

    Args:
        logits: of each network, (N, C), over the same images in the same order.
        labels: (N,) integer class ids.

    Returns:
        (M,) int64 indices in rising order, on the CPU; empty where each image is right in some network.

    Raises:
        TypeError, ValueError: no networks, and as for `prediction_quality`.

    Source: as for `prediction_quality`.

    >>> one = torch.tensor([[1., 0.], [1., 0.], [0., 1.]])
    >>> other = torch.tensor([[0., 1.], [1., 0.], [1., 0.]])
    >>> common_mistakes([one, other], torch.tensor([0, 1, 1]))
    tensor([1])
    """
    if isinstance(logits, Tensor) or not len(logits):
        raise ValueError(
            "logits must hold (N, C) for each of several networks, got "
            + (f"one tensor {tuple(logits.shape)}" if isinstance(logits, Tensor) else "none")
        )
    for one in logits:
        check_predictions(one, labels)
    truth = labels.cpu()
    wrong = torch.stack([one.detach().cpu().argmax(1) != truth for one in logits]).all(0)
    return wrong.nonzero()[:, 0]


def _chosen(among: Tensor, wrong: Tensor) -> Tensor:
    """The indices that were given, where the network is indeed wrong."""
    if among.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"among must hold integer indices, got {among.dtype}")
    which = among.detach().cpu().long()
    if which.dim() != 1:
        raise ValueError(f"among must have shape (M,), got {tuple(which.shape)}")
    if len(which) and not 0 <= int(which.min()) <= int(which.max()) < len(wrong):
        raise ValueError(
            f"among must lie in 0…{len(wrong) - 1}, got {int(which.min())} to {int(which.max())}"
        )
    right = which[~wrong[which]]
    if len(right):
        raise ValueError(
            f"among must be images that the network gets wrong, got {len(right)} that it gets right, such as "
            f"{int(right[0])}"
        )
    return which
