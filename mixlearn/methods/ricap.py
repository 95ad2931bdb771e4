"""RICAP: four images meet at a random point, each by a crop of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mixlearn.core.checks import check_generator, check_pixels
from mixlearn.core.draw import sample_lam, sample_partner
from mixlearn.core.fast import Fill, as_fill, laid_out_as
from mixlearn.core.plan import Mixed, MixPlan, apply_plan


@dataclass(frozen=True, eq=False, kw_only=True)
class CropPlan(MixPlan):
    """A plan of hard masks whose parts move: pixel p shows pixel p + `shift` of its source.

    Args:
        shift: (K, B, 2) int64, rows and columns, for each part of each image.
        resized: (height, width) to which sources are first resized, at the nearest pixels; None: not at all.
    """

    shift: Tensor
    resized: tuple[int, int] | None = None

    @property
    def places(self) -> Tensor:
        """The box (x0, y0, x1, y1) that each whole source would fill, (K, B, 4); it may reach beyond all."""
        height, width = self.resized or self.masks.shape[-2:]
        return torch.cat(
            [x := -self.shift.flip(2), torch.stack([x[..., 0] + width, x[..., 1] + height], 2)], 2
        )

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """The crops side by side; (B, …, H, W) of any type. `fill` is for pixels that no mask keeps."""
        self._check_pixels(images)
        (height, width), to = images.shape[-2:], images.device
        part, each = self.masks.argmax(0)[:, 0], torch.arange(len(self), device=to)[:, None, None]
        source, shift = self.sources[part, each][:, None], self.shift[part, each][:, None]  # (B, 1, H, W, …)
        rows = torch.arange(height, device=to)[:, None] + shift[..., 0]
        columns = torch.arange(width, device=to) + shift[..., 1]
        if self.resized is not None:
            rows = (rows * height // self.resized[0]).clamp_(0, height - 1)  # what no mask keeps is anywhere
            columns = (columns * width // self.resized[1]).clamp_(0, width - 1)
        flat = images.reshape(len(self), -1, height, width)
        channels = torch.arange(flat.shape[1], device=to)[:, None, None]
        mixed = laid_out_as(images, flat[source, channels, rows, columns].view(images.shape))
        if self.resized is None:
            return mixed
        kept = (self.masks.amax(0) > 0).view(len(self), *(1,) * (images.dim() - 3), height, width)
        return torch.where(kept, mixed, as_fill(fill, images))


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
