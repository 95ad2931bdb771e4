"""AlignMix: features of the partner, moved to where the image has such features, then mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixlearn.core.checks import check_batch, check_pixels, check_range
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.fast import Fill, laid_out_as
from mixlearn.core.plan import Mixed, MixPlan, apply_plan


@dataclass(frozen=True, eq=False, kw_only=True)
class AlignPlan(MixPlan):
    """A plan of two parts of which one is aligned with the other first: the partner's, or the image's own.

    `alignment` (B, r, r), rows summing to 1: which of the r positions of one go to each of the other's.
    """

    alignment: Tensor
    moves_partner: bool

    def mix(self, features: Tensor, *, fill: Fill = 0) -> Tensor:
        """λ of the own and 1 − λ of the partner's features, one of them aligned; (B, C, H, W), r = H·W."""
        check_batch(features, len(self), "features")
        if features.dim() != 4 or not features.is_floating_point():
            raise TypeError(
                "AlignMix aligns float features (B, C, H, W), of which maps of class ids have none, "
                f"got {features.dtype} of shape {tuple(features.shape)}; one-hot class ids first"
            )
        own, other = (features[source].flatten(2) for source in self.sources)  # (B, C, r)
        to = self.alignment.to(features.dtype)
        if self.moves_partner:
            other = other @ to.mT
        else:
            own = own @ to
        share = self.lam.to(features.dtype)[:, None, None]
        return laid_out_as(features, torch.lerp(other, own, share).view(features.shape))


def alignmix(
    features: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    alpha: float = 2.0,
    epsilon: float = 0.1,
    steps: int = 100,
    moves_partner: bool | None = None,
    lam: float | Sequence[float] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Mix features after an optimal transport plan has brought the partner's to where they fit.

    Each position of one gets similar features from all over the other: geometry from one, appearance from
    both.

    Args:
        features: (B, C, H, W) float, such as a network's last; `MixingInside` applies it there.
        labels, num_classes, alpha, lam, partner, per_image, generator: as for `mixup`.
        epsilon: how soft the transport plan is, in units of squared distances of features, above 0.
        steps: the most iterations of Sinkhorn's algorithm.
        moves_partner: True aligns the partner with the image, False the image with its partner; None tosses
            a coin for each batch, as the paper does.

    Returns `Mixed(features, targets, plan)`. No gradient flows through the alignment, one does through
    features. Source: Venkataramanan et al., *AlignMixup: Improving Representations By Interpolating Aligned
    Features*, CVPR 2022, section 3.

    >>> features = torch.tensor([[9., 0., 0.], [0., 0., 9.]]).view(2, 1, 1, 3)
    >>> alignmix(features, lam=0.5, partner=[1, 0], moves_partner=True).images[0, 0, 0].round()
    tensor([9., 0., 0.])
    """
    check_pixels(features)
    if features.dim() != 4:
        raise ValueError(f"features must have shape (B, C, H, W), got {tuple(features.shape)}")
    partner, share = given_or_drawn(lam, partner, len(features), alpha, per_image, generator)
    if moves_partner is None:
        moves_partner = bool(torch.randint(2, (), generator=generator))
    pair = MixPlan.pair(partner, share.expand(len(features))).to(features.device)
    flat = features.detach().float().flatten(2).mT  # (B, r, C)
    alignment = sinkhorn(torch.cdist(flat, flat[pair.partner]).square(), epsilon, steps)
    plan = AlignPlan(
        *(pair.sources, pair.masks, pair.weights, None, pair.lam_drawn),
        alignment=alignment,
        moves_partner=moves_partner,
    )
    return apply_plan(plan, features, labels, num_classes)


@torch.no_grad()
def sinkhorn(cost: Tensor, epsilon: float, steps: int = 100) -> Tensor:
    """The entropic transport plan between even masses for costs (B, r, r), scaled so that its rows sum to 1.

    It stops where the log potentials change by less than a tenth of ε on average. An accelerator does all
    steps, so that the host need not wait; later ones change nothing. The code of AlignMixup goes on until the
    changes *sum* to less than 0.1 over the positions, in units of the cost, and scales columns last. (Cuturi,
    *Sinkhorn Distances*, NeurIPS 2013.)
    """
    check_range("(0, inf)", epsilon=epsilon)
    kernel = -cost / epsilon
    right = kernel.new_zeros(kernel.shape[0], 1, kernel.shape[2])
    reads = kernel.device.type == "cpu" or torch.compiler.is_compiling()
    done = torch.zeros((), dtype=torch.bool, device=kernel.device)
    for _ in range(steps):
        left = -torch.logsumexp(kernel + right, 2, keepdim=True)
        after = -torch.logsumexp(kernel + left, 1, keepdim=True)
        settled = (after - right).abs().mean() < 0.1
        right = after if reads else torch.where(done, right, after)
        if reads and bool(settled):
            break
        done = done | settled
    return torch.softmax(kernel + right, 2)
