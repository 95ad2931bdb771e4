"""SaliencyMix: CutMix whose box is centred where the partner is most worth looking."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import check_pixels
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.fast import sent
from mixlearn.core.plan import BoxPlan, Mixed, apply_plan
from mixlearn.methods.saliency import Saliency, saliency_of, spectral_residual


def saliencymix(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    alpha: float = 1.0,
    saliency: Saliency = spectral_residual,
    lam: float | Sequence[float] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    one_peak: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Paste the box around the partner's most salient pixel, at the same place in the image.

    Args:
        images: (B, C, H, W) float, in any units. Not changed.
        labels: (B,) integer class ids or (B, C) soft labels; None mixes images alone.
        num_classes: C, needed with class ids.
        alpha: λ is drawn from Beta(α, α). The paper takes 1.
        saliency: (B, 1, H, W) of the images as they are, or a function that makes it. The authors take
            OpenCV's fine-grained saliency, another map, and compute it on normalised images.
        lam: λ in [0, 1] that the box is asked to leave, one for the batch or (B,), instead of a draw.
        partner: (B,) indices into the batch, instead of a random permutation.
        per_image: draw λ for each image rather than once for the batch; places differ either way.
        one_peak: put every box where the first image's partner has its peak, as the authors' code does.
            For study.
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        `Mixed(images, targets, plan)`; λ is the share of its own pixels.

    Raises:
        TypeError: integer images, float class ids, partners that are no integers.
        ValueError: α not positive, λ outside [0, 1], a saliency of another shape, shapes that disagree.

    Source: Uddin et al., *SaliencyMix: A Saliency Guided Data Augmentation Strategy for Better
    Regularization*, ICLR 2021. The authors' code rounds the sides of the box down, see `sample_boxes`.

    >>> peaks = torch.zeros(2, 1, 8, 8); peaks[0, 0, 2, 2] = peaks[1, 0, 5, 6] = 1
    >>> saliencymix(torch.rand(2, 1, 8, 8), saliency=peaks, lam=0.75, partner=[1, 0]).plan.boxes.tolist()
    [[4, 3, 8, 7], [0, 0, 4, 4]]
    """
    height, width = check_pixels(images)
    batch = images.shape[0]
    partner, share = given_or_drawn(lam, partner, batch, alpha, per_image, generator)
    peak = saliency_of(saliency, images).flatten(1).argmax(1)
    peak = peak[sent(partner, peak.device)]
    if one_peak:
        peak = peak[:1]
    side = (1 - share.expand(batch).double()).sqrt()
    corners = []
    for centre, size in ((peak % width, width), (peak // width, height)):
        length = sent((side * size).round().long(), peak.device)
        start = centre - length // 2
        corners.append((start.clamp(0, size), (start + length).clamp(0, size)))
    (x0, x1), (y0, y1) = corners
    boxes = torch.stack([x0, y0, x1, y1], dim=1)
    plan = BoxPlan(sent(partner, images.device), boxes, (height, width), None, share)
    return apply_plan(plan, images, labels, num_classes)
