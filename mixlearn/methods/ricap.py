"""RICAP: four images meet at a random point, each by a crop of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mixlearn.core.checks import check_generator, check_pixels
from mixlearn.core.draw import sample_lam, sample_partner
from mixlearn.core.fast import Fill, laid_out_as
from mixlearn.core.plan import Mixed, MixPlan, apply_plan


@dataclass(frozen=True, eq=False, kw_only=True)
class CropPlan(MixPlan):
    """A plan of hard masks whose parts move: pixel p shows pixel p + `shift` of its source.

    Args:
        shift: (K, B, 2) int64, rows and columns, for each part of each image.
    """

    shift: Tensor

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """The crops side by side; (B, …, H, W) of any type. `fill` is unused."""
        self._check_pixels(images)
        (height, width), to = images.shape[-2:], images.device
        part, each = self.masks.argmax(0)[:, 0], torch.arange(len(self), device=to)[:, None, None]
        shift = self.shift[part, each]  # (B, H, W, 2)
        rows = torch.arange(height, device=to)[:, None] + shift[..., 0]
        columns = torch.arange(width, device=to) + shift[..., 1]
        return pixels_of(images, self.sources[part, each], rows, columns)


def pixels_of(images: Tensor, source: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixel at (row, column) of a source, for each pixel of each image: (B, H, W) three times."""
    flat = images.reshape(len(images), -1, *images.shape[-2:])
    channels = torch.arange(flat.shape[1], device=images.device)[:, None, None]
    shown = flat[source[:, None], channels, rows[:, None], columns[:, None]]  # (B, C, H, W)
    return laid_out_as(images, shown.view(images.shape))


def ricap(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    alpha: float = 0.3,
    per_image: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Fill the four rectangles around a random point with crops of four images; labels follow the areas.

    Args:
        images, labels, num_classes, per_image, generator: as for `mixup`, on (B, …, H, W).
        alpha: the point's row and column, as shares of the sides, are drawn from Beta(α, α).

    Returns `Mixed(images, targets, plan)`. The plan has four parts, first the image itself at the top left,
    and its `shift` says where each crop is from. Source: Takahashi, Matsubara & Uehara, *RICAP: Random Image
    Cropping and Patching Data Augmentation for Deep CNNs*, ACML 2018, there "anywhere-RICAP".

    >>> mixed = ricap(torch.rand(8, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    >>> mixed.plan.sources.shape, mixed.plan.weights.sum(0)[:2]
    (torch.Size([4, 8]), tensor([1., 1.]))
    """
    height, width = check_pixels(images)
    check_generator(generator)
    batch = len(images)
    others = [sample_partner(batch, generator=generator) for _ in range(3)]
    n, sizes = batch if per_image else 1, torch.tensor([height, width])
    point = torch.stack([sample_lam(n, alpha, generator=generator) for _ in range(2)], 1)
    point = (point * sizes).round().long()  # (n, 2), row and column
    later = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])[:, None] > 0  # (4, 1, 2): below, to the right
    start, length = point * later, torch.where(later, sizes - point, point)  # (4, n, 2)
    place = (torch.rand(4, n, 2, generator=generator) * (sizes - length + 1)).long()
    below, right = torch.arange(height) >= point[:, :1], torch.arange(width) >= point[:, 1:]
    corner = 2 * below[:, :, None] + right[:, None].long()  # (n, H, W), 0…3
    masks = (corner == torch.arange(4).view(4, 1, 1, 1))[:, :, None].float()  # (4, n, 1, H, W)
    weights = (length.prod(2) / (height * width)).expand(4, batch)
    sources, masks = torch.stack([torch.arange(batch), *others]), masks.expand(4, batch, 1, height, width)
    plan = CropPlan(sources, masks, weights, None, weights[0], shift=(place - start).expand(4, batch, 2))
    return apply_plan(plan, images, labels, num_classes)
