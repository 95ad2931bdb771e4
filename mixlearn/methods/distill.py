"""Learning from another's answers: soft probabilities as targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import as_count
from mixlearn.core.fast import sent
from mixlearn.core.labels import cross_entropy, one_hot
from mixlearn.methods.learner import Plain, interleaved, parted
from mixlearn.nets.taps import Only, check_taps


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


class DDGSD(Plain):
    """Two augmentations of each image learn from each other: data-distortion guided self-distillation.

    Its terms are those of `ddgsd_terms`: "labels", "answers" and "features".

    Args:
        augment: `augment(images, generator=…)`, called twice for each batch. Give it here, and none to `fit`.
        temperature: T of the distillation.
        weight: of "features".
        released: see `ddgsd_terms`.
        num_classes, smoothing: as for `Plain`.

    Raises:
        TypeError: something that cannot be called as `augment`; in training, a network without taps.
        ValueError: in training, a network without a tap "pool".

    Source: Xu & Liu, *Data-Distortion Guided Self-Distillation for Deep Neural Networks*, AAAI 2019.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> list(DDGSD(ml.augment.crop_and_flip)(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1])))
    ['labels', 'answers', 'features']
    """

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
        if not callable(augment):
            raise TypeError(
                f"augment must be a function (images, *, generator), got {type(augment).__name__}"
            )
        self.augment, self.temperature, self.weight = augment, temperature, weight
        self.released = released

    def __call__(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        check_taps(model, "DDGSD")
        both = interleaved(*(self.augment(images, generator=generator) for _ in range(2)))
        kept: list[Tensor] = []

        def keep(name: str, features: Tensor) -> Tensor:
            kept.append(features)
            return features

        logits = model(both, tap=Only("pool", keep))
        if not kept:
            raise ValueError("DDGSD compares what the head is given, and the network has no tap 'pool'")
        one, other = parted(logits)
        first, second = parted(kept[0])
        return ddgsd_terms(
            (one, other),
            (first, second),
            labels,
            temperature=self.temperature,
            weight=self.weight,
            smoothing=self.smoothing,
            released=self.released,
        )
