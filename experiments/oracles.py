"""Controls of learned masks: AutoMix's pipeline around any method, true masks, masks learned beforehand.

A method that learns masks also trains on clean images, gives mixtures a head of their own and predicts with a
slow twin. `Piped` gives all that to any method, so that what is left between the two is the masks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from experiments.judging import CHANNELS, by_block, judge, teach, true_masks
from experiments.training import Outcome, loaded, weights
from mixlearn.core.checks import takes
from mixlearn.core.draw import sample_lam, sample_partner
from mixlearn.core.labels import cross_entropy, soft_cross_entropy
from mixlearn.core.plan import Mixed
from mixlearn.methods.automix import MixBlock
from mixlearn.methods.learner import Draws, Learner, Momentum, Terms, Twin, slow_down
from mixlearn.nets.taps import headed


class Piped(nn.Module, Learner):
    """Trains on clean images and on mixtures, which have a head of their own, and predicts with a twin.

    Args:
        net: the network that is to be trained, with taps and a linear `head`.
        mix: a mixing method; one that takes `objects` gets the fourth channel of the images, which
            `with_objects` puts there and the network does not see. None trains on clean images alone.
        momentum, image_size, smoothing, generator: as for `AutoMix`.
    """

    def __init__(
        self,
        net: Any,
        mix: Callable[..., Mixed] | None = None,
        *,
        momentum: Momentum = slow_down,
        image_size: int | None = None,
        smoothing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.mix, self.smoothing = mix, smoothing
        with torch.random.fork_rng(devices=[]):
            self.mix_head = nn.Linear(net.head.in_features, net.head.out_features)
        nn.init.normal_(self.mix_head.weight, std=0.01, generator=generator)
        nn.init.zeros_(self.mix_head.bias)
        self.twin = Twin({"net": net}, momentum)

    def advance(self, progress: float) -> None:
        self.twin.advance(progress)

    def after_step(self, model: Any) -> None:
        self.twin.follow({"net": getattr(model, "module", model)})

    def deployed(self, model: Any) -> Any:
        return self.twin["net"]

    def forward(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        images, objects = images[:, :3], images[:, 3:]  # (B, 3, H, W), (B, 0 or 1, H, W)
        terms = {"clean": cross_entropy(model(images), labels, self.smoothing)}
        if self.mix is not None:
            options = {"objects": objects} if takes(self.mix, "objects") else {}
            classes = self.mix_head.out_features
            mixed = self.mix(images, labels, num_classes=classes, generator=generator, **options)
            assert mixed.targets is not None
            logits = headed(model, self.mix_head, mixed.images)
            terms["mixed"] = soft_cross_entropy(logits, mixed.targets)
        return terms


def oracle(
    images: Tensor,
    labels: Tensor,
    *,
    objects: Tensor,
    alpha: float = 2.0,
    generator: Draws = None,
    **options: Any,
) -> Mixed:
    """`true_masks` with one λ of Beta(α, α) for the batch and random partners, as AutoMix draws them."""
    lam = sample_lam(1, alpha, generator=generator)
    partner = sample_partner(len(images), generator=generator)
    return true_masks(images, labels, objects=objects, lam=lam, partner=partner, **options)


class Learned:
    """Mixtures under the masks of a Mix Block trained beforehand, with λ and partners as AutoMix draws them.

    Args:
        net, block: the frozen network whose features the block sees, and against which it was trained.
        words: what a run record calls it.
    """

    def __init__(self, net: nn.Module, block: MixBlock, words: str) -> None:
        self.net, self.block, self.words = net, block, words

    def __repr__(self) -> str:
        return self.words

    def __call__(
        self, images: Tensor, labels: Tensor, *, alpha: float = 2.0, generator: Draws = None, **options: Any
    ) -> Mixed:
        lam = sample_lam(1, alpha, generator=generator)
        partner = sample_partner(len(images), generator=generator)
        return by_block(self.block, self.net, images, labels, lam=lam, partner=partner, **options)


def learned_from(
    recipe: Callable[..., Outcome],
    *,
    mix: Callable[..., Any],
    seed: int = 0,
    images: int = 2000,
    teacher: Callable[..., Outcome] | None = None,
    checkpoint: Path | None = None,
    dry: bool = False,
    **options: Any,
) -> Outcome:
    """Train a Mix Block against a frozen network, then a network from its first weights under those masks.

    Args:
        recipe, mix: what trains the network, called with `mix`, a learner that takes one, such as `Piped`.
        seed: of the images, the Mix Block, the network and their training.
        images: how many train the network, and where there is a teacher, teacher and block too.
        teacher: trains the frozen network on the same images first; None takes the judge of Off-centre
            Fashion, which has seen 12,000 images.
        checkpoint: of the network that is trained; the judge is kept in its folder.
        dry: train nothing; the outcome holds the settings alone.
        options: of the recipe.
    """
    words = "masks learned against " + ("the judge" if teacher is None else "a network of the same images")
    if dry:
        mixed = partial(mix, mix=Learned(nn.Identity(), MixBlock(2), words))
        return recipe(mixed, seed=seed, images=images, dry=True, **options)
    if teacher is None:
        net = judge("checkpoints" if checkpoint is None else checkpoint.parent)
    else:
        net = teacher(seed=seed).model.eval().requires_grad_(False)
    seen = loaded("offcentre").train
    if teacher is not None:
        seen = seen.subset(images, generator=torch.Generator().manual_seed(seed))
    block = MixBlock(CHANNELS, std=0.3, generator=weights(seed))
    teach(block, net, seen, seed=seed)
    mixed = partial(mix, mix=Learned(net, block, words))
    return recipe(mixed, seed=seed, images=images, checkpoint=checkpoint, **options)
