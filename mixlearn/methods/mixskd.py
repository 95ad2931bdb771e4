"""MixSKD's losses: what a network says of two images, mixed, against what it says of their mixture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.labels import cross_entropy, soft_cross_entropy
from mixlearn.core.plan import MixPlan
from mixlearn.core.scalars import as_count
from mixlearn.methods.distill import distillation


class Views(NamedTuple):
    """What K branches say of a batch; the last branch is the network itself.

    `maps` holds K feature maps (B, C, h, w), all of one shape, and `logits` K answers (B, classes).
    """

    maps: Sequence[Tensor]
    logits: Sequence[Tensor]

    def blended(self, plan: MixPlan) -> Views:
        """The same, interpolated by the shares of a plan: λ v + (1 − λ) v[partner], for maps and logits.

        Args:
            plan: of the mixture, for as many images.

        >>> plan = MixPlan.pair(torch.tensor([1, 0]), torch.tensor([0.75, 0.5]))
        >>> Views([], [torch.tensor([[4.0], [0.0]])]).blended(plan).logits[0].flatten().tolist()
        [3.0, 2.0]
        """
        return Views([plan.blend(one) for one in self.maps], [plan.blend(one) for one in self.logits])


class SelfTeacher(nn.Module):
    """Answers from the feature maps of all branches together: side by side, one linear map, mean, head.

    Args:
        channels: C of each map.
        branches: how many maps.
        num_classes: length of the answers.
        generator: source of the initial weights; None uses torch's default one.

    Source: Yang et al., *MixSKD*, ECCV 2022; without normalisation and rectification, as its code has it.

    >>> SelfTeacher(8, 3, 4)([torch.zeros(2, 8, 4, 4)] * 3).shape
    torch.Size([2, 4])
    """

    def __init__(
        self, channels: int, branches: int, num_classes: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.join = nn.Conv2d(channels * branches, channels, 1, bias=False)
            self.head = nn.Linear(channels, as_count(num_classes, "num_classes", 1))
        nn.init.kaiming_normal_(self.join.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        nn.init.normal_(self.head.weight, 0.0, 0.01, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        logits: Tensor = self.head(self.join(torch.cat(list(maps), 1)).mean((2, 3)))
        return logits


class Critic(nn.Module):
    """Tells interpolated features from those of a mixture: two linear layers on the mean over places.

    Args:
        channels: C of the maps.
        hidden: numbers between the layers.
        generator: source of the initial weights; None uses torch's default one.

    Source: Yang et al., *MixSKD*, ECCV 2022, where the answer has two numbers and here one.

    >>> Critic(8)(torch.zeros(2, 8, 4, 4)).shape
    torch.Size([2])
    """

    def __init__(self, channels: int, hidden: int = 128, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.first, self.last = nn.Linear(channels, hidden), nn.Linear(hidden, 1)
        for layer in (self.first, self.last):
            nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, maps: Tensor) -> Tensor:
        logits: Tensor = self.last(F.relu(self.first(maps.mean((2, 3)))))[:, 0]
        return logits


class _Against(torch.autograd.Function):
    """The same values; gradients turn their sign on the way back."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, slope: Tensor) -> Tensor:
        return -slope


def mixskd_terms(
    clean: Views,
    mixed: Views,
    plan: MixPlan,
    labels: Tensor,
    teacher: nn.Module,
    critics: Sequence[nn.Module],
    *,
    temperature: float = 3.0,
    adversarial: bool = False,
) -> dict[str, Tensor]:
    """The terms of MixSKD for one batch.

    - "labels": cross-entropy of every branch on the images as they are.
    - "mixed": that of every branch on mixtures, and of the self-teacher on interpolated and on mixed maps.
    - "features": squared distance of interpolated and mixed maps; gradients reach both.
    - "critic": whether the critics tell the two apart: the mean cross-entropy over interpolated maps, plus
      that over mixed maps. The released code takes one mean over both, which is half as much.
    - "branches": each branch but the last learns its interpolated answer from its answer to the mixture, and
      the other way round; the one learnt from is held fixed.
    - "teacher": the network's interpolated answer learns from the teacher's on mixed maps, and its answer to
      the mixture from the teacher's on interpolated maps.

    Args:
        clean, mixed: what the branches say of the images and of their mixtures.
        plan: of the mixtures.
        labels: (B,) class ids.
        teacher: `SelfTeacher`, or any module from maps to logits.
        critics: a `Critic` for each branch.
        temperature: T of all distillation.
        adversarial: the maps learn to fool the critics, in place of learning, as they do, to be told apart.

    Returns:
        Scalars by name; their sum, each with weight 1, is the published loss.

    Raises:
        ValueError: another number of branches in one of the parts.

    Source: Yang et al., *MixSKD: Self-Knowledge Distillation from Mixup for Image Recognition*, ECCV 2022.

    >>> plan = MixPlan.pair(torch.tensor([1, 0]), torch.tensor([0.7, 0.4]))
    >>> said = Views([torch.rand(2, 8, 4, 4)] * 3, [torch.rand(2, 5)] * 3)
    >>> parts = SelfTeacher(8, 3, 5), [Critic(8)] * 3
    >>> list(mixskd_terms(said, said, plan, torch.tensor([0, 4]), *parts))
    ['labels', 'mixed', 'features', 'critic', 'branches', 'teacher']
    """
    counts = [len(part) for part in (clean.maps, clean.logits, mixed.maps, mixed.logits, critics)]
    if len(set(counts)) > 1 or not counts[0]:
        raise ValueError(f"maps, logits and critics must be one a branch, got {counts}")
    between = clean.blended(plan)
    targets = plan.soften(labels, clean.logits[0].shape[1])
    from_between, from_mixed = teacher(between.maps), teacher(mixed.maps)
    answers = [*mixed.logits, from_between, from_mixed]
    pairs = list(zip(between.logits, mixed.logits, strict=True))

    def both_ways(one: Tensor, other: Tensor) -> Tensor:
        return distillation(one, other, temperature=temperature) + distillation(
            other, one, temperature=temperature
        )

    return {
        "labels": _total([cross_entropy(one.float(), labels) for one in clean.logits]),
        "mixed": _total([soft_cross_entropy(one, targets) for one in answers]),
        "features": _total(
            [(a.float() - b.float()).square().mean() for a, b in zip(between.maps, mixed.maps, strict=True)]
        ),
        "critic": _total(
            [
                _told_apart(critic, a, b, adversarial)
                for critic, a, b in zip(critics, between.maps, mixed.maps, strict=True)
            ]
        ),
        "branches": _total([both_ways(*pair) for pair in pairs[:-1]]),
        "teacher": distillation(pairs[-1][0], from_mixed, temperature=temperature)
        + distillation(pairs[-1][1], from_between, temperature=temperature),
    }


def _told_apart(critic: nn.Module, between: Tensor, mixed: Tensor, adversarial: bool) -> Tensor:
    """Binary cross-entropy of a critic, interpolated maps counting as 1 and mixed ones as 0."""
    if adversarial:
        between, mixed = (_Against.apply(one) for one in (between, mixed))
    seen = critic(between).float(), critic(mixed).float()
    return F.binary_cross_entropy_with_logits(
        seen[0], torch.ones_like(seen[0])
    ) + F.binary_cross_entropy_with_logits(seen[1], torch.zeros_like(seen[1]))


def _total(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum() if parts else torch.zeros(())
