"""Plans of rectangles: who is pasted, and into which box. Masks are made only where someone asks for them."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from mixlearn.core.combine import paste
from mixlearn.core.geometry import boxes_to_masks
from mixlearn.core.plan import MixPlan


class BoxPlan(MixPlan):
    """A plan of two parts whose masks are a box: the partner inside it, the image itself outside.

    A box is four numbers, its mask H × W of them, so the box is what is kept. `mix` copies the images and
    then pastes the box alone; `masks` makes the masks at the first use.

    Args:
        partner: (B,) int64, whom each image takes its box from.
        boxes: (B, 4) int64 as (x0, y0, x1, y1), half-open, inside the image; (1, 4) is one for all. They
            stay on the device where they are.
        size: (H, W) of the images, in pixels.
        lam: (B,), each image's own share of the label; None is the share of its own pixels.
        lam_asked: (B,), the λ that was drawn or given; None is `lam`.

    >>> plan = BoxPlan(torch.tensor([1, 0]), torch.tensor([[0, 0, 1, 2]]), (2, 4))
    >>> plan.lam
    tensor([0.7500, 0.7500])
    >>> plan.mix(torch.tensor([0, 8]).view(2, 1, 1, 1).expand(2, 1, 2, 4))[0, 0]
    tensor([[8, 0, 0, 0],
            [8, 0, 0, 0]])
    """

    size: tuple[int, int]
    corners: tuple[int, int, int, int] | None  # of the box that all images share

    def __init__(
        self,
        partner: Tensor,
        boxes: Tensor,
        size: tuple[int, int],
        lam: Tensor | None = None,
        lam_asked: Tensor | None = None,
    ) -> None:
        batch, device = partner.shape[0], partner.device
        corners = tuple(boxes[0].tolist()) if len(boxes) == 1 and boxes.device.type == "cpu" else None
        if lam is None and corners is not None:
            x0, y0, x1, y1 = corners
            own = 1 - (x1 - x0) * (y1 - y0) / (size[0] * size[1])
            weights = torch.tensor([[own], [1 - own]], device=device).expand(2, batch)
        else:
            lam = 1 - (boxes[:, 2:] - boxes[:, :2]).prod(1) / (size[0] * size[1]) if lam is None else lam
            lam = lam.expand(batch).to(device)
            weights = torch.stack([lam, 1 - lam])
        known = {
            "sources": torch.stack([torch.arange(batch, device=device), partner]),
            "weights": weights,
            "boxes": boxes.expand(batch, 4),
            "lam_asked": weights[0] if lam_asked is None else lam_asked.expand(batch).to(device),
            "size": size,
            "corners": corners,
        }
        vars(self).update(known)  # the class is frozen

    @property
    def masks(self) -> Tensor:
        """(2, B, 1, H, W): 1 where the image itself, 1 where its partner is seen."""
        if "_masks" not in vars(self):
            inside = boxes_to_masks(cast(Tensor, self.boxes).to(self.sources.device), *self.size)
            vars(self)["_masks"] = torch.stack([1 - inside, inside])
        return cast(Tensor, vars(self)["_masks"])

    def to(self, device: torch.device | str) -> BoxPlan:
        """The same plan on another device; the boxes stay where they are."""
        return type(self)(
            self.partner.to(device),
            cast(Tensor, self.boxes) if self.corners is None else cast(Tensor, self.boxes)[:1],
            self.size,
            self.lam.to(device),
            cast(Tensor, self.lam_asked).to(device),
        )

    def mix(self, images: Tensor) -> Tensor:
        """The images with their boxes pasted; (B, …, H, W) of any type: images, class ids, depth maps.

        Returns:
            A new tensor of the same shape, type and memory format. `images` is left as it was.

        Raises:
            ValueError: batch or pixels differ from the plan's.
        """
        self._check_pixels(images)
        return paste(images, self.partner, cast(Tensor, self.boxes), self.corners)

    def _check_pixels(self, images: Tensor) -> None:
        self._check_batch(images, "images")
        if images.dim() < 3 or tuple(images.shape[-2:]) != self.size:
            raise ValueError(
                f"images must have shape ({len(self)}, …, {self.size[0]}, {self.size[1]}) "
                f"to go with the boxes, got {tuple(images.shape)}"
            )
