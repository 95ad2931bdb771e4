"""Learning from another's answers: soft probabilities as targets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.labels import one_hot
from mixlearn.core.scalars import as_count
from mixlearn.core.transfer import sent


def distillation(
    student: Tensor, teacher: Tensor, *, temperature: float = 4.0, scaled: bool = True
) -> Tensor:
    """T² · KL(teacher ‖ student) of softened answers, averaged over the batch.

    A temperature above 1 evens both out, so that the small probabilities count too: they say which classes
    look alike. Gradients of softened answers fall with 1 / T²; the factor T² makes up for it. The teacher is
    taken as it is: no gradient reaches it.

    Args:
        student, teacher: logits (B, classes).
        temperature: T, above 0; both are divided by it.
        scaled: multiply by T².

    Returns:
        A scalar, float32.

    Raises:
        ValueError: logits of different or other shapes, a temperature that is not positive.

    Source: Hinton, Vinyals & Dean, *Distilling the Knowledge in a Neural Network*, 2015.

    >>> import torch
    >>> a = torch.tensor([[2.0, 0.0]])
    >>> distillation(a, a).item(), round(distillation(a, -a, temperature=1.0).item(), 4)
    (0.0, 1.5232)
    """
    if student.shape != teacher.shape or student.dim() != 2:
        raise ValueError(
            f"student and teacher must both have shape (B, classes), got {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}"
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    log_p = (student.float() / temperature).log_softmax(1)
    log_q = (teacher.detach().float() / temperature).log_softmax(1)
    apart = F.kl_div(log_p, log_q, reduction="batchmean", log_target=True)
    return apart * temperature**2 if scaled else apart


def mean_discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """Squared distance between the mean feature vectors of two batches.

    Args:
        first, second: (B, features).

    Returns:
        A scalar; gradients reach both.

    Raises:
        ValueError: features of different lengths or other shapes.

    Source: the linear form of the maximum mean discrepancy, Gretton et al., *A Kernel Two-Sample Test*, 2012;
    used by Xu & Liu, *Data-Distortion Guided Self-Distillation*, AAAI 2019.

    >>> import torch
    >>> mean_discrepancy(torch.tensor([[0., 0.], [2., 0.]]), torch.tensor([[1., 3.]])).item()
    9.0
    """
    if first.dim() != 2 or second.dim() != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(
            "first and second must have shape (B, features), equally many features, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}"
        )
    return (first.mean(0) - second.mean(0)).square().sum()


def virtual_teacher(
    labels: Tensor,
    num_classes: int,
    *,
    right: float = 0.99,
    temperature: float = 20.0,
    released: bool = False,
) -> Tensor:
    """Answers of a teacher that nobody trained: sure of the right class, even over the rest, then softened.

    Args:
        labels: (B,) class ids.
        num_classes: C.
        right: probability of the right class before it is softened, in (0, 1).
        temperature: T, above 0: probabilities become softmax(log p / T), which is p^(1/T), scaled.
        released: soften as the authors' code does, by softmax(p / T), which is more even still.

    Returns:
        Probabilities (B, C), float32.

    Raises:
        ValueError: fewer than two classes, a share outside (0, 1), or a temperature that is not positive.

    Source: Yuan et al., *Revisiting Knowledge Distillation via Label Smoothing Regularization*, CVPR 2020.

    >>> import torch
    >>> virtual_teacher(torch.tensor([1]), 3, right=0.9, temperature=2.0)
    tensor([[0.1602, 0.6796, 0.1602]])
    >>> virtual_teacher(torch.tensor([1]), 3, right=0.9, temperature=2.0, released=True)
    tensor([[0.2833, 0.4334, 0.2833]])
    """
    num_classes = as_count(num_classes, "num_classes", 2)
    if not 0 < right < 1:
        raise ValueError(f"right must lie in (0, 1), got {right}")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    rows = one_hot(labels, num_classes)
    sure = rows * right + (1 - rows) * ((1 - right) / (num_classes - 1))
    return ((sure if released else sure.log()) / temperature).softmax(1)


def past_targets(labels: Tensor, answers: Tensor, share: float) -> Tensor:
    """Labels softened by earlier answers to the same images: (1 − a) · one-hot + a · softmax(answers).

    Args:
        labels: (B,) class ids.
        answers: logits (B, C) of an earlier state of the network. No gradient reaches them.
        share: a, in [0, 1].

    Returns:
        Soft labels (B, C), float32.

    Raises:
        ValueError: a share outside [0, 1], or answers of another shape.

    Source: Kim et al., *Self-Knowledge Distillation with Progressive Refinement of Targets*, ICCV 2021.

    >>> import torch
    >>> past_targets(torch.tensor([0]), torch.zeros(1, 4), 0.4)
    tensor([[0.7000, 0.1000, 0.1000, 0.1000]])
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share}")
    if answers.dim() != 2 or len(answers) != len(labels):
        raise ValueError(
            f"answers must have shape (B, classes) for {len(labels)} labels, got {tuple(answers.shape)}"
        )
    said = answers.detach().float().softmax(1)
    return (1 - share) * one_hot(labels, answers.shape[1]) + share * said


def same_class(labels: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """For each image another one of its class in the batch, each with the same chance; −1 where none is.

    Args:
        labels: (B,) class ids.
        generator: source of the choice, on the CPU; None uses torch's default one.

    Returns:
        (B,) places in the batch.

    Raises:
        ValueError: labels that are not (B,).

    Source: the pairs of Yun et al., *Regularizing Class-wise Predictions via Self-knowledge Distillation*,
    CVPR 2020, where a sampler puts them together.

    >>> same_class(torch.tensor([2, 5, 2])).tolist()
    [2, -1, 0]
    """
    if labels.dim() != 1:
        raise ValueError(f"labels must have shape (B,), got {tuple(labels.shape)}")
    alike = (labels[:, None] == labels[None]).fill_diagonal_(False)
    chance = sent(torch.rand(alike.shape, generator=generator), labels.device)
    best, partner = torch.where(alike, chance, -1.0).max(1)
    return torch.where(best >= 0, partner, -1)
