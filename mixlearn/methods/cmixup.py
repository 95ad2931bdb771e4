"""C-Mixup: Mixup for regression, with partners whose answers are near."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import check_generator, check_range
from mixlearn.core.fast import sent
from mixlearn.core.plan import Mixed
from mixlearn.methods.mixup import mixup


def cmixup(
    images: Tensor,
    labels: Tensor,
    *,
    alpha: float = 2.0,
    bandwidth: float = 1.0,
    lam: float | Sequence[float] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Mixup of real-valued labels, j being the partner of i with odds exp(−‖yᵢ − yⱼ‖² / 2h²).

    The mean of two far answers is seldom the answer to the mean of two images; that of two near ones may be.
    An image may be its own partner, and one may be the partner of several.

    Args:
        images, alpha, lam, partner, per_image, generator: as for `mixup`; partners come from the batch. (The
            authors draw them from the whole training set, or from two batches where it is large.)
        labels: (B, D) float, such as (B, 1) for one number.
        bandwidth: h above 0, in units of the labels; towards infinity it is Mixup. Tune it: the authors' are
            between 0.05 and 50.

    Returns `Mixed(images, targets, plan)`, targets (B, D). Source: Yao et al., *C-Mixup: Improving
    Generalization in Regression*, NeurIPS 2022.

    >>> ages = torch.tensor([[20.0], [70.0], [21.0], [71.0]])
    >>> plan = cmixup(torch.rand(4, 3, 8, 8), ages, generator=torch.Generator().manual_seed(0)).plan
    >>> bool(((ages - ages[plan.partner]).abs() < 10).all())
    True
    """
    if not labels.is_floating_point() or labels.dim() != 2 or len(labels) != len(images):
        raise ValueError(
            f"labels must be real numbers ({len(images)}, D), such as labels.float()[:, None], "
            f"got {labels.dtype} of shape {tuple(labels.shape)}"
        )
    check_range("(0, inf)", bandwidth=bandwidth)
    check_generator(generator)
    if partner is None:
        count = len(labels)
        wide = labels.detach().to(torch.promote_types(labels.dtype, torch.float32))
        log_odds = (wide[:, None] - wide[None]).square().sum(2) / (-2 * bandwidth**2)  # (B, B)
        race = torch.empty(count, count).exponential_(generator=generator).log_()  # (B, B), Gumbel
        partner = (log_odds - sent(race, labels.device)).argmax(1)
    return mixup(
        images, labels, alpha=alpha, lam=lam, partner=partner, per_image=per_image, generator=generator
    )
