"""TransMix: labels that follow what a transformer attends to in the mixed image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import check_range, in_words
from mixlearn.core.plan import MixPlan
from mixlearn.methods.learner import Draws, Loss, Mix, Mixing, Terms
from mixlearn.methods.saliency import normalised
from mixlearn.nets.taps import bare, logits_of, read


@torch.no_grad()
def transmix(plan: MixPlan, attention: Tensor, share: float = 0.5) -> MixPlan:
    """TransMix: a plan whose label weights are averaged with the attention that each part gets.

    A pasted box of sky has many pixels and nothing to look at. The attention of the class token says so.

    Args:
        plan: the plan that mixed the images.
        attention: (B, n, m), at least 0: of the class token to the patches of the mixed images.
        share: how much the attention counts, in [0, 1]; the rest is the plan's own weights. The paper has ½.

    Returns a plan of the same kind with the same sources and masks; no gradient flows through its weights.
    Source: Chen et al., *TransMix: Attend to Mix for Vision Transformers*, CVPR 2022, eq. 5–6; the mean of
    both weights from the authors' code.

    >>> from mixlearn.core.plan import BoxPlan
    >>> plan = BoxPlan(torch.tensor([1, 0]), torch.tensor([[0, 0, 2, 4]]), (4, 4))
    >>> transmix(plan, torch.tensor([[0.1, 0.9], [0.1, 0.9]]).expand(2, 2, 2)).lam       # both look right
    tensor([0.7000, 0.7000])
    """
    if attention.dim() != 3 or len(attention) != len(plan):
        raise ValueError(f"attention must have shape ({len(plan)}, n, m), got {tuple(attention.shape)}")
    check_range("[0, 1]", share=share)
    if attention.device.type == "cpu" and bool((attention < 0).any()):
        raise ValueError(f"attention must be at least 0, got {attention.min().item()}")
    parts, batch, _, height, width = plan.masks.shape
    if (height, width) == (1, 1):
        return plan  # a blend shows both images at every patch, and attention cannot tell them apart
    seen = F.interpolate(plan.masks.flatten(0, 1), size=attention.shape[1:], mode="nearest")
    looked = (seen.view(parts, batch, -1) * normalised(attention.float()[:, None]).flatten(1)).sum(2)
    weights = torch.lerp(plan.weights, looked.to(plan.weights), share)
    return plan.changed(weights=weights)


class TransMixing(Mixing):
    """Soft cross-entropy of a vision transformer, labels weighed by what its class token attends to.

    Args:
        mix: as for `Mixing`; its plans need masks, as those of `ml.cutmix` do.
        share: as for `transmix`.
        num_classes, smoothing, loss: as for `Mixing`.

    Raises:
        TypeError: a network that shows no attention.

    >>> import mixlearn as ml
    >>> net = ml.nets.vit(4, size=8, patch=4, dim=12, depth=2, channels=1)
    >>> list(TransMixing(ml.cutmix, num_classes=4)(net, torch.rand(2, 1, 8, 8), torch.tensor([0, 3])))
    ['mixed_labels']
    """

    def __init__(
        self,
        mix: Mix,
        share: float = 0.5,
        num_classes: int | None = None,
        smoothing: float = 0.0,
        loss: Loss | None = None,
    ) -> None:
        super().__init__(mix, num_classes, smoothing, loss)
        check_range("[0, 1]", share=share)
        self.share = share

    def __call__(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        inner = bare(model)
        if not hasattr(inner, "class_attention"):
            raise TypeError(
                f"TransMix needs a network with class_attention, as ml.nets.vit, got {type(inner).__name__}"
            )
        mixed, targets = self.mixed(self.mix, images, labels, generator)
        last = inner.stages[-3]  # the tokens that enter the last layer
        logits, tokens = read(model, mixed.images, last)
        attention = inner.class_attention(tokens[last])  # (B, n, m)
        targets = transmix(mixed.plan, attention, self.share).soften(labels, targets.shape[1])
        return {"mixed_labels": self.loss(logits_of(logits), self.smoothed(targets))}

    def __repr__(self) -> str:
        share = [] if self.share == 0.5 else [f"share={self.share}"]
        return self._in_words(in_words(self.mix), *share)
