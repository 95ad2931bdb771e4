"""TransMix: labels that follow what a transformer attends to in the mixed image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.plan import MixPlan
from mixlearn.methods.saliency import normalised


@torch.no_grad()
def transmix(plan: MixPlan, attention: Tensor, share: float = 0.5) -> MixPlan:
    """The same plan with weights halfway between the pixels that are seen and the attention they get.

    A pasted box of sky has many pixels and nothing to look at. The attention of the class token says so.

    Args:
        plan: the plan that mixed the images.
        attention: (B, n, m), at least 0: of the class token to the patches of the mixed images.
        share: how much the attention counts, in [0, 1]; the rest is the plan's own weights. The paper has ½.

    Returns:
        A plan of the same kind with the same sources and masks; no gradient flows through its weights.

    Raises:
        ValueError: attention of another shape or below 0, a share outside [0, 1].

    Source: Chen et al., *TransMix: Attend to Mix for Vision Transformers*, CVPR 2022, eq. 5–6; the mean of
    both weights from the authors' code.

    >>> from mixlearn.core.box_plan import BoxPlan
    >>> plan = BoxPlan(torch.tensor([1, 0]), torch.tensor([[0, 0, 2, 4]]), (4, 4))
    >>> looks_right = torch.tensor([[0.1, 0.9], [0.1, 0.9]]).expand(2, 2, 2)
    >>> transmix(plan, looks_right).lam
    tensor([0.7000, 0.7000])
    """
    if attention.dim() != 3 or len(attention) != len(plan):
        raise ValueError(f"attention must have shape ({len(plan)}, n, m), got {tuple(attention.shape)}")
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share}")
    if attention.device.type == "cpu" and bool((attention < 0).any()):
        raise ValueError(f"attention must be at least 0, got {attention.min().item()}")
    parts, batch, _, height, width = plan.masks.shape
    if (height, width) == (1, 1):
        return plan  # a blend shows both images at every patch, and attention cannot tell them apart
    seen = F.interpolate(plan.masks.flatten(0, 1), size=attention.shape[1:], mode="nearest")
    looked = (seen.view(parts, batch, -1) * normalised(attention.float()[:, None]).flatten(1)).sum(2)
    weights = torch.lerp(plan.weights, looked.to(plan.weights), share)
    asked = {} if plan.lam_asked is None else {"lam_asked": plan.lam_asked}  # which may be made from λ
    return plan.changed(weights=weights, **asked)
