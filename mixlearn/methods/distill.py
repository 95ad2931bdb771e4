"""Learning from another's answers: soft probabilities as targets."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


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
