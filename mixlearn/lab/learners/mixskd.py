"""MixSKD: a network that learns from what it says of two images, mixed, and of their mixture."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.core.mixed import Mixed
from mixlearn.lab.learners.branches import Branch, as_map, branch_points, stages_of
from mixlearn.lab.learners.pairs import interleaved, parted
from mixlearn.lab.nets.taps import Only
from mixlearn.methods.mixskd import Critic, SelfTeacher, Views, mixskd_terms
from mixlearn.methods.mixup import mixup

TERMS = ("labels", "mixed", "features", "critic", "branches", "teacher")


class MixSKD(nn.Module):
    """Trains a network with side branches, a self-teacher and critics, all dropped in the end.

    Each step sends the images and their mixtures through the network together. What the branches say of the
    images is interpolated and held against what they say of the mixtures; see `mixskd_terms`. To predict, use
    the network itself.

    Args:
        net: the network that is to be trained: residual, with `groups` (`Tapped` ones of torchvision and timm
            too), or a ViT. Only looked at and copied.
        mix: makes pairs; None takes Mixup.
        alpha: of Mixup where `mix` is None.
        temperature: T of all distillation.
        weights: of terms, by name, where they are not 1. The released code has half of "critic": 0.5.
        adversarial: see `mixskd_terms`.
        critics_learn: the released code forgets to register its critics, so that they stay as drawn: False.
        image_size: not needed, kept so that it is built as `AutoMix` is.
        smoothing: must be 0: the labels are the method's own.
        generator: source of the first weights of the new parts.

    Raises:
        TypeError: a network without taps, or one that branches cannot be made of.
        ValueError: weights of terms that there are not, or smoothing.

    Source: Yang et al., *MixSKD: Self-Knowledge Distillation from Mixup for Image Recognition*, ECCV 2022.
    The released CIFAR script leaves "mixed" out, does not train its critics and has half of "critic":
    `MixSKD(critics_learn=False, weights={"critic": 0.5})` with `fit(ablate=("mixed",))`.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> learner = MixSKD(net)
    >>> list(learner(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1])))
    ['labels', 'mixed', 'features', 'critic', 'branches', 'teacher']
    """

    def __init__(
        self,
        net: Any,
        mix: Callable[..., Mixed] | None = None,
        *,
        alpha: float = 0.2,
        temperature: float = 3.0,
        weights: dict[str, float] | None = None,
        adversarial: bool = False,
        critics_learn: bool = True,
        image_size: int | None = None,
        smoothing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.weights = dict.fromkeys(TERMS, 1.0) | (weights or {})
        if set(self.weights) != set(TERMS):
            raise ValueError(f"weights are of {', '.join(TERMS)}, got {', '.join(weights or {})}")
        if smoothing:
            raise ValueError(f"MixSKD's labels are its own; smoothing must be 0, got {smoothing}")
        self.mix = partial(mixup, alpha=alpha) if mix is None else mix
        self.temperature, self.adversarial = temperature, adversarial
        self.autocast: Callable[[], AbstractContextManager[Any]] = nullcontext  # `fit` sets its precision
        points = branch_points(net)
        self.num_classes: int = net.head.out_features
        with torch.random.fork_rng(devices=[]):
            made = [Branch(net, after, generator=generator) for after in points]
        self.side = nn.ModuleList(made)
        self.final = stages_of(net)[-1]
        count, channels = len(made) + 1, net.head.in_features
        self.teacher = SelfTeacher(channels, count, self.num_classes, generator=generator)
        self.critics = nn.ModuleList(Critic(channels, generator=generator) for _ in range(count))
        self.critics.requires_grad_(critics_learn)

    def forward(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """The six terms of a batch, each by its weight.

        Args:
            model: the network. images: (B, C, H, W). labels: (B,) class ids. generator: source of the pairs.
        """
        mixed = self.mix(images, labels, num_classes=self.num_classes, generator=generator)
        kept: dict[str, Tensor] = {}

        def keep(name: str, features: Tensor) -> Tensor:
            kept[name] = features
            return features

        stages = *(str(branch.stage) for branch in self.side), self.final
        answers = model(interleaved(images, mixed.images), tap=Only(stages, keep))
        with self.autocast():
            said = [branch(kept[branch.stage]) for branch in self.side]  # type: ignore[index]
            said.append((as_map(kept[self.final]), answers))
            halves = [[parted(part) for part in pair] for pair in said]
            clean, other = (
                Views([maps[k] for maps, _ in halves], [logits[k] for _, logits in halves]) for k in (0, 1)
            )
            terms = mixskd_terms(
                clean,
                other,
                mixed.plan,
                labels,
                self.teacher,
                list(self.critics),
                temperature=self.temperature,
                adversarial=self.adversarial,
            )
        return {name: self.weights[name] * term for name, term in terms.items()}
