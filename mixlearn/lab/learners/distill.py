"""Self-distillation that needs no parts of its own: DDGSD, TF-KD and CS-KD."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.labels import cross_entropy
from mixlearn.lab.learners.base import Plain
from mixlearn.lab.learners.pairs import interleaved, parted
from mixlearn.lab.nets.taps import Only, check_taps
from mixlearn.methods.ddgsd import ddgsd_terms
from mixlearn.methods.distill import distillation, same_class, virtual_teacher


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


class TFKD(Plain):
    """A teacher that nobody trained, `virtual_teacher`, beside the labels: teacher-free distillation.

    Its terms: "labels", and "answers", KL(teacher ‖ student).

    Args:
        right: probability that the teacher gives to the right class.
        temperature: of the teacher.
        weight: of "answers", in [0, 1]; "labels" has what is left of 1.
        student_temperature: of the student's answers. The paper's equation 9 has that of the teacher; the
            authors' code has 1.
        released: of the teacher, see `virtual_teacher`.
        num_classes: as for `Plain`. Labels are not smoothed: the teacher does no other thing.

    Raises:
        ValueError: a weight outside [0, 1], a temperature that is not positive, or a bad teacher.

    Source: Yuan et al., *Revisiting Knowledge Distillation via Label Smoothing Regularization*, CVPR 2020,
    its Tf-KD_reg.

    >>> list(TFKD()(lambda x: x, torch.zeros(2, 4), torch.tensor([0, 3])))
    ['labels', 'answers']
    """

    smooths: ClassVar[bool] = False
    shown: ClassVar[tuple[str, ...]] = ("right", "temperature", "weight", "student_temperature", "released")

    def __init__(
        self,
        *,
        right: float = 0.99,
        temperature: float = 20.0,
        weight: float = 0.1,
        student_temperature: float = 1.0,
        released: bool = False,
        num_classes: int | None = None,
    ) -> None:
        super().__init__(num_classes)
        virtual_teacher(torch.tensor([0]), 2, right=right, temperature=temperature)  # says what is wrong
        if not student_temperature > 0:
            raise ValueError(f"student_temperature must be positive, got {student_temperature}")
        if not 0 <= weight <= 1:
            raise ValueError(f"weight must lie in [0, 1], got {weight}")
        self.right, self.temperature, self.weight = right, temperature, weight
        self.student_temperature, self.released = student_temperature, released

    def __call__(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        logits = model(images).float()
        teacher = virtual_teacher(
            labels,
            logits.shape[1],
            right=self.right,
            temperature=self.temperature,
            released=self.released,
        )
        student = (logits / self.student_temperature).log_softmax(1)
        return {
            "labels": (1 - self.weight) * cross_entropy(logits, labels),
            "answers": self.weight * F.kl_div(student, teacher, reduction="batchmean"),
        }


class CSKD(Plain):
    """Each image learns from the answer to another image of its class: class-wise self-distillation.

    Its terms: "labels" and "answers". Partners are found in the batch by `same_class`; an image that is the
    only one of its class there adds nothing to "answers", which is a mean over the whole batch.

    Args:
        temperature: T of the distillation.
        weight: of "answers".
        num_classes, smoothing: as for `Plain`.

    Source: Yun et al., *Regularizing Class-wise Predictions via Self-knowledge Distillation*, CVPR 2020,
    where a sampler puts pairs together, and only the first of each pair learns.

    >>> list(CSKD()(lambda x: x, torch.eye(4), torch.tensor([0, 3, 0, 1])))
    ['labels', 'answers']
    """

    shown: ClassVar[tuple[str, ...]] = ("temperature", "weight")

    def __init__(
        self,
        *,
        temperature: float = 4.0,
        weight: float = 1.0,
        num_classes: int | None = None,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, smoothing)
        self.temperature, self.weight = temperature, weight

    def __call__(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        logits = model(images).float()
        partner = same_class(labels, generator)
        alone = partner < 0  # such an image learns from its own answer: nothing
        teacher = logits[torch.where(alone, torch.arange(len(labels), device=labels.device), partner)]
        answers = distillation(logits, teacher, temperature=self.temperature)
        return {
            "labels": cross_entropy(logits, labels, self.smoothing),
            "answers": self.weight * answers,
        }
