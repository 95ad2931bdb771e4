"""AutoMix: a Mix Block learns masks for pairs of images while a network learns from the mixtures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import as_lam, as_partner, check_alpha, check_range
from mixlearn.core.draw import sample_lam, sample_partner
from mixlearn.core.fast import sent
from mixlearn.core.labels import cross_entropy, smooth, soft_cross_entropy
from mixlearn.core.plan import MixPlan
from mixlearn.methods.learner import Buffers, Draws, Learner, Momentum, Terms, Twin, slow_down
from mixlearn.nets.taps import WithHead, bare, headed, logits_of, stage_channels, staged

Pair = tuple[Tensor, Tensor]


class MixBlock(nn.Module):
    """Masks from features, by attention of each image to its partner.

    With λ appended to the image's features z, and 1 − λ to its partner's z′, one linear map makes queries of
    the first and keys of the second, another makes one value for each place of the second:

        P = softmax(Q Kᵀ / √d),   s = P V,   mask of the partner = sigmoid(s, enlarged).

    The image's own mask is the rest. At first all masks are ½. Too small a `std` keeps attention uniform, and
    then the block only learns plain Mixup.

    Args:
        channels: C of the features.
        reduction: queries and keys have C / reduction numbers.
        embed: append λ to the features. The released code's CIFAR settings do not, so that masks do not
            depend on λ.
        attend: attention to the partner; without it each place has the partner's value at the same place.
        symmetric: the mean of both orders, so that (i, j, λ) and (j, i, 1 − λ) give masks that sum to 1.
        mode: how the scores are enlarged, "nearest" or "bilinear".
        std: standard deviation of the queries' and keys' first weights. The published 0.01 suits 256 channels
            and long training; a block of few channels needs more.
        generator: source of the initial weights; None uses torch's default one.

    Source: Liu et al., *AutoMix*, ECCV 2022; the details from the authors' code (OpenMixup).

    >>> block = MixBlock(8, generator=torch.Generator().manual_seed(0))
    >>> masks = block(torch.rand(2, 8, 4, 4), torch.tensor([0.3]), torch.tensor([1, 0]), (16, 16))
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
        check_range("(0, inf)", std=std)
        self.channels, self.embed, self.attend = channels, embed, attend
        self.symmetric, self.mode = symmetric, mode
        width = channels + int(embed)
        with torch.random.fork_rng(devices=[]):
            self.look = nn.Linear(width, channels // reduction)  # queries and keys: the same map
            self.value = nn.Linear(width, 1)
        for layer, scale in ((self.look, std), (self.value, 0.01)):
            nn.init.normal_(layer.weight, std=scale, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(
        self, features: Tensor, lam: float | Tensor, partner: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """Each image's own share of each pixel: (B, 1, H, W) in (0, 1), float32 at least.

        Args:
            features: (B, C, h, w), of the images as they are.
            lam: (B,), or one for all: each image's share, in [0, 1].
            partner: (B,) int64, the partner of each image.
            size: (H, W) of the masks, multiples of h and w.
        """
        if features.dim() != 4 or features.shape[1] != self.channels:
            raise ValueError(f"features must be (B, {self.channels}, h, w), got {tuple(features.shape)}")
        batch, _, h, w = features.shape
        if size[0] % h or size[1] % w:
            raise ValueError(f"{h} × {w} places must divide the image, got {size[0]} × {size[1]} pixels")
        dtype = torch.promote_types(features.dtype, torch.float32)
        lam = sent(as_lam(lam, batch), features.device).to(dtype)  # (B,)
        partner = sent(as_partner(partner, batch), features.device)
        with torch.autocast(features.device.type, enabled=False):
            tokens = features.to(dtype).flatten(2).mT  # (B, h·w, C)
            other = self._mask(self._scores(tokens, lam, partner), (h, w), size)
            if self.symmetric:
                own = self._mask(self._scores(tokens, lam, partner, swapped=True), (h, w), size)
                return 1 - (other + 1 - own) / 2
            return 1 - other

    def _scores(self, tokens: Tensor, lam: Tensor, partner: Tensor, swapped: bool = False) -> Tensor:
        """s (B, h·w) of the first image of each pair for the second; `swapped`: the partner is first."""
        maps = (self.look, self.value)
        look, value = (F.linear(tokens, one.weight[:, : self.channels], one.bias) for one in maps)
        first, second, values = look, look[partner], value[partner]  # (B, h·w, d), the same, (B, h·w, 1)
        if swapped:
            first, second, values = second, first, value
        if self.embed:  # λ is one more channel, the same at every place: its column times λ
            of_first, of_second = (1 - lam, lam) if swapped else (lam, 1 - lam)
            for_look, for_value = (one.weight[:, self.channels] for one in maps)
            first = first + of_first[:, None, None] * for_look
            second = second + of_second[:, None, None] * for_look
            values = values + of_second[:, None, None] * for_value
        if not self.attend:
            return values[..., 0]
        return F.scaled_dot_product_attention(first, second, values)[..., 0]  # s = softmax(Q Kᵀ / √d) V

    def _mask(self, scores: Tensor, grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """Scores (B, h·w) → the mask of the second image."""
        scores = scores.view(len(scores), 1, *grid)  # (B, 1, h, w)
        return torch.sigmoid(F.interpolate(scores, size=size, mode=self.mode))  # (B, 1, H, W)


def mask_loss(masks: Tensor, lam: float | Tensor, *, margin: float = 0.1, batch_mean: bool = False) -> Tensor:
    """How far the mean of each mask is from its λ, beyond a margin: max(|λ − mean m| − margin, 0), averaged.

    Args:
        masks: (B, 1, H, W), each image's own share of each pixel.
        lam: (B,), or one for all: the shares that the masks should have.
        margin: what is allowed.
        batch_mean: one mean over all masks and one over all λ, as in the released code. For study.

    Returns a scalar. Source: Liu et al., *AutoMix*, ECCV 2022; the margin of 0.1 from the authors' code.

    >>> masks = torch.tensor([0.9, 0.1]).view(2, 1, 1, 1)
    >>> mask_loss(masks, 0.5), mask_loss(masks, 0.5, batch_mean=True)
    (tensor(0.3000), tensor(0.))
    """
    check_range("[0, inf)", margin=margin)
    means = masks.mean((1, 2, 3))  # (B,)
    lam = torch.as_tensor(lam, dtype=means.dtype)
    if lam.shape not in ((), (1,), means.shape):
        raise ValueError(f"lam must be one number or ({len(means)},), got shape {tuple(lam.shape)}")
    lam = sent(lam, means.device)
    difference = (means.mean() - lam.mean()).abs() if batch_mean else (means - lam).abs()
    return F.relu(difference - margin).mean()


class AutoMix(nn.Module, Learner):
    """Classifies clean and mixed images while a Mix Block learns the masks, each by its own loss.

    The network learns from mixtures under masks that it cannot change; the Mix Block makes masks under which
    a slow twin of the network classifies best. Four terms: "clean" and "mixed" train the network, "generator"
    and "mask" the Mix Block; logged as added to the loss: weighted and faded. Mixtures have a head of their
    own. To predict, take `deployed(model)`.

    Args:
        net: the network to be trained: with taps, and a linear `head`. The twin is copied from it now, so
            load its weights before.
        stage: the tap whose features the Mix Block sees. The paper takes the third of four stages.
        image_size: side of the images in pixels.
        alpha: both λ are drawn from Beta(α, α).
        momentum, buffers: of the twin, see `Twin`; the momentum may be a function of progress. In a short
            run the twin stays near its initial weights: at 0.999 they still count 94 % after 60 steps.
        mask_weight: weight of the mask loss at the start. With `fade` it falls to 0 along half a cosine; the
            released CIFAR settings keep it constant.
        margin, batch_mean: of the mask loss, see `mask_loss`.
        variance: v: the term is mask_weight · (mask loss − v · variance of each mask), with `batch_mean` of
            all masks together. Released for birds, with a ResNeXt: 2.
        fixed_points: whether an image may be its own partner. As released for birds and aircraft: False.
        plain_beyond: where min(λ, 1 − λ) ≤ this, the network's mixture is a plain Mixup.
        deploy, deploy_head: which of the two predicts, "twin" or "network", and by which of its heads,
            "clean" or "mixed".
        block: options of the `MixBlock`, such as {"embed": False}.
        joint: train both on the same mixtures by one loss, without a twin: for study.
        plainly: compute each part as published, for comparison: slower, with the same gradients.
        smoothing: share of each label, of images and of mixtures, spread over all classes.
        generator: source of the first weights of the new parts.

    Source: Liu et al., *AutoMix*, ECCV 2022; the details from the authors' code (OpenMixup).

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> learner = AutoMix(net, stage="stage2", image_size=8)
    >>> list(learner(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1])))
    ['clean', 'mixed', 'generator', 'mask']
    """

    block_type: ClassVar[type[MixBlock]] = MixBlock
    term_names: tuple[str, ...] = ("clean", "mixed", "generator", "mask")

    def __init__(
        self,
        net: Any,
        *,
        stage: str = "stage3",
        image_size: int = 32,
        alpha: float = 2.0,
        momentum: Momentum = slow_down,
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
        check_range("[0, inf)", mask_weight=mask_weight, margin=margin, variance=variance)
        check_range("[0, 0.5]", plain_beyond=plain_beyond)
        check_range("[0, 1)", smoothing=smoothing)
        self.stage, self.alpha, self.smoothing, self.fixed_points = stage, alpha, smoothing, fixed_points
        self.mask_weight, self.margin, self.batch_mean = mask_weight, margin, batch_mean
        self.variance, self.fade, self.plain_beyond = variance, fade, plain_beyond
        self.plainly, self.deploy, self.deploy_head = plainly, deploy, deploy_head
        self.compares = not fixed_points  # an image alone has no partner
        self.progress = 0.0
        channels = stage_channels(net, stage, image_size)
        self.block = self.block_type(channels, generator=generator, **(block or {}))
        with torch.random.fork_rng(devices=[]):
            self.mix_head = nn.Linear(net.head.in_features, net.head.out_features)
        nn.init.normal_(self.mix_head.weight, std=0.01, generator=generator)
        nn.init.zeros_(self.mix_head.bias)
        self.twin = None if joint else Twin(self._followed(net), momentum, buffers)
        if joint:
            self.term_names = ("clean", "mixed", "mask")

    def advance(self, progress: float) -> None:
        self.progress = progress
        if self.twin is not None:
            self.twin.advance(progress)

    def after_step(self, model: Any) -> None:
        if self.twin is not None:
            self.twin.follow(self._followed(bare(model)))

    def deployed(self, model: Any) -> Any:
        """The network that predicts, by `deploy` and `deploy_head`; see `Learner.deployed` to train it on."""
        net, head = model, self.mix_head
        if self.twin is not None and self.deploy == "twin":
            net, head = self.twin["net"], self.twin["mix_head"]
        return net if self.deploy_head == "clean" else WithHead(net, head)

    def forward(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        terms: Terms = {}
        for part in self.in_parts(model, images, labels, generator=generator):
            terms |= part
        return {name: terms[name] for name in self.term_names}

    def in_parts(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None
    ) -> Iterator[Terms]:
        """The same terms as several dicts with separate graphs, so that memory holds one pass at a time."""
        for_block, for_net = (self._drawn(len(images), generator) for _ in range(2))
        size = (images.shape[-2], images.shape[-1])
        net, head = (model, self.mix_head) if self.twin is None else (self.twin["net"], self.twin["mix_head"])
        # where running means are the twin's own, layers after the stage must see the batch too
        whole = self.plainly or self.twin is None or self.twin.buffers_rule == "own"
        with torch.no_grad(), self.autocast():  # so that no network learns through the masks
            features = staged(net, images, self.stage, whole=whole)  # (B, C, h, w)
        masks = self.block(features, *for_block, size)  # (B, 1, H, W)
        judged = self._mixed(net, head, for_block, masks, images, labels)
        mask_term = self._mask_term(masks, for_block[0])
        del masks
        if self.twin is None:
            clean = cross_entropy(logits_of(model(images)), labels, self.smoothing)
            yield {"clean": clean, "mixed": judged, "mask": mask_term}
            return
        yield {"generator": judged, "mask": mask_term}
        del judged, mask_term
        masks = self._net_masks(features, *for_net, size)
        yield {"mixed": self._mixed(model, self.mix_head, for_net, masks, images, labels)}
        yield {"clean": cross_entropy(logits_of(model(images)), labels, self.smoothing)}

    def _drawn(self, batch: int, generator: Draws) -> Pair:
        """λ (1,) and partners (B,)."""
        lam = sample_lam(1, self.alpha, generator=generator)
        return lam, sample_partner(batch, fixed_points=self.fixed_points, generator=generator)

    def _net_masks(self, features: Tensor, lam: Tensor, partner: Tensor, size: tuple[int, int]) -> Tensor:
        """Masks for the network's mixtures, without a gradient: (B, 1, H, W)."""
        value = float(lam)
        if min(value, 1 - value) <= self.plain_beyond:
            return torch.full((len(features), 1, *size), value, device=features.device)
        with torch.set_grad_enabled(self.plainly):
            return self.block(features, lam, partner, size).detach()

    def _mixed(
        self, net: Any, head: nn.Module, drawn: Pair, masks: Tensor, images: Tensor, labels: Tensor
    ) -> Tensor:
        """Loss of a head on mixtures under masks, against labels by λ."""
        lam, partner = (sent(one, masks.device) for one in drawn)
        plan = MixPlan.pair(partner, lam.to(masks.dtype).expand(len(masks)), masks.to(images.dtype))
        targets = plan.soften(labels, self.mix_head.out_features)  # (B, classes): λ y + (1 − λ) y′
        with self.autocast():
            logits = headed(net, head, plan.mix(images))  # of m ⊙ x + (1 − m) ⊙ x′
        return soft_cross_entropy(logits, smooth(targets, self.smoothing) if self.smoothing else targets)

    def _mask_term(self, masks: Tensor, lam: Tensor) -> Tensor:
        loss = mask_loss(masks, lam, margin=self.margin, batch_mean=self.batch_mean)
        if self.variance:
            variance = masks.flatten(0 if self.batch_mean else 1).var(-1, correction=0)
            loss = loss - self.variance * variance.mean()
        return self.mask_weight * loss * ((1 + math.cos(math.pi * self.progress)) / 2 if self.fade else 1)

    def extra_repr(self) -> str:
        """Its settings, in words."""
        known = {k: v for k, v in vars(self).items() if isinstance(v, (int, float, str)) and k[0] != "_"}
        return ", ".join(f"{k}={v!r}" for k, v in known.items() if k not in ("training", "progress"))

    def _followed(self, net: nn.Module) -> dict[str, nn.Module]:
        return {"net": net, "mix_head": self.mix_head}
