"""Cutout: squares of an image erased, its label kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import check_pixels
from mixlearn.core.draw import sample_squares
from mixlearn.core.geometry import boxes_to_masks
from mixlearn.core.mixed import Mixed, apply_plan
from mixlearn.core.plan import MixPlan
from mixlearn.methods.cutmix import as_boxes


class ErasePlan(MixPlan):
    """A plan of one part whose erased pixels are 0 whatever they were, NaN and infinity too."""

    def mix(self, images: Tensor) -> Tensor:
        """The images with their squares erased; (B, …, H, W) of any type."""
        self._check_pixels(images)
        if images.dim() < 3:  # values of one pixel, without their rows and columns
            return super().mix(images)
        seen = self.masks[0] != 0
        seen = seen.reshape(len(self), *(1,) * (images.dim() - 3), *seen.shape[-2:])
        return torch.where(seen, images, images.new_zeros(()))


def cutout(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    size: int = 16,
    holes: int = 1,
    boxes: Sequence[Sequence[int]] | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Set squares of each image to 0, which is the mean colour of normalised images.

    In the algebra of mixing this is a plan with one part, the image itself, whose mask misses the square:
    the pixels are lost, the label stays whole.

    Args:
        images: (B, C, H, W), or any float tensor (B, …, H, W), normalised. Not changed.
        labels: (B,) integer class ids or (B, C) soft labels; None mixes images alone.
        num_classes: C, needed with class ids.
        size: side of a square in pixels. The paper takes 16 on CIFAR-10 and 8 on CIFAR-100.
        holes: squares an image, where they are drawn.
        boxes: (x0, y0, x1, y1) to erase instead of a draw: one for the batch or (B, 4).
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        `Mixed(images, targets, plan)`; the targets are the labels as they were, as (B, C).

    Raises:
        TypeError: integer images or float class ids.
        ValueError: a negative size, no holes, several holes besides boxes, boxes outside the image, labels
            out of range.

    Source: DeVries & Taylor, *Improved Regularization of Convolutional Neural Networks with Cutout*, 2017.

    >>> mixed = cutout(torch.ones(1, 1, 2, 4), torch.tensor([1]), num_classes=2, boxes=[0, 0, 1, 2])
    >>> mixed.images[0, 0]
    tensor([[0., 1., 1., 1.],
            [0., 1., 1., 1.]])
    >>> mixed.targets
    tensor([[0., 1.]])
    """
    height, width = check_pixels(images)
    batch = images.shape[0]
    if holes < 1:
        raise ValueError(f"holes must be at least 1, got {holes}")
    if boxes is not None and holes > 1:
        raise ValueError(
            f"holes are drawn, but boxes hold one for each image, got holes = {holes} with boxes"
        )
    if boxes is None:
        found = sample_squares(batch * holes, size, height, width, generator=generator)
    else:
        found = as_boxes(boxes, batch, height, width).expand(batch, 4)
    gone = boxes_to_masks(found, height, width).view(batch, holes, height, width).amax(1, keepdim=True)
    own = torch.arange(batch)[None]
    plan = ErasePlan(
        own, (1 - gone)[None], torch.ones(1, batch), found if holes == 1 else None, torch.ones(batch)
    )
    return apply_plan(plan, images, labels, num_classes)
