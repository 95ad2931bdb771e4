"""MixSKD: a network's interpolated predictions of two images and those of their mixture teach each other."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import as_count, check_range
from mixlearn.core.labels import cross_entropy, soft_cross_entropy
from mixlearn.core.plan import MixPlan
from mixlearn.methods.learner import Draws, Learner, Mix, Terms, dealt, interleaved, set_progress
from mixlearn.methods.mixup import mixup
from mixlearn.nets.taps import Tapped, check_taps, initialise, logits_of, read

TERMS = ("labels", "mixed", "features", "critic", "branches", "teacher")


def distillation(
    student: Tensor, teacher: Tensor, *, temperature: float = 4.0, scaled: bool = True
) -> Tensor:
    """T² · KL(teacher ‖ student) of logits (B, classes) softened by T, averaged over the batch.

    A temperature T above 1 makes small probabilities count, which show which classes look alike. Gradients
    of softened predictions fall with 1 / T²; `scaled` multiplies by T² to undo that. No gradient reaches the
    teacher.

    Source: Hinton, Vinyals & Dean, *Distilling the Knowledge in a Neural Network*, 2015.
    """
    if student.shape != teacher.shape or student.dim() != 2:
        raise ValueError(
            f"student and teacher must both have shape (B, classes), got {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}"
        )
    check_range("(0, inf)", temperature=temperature)
    log_p = (student.float() / temperature).log_softmax(1)
    log_q = (teacher.detach().float() / temperature).log_softmax(1)
    divergence = F.kl_div(log_p, log_q, reduction="batchmean", log_target=True)
    return divergence * temperature**2 if scaled else divergence


def both_ways(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """Distillation of two logits (B, classes) from each other."""
    first = distillation(one, other, temperature=temperature)
    return first + distillation(other, one, temperature=temperature)


class Views(NamedTuple):
    """K feature maps (B, C, h, w) and K logits (B, classes) of K branches; the last is the network itself."""

    maps: Sequence[Tensor]
    logits: Sequence[Tensor]

    def blended(self, plan: MixPlan) -> Views:
        """Both interpolated by the weights of a plan: λ v + (1 − λ) v[partner]."""
        return Views([plan.blend(one) for one in self.maps], [plan.blend(one) for one in self.logits])


class SelfTeacher(nn.Module):
    """Logits from the feature maps of all branches: concatenated, one linear map, mean over places, head.

    Without normalisation and ReLU, as in the released code.
    """

    def __init__(self, channels: int, branches: int, num_classes: int, *, generator: Draws = None) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.join = nn.Conv2d(channels * branches, channels, 1, bias=False)
            self.head = nn.Linear(channels, as_count(num_classes, "num_classes", 1))
        nn.init.kaiming_normal_(self.join.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        nn.init.normal_(self.head.weight, 0.0, 0.01, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        joined = self.join(torch.cat(list(maps), 1))  # (B, K·C, h, w) → (B, C, h, w)
        logits: Tensor = self.head(joined.mean((2, 3)))  # (B, classes)
        return logits


class Critic(nn.Module):
    """Discriminates interpolated features from a mixture's: two linear layers on the mean over places.

    It has one output where the paper has two.
    """

    def __init__(self, channels: int, hidden: int = 128, *, generator: Draws = None) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.first, self.last = nn.Linear(channels, hidden), nn.Linear(hidden, 1)
        for layer in (self.first, self.last):
            nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, maps: Tensor) -> Tensor:
        logits: Tensor = self.last(F.relu(self.first(maps.mean((2, 3)))))[:, 0]  # (B, C, h, w) → (B,)
        return logits


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
) -> Terms:
    """The terms of MixSKD for one batch: scalars whose sum, each with weight 1, is the published loss.

    - "labels": cross-entropy of every branch on the images as they are.
    - "mixed": that of every branch on mixtures, and of the self-teacher on interpolated and on mixed maps.
    - "features": squared distance of interpolated and mixed maps; gradients reach both.
    - "critic": cross-entropy of the critics, the mean over interpolated maps plus that over mixed maps. The
      released code takes one mean over both, which is half as much.
    - "branches": in each branch but the last, the interpolated logits and those of the mixture are distilled
      from each other.
    - "teacher": the network's interpolated logits are distilled from the teacher's on mixed maps, and its
      logits of the mixture from the teacher's on interpolated maps.

    Args:
        clean, mixed: of the images, and of their mixtures.
        plan: of the mixtures.
        labels: (B,) class ids.
        teacher: `SelfTeacher`, or any module from maps to logits.
        critics: a `Critic` for each branch.
        temperature: T of all distillation.
        adversarial: reverse the critics' gradient, so that the maps learn to fool them. By default the maps
            learn to be distinguished, as in the released code.

    >>> plan = MixPlan.pair(torch.tensor([1, 0]), torch.tensor([0.7, 0.4]))
    >>> views = Views([torch.rand(2, 8, 4, 4)] * 3, [torch.rand(2, 5)] * 3)
    >>> list(mixskd_terms(views, views, plan, torch.tensor([0, 4]), SelfTeacher(8, 3, 5), [Critic(8)] * 3))
    ['labels', 'mixed', 'features', 'critic', 'branches', 'teacher']
    """
    counts = [len(part) for part in (clean.maps, clean.logits, mixed.maps, mixed.logits, critics)]
    if len(set(counts)) > 1 or not counts[0]:
        raise ValueError(f"maps, logits and critics must be one a branch, got {counts}")
    between = clean.blended(plan)
    targets = plan.soften(labels, clean.logits[0].shape[1])  # (B, classes)
    from_between, from_mixed = teacher(between.maps), teacher(mixed.maps)
    maps = list(zip(between.maps, mixed.maps, strict=True))
    *branches, last = zip(between.logits, mixed.logits, strict=True)
    distil = partial(distillation, temperature=temperature)
    return {
        "labels": _total([cross_entropy(one.float(), labels) for one in clean.logits]),
        "mixed": _total(
            [soft_cross_entropy(one, targets) for one in (*mixed.logits, from_between, from_mixed)]
        ),
        "features": _total([(a.float() - b.float()).square().mean() for a, b in maps]),
        "critic": _total(
            [_critic_loss(critic, *pair, adversarial) for critic, pair in zip(critics, maps, strict=True)]
        ),
        "branches": _total([both_ways(*pair, temperature) for pair in branches]),
        "teacher": distil(last[0], from_mixed) + distil(last[1], from_between),
    }


def _critic_loss(critic: nn.Module, between: Tensor, mixed: Tensor, adversarial: bool) -> Tensor:
    """Binary cross-entropy of a critic, interpolated maps counting as 1 and mixed ones as 0."""
    if adversarial:  # the same values, but gradients turn their sign on the way back
        between, mixed = (2 * one.detach() - one for one in (between, mixed))
    bce, first, second = F.binary_cross_entropy_with_logits, critic(between).float(), critic(mixed).float()
    return bce(first, torch.ones_like(first)) + bce(second, torch.zeros_like(second))


def _total(losses: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(losses)).sum() if losses else torch.zeros(())


def stages_of(net: Any) -> tuple[str, ...]:
    """The taps after each stage of a residual network, or after each of a ViT's layers."""
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
    """After which stages branches leave: all but the last, of a ViT after each quarter of its layers.

    >>> import mixlearn as ml
    >>> branch_points(ml.nets.resnet(18, 4, width=4)), branch_points(ml.nets.vit(4, size=8, dim=12, depth=8))
    ((1, 2, 3), (2, 4, 6))
    """
    depth = len(stages_of(net))
    if depth < 2:
        raise ValueError(f"branches need a network of two stages or more, got {depth}")
    if hasattr(net, "groups") or depth <= 4:
        return tuple(range(1, depth))
    return tuple(round(depth * k / 4) for k in (1, 2, 3))


