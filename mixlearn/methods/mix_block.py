"""AutoMix's Mix Block: a mask for a pair of images, from what a network sees in both."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import as_lam, as_partner
from mixlearn.core.transfer import sent


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
