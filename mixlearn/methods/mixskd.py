"""MixSKD's losses: what a network says of two images, mixed, against what it says of their mixture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import as_count
from mixlearn.core.labels import cross_entropy, soft_cross_entropy
from mixlearn.core.plan import Mixed, MixPlan
from mixlearn.methods.distill import distillation
from mixlearn.methods.learner import interleaved, parted
from mixlearn.methods.mixup import mixup
from mixlearn.nets.taps import Only, Tapped, check_taps, initialise


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


class Branch(nn.Module):
    """The layers that a network has left after a stage, with first weights of their own, and a head.

    `branch(features)` gives a map, of the shape of the network's last stage, and logits. `branch.stage` is
    the tap whose features it is given.

    Args:
        net: a residual network with `groups`, `Tapped` ones of torchvision and timm too, or a ViT with
            `layers`. It is only looked at and copied.
        after: how many of its stages come before.
        generator: source of the first weights; None uses torch's default one.

    Source: Yang et al., *MixSKD*, ECCV 2022, where it aligns features of all stages.

    >>> import mixlearn as ml
    >>> branch = Branch(ml.nets.resnet(8, 4, width=4), after=1)
    >>> maps, logits = branch(torch.zeros(2, 4, 8, 8))
    >>> branch.stage, maps.shape, logits.shape
    ('stage1', torch.Size([2, 16, 2, 2]), torch.Size([2, 4]))
    """

    def __init__(self, net: Any, after: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        stages = stages_of(net)
        if not 1 <= after < len(stages):
            raise ValueError(f"after must be from 1 to {len(stages) - 1}, got {after}")
        self.stage = stages[after - 1]
        layers = net.layers if hasattr(net, "layers") else net.groups
        self.rest = nn.Sequential(*deepcopy(list(layers)[after:]))
        self.last = deepcopy(net.norm if hasattr(net, "layers") else net.last)
        self.head = nn.Linear(net.head.in_features, net.head.out_features, device=net.head.weight.device)
        for module in self.modules():
            if isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm)):
                module.reset_parameters()
        if hasattr(net, "layers"):
            for module in self.rest.modules():
                if isinstance(module, nn.Linear):
                    nn.init.trunc_normal_(module.weight, std=0.02, generator=generator)
            initialise(self.head, generator)
        else:
            initialise(self, generator)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.rest(features)
        if hidden.dim() == 3:  # tokens
            seen = self.last(hidden)[:, 0]
        else:
            even = hidden if isinstance(self.last, nn.Identity) else F.relu(self.last(hidden))
            seen = even.mean((2, 3))
        return as_map(hidden), self.head(seen)


def stages_of(net: Any) -> tuple[str, ...]:
    """The taps after each stage of a residual network, or after each quarter of a ViT's layers.

    Args:
        net: as for `Branch`.

    Raises:
        TypeError: a network of another kind.

    >>> import mixlearn as ml
    >>> stages_of(ml.nets.resnet(18, 4, width=4))
    ('stage1', 'stage2', 'stage3', 'stage4')
    """
    check_taps(net, "a learner with branches")
    if hasattr(net, "groups"):
        return tuple(f"stage{k + 1}" for k in range(len(net.groups)))
    if hasattr(net, "layers") and "block1" in getattr(net, "stages", ()):
        return tuple(f"block{k + 1}" for k in range(len(net.layers)))
    raise TypeError(
        "branches need a residual network or a ViT, "
        f"got {type(net.net if isinstance(net, Tapped) else net).__name__}"
    )


def branch_points(net: Any) -> tuple[int, ...]:
    """After how many stages a branch leaves: all but the last, of a ViT after each quarter of its layers.

    Args:
        net: as for `Branch`.

    Raises:
        TypeError: as for `stages_of`.
        ValueError: a network of one stage.

    >>> import mixlearn as ml
    >>> branch_points(ml.nets.resnet(18, 4, width=4))
    (1, 2, 3)
    >>> branch_points(ml.nets.vit(4, size=8, patch=4, dim=12, depth=8))
    (2, 4, 6)
    """
    depth = len(stages_of(net))
    if depth < 2:
        raise ValueError(f"branches need a network of two stages or more, got {depth}")
    if hasattr(net, "groups") or depth <= 4:
        return tuple(range(1, depth))
    return tuple(round(depth * k / 4) for k in (1, 2, 3))


def as_map(features: Tensor) -> Tensor:
    """Features as (B, C, h, w): tokens (B, N, C) become (B, C, N, 1).

    >>> as_map(torch.zeros(2, 5, 3)).shape
    torch.Size([2, 3, 5, 1])
    """
    return features.mT.unsqueeze(3) if features.dim() == 3 else features


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
