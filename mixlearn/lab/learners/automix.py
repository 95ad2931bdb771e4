"""AutoMix: a network that learns from mixtures, and a Mix Block that learns to make them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mixlearn.core.checks import check_alpha
from mixlearn.core.draw import sample_lam, sample_partner
from mixlearn.core.labels import cross_entropy, smooth, soft_cross_entropy
from mixlearn.core.plan import MixPlan
from mixlearn.core.transfer import sent
from mixlearn.lab.learners.twin import Buffers, Twin, slow_down
from mixlearn.lab.nets.taps import WithHead, headed, stage_channels, staged
from mixlearn.methods.mix_block import MixBlock, mask_loss


class AutoMix(nn.Module):
    """Classifies clean and mixed images while a Mix Block learns the masks, each by its own loss.

    The network learns from mixtures under masks that it cannot change; the Mix Block makes masks under which
    a slow twin of the network classifies best. Four terms: "clean" and "mixed" train the network, "generator"
    and "mask" the Mix Block.

    The network has a head for clean images, its own; the learner adds one for mixtures. Call `after_step`
    after each step of the optimiser; `fit` does. To predict, take `deployed(model)`.

    Args:
        net: the network that is to be trained: with taps, and a linear `head`. Here it is only looked at and
            copied; each call is given it anew.
        stage: the tap whose features the Mix Block sees. The paper takes the third of four stages.
        image_size: side of the images in pixels.
        alpha: both λ are drawn from Beta(α, α).
        momentum: of the twin, a number or a function of progress.
        buffers: of the twin, see `Twin`.
        mask_weight: of the mask loss at first; falls to 0 as a cosine where `fade` (released for CIFAR: not).
        margin, batch_mean: of the mask loss, see `mask_loss`.
        variance: times the variance of each mask is taken off the mask loss, before its weight, so that masks
            decide; with `batch_mean` that of all masks together. Released for birds, with a ResNeXt: 2.
        fixed_points: whether an image may be its own partner. As released for birds and aircraft: not.
        plain_beyond: λ of the network's mixtures nearer to 0 or 1 than this makes a plain Mixup.
        deploy, deploy_head: which of the two predicts, "twin" or "network", and by which of its heads,
            "clean" or "mixed".
        block: options of the `MixBlock`, such as {"embed": False}.
        joint: train both on the same mixtures by one loss, without a twin: for study.
        plainly: compute each part as published, for comparison: slower, with the same gradients.
        smoothing: share of each mixed label spread over all classes.
        generator: source of the first weights of the new parts.

    Raises:
        ValueError: a stage that the network lacks, features that do not divide the image, α not positive.

    Source: Liu et al., *AutoMix: Unveiling the Power of Mixup for Stronger Classifiers*, ECCV 2022; the
    details from the authors' code (OpenMixup).

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> learner = AutoMix(net, stage="stage2", image_size=8)
    >>> list(learner(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1])))
    ['clean', 'mixed', 'generator', 'mask']
    """

    block_type: ClassVar[type[MixBlock]] = MixBlock

    def __init__(
        self,
        net: Any,
        *,
        stage: str = "stage3",
        image_size: int = 32,
        alpha: float = 2.0,
        momentum: float | Callable[[float], float] = slow_down,
        buffers: Buffers = "averaged",
        mask_weight: float = 0.1,
        margin: float = 0.1,
        batch_mean: bool = False,
        variance: float = 0.0,
        fixed_points: bool = True,
        fade: bool = True,
        plain_beyond: float = 0.08,
        deploy: str = "twin",
        deploy_head: str = "clean",
        block: dict[str, Any] | None = None,
        joint: bool = False,
        plainly: bool = False,
        smoothing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if deploy not in ("twin", "network"):
            raise ValueError(f"deploy must be 'twin' or 'network', got {deploy!r}")
        if deploy_head not in ("clean", "mixed"):
            raise ValueError(f"deploy_head must be 'clean' or 'mixed', got {deploy_head!r}")
        check_alpha(alpha)
        if margin < 0 or mask_weight < 0 or not 0 <= plain_beyond <= 0.5 or not 0 <= smoothing < 1:
            raise ValueError(
                "expected margin ≥ 0, mask_weight ≥ 0, plain_beyond in [0, ½] and smoothing in [0, 1), got "
                f"{margin}, {mask_weight}, {plain_beyond} and {smoothing}"
            )
        self.stage, self.image_size, self.alpha, self.smoothing = stage, image_size, alpha, smoothing
        self.mask_weight, self.margin, self.batch_mean, self.fade = mask_weight, margin, batch_mean, fade
        self.variance, self.fixed_points, self.plain_beyond = variance, fixed_points, plain_beyond
        self.joint, self.plainly = joint, plainly
        self.deploy, self.deploy_head = "network" if joint else deploy, deploy_head
        self.momentum, self.progress = momentum, 0.0
        self.autocast: Callable[[], AbstractContextManager[Any]] = nullcontext  # `fit` sets its precision
        channels = stage_channels(net, stage, image_size)
        self.block = self.block_type(channels, generator=generator, **(block or {}))
        with torch.random.fork_rng(devices=[]):
            self.mix_head = nn.Linear(net.head.in_features, net.head.out_features)
        nn.init.normal_(self.mix_head.weight, std=0.01, generator=generator)
        nn.init.zeros_(self.mix_head.bias)
        self.num_classes: int = net.head.out_features
        self.twin = None if joint else Twin(self._followed(net), self._momentum(), buffers)

    def advance(self, progress: float) -> None:
        """Tell the learner how far training has come, from 0 to 1."""
        self.progress = progress

    def after_step(self, model: Any) -> None:
        """Let the twin follow; after each step of the optimiser.

        Args:
            model: the network.
        """
        if self.twin is not None:
            self.twin.momentum = self._momentum()
            self.twin.follow(self._followed(getattr(model, "module", model)))

    def deployed(self, model: Any) -> Any:
        """The network that predicts, as `deploy` and `deploy_head` declared it beforehand.

        The twin's weights ask for no gradient; to train it on, copy it and call `requires_grad_()`.

        Args:
            model: the network.
        """
        net, head = model, self.mix_head
        if self.twin is not None and self.deploy == "twin":
            net, head = self.twin["net"], self.twin["mix_head"]
        return net if self.deploy_head == "clean" else WithHead(net, head)

    def forward(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """The four terms of a batch.

        Args:
            model: the network. images: (B, C, H, W); one image alone is mixed with itself, or refused.
            labels: (B,) class ids. generator: source of λ and partners.
        """
        found: dict[str, Tensor] = {}
        for terms in self.in_parts(model, images, labels, generator=generator):
            found |= terms
        return {name: found[name] for name in ("clean", "mixed", "generator", "mask") if name in found}

    def in_parts(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """The same terms one part after the other: no two parts share what a gradient needs.

        Where each part's gradient is taken before the next is asked for, as `fit` does, a step needs the
        memory of one pass and not of three.

        Args:
            model, images, labels, generator: as for a call.
        """
        size = (images.shape[-2], images.shape[-1])
        # λ and partners twice: for mixtures that judge the Mix Block, and for those that teach the network
        for_block, for_net = (
            (
                sample_lam(1, self.alpha, generator=generator),
                sample_partner(len(images), fixed_points=self.fixed_points, generator=generator),
            )
            for _ in range(2)
        )
        source = model if self.twin is None else self.twin["net"]
        with torch.no_grad(), self.autocast():
            features = staged(source, images, self.stage, whole=self._whole())
        masks = self.block(features, *for_block, size)
        judge, mix_head = (model, self.mix_head) if self.twin is None else self._judges()
        fit = self._mixed(judge, mix_head, for_block, masks, images, labels)
        asked = self._mask_term(masks, for_block[0])
        del masks
        if self.joint:
            yield {"clean": self._clean(model, images, labels), "mixed": fit, "mask": asked}
            return
        yield {"generator": fit, "mask": asked}
        del fit, asked
        taught = self._taught(features, *for_net, size)
        yield {"mixed": self._mixed(model, self.mix_head, for_net, taught, images, labels)}
        yield {"clean": self._clean(model, images, labels)}

    def _judges(self) -> tuple[Any, nn.Module]:
        """The twin and its head for mixtures."""
        assert self.twin is not None
        return self.twin["net"], self.twin["mix_head"]

    def _clean(self, model: Any, images: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(model(images), labels, self.smoothing)

    def _taught(self, features: Tensor, lam: Tensor, partner: Tensor, size: tuple[int, int]) -> Tensor:
        """Masks for the network, which no gradient leaves: (B, 1, H, W)."""
        share = float(lam)
        if min(share, 1 - share) <= self.plain_beyond:
            return torch.full((len(features), 1, *size), share, device=features.device)
        if self.plainly:
            return self.block(features, lam, partner, size).detach()
        with torch.no_grad():
            return self.block(features, lam, partner, size)

    def _mixed(
        self,
        net: Any,
        head: nn.Module,
        drawn: tuple[Tensor, Tensor],
        masks: Tensor,
        images: Tensor,
        labels: Tensor,
    ) -> Tensor:
        """Loss of a head on mixtures under masks, against labels by λ."""
        lam, partner = (sent(one, masks.device) for one in drawn)
        share = lam.to(masks.dtype).expand(len(masks))
        plan = MixPlan.pair(partner, share, masks.to(images.dtype))
        targets = plan.soften(labels, self.num_classes)
        with self.autocast():
            logits = headed(net, head, plan.mix(images))
        return soft_cross_entropy(logits, smooth(targets, self.smoothing) if self.smoothing else targets)

    def _mask_term(self, masks: Tensor, lam: Tensor) -> Tensor:
        asked = mask_loss(masks, lam, margin=self.margin, batch_mean=self.batch_mean)
        if self.variance:
            spread = masks.flatten(0 if self.batch_mean else 1).var(-1, correction=0)
            asked = asked - self.variance * spread.mean()
        return self.mask_weight * asked * ((1 + math.cos(math.pi * self.progress)) / 2 if self.fade else 1)

    def _momentum(self) -> float:
        return self.momentum(self.progress) if callable(self.momentum) else self.momentum

    def _whole(self) -> bool:
        """Whether layers after the stage must see the batch too, for running means of their own."""
        return self.plainly or self.twin is None or self.twin.buffers_rule == "own"

    def _followed(self, net: nn.Module) -> dict[str, nn.Module]:
        return {"net": net, "mix_head": self.mix_head}
