"""SMMix: a transformer's most attended region laid over the least attended one of another image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import as_partner, check_generator, check_pixels, check_range
from mixlearn.core.draw import sample_partner
from mixlearn.core.fast import sent
from mixlearn.core.labels import one_hot
from mixlearn.core.plan import Mixed, apply_plan
from mixlearn.methods.learner import Draws, Mixing, Terms
from mixlearn.methods.mixup import mixup
from mixlearn.methods.ricap import CropPlan
from mixlearn.nets.taps import bare, evaluation, logits_of, read


def smmix(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    attention: Tensor,
    num_classes: int | None = None,
    side: tuple[float, float] = (0.25, 0.75),
    partner: Sequence[int] | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Paste the square of the partner with most attention over the image's own with least.

    Args:
        images, labels, num_classes, partner, generator: as for `mixup`, on (B, …, H, W).
        attention: (B, n, m), to the n × m patches of the images as they are; n and m divide H and W.
        side: the square's side, drawn for the batch between these shares of the shorter side of the grid,
            both rounded down to patches; it is at least one patch.

    Returns `Mixed(images, targets, plan)`; labels follow the areas. Source: Chen et al., *SMMix:
    Self-Motivated Image Mixing for Vision Transformers*, ICCV 2023; details from the authors' code, which
    pairs each batch with its reverse.

    >>> images = torch.arange(32.0).view(2, 1, 4, 4)
    >>> looked = torch.tensor([[[0.1, 0.4], [0.3, 0.2]], [[0.3, 0.2], [0.1, 0.4]]])
    >>> smmix(images, attention=looked, side=(0.5, 0.5), partner=[1, 0]).images[0, 0]       # its top left
    tensor([[26., 27.,  2.,  3.],
            [30., 31.,  6.,  7.],
            [ 8.,  9., 10., 11.],
            [12., 13., 14., 15.]])
    """
    height, width = check_pixels(images)
    check_generator(generator)
    batch, to = len(images), images.device
    if (
        attention.dim() != 3
        or len(attention) != batch
        or height % attention.shape[1]
        or width % attention.shape[2]
    ):
        expected = f"({batch}, n, m), n and m dividing {height} × {width} pixels"
        raise ValueError(f"attention must have shape {expected}, got {tuple(attention.shape)}")
    if len(side) != 2 or not 0 < side[0] <= side[1] <= 1:
        raise ValueError(f"side must satisfy 0 < least ≤ most ≤ 1, got {side}")
    n, m = attention.shape[1:]
    least, most = (max(int(share * min(n, m)), 1) for share in side)
    index = sample_partner(batch, generator=generator) if partner is None else as_partner(partner, batch)
    index, size = sent(index, to), int(torch.randint(least, most + 1, (), generator=generator))
    sums = F.avg_pool2d(attention.detach().float()[:, None], size, stride=1)  # (B, 1, n − size + 1, …)
    across, flat = sums.shape[3], sums.flatten(1)
    corner = torch.tensor([height // n, width // m])  # of a patch, in pixels
    unit = sent(corner, to)
    at, of = (
        torch.stack([k // across, k % across], 1) * unit for k in (flat.argmin(1), flat.argmax(1)[index])
    )
    rows, columns = (torch.arange(length, device=to) for length in (height, width))
    down = (rows >= at[:, :1]) & (rows < at[:, :1] + size * (height // n))  # (B, H)
    right = (columns >= at[:, 1:]) & (columns < at[:, 1:] + size * (width // m))
    pasted = (down[:, :, None] & right[:, None, :]).float()[:, None]  # (B, 1, H, W)
    share = torch.full((batch,), 1 - size * size / (n * m), device=to)
    sources = torch.stack([torch.arange(batch, device=to), index])
    weights, masks = torch.stack([share, 1 - share]), torch.stack([1 - pasted, pasted])
    shift = torch.stack([torch.zeros_like(at), of - at])  # (2, B, 2)
    plan = CropPlan(sources, masks, weights, None, share, shift=shift)
    return apply_plan(plan, images, labels, num_classes)


class SMMix(Mixing):
    """A vision transformer mixes by its own attention, classifies both regions, and agrees with itself.

    Three terms of the same weight: "mixed_labels"; "parts", the mean of two cross-entropies, each of the mean
    patch token of a region under the network's own head, with that image's label; "consistency", KL(p̂ ‖ p) of
    the mixture's answer p from p̂ = softmax(λ z + (1 − λ) z[partner]), z being the clean images' logits.

    Args:
        num_classes, smoothing: as for `Mixing`. side: as for `smmix`.
        odds: how often a batch is mixed so; the others take Mixup and have "mixed_labels" alone. With
            `smoothing=0.1` this stands for Mixup and CutMix in the DeiT recipe.
        alpha: of Mixup.

    Raises:
        TypeError: a network that shows no attention.

    >>> import mixlearn as ml
    >>> net = ml.nets.vit(4, size=8, patch=4, dim=12, depth=2, channels=1)
    >>> list(SMMix(num_classes=4)(net, torch.rand(2, 1, 8, 8), torch.tensor([0, 3])))
    ['mixed_labels', 'parts', 'consistency']
    """

    term_names = ("mixed_labels", "parts", "consistency")

    def __init__(
        self,
        num_classes: int | None = None,
        odds: float = 0.5,
        alpha: float = 0.8,
        side: tuple[float, float] = (0.25, 0.75),
        smoothing: float = 0.0,
    ) -> None:
        super().__init__(partial(mixup, alpha=alpha), num_classes, smoothing)
        check_range("[0, 1]", odds=odds)
        self.odds, self.alpha, self.side = odds, alpha, side

    def __call__(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        net = bare(model)
        if not hasattr(net, "patch_attention"):
            kind = type(net).__name__
            raise TypeError(f"SMMix needs a network with patch_attention, as ml.nets.vit, got {kind}")
        if torch.rand((), generator=generator).item() >= self.odds:
            terms = super().__call__(model, images, labels, generator=generator)
            none = terms["mixed_labels"].new_zeros(())
            return terms | {"parts": none, "consistency": none}
        before, after = net.stages[-3:-1]  # the tokens that enter and leave the last layer
        with torch.no_grad(), evaluation(net), self.autocast():
            clean, tokens = read(net, images, before)
            attention = net.patch_attention(tokens[before])  # (B, n, m)
        by = partial(smmix, attention=attention, side=self.side)
        mixed, targets = self.mixed(by, images, labels, generator)
        plan = mixed.plan
        answer, tokens = read(model, mixed.images, after)
        logits, expected = logits_of(answer), plan.blend(logits_of(clean).float()).softmax(1)
        grid = plan.masks[:, :, 0, :: net.patch, :: net.patch].flatten(2).to(logits)  # (2, B, patches)
        means = torch.einsum("kbp,bpd->kbd", grid, net.norm(tokens[after])[:, 1:].to(logits))
        rows = labels if labels.dim() == 2 else one_hot(labels, targets.shape[1])
        parts = [
            self.loss(net.head(mean / seen.sum(1, keepdim=True)), self.smoothed(rows[source]))
            for mean, seen, source in zip(means, grid, plan.sources, strict=True)
        ]
        apart = F.kl_div(logits.float().log_softmax(1), expected, reduction="batchmean")
        loss = self.loss(logits, self.smoothed(targets))
        return {"mixed_labels": loss, "parts": torch.stack(parts).mean(), "consistency": apart}

    def __repr__(self) -> str:
        return self._in_words(f"odds={self.odds}", f"alpha={self.alpha}", f"side={self.side}")