def as_map(features: Tensor) -> Tensor:
    """Features as (B, C, h, w): tokens (B, N, C) become (B, C, N, 1)."""
    return features.mT.unsqueeze(3) if features.dim() == 3 else features


class Branch(nn.Module):
    """A network's layers after stage number `after`, with new first weights, and a head.

    `branch(features)` takes features of the tap `branch.stage` and returns a map, of the shape of the
    network's last stage, and logits.
    """

    def __init__(self, net: Any, after: int, *, generator: Draws = None) -> None:
        super().__init__()
        stages, is_vit = stages_of(net), hasattr(net, "layers")
        if not 1 <= after < len(stages):
            raise ValueError(f"after must be from 1 to {len(stages) - 1}, got {after}")
        self.stage = stages[after - 1]
        self.rest = nn.Sequential(*deepcopy(list(net.layers if is_vit else net.groups)[after:]))
        self.last = deepcopy(net.norm if is_vit else net.last)
        self.head = nn.Linear(net.head.in_features, net.head.out_features, device=net.head.weight.device)
        for module in self.modules():
            if isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm)):
                module.reset_parameters()
            elif is_vit and isinstance(module, nn.Linear) and module is not self.head:
                nn.init.trunc_normal_(module.weight, std=0.02, generator=generator)
        initialise(self.head if is_vit else self, generator)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.rest(features)  # (B, C, h, w), or tokens (B, N, C)
        if hidden.dim() == 3:
            return as_map(hidden), self.head(self.last(hidden)[:, 0])
        last = hidden if isinstance(self.last, nn.Identity) else F.relu(self.last(hidden))
        return hidden, self.head(last.mean((2, 3)))


