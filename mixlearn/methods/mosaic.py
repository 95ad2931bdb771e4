"""Mosaic: four images, made small, meet at a random centre."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import as_partner, check_generator, check_pixels, check_range
from mixlearn.core.draw import sample_partner
from mixlearn.core.fast import Fill
from mixlearn.core.plan import Mixed
from mixlearn.methods.ricap import CropPlan


def mosaic(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    scale: float = 0.5,
    middle: tuple[float, float] = (0.25, 0.75),
    centre: Sequence[int] | None = None,
    partners: Sequence[Sequence[int]] | Tensor | None = None,
    fill: Fill = 0,
    per_image: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Resize four images and lay each with a corner at one point; labels follow the areas that are seen.

    Args:
        images, labels, num_classes, per_image, generator: as for `mixup`, on (B, …, H, W).
        scale: τ in (0, 1], by which sides shrink. At ½ most of each image is seen and gaps may remain;
            at 1, as in YOLOv4's own code, each fills its quarter and is cut.
        middle: the centre is drawn uniformly between these shares of the sides.
        centre: (x, y) in pixels, inside the image, for all, instead of a draw.
        partners: (3, B) indices: whose images lie at the top right, bottom left and bottom right.
        fill: value of the gaps, as for `cutout`. Ultralytics fills them with 114 of 255.

    Returns `Mixed(images, targets, plan)`. The plan has four parts, first the image itself at the top left;
    `ml.mix_objects` moves the objects. Weights are shares of the pixels that are not gaps. Source:
    Bochkovskiy, Wang & Liao, *YOLOv4: Optimal Speed and Accuracy of Object Detection*, 2020. Ultralytics lays
    whole images on a canvas twice as large, with the centre between ¼ and ¾: this is it, at half its size.
    Raises ValueError for partners, a centre, a middle or a scale of other lengths or outside these ranges.

    >>> images = torch.arange(4.).view(4, 1, 1, 1).expand(4, 1, 4, 4)
    >>> mixed = mosaic(images, centre=[1, 2], partners=[[1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]], fill=9)
    >>> mixed.images[0, 0].int().tolist(), mixed.plan.weights[:, 0]
    ([[0, 1, 1, 9], [0, 1, 1, 9], [2, 3, 3, 9], [2, 3, 3, 9]], tensor([0.1667, 0.3333, 0.1667, 0.3333]))
    """
    height, width = check_pixels(images)
    check_generator(generator)
    check_range("(0, 1]", scale=scale)
    least, most = middle
    if not 0 <= least <= most <= 1:
        raise ValueError(f"middle must satisfy 0 ≤ least ≤ most ≤ 1, got {middle}")
    batch, sizes = len(images), torch.tensor([width, height])
    given = [sample_partner(batch, generator=generator) for _ in range(3)] if partners is None else partners
    if len(given) != 3:
        raise ValueError(f"partners must be three lists of {batch} indices, got {len(given)}")
    others = [as_partner(partner, batch).cpu() for partner in given]
    if centre is None:
        drawn = torch.rand(batch if per_image else 1, 2, generator=generator)
        point = ((least + (most - least) * drawn) * sizes).long()  # (n, 2), x and y
    else:
        point = torch.as_tensor(centre)[None].long()
        if tuple(point.shape) != (1, 2) or bool(((point < 0) | (point > sizes)).any()):
            raise ValueError(f"centre must be (x, y) inside {height} × {width} (H × W), got {centre}")
    shown = (scale * sizes).round().long().clamp_min(1)  # of a whole image
    later = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]])[:, None] > 0  # (4, 1, 2): right of it, below it
    start = torch.where(later, point, point - shown)  # (4, n, 2)
    (x0, y0), (x1, y1) = (ends[..., None].unbind(2) for ends in (start, start + shown))  # (4, n, 1) each
    rows, columns = torch.arange(height), torch.arange(width)
    down, across = (rows >= y0) & (rows < y1), (columns >= x0) & (columns < x1)  # (4, n, H), (4, n, W)
    masks = (down[..., None] & across[:, :, None]).float()[:, :, None]  # (4, n, 1, H, W)
    areas = masks.sum((2, 3, 4))
    sources, weights = torch.stack([torch.arange(batch), *others]), (areas / areas.sum(0)).expand(4, batch)
    plan = CropPlan(
        *(sources, masks.expand(4, batch, 1, height, width), weights, None, weights[0]),
        shift=-start.flip(2).expand(4, batch, 2),
        resized=(int(shown[1]), int(shown[0])),
    )
    plan = plan if plan.device == images.device else plan.to(images.device)
    targets = None if labels is None else plan.soften(labels, num_classes)
    return Mixed(plan.mix(images, fill=fill), targets, plan)
