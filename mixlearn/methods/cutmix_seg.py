"""CutMix for segmentation without labels: boxes of one area, and a student that agrees with its teacher."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import check_pixels, check_range
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.fast import sent
from mixlearn.core.plan import BoxPlan, Mixed, MixPlan, apply_plan


def cutmix_seg(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    share: float = 0.5,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = True,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Paste a box of a fixed share of the pixels, of random shape and place, for consistency training.

    Args:
        images, labels, num_classes, partner, generator: as for `mixup`, on (B, …, H, W).
        share: of the pixels that the box covers, in (0, 1], up to whole pixels. The paper takes ½.
        per_image: draw a box for each image, as the paper does, or one for the batch.

    The height is drawn as share^u of the image's, u uniform in [0, 1], the width follows, and the box lies
    anywhere inside: unlike CutMix's it is never clipped. Returns `Mixed(images, targets, plan)`; `plan.mix`
    mixes label maps (B, H, W) and a teacher's answers, see `segmentation_consistency`. Source: French et al.,
    *Semi-supervised semantic segmentation needs strong, varied perturbations*, BMVC 2020, and the code.
    Raises ValueError for images without height and width, or a share outside (0, 1].

    >>> mixed = cutmix_seg(torch.rand(4, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    >>> bool(((mixed.plan.lam - 0.5).abs() < 0.03).all()), len(mixed.plan.boxes.unique(dim=0))
    (True, 4)
    """
    height, width = check_pixels(images)
    check_range("(0, 1]", share=share)
    partner, _ = given_or_drawn(1.0, partner, len(images), 1.0, per_image, generator)
    n, sizes = len(images) if per_image else 1, torch.tensor([width, height])
    tall = share ** torch.rand(n, generator=generator)
    lengths = (torch.stack([share / tall, tall], 1) * sizes).round()  # (n, 2), across and down
    start = ((sizes - lengths) * torch.rand(n, 2, generator=generator)).round()
    boxes = torch.cat([start, start + lengths], 1).long()  # (n, 4)
    partner, asked = sent(partner, images.device), torch.full((len(images),), 1 - share)
    plan = BoxPlan(partner, boxes, (height, width), lam_drawn=sent(asked, images.device))
    return apply_plan(plan, images, labels, num_classes)


def segmentation_consistency(
    logits: Tensor, teacher: Tensor, plan: MixPlan, *, confidence: float = 0.97
) -> Tensor:
    """How far a student's answers on mixed images are from a teacher's answers, mixed by the same plan.

        mean over pixels of Σ_c (p_c − p̂_c)²  ·  share of pixels whose mixed p̂ reaches the confidence

    Args:
        logits: (B, C, H, W), the student's on the mixed images.
        teacher: (B, C, H, W), the teacher's on the images as they were; no gradient goes there.
        plan: of the mixture: any that mixes images (B, C, H, W), with hard masks in the paper.
        confidence: of the teacher's likeliest class, in [0, 1]; 0 counts every pixel.

    Returns a scalar. Raises ValueError for other shapes, or a confidence outside [0, 1].
    Source: French et al., BMVC 2020, section 3; the squared error and 0.97 as in the authors' code.

    >>> teacher = torch.randn(2, 3, 4, 4)
    >>> plan = cutmix_seg(torch.zeros(2, 1, 4, 4)).plan
    >>> segmentation_consistency(plan.mix(teacher), teacher, plan, confidence=0.0)
    tensor(0.)
    """
    check_range("[0, 1]", confidence=confidence)
    if logits.dim() != 4 or logits.shape != teacher.shape:
        shapes = f"{tuple(logits.shape)} and {tuple(teacher.shape)}"
        raise ValueError(f"logits and teacher must both have shape (B, C, H, W), got {shapes}")
    expected = plan.mix(teacher.detach().softmax(1))
    sure = (expected.amax(1) >= confidence).float().mean()
    return (logits.softmax(1) - expected).square().sum(1).mean() * sure