class MixSKD(nn.Module, Learner):
    """Trains a network with side branches, a self-teacher and critics, which are not needed to predict.

    Each step sends the images and their mixtures through the network together. The branches' maps and logits
    of the images are interpolated and compared with those of the mixtures; see `mixskd_terms`.

    Args:
        net: the network that is to be trained: residual, with `groups` (`Tapped` ones of torchvision and timm
            too), or a ViT. It is only copied here.
        mix: makes pairs; None takes Mixup.
        alpha: of Mixup where `mix` is None.
        temperature: T of all distillation.
        weights: of terms, by name, where they are not 1. The released code halves "critic": 0.5.
        adversarial: see `mixskd_terms`.
        critics_learn: train the critics. The released code does not, because it never registers them.
        image_size: not needed, kept so that it is built as `AutoMix` is.
        smoothing: must be 0: the labels are the method's own.
        generator: source of the first weights of the new parts.

    Source: Yang et al., *MixSKD: Self-Knowledge Distillation from Mixup for Image Recognition*, ECCV 2022.
    The released CIFAR script draws λ with α = 0.4, does not train its critics, halves "critic", and
    leaves "mixed" out, so that the self-teacher is never trained: `MixSKD(alpha=0.4, critics_learn=False,
    weights={"critic": 0.5})` with `fit(ablate=("mixed",))`.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> learner = MixSKD(net)
    >>> list(learner(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1])))
    ['labels', 'mixed', 'features', 'critic', 'branches', 'teacher']
    """

    term_names = TERMS

    def __init__(
        self,
        net: Any,
        mix: Mix | None = None,
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
        check_range("[0, inf)", **self.weights)
        check_range("(0, inf)", temperature=temperature)
        self.mix = partial(mixup, alpha=alpha) if mix is None else mix
        self.temperature, self.adversarial = temperature, adversarial
        points, channels, self.num_classes = branch_points(net), net.head.in_features, net.head.out_features
        with torch.random.fork_rng(devices=[]):
            self.side = nn.ModuleList(Branch(net, after, generator=generator) for after in points)
        self.final = stages_of(net)[-1]
        count = len(points) + 1
        self.teacher = SelfTeacher(channels, count, self.num_classes, generator=generator)
        self.critics = nn.ModuleList(Critic(channels, generator=generator) for _ in range(count))
        self.critics.requires_grad_(critics_learn)

    def advance(self, progress: float) -> None:
        set_progress(self.mix, progress)

    def forward(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        mixed = self.mix(images, labels, num_classes=self.num_classes, generator=generator)
        stages = [str(branch.stage) for branch in self.side]
        both = interleaved(images, mixed.images)  # (2B, C, H, W)
        logits, features = read(model, both, *stages, self.final)
        with self.autocast():
            pairs = [branch(features[stage]) for branch, stage in zip(self.side, stages, strict=True)]
            pairs.append((as_map(features[self.final]), logits_of(logits)))  # (2B, C, h, w), (2B, classes)
            maps, answers = ([dealt(one, 2) for one in each] for each in zip(*pairs, strict=True))
            clean, blended = (Views([m[k] for m in maps], [a[k] for a in answers]) for k in (0, 1))
            terms = mixskd_terms(
                *(clean, blended, mixed.plan, labels, self.teacher, list(self.critics)),
                temperature=self.temperature,
                adversarial=self.adversarial,
            )
        return {name: self.weights[name] * term for name, term in terms.items()}
