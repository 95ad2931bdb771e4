"""k-Mixup: Mixup of partners that are alike, matched within groups of k images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.checks import as_count, check_images
from mixlearn.core.draw import sample_partner
from mixlearn.core.fast import fetched
from mixlearn.core.plan import Mixed
from mixlearn.methods.mixup import mixup
from mixlearn.methods.puzzlemix import assignment


def kmixup(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    alpha: float = 1.0,
    k: int = 16,
    lam: float | Sequence[float] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Mixup, but each k images share out their k random partners so that pairs are close.

    The matching minimises the sum of squared distances Σ ‖xᵢ − x[partnerᵢ]‖² (optimal transport between two
    sets of k). Mixtures then lie nearer to the data, and a larger α suits: the authors' example has 10.

    Args:
        images, labels, num_classes, alpha, lam, per_image, generator: as for `mixup`; a last group may have
            fewer than k images.
        k: how many images are matched at once; 1 is Mixup. About a share k / B of the images find themselves
            and stay unmixed, all at k = B, so keep it small. On an accelerator the host waits once, for the
            distances; mix in the data loader (`ml.MixCollate`) to avoid that.
        partner: (B,) indices to be taken as they are, instead of a draw and a matching.

    Returns `Mixed(images, targets, plan)`. Source: Greenewald et al., *k-Mixup Regularization for Deep
    Learning via Optimal Transport*, TMLR 2023. The authors' code takes distances, not their squares.

    >>> images = torch.tensor([[0.0], [10.0], [11.0], [1.0]])
    >>> kmixup(images, k=4, lam=0.5, generator=torch.Generator().manual_seed(3)).plan.partner.sort().values
    tensor([0, 1, 2, 3])
    """
    check_images(images)
    k = as_count(k, "k", 1)
    if partner is None:
        partner = sample_partner(len(images), generator=generator)
        partner = partner if k == 1 else closest(images, partner, k)
    known: dict[str, Any] = {"lam": lam, "partner": partner, "per_image": per_image}
    return mixup(images, labels, num_classes=num_classes, alpha=alpha, generator=generator, **known)


@torch.no_grad()
def closest(images: Tensor, partner: Tensor, k: int) -> Tensor:
    """The partners (B,) dealt out again within each k images: pairs of least total squared distance."""
    flat = images.flatten(1).float()
    apart = torch.cdist(flat, flat).square()  # (B, B), where the images are; one wait
    (apart,) = fetched(apart)
    groups = torch.arange(len(images)).split(k)
    found = []
    for same in (groups[:-1], groups[-1:]):  # groups of k, and a last one that may be smaller
        if same:
            rows = torch.stack(same)  # (groups, k)
            theirs = partner[rows]
            profit = -apart[rows[:, :, None], theirs[:, None, :]].double()  # (groups, k, k)
            found.append(theirs.gather(1, assignment(profit, profit.amax(1))).flatten())
    return torch.cat(found)
