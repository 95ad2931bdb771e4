"""Methods that the book compares with: self-distillation, contrastive learning, and a control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.training import told
from mixlearn.core.checks import as_count, is_count
from mixlearn.core.fast import sent
from mixlearn.core.labels import cross_entropy, one_hot, soft_cross_entropy
from mixlearn.core.plan import Mixed, MixPlan
from mixlearn.methods.contrast import Contrast, contrastive_loss, directions, rising
from mixlearn.methods.learner import (
    Buffers,
    Draws,
    Learner,
    Mixing,
    Momentum,
    Plain,
    Terms,
    Twin,
    check_callable,
    slow_down,
)
from mixlearn.methods.mixskd import Branch, as_map, branch_points, distillation, stages_of
from mixlearn.methods.mixup import mixup
from mixlearn.nets.taps import read


# ---------------------------------------------------------------------------------- learning from branches
class BYOT(nn.Module, Learner):
    """Trains a network with side branches that learn from its end: be your own teacher.

    Its terms: "labels", cross-entropy of the network and of every branch; "answers", each branch distilled
    from the network; "features", `weight` times the mean squared distance of each branch's map from the
    network's last, both taken before the head's mean. What is learnt from is held fixed. The network itself
    predicts. `image_size` is not needed: every learner with parts of its own is built as `AutoMix` is.

    Source: Zhang et al., *Be Your Own Teacher*, ICCV 2019, with the branches and weights of Self-KD-Lib, the
    code of MixSKD. The authors' code takes 0.7 of the branches' cross-entropy, 0.3 of a soft one at T = 3
    without T², and 0.03 of the length of the features' difference, none for the first branch.
    """

    def __init__(
        self,
        net: Any,
        *,
        temperature: float = 4.0,
        weight: float = 0.05,
        image_size: int | None = None,
        smoothing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must lie in [0, 1), got {smoothing}")
        self.temperature, self.weight, self.smoothing = temperature, weight, smoothing
        with torch.random.fork_rng(devices=[]):
            self.side = nn.ModuleList(Branch(net, after, generator=generator) for after in branch_points(net))
        self.final = stages_of(net)[-1]

    def forward(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        stages = [str(branch.stage) for branch in self.side]
        own, features = read(model, images, *stages, self.final)
        with self.autocast():
            pairs = [branch(features[stage]) for branch, stage in zip(self.side, stages, strict=True)]
        last = as_map(features[self.final]).detach().float()  # (B, C, h, w)
        answers = [logits for _, logits in pairs]
        right = [cross_entropy(logits.float(), labels, self.smoothing) for logits in (own, *answers)]
        taught = [distillation(logits, own, temperature=self.temperature) for logits in answers]
        near = [(maps.float() - last).square().mean() for maps, _ in pairs]
        return {
            "labels": torch.stack(right).sum(),
            "answers": torch.stack(taught).sum(),
            "features": self.weight * torch.stack(near).sum(),
        }


# ------------------------------------------------------------------------------------ teachers of all kinds
def past_targets(labels: Tensor, answers: Tensor, share: float) -> Tensor:
    """Labels (B,) softened by earlier answers (B, C): (1 − a) · one-hot + a · softmax(answers)."""
    return (1 - share) * one_hot(labels, answers.shape[1]) + share * answers.detach().float().softmax(1)


class PSKD(nn.Module, Learner):
    """Labels refined by the network's own past: progressive self-knowledge distillation.

    Its term is "labels", soft cross-entropy against `past_targets`. The answers in them are those of a
    snapshot of the network, taken at the end of each epoch, to the same images as they are in this batch.
    Their share a is `end` · e / `epochs` in epoch e; in the first there is no past, and a = 0.

    Source: Kim et al., *Self-Knowledge Distillation with Progressive Refinement of Targets*, ICCV 2021.
    Public code keeps, in place of a snapshot, what the network said of another crop during that epoch.
    """

    def __init__(
        self,
        net: Any,
        *,
        epochs: int,
        end: float = 0.8,
        image_size: int | None = None,
        smoothing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not is_count(epochs) or not 0 <= end <= 1:
            raise ValueError(f"epochs must be a positive integer and end in [0, 1], got {epochs!r} and {end}")
        if smoothing:
            raise ValueError(f"PSKD's targets are its own; smoothing must be 0, got {smoothing}")
        self.epochs, self.end = epochs, end
        self.past = Twin({"net": net}, momentum=0.0).eval()  # follows at once
        self.epoch = self.taken = 0  # epochs done now, and when the snapshot was taken

    @property
    def share(self) -> float:
        """a of this epoch."""
        return self.end * (self.epoch + 1) / self.epochs if self.epoch else 0.0

    def advance(self, progress: float) -> None:
        self.epoch = min(int(progress * self.epochs + 1e-9), self.epochs - 1)

    def forward(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        if self.epoch != self.taken:
            self._take(getattr(model, "module", model))
        past: Tensor | None = None
        if self.share:
            with torch.no_grad(), self.autocast():
                past = self.past["net"](images)
        logits = model(images)
        known = torch.zeros_like(logits) if past is None else past
        return {"labels": soft_cross_entropy(logits, past_targets(labels, known, self.share))}

    def _take(self, net: nn.Module) -> None:
        """Make the snapshot the network as it is now: no step of this epoch has been taken."""
        self.past.follow({"net": net})
        if dist.is_available() and dist.is_initialized():  # processes have running means of their own
            for buffer in self.past.buffers():
                dist.broadcast(buffer, 0)
        self.taken = self.epoch

    def train(self, mode: bool = True) -> PSKD:
        """Set the mode of all but the snapshot, which predicts as in a test."""
        super().train(mode)
        self.past.eval()
        return self

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.taken)

    def set_extra_state(self, state: Tensor) -> None:
        self.taken = int(state)


def virtual_teacher(
    labels: Tensor,
    num_classes: int,
    *,
    right: float = 0.99,
    temperature: float = 20.0,
    released: bool = False,
) -> Tensor:
    """Answers (B, C) of a teacher that nobody trained: sure of the right class, even over the rest, softened.

    Probabilities p become p^(1/T), scaled; `released`: softmax(p / T), as the authors' code has it.
    """
    num_classes = as_count(num_classes, "num_classes", 2)
    if not 0 < right < 1:
        raise ValueError(f"right must lie in (0, 1), got {right}")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    rows = one_hot(labels, num_classes)
    sure = rows * right + (1 - rows) * ((1 - right) / (num_classes - 1))
    return ((sure if released else sure.log()) / temperature).softmax(1)


class TFKD(Plain):
    """A teacher that nobody trained, `virtual_teacher`, beside the labels: teacher-free distillation.

    Its terms: "labels" by 1 − `weight`, and "answers", KL(teacher ‖ student) by `weight`. Labels are not
    smoothed: the teacher does no other thing.

    Source: Yuan et al., *Revisiting Knowledge Distillation via Label Smoothing Regularization*, CVPR 2020,
    its Tf-KD_reg.
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
        if not student_temperature > 0 or not 0 <= weight <= 1:
            raise ValueError(
                "student_temperature must be positive and weight lie in [0, 1], got "
                f"{student_temperature} and {weight}"
            )
        self.right, self.temperature, self.weight = right, temperature, weight
        self.student_temperature, self.released = student_temperature, released

    def __call__(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        logits = model(images).float()
        options = {"right": self.right, "temperature": self.temperature, "released": self.released}
        teacher = virtual_teacher(labels, logits.shape[1], **options)  # type: ignore[arg-type]
        student = (logits / self.student_temperature).log_softmax(1)
        return {
            "labels": (1 - self.weight) * cross_entropy(logits, labels),
            "answers": self.weight * F.kl_div(student, teacher, reduction="batchmean"),
        }


def same_class(labels: Tensor, generator: Draws = None) -> Tensor:
    """For each image another one of its class in the batch, each with the same chance; −1 where none is."""
    alike = (labels[:, None] == labels[None]).fill_diagonal_(False)  # (B, B)
    chance = sent(torch.rand(alike.shape, generator=generator), labels.device)
    best, partner = torch.where(alike, chance, -1.0).max(1)
    return torch.where(best >= 0, partner, -1)


class CSKD(Plain):
    """Each image learns from the answer to another image of its class: class-wise self-distillation.

    Its terms: "labels" and "answers". Partners are found in the batch by `same_class`; an image that is the
    only one of its class there adds nothing to "answers", which is a mean over the whole batch.

    Source: Yun et al., *Regularizing Class-wise Predictions via Self-knowledge Distillation*, CVPR 2020,
    where a sampler puts pairs together, and only the first of each pair learns.
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

    def __call__(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        logits = model(images).float()
        partner = same_class(labels, generator)
        alone = partner < 0  # such an image learns from its own answer: nothing
        teacher = logits[torch.where(alone, torch.arange(len(labels), device=labels.device), partner)]
        answers = distillation(logits, teacher, temperature=self.temperature)
        return {"labels": cross_entropy(logits, labels, self.smoothing), "answers": self.weight * answers}


# ----------------------------------------------------------------------------------------- without labels
def mixco_terms(
    query: Tensor | None, mixed: Tensor, keys: Tensor, plan: MixPlan, *, temperature: float = 0.2
) -> Terms:
    """Rows (B, D): "origin", images find their other view; "mix_to_origin", mixtures all of theirs."""
    terms = {} if query is None else {"origin": contrastive_loss(query, keys, temperature=temperature)}
    terms["mix_to_origin"] = contrastive_loss(mixed, keys, plan.source_matrix(), temperature=temperature)
    return terms


class MixCo(Contrast):
    """Mixtures of a view find the other view of their images, by their shares; images find theirs.

    `mix` mixes view 1. Its terms are those of `mixco_terms`; i-Mix has mixtures alone: `origin=False`.

    Source: Kim, Lee, Bae & Yun, *MixCo: Mix-up Contrastive Learning for Visual Representation*, 2020; Lee
    et al., *i-Mix: A Domain-Agnostic Strategy for Contrastive Representation Learning*, ICLR 2021. Both on
    the skeleton of `MoCo`, where they had MoCo v2.
    """

    def __init__(
        self,
        net: Any,
        *,
        mix: Callable[..., Mixed] = mixup,
        origin: bool = True,
        predictor: int | None = 4096,
        momentum: Momentum | None = rising,
        **parts: Any,
    ) -> None:
        super().__init__(net, predictor=predictor, momentum=momentum, **parts)
        check_callable("mix", mix, "images, *, generator")
        self.mix, self.origin = mix, origin

    def terms(self, model: Any, images: Tensor, generator: Draws) -> Terms:
        one, two = self.views(images, generator)
        mixed = self.mix(one, generator=generator)
        queries, keys = self.encoded(model, [mixed.images, *([one] if self.origin else [])], [two])
        query = queries[1] if self.origin else None
        return mixco_terms(query, queries[0], keys[0], mixed.plan, temperature=self.temperature)


def simsiam_loss(predictions: tuple[Tensor, Tensor], features: tuple[Tensor, Tensor]) -> Tensor:
    """Minus the cosine of what one view predicts and what the other has, mean of both ways; (B, D) each."""
    ways = []
    for ask, answer in ((predictions[0], features[1]), (predictions[1], features[0])):
        if ask.shape != answer.shape or ask.dim() != 2:
            raise ValueError(f"both must be (B, D), got {tuple(ask.shape)} and {tuple(answer.shape)}")
        cosines = directions(ask, "predictions") * directions(answer.detach(), "features")
        ways.append(-cosines.sum(1).mean())
    return (ways[0] + ways[1]) / 2


class SimSiam(Contrast):
    """Each view predicts what the network says of the other, which is held fixed. Its term: "prediction".

    Source: Chen & He, *Exploring Simple Siamese Representation Learning*, CVPR 2021.
    """

    def __init__(
        self,
        net: Any,
        *,
        hidden: int = 2048,
        outside: int = 2048,
        predictor: int | None = 512,
        predictor_norm: bool = False,
        **parts: Any,
    ) -> None:
        if predictor is None:
            raise ValueError("SimSiam's views agree on one answer for all without a predictor, got None")
        super().__init__(
            net, hidden=hidden, outside=outside, predictor=predictor, predictor_norm=predictor_norm, **parts
        )

    def terms(self, model: Any, images: Tensor, generator: Draws) -> Terms:
        both = self.views(images, generator)
        queries, keys = self.encoded(model, both, both)
        return {"prediction": simsiam_loss((queries[0], queries[1]), (keys[0], keys[1]))}


# --------------------------------------------------------------------------------------------- a control
class Averaged(nn.Module, Learner):
    """Trains as another learner does, and predicts with the twin that follows the network.

    A method that predicts with such a twin gains by that alone. What it gains by the rest shows only against
    this. `mix` is a mixing method, or a `Mixing` or `Plain` learner; None trains on the images as they are.
    """

    def __init__(
        self,
        net: Any,
        mix: Callable[..., Mixed] | Plain | None = None,
        *,
        momentum: Momentum = slow_down,
        buffers: Buffers = "averaged",
        image_size: int | None = None,
        smoothing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not hasattr(net, "head"):
            raise TypeError(
                f"Averaged needs a network with a linear layer `head`, got {type(net).__name__}; "
                "networks made elsewhere get it by ml.nets.Tapped(net)"
            )
        classes = net.head.out_features
        if isinstance(mix, Plain):
            self.learner = told(mix, classes, smoothing)
        else:
            self.learner = Plain(classes, smoothing) if mix is None else Mixing(mix, classes, smoothing)
        self.twin = Twin({"net": net}, momentum, buffers)

    def advance(self, progress: float) -> None:
        self.twin.advance(progress)
        self.learner.advance(progress)

    def after_step(self, model: Any) -> None:
        self.twin.follow({"net": getattr(model, "module", model)})

    def deployed(self, model: Any) -> Any:
        return self.twin["net"]

    def forward(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        return self.learner(model, images, labels, generator=generator)
