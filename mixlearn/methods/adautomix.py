"""AdAutoMix: AutoMix of several images, whose block by turns helps and opposes the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import as_count, check_range
from mixlearn.core.draw import sample_lam, sample_partner
from mixlearn.core.fast import sent
from mixlearn.core.labels import cross_entropy, smooth, soft_cross_entropy
from mixlearn.core.plan import MixPlan
from mixlearn.methods.automix import AutoMix, MixBlock, Pair
from mixlearn.methods.learner import Draws, Terms
from mixlearn.nets.taps import headed, logits_of, staged


class AdMixBlock(MixBlock):
    """Masks of N images from their features, by attention of each to all the others together.

    Image i has queries Qᵢ, keys Kᵢ and a value Vᵢ for each place, by three linear maps, and the score

        sᵢ = softmax(Qᵢ (Σ Kⱼ)ᵀ / √d) Vᵢ,  the sum over j ≠ i.

    The masks are a softmax of the enlarged scores over the N images. `embed` appends λᵢ to the features of
    image i, as released for ImageNet but not for CIFAR; all else is as for `MixBlock`.
    """

    def __init__(
        self, channels: int, *, embed: bool = False, mode: str = "bilinear", std: float = 0.01, **options: Any
    ) -> None:
        super().__init__(channels, embed=embed, mode=mode, std=std, **options)
        with torch.random.fork_rng(devices=[]):
            self.key = nn.Linear(self.look.in_features, self.look.out_features)
        nn.init.normal_(self.key.weight, std=std, generator=options.get("generator"))
        nn.init.zeros_(self.key.bias)

    def forward(
        self, features: Tensor, lam: float | Tensor, partner: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """(N, B, 1, H, W), which sum to 1 over N, of features (B, C, h, w), λ (N,) and sources (N, B)."""
        batch, _, *grid = features.shape
        with torch.autocast(features.device.type, enabled=False):
            tokens = features.float().flatten(2).mT[partner]  # (N, B, h·w, C)
            if self.embed:
                column = torch.as_tensor(lam).to(tokens).view(-1, 1, 1, 1).expand(*tokens.shape[:3], 1)
                tokens = torch.cat([tokens, column], 3)
            queries, keys, values = self.look(tokens), self.key(tokens), self.value(tokens)
            others = keys.sum(0) - keys  # (N, B, h·w, d)
            scores = F.scaled_dot_product_attention(queries, others, values)  # (N, B, h·w, 1)
            scores = scores.view(-1, 1, *grid)
            return F.interpolate(scores, size=size, mode=self.mode).view(-1, batch, 1, *size).softmax(0)


class AdAutoMix(AutoMix):
    """AutoMix's learner with mixtures of several images and, in every second step, a block that opposes it.

    Four terms. "generator" trains the block through the twin. In every second step, the first included, it is
    −β L + (1 − β) c, else L: L is the twin's loss on the mixtures and c the mean over images, weighted by λ,
    of the cosine between the twin's logits of the mixture and of the image. "mixed" is the network's loss on
    mixtures under masks that it cannot change; "clean" and "blended" that on the images and on their plain
    blends, with the weights 1 − r and r. There is no mask loss.

    Args:
        net, options: as for `AutoMix`, without those of the mask loss, `joint` and `plainly`.
        images: N, how many are mixed, each with N − 1 partners. Their λ are drawn from Beta(α, α) and scaled
            to sum to 1.
        beta, ratio: β and r, in [0, 1].

    Source: Qin et al., *Adversarial AutoMixup*, ICLR 2024; the details, the sign of c among them, from the
    authors' code, which for ImageNet draws N for each batch.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> learner = AdAutoMix(net, stage="stage2", image_size=8)
    >>> list(learner(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1])))
    ['clean', 'blended', 'mixed', 'generator']
    """

    block_type: ClassVar[type[MixBlock]] = AdMixBlock
    block: AdMixBlock
    term_names = ("clean", "blended", "mixed", "generator")

    def __init__(
        self,
        net: Any,
        *,
        images: int = 3,
        alpha: float = 1.0,
        beta: float = 0.3,
        ratio: float = 0.5,
        plain_beyond: float = 0.03,
        **options: Any,
    ) -> None:
        check_range("[0, 1]", beta=beta, ratio=ratio)
        loss = {"mask_weight", "margin", "variance", "batch_mean", "fade", "joint", "plainly"}
        if unknown := sorted(options.keys() & loss):
            raise TypeError(f"AdAutoMix has no mask loss and always a twin, got {', '.join(unknown)}")
        super().__init__(net, alpha=alpha, plain_beyond=plain_beyond, mask_weight=0.0, fade=False, **options)
        self.images, self.beta, self.ratio = as_count(images, "images", 2), beta, ratio
        self._hard = True  # whether the block works against the network in this step

    def after_step(self, model: Any) -> None:
        super().after_step(model)
        self._hard = not self._hard

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self._hard)  # a resumed run goes on with the step whose turn it is

    def set_extra_state(self, state: Tensor) -> None:
        self._hard = bool(state)

    def in_parts(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None
    ) -> Iterator[Terms]:
        assert self.twin is not None
        for_block, for_net = (self._parts(len(images), generator) for _ in range(2))
        size, net, head = (images.shape[-2], images.shape[-1]), self.twin["net"], self.twin["mix_head"]
        with torch.no_grad(), self.autocast():
            features = staged(net, images, self.stage, whole=self.twin.buffers_rule == "own")  # (B, C, h, w)
        edge = min(float(for_net[0][0]), 1 - float(for_net[0][0]))
        for_block, for_net = (
            (sent(a, features.device), sent(b, features.device)) for a, b in (for_block, for_net)
        )
        masks = self.block(features, *for_block, size)  # (N, B, 1, H, W)
        logits, judged = self._judged(net, head, for_block, masks, images, labels)
        yield {"generator": self._against(logits, judged, for_block, images) if self._hard else judged}
        del logits, judged
        masks = blend = for_net[0].view(-1, 1, 1, 1, 1).expand(-1, len(images), 1, 1, 1)
        if edge > self.plain_beyond:
            with torch.no_grad():
                masks = self.block(features, *for_net, size)
        for name, share, shown in (("mixed", 1, masks), ("blended", self.ratio, blend)):
            yield {name: share * self._judged(model, self.mix_head, for_net, shown, images, labels)[1]}
        clean = cross_entropy(logits_of(model(images)), labels, self.smoothing)
        yield {"clean": (1 - self.ratio) * clean}

    def _parts(self, batch: int, generator: Draws) -> Pair:
        """λ (N,), which sum to 1, and sources (N, B), the first each image itself."""
        lam = sample_lam(self.images, self.alpha, generator=generator).clamp_min(1e-6)
        fixed: dict[str, Any] = {"fixed_points": self.fixed_points, "generator": generator}
        others = [sample_partner(batch, **fixed) for _ in range(self.images - 1)]
        return lam / lam.sum(), torch.stack([torch.arange(batch), *others])

    def _judged(
        self, net: Any, head: nn.Module, drawn: Pair, masks: Tensor, images: Tensor, labels: Tensor
    ) -> Pair:
        """The logits of a head on mixtures under masks, and its loss."""
        lam, sources = drawn
        weights = lam[:, None].expand(sources.shape)
        plan = MixPlan(sources, masks, weights, None, weights[0])
        targets = smooth(plan.soften(labels, self.mix_head.out_features), self.smoothing)
        with self.autocast():
            logits = headed(net, head, plan.mix(images))
        return logits, soft_cross_entropy(logits, targets)

    def _against(self, logits: Tensor, loss: Tensor, drawn: Pair, images: Tensor) -> Tensor:
        """What the block minimises to make mixtures hard."""
        assert self.twin is not None
        with torch.no_grad(), self.autocast():
            clean = headed(self.twin["net"], self.twin["mix_head"], images).float()  # (B, classes)
        lam, sources = drawn
        near = F.cosine_similarity(logits.float(), clean[sources], dim=2)  # (N, B)
        return -self.beta * loss + (1 - self.beta) * (lam[:, None] * near).sum(0).mean()
