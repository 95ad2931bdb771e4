"""AutoMix's Mix Block: a mask for a pair of images, from what a network sees in both."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import as_lam, as_partner, check_alpha
from mixlearn.core.draw import sample_lam, sample_partner
from mixlearn.core.fast import sent
from mixlearn.core.labels import cross_entropy, smooth, soft_cross_entropy
from mixlearn.core.plan import MixPlan
from mixlearn.methods.twin import Buffers, Twin, slow_down
from mixlearn.nets.taps import WithHead, headed, stage_channels, staged


class MixBlock(nn.Module):
    """Masks from features, by attention of each image to its partner.

    With λ written beside the image's features z, and 1 − λ beside its partner's z′, one linear map makes
    queries of the first and keys of the second, another one value for each place of the second:

        P = softmax(Q Kᵀ / √d),   s = P V,   mask of the partner = sigmoid(s, enlarged).

    The image's own mask is what that leaves. The weights are small at first, so that training starts from
    masks of ½ everywhere. Too small they must not be: attention that is even at first stays so for long, as
    the gradient of queries and keys is itself in proportion to them, and what is learnt then is plain Mixup.

    Args:
        channels: C of the features.
        reduction: queries and keys have C / reduction numbers.
        embed: write λ beside the features. The published CIFAR settings of the released code leave it out,
            and then masks do not depend on λ.
        attend: attention to the partner; without it each place has the partner's value at the same place.
        symmetric: the mean of both orders, so that (i, j, λ) and (j, i, 1 − λ) give masks that sum to 1.
        mode: how the scores are enlarged, "nearest" or "bilinear".
        std: standard deviation of the queries' and keys' initial weights. The published 0.01 suits 256
            channels and long training; a block of few channels needs more.
        generator: source of the initial weights; None uses torch's default one.

    Raises:
        ValueError: fewer channels than `reduction`, another mode, a std that is not positive.

    Source: Liu et al., *AutoMix: Unveiling the Power of Mixup for Stronger Classifiers*, ECCV 2022; the
    details from the authors' code (OpenMixup).

    >>> block = MixBlock(8, generator=torch.Generator().manual_seed(0))
    >>> features = torch.rand(2, 8, 4, 4)
    >>> masks = block(features, torch.tensor([0.3]), torch.tensor([1, 0]), (16, 16))
    >>> masks.shape, bool((masks - 0.5).abs().max() < 0.05)
    (torch.Size([2, 1, 16, 16]), True)
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 2,
        embed: bool = True,
        attend: bool = True,
        symmetric: bool = False,
        mode: str = "nearest",
        std: float = 0.01,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if reduction < 1 or channels < reduction:
            raise ValueError(f"channels must be at least reduction ≥ 1, got {channels} and {reduction}")
        if mode not in ("nearest", "bilinear"):
            raise ValueError(f"mode must be 'nearest' or 'bilinear', got {mode!r}")
        if not std > 0:
            raise ValueError(f"std must be positive, got {std}")
        self.channels, self.embed, self.attend = channels, embed, attend
        self.symmetric, self.mode = symmetric, mode
        inside = channels + int(embed)
        with torch.random.fork_rng(devices=[]):
            self.look = nn.Linear(inside, channels // reduction)  # queries and keys: the same map
            self.value = nn.Linear(inside, 1)
        for layer, spread in ((self.look, std), (self.value, 0.01)):
            nn.init.normal_(layer.weight, std=spread, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(
        self, features: Tensor, lam: float | Tensor, partner: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """Each image's own share of each pixel.

        Args:
            features: (B, C, h, w), of the images as they are.
            lam: (B,), or one for all: each image's share, in [0, 1].
            partner: (B,) int64, the partner of each image.
            size: (H, W) of the masks, multiples of h and w.

        Returns:
            (B, 1, H, W) in (0, 1), float32 at least.

        Raises:
            ValueError: features of another number of channels, a size that h and w do not divide, λ outside
                [0, 1], partners outside the batch.
        """
        self._check(features, size)
        batch = len(features)
        kind = torch.promote_types(features.dtype, torch.float32)
        share = sent(as_lam(lam, batch), features.device).to(kind)
        partner = sent(as_partner(partner, batch), features.device)
        with torch.autocast(features.device.type, enabled=False):
            seen = features.to(kind).flatten(2).mT  # (B, h·w, C)
            scores = self._scores(seen, share, partner)
            if self.symmetric:
                back = self._scores(seen, share, partner, swapped=True)
                return 1 - (self._mask(scores, features, size) + 1 - self._mask(back, features, size)) / 2
            return 1 - self._mask(scores, features, size)

    def _scores(self, seen: Tensor, share: Tensor, partner: Tensor, swapped: bool = False) -> Tensor:
        """s (B, h·w): what the first image of a pair finds in the second; `swapped`: the partner is first."""
        look, value = (F.linear(seen, one.weight[:, : self.channels], one.bias) for one in self._maps())
        first, second = (look, look[partner])
        values = value[partner]
        if swapped:
            first, second, values = second, first, value
        if self.embed:  # λ is one more channel, the same at every place: its column times λ
            own, other = (1 - share, share) if swapped else (share, 1 - share)
            queries, counts = (one.weight[:, self.channels] for one in self._maps())
            first = first + own[:, None, None] * queries
            second = second + other[:, None, None] * queries
            values = values + other[:, None, None] * counts
        if not self.attend:
            return values[..., 0]
        return F.scaled_dot_product_attention(first, second, values)[..., 0]

    def _maps(self) -> tuple[nn.Linear, nn.Linear]:
        return self.look, self.value

    def _mask(self, scores: Tensor, features: Tensor, size: tuple[int, int]) -> Tensor:
        """Scores (B, h·w) → the mask of the second image, (B, 1, H, W)."""
        grid = scores.view(len(scores), 1, *features.shape[-2:])
        return torch.sigmoid(F.interpolate(grid, size=size, mode=self.mode))

    def _check(self, features: Tensor, size: tuple[int, int]) -> None:
        if features.dim() != 4 or features.shape[1] != self.channels:
            raise ValueError(
                f"features must have shape (B, {self.channels}, h, w), got {tuple(features.shape)}"
            )
        h, w = features.shape[-2:]
        if size[0] % h or size[1] % w:
            raise ValueError(
                f"the features' {h} × {w} places must divide the image, got {size[0]} × {size[1]}"
            )


def mask_loss(masks: Tensor, lam: Tensor, *, margin: float = 0.1, batch_mean: bool = False) -> Tensor:
    """How far the mean of each mask is from its λ, beyond a margin: max(|λ − mean m| − margin, 0), averaged.

    Args:
        masks: (B, 1, H, W), each image's own share of each pixel.
        lam: (B,) or (1,), the shares that the masks should have.
        margin: what is allowed.
        batch_mean: one mean over all masks and one over all λ, as the released code has it: single masks may
            then be far off. For study.

    Returns:
        A scalar.

    Raises:
        ValueError: λ of another shape, a negative margin.

    Source: Liu et al., *AutoMix*, ECCV 2022; the margin of 0.1 from the authors' code.

    >>> masks = torch.tensor([0.9, 0.1]).view(2, 1, 1, 1)
    >>> round(mask_loss(masks, torch.tensor([0.5])).item(), 4)
    0.3
    >>> mask_loss(masks, torch.tensor([0.5]), batch_mean=True).item()
    0.0
    """
    own = masks.mean((1, 2, 3))
    if margin < 0 or lam.dim() != 1 or len(lam) not in (1, len(own)):
        raise ValueError(
            f"expected margin ≥ 0 and lam of shape (1,) or ({len(own)},), got {margin} and {tuple(lam.shape)}"
        )
    lam = sent(lam, own.device).to(own.dtype)
    apart = (own.mean() - lam.mean()).abs() if batch_mean else (own - lam).abs()
    return F.relu(apart - margin).mean()


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
