"""Cutout: squares of an image erased, its label kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.boxes import boxes_to_masks
from mixlearn.core.checks import as_count, check_pixels
from mixlearn.core.draw import sample_squares
from mixlearn.core.fast import Fill, as_fill
from mixlearn.core.plan import Mixed, MixPlan
from mixlearn.methods.cutmix import as_boxes


class ErasePlan(MixPlan):
    """A plan of one part whose erased pixels become `fill` whatever they were, NaN and infinity too."""

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """The images with their squares erased; (B, …, H, W) of any type."""
        self._check_pixels(images)
        if images.dim() < 3:  # values of one pixel, without their rows and columns
            return super().mix(images, fill=fill)
        seen = self.masks[0] != 0
        seen = seen.reshape(len(self), *(1,) * (images.dim() - 3), *seen.shape[-2:])
        return torch.where(seen, images, as_fill(fill, images))


def cutout(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    size: int = 16,
    holes: int = 1,
    boxes: Sequence[Sequence[int]] | Tensor | None = None,
    fill: Fill = 0,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Set squares of each image to one colour, by default 0, which is the mean colour of normalised images.

    In the algebra of mixing this is a plan with one part, the image itself, whose mask misses the square:
    the pixels are lost, the label stays whole.

    Args:
        images, labels, num_classes, generator: as for `mixup`, on (B, …, H, W).
        size: side of a square in pixels. The paper takes 16 on CIFAR-10 and 8 on CIFAR-100.
        holes: squares an image, where they are drawn.
        boxes: (x0, y0, x1, y1) to erase instead of a draw: one for the batch or (B, 4).
        fill: what erased pixels become: a number, or one for each channel, in the units of `images`. To erase
            maps of class ids alike: `plan.mix(maps, fill=255)`, with the id that the loss ignores.

    Returns `Mixed(images, targets, plan)`; the targets are the labels as they were, as (B, C). Source:
    DeVries & Taylor, *Improved Regularization of Convolutional Neural Networks with Cutout*, 2017.

    >>> mixed = cutout(torch.ones(1, 1, 2, 4), torch.tensor([1]), num_classes=2, boxes=[0, 0, 1, 2])
    >>> mixed.images[0, 0].tolist(), mixed.targets.tolist()
    ([[0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]], [[0.0, 1.0]])
    """
    height, width = check_pixels(images)
    batch = images.shape[0]
    holes = as_count(holes, "holes", 1)
    if boxes is not None and holes > 1:
        raise ValueError(f"holes are drawn, boxes hold one for each image, got holes = {holes} with boxes")
    if boxes is None:
        corners = sample_squares(batch * holes, size, height, width, generator=generator)
    else:
        corners = as_boxes(boxes, batch, height, width).expand(batch, 4)
    gone = boxes_to_masks(corners, height, width).view(batch, holes, height, width).amax(1, keepdim=True)
    own, whole = torch.arange(batch)[None], torch.ones(1, batch)
    plan = ErasePlan(own, (1 - gone)[None], whole, corners if holes == 1 else None, whole[0])
    plan = plan if plan.device == images.device else plan.to(images.device)
    targets = None if labels is None else plan.soften(labels, num_classes)
    return Mixed(plan.mix(images, fill=fill), targets, plan)
