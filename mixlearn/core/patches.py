"""Boxes, masks and patches: where a pixel comes from. No randomness here."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from mixlearn.core.checks import check_size
from mixlearn.core.fast import Fill, laid_out_as, wants_graph
from mixlearn.core.plan import MixPlan


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut images into square patches, row by row; (B, C, H, W) → (B, N, C, patch, patch), N = HW / patch².

    Raises:
        ValueError: patch does not divide H and W.

    >>> patchify(torch.arange(16.).view(1, 1, 4, 4), 2)[0, 1, 0]
    tensor([[2., 3.],
            [6., 7.]])
    """
    batch, channels, height, width = images.shape
    if patch < 1 or height % patch or width % patch:
        raise ValueError(
            f"patch must divide height and width, got patch {patch} for {height} × {width} pixels"
        )
    rows, columns = height // patch, width // patch
    cut = images.reshape(batch, channels, rows, patch, columns, patch)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, channels, patch, patch)


def unpatchify(patches: Tensor, height: int, width: int) -> Tensor:
    """Put patches back; (B, N, C, patch, patch) → (B, C, height, width). The inverse of `patchify`.

    >>> images = torch.arange(32.).view(2, 1, 4, 4)
    >>> unpatchify(patchify(images, 2), 4, 4).equal(images)
    True
    """
    batch, count, channels, patch, _ = patches.shape
    rows, columns = height // patch, width // patch
    if rows * columns != count or rows * patch != height or columns * patch != width:
        raise ValueError(
            f"{count} patches of {patch} pixels do not make an image of {height} × {width} pixels"
        )
    grid = patches.reshape(batch, rows, columns, channels, patch, patch)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, height, width)


FEW = 4  # parts up to which laying one over the other is quicker on a CPU than gathering


WIDE = ((16, torch.complex128), (8, torch.int64), (4, torch.int32), (2, torch.int16), (1, torch.uint8))


class PatchPlan(MixPlan):
    """A plan of M parts: patches of group g of mixture i come from image i + g of the batch, counted round.

    Every patch keeps its place, and the groups are the same for all images, so each patch of each image is
    used exactly once.

    Args:
        groups: (T,) int64 in 0…M−1, the group of each patch, row by row. On the CPU.
        batch: B, how many images.
        patch: height and width of a patch, in pixels.
        size: (H, W) of the images, in pixels.
        parts: M.

    Raises:
        ValueError: patches that do not fill the images, groups outside 0…M−1, or of a wrong count.

    >>> plan = PatchPlan(torch.tensor([0, 1, 1, 0]), 3, 1, (2, 2), 2)
    >>> plan.mix(torch.arange(3.).view(3, 1, 1, 1).expand(3, 1, 2, 2))[0, 0]
    tensor([[0., 1.],
            [1., 0.]])
    >>> plan.source_matrix()
    tensor([[0.5000, 0.5000, 0.0000],
            [0.0000, 0.5000, 0.5000],
            [0.5000, 0.0000, 0.5000]])
    """

    patch: int
    size: tuple[int, int]
    groups: Tensor
    _device: torch.device
    _stay: ClassVar[tuple[str, ...]] = ("groups", "_pixels")

    def __init__(self, groups: Tensor, batch: int, patch: int, size: tuple[int, int], parts: int) -> None:
        height, width = size
        if patch < 1 or height % patch or width % patch:
            raise ValueError(
                f"patch must divide height and width, got patch {patch} for {height} × {width} pixels"
            )
        count = (height // patch) * (width // patch)
        if tuple(groups.shape) != (count,):
            raise ValueError(f"groups must have shape ({count},), one a patch, got {tuple(groups.shape)}")
        low, high = (int(group) for group in torch.aminmax(groups))
        if low < 0 or high >= parts:
            raise ValueError(f"groups must lie in 0…{parts - 1}, got {low} to {high}")
        known = {"_batch": batch, "patch": patch, "size": size, "groups": groups, "parts": parts}
        vars(self).update(known, _device=groups.device, boxes=None)  # the class is frozen

    def to(self, device: torch.device | str) -> PatchPlan:
        """The same plan for images on another device."""
        plan = super().to(device)
        vars(plan)["_device"] = torch.device(device)
        return plan

    @property
    def device(self) -> torch.device:
        """Where it is applied. The groups themselves stay on the CPU."""
        return self._device

    def __len__(self) -> int:
        batch: int = vars(self)["_batch"]
        return batch

    @cached_property
    def sources(self) -> Tensor:
        """(M, B): image i itself, then the next ones of the batch."""
        parts = torch.arange(vars(self)["parts"], device=self._device)
        return (torch.arange(len(self), device=self._device) + parts[:, None]) % len(self)

    @cached_property
    def weights(self) -> Tensor:
        """(M, B): the share of patches that each part has."""
        counts = torch.bincount(self.groups, minlength=vars(self)["parts"])
        return (counts / counts.sum()).to(self._device, non_blocking=True)[:, None].expand(-1, len(self))

    @cached_property
    def masks(self) -> Tensor:
        """(M, B, 1, H, W): 1 in the patches of a group."""
        parts = torch.arange(vars(self)["parts"])
        chosen = (self._pixels == parts[:, None, None]).float().to(self._device, non_blocking=True)
        return chosen[:, None, None].expand(-1, len(self), 1, *self.size)

    @cached_property
    def lam_asked(self) -> Tensor:
        """(B,): each image's own share."""
        return self.lam

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """The images with their patches taken from the batch; (B, …, H, W) of any type.

        Pieces of rows, as long as a patch is wide, are gathered once: what is read is what is written,
        whatever the number of parts. On a CPU a few parts are laid over each other more quickly. Either way
        pixels are copied bit by bit, those that are not finite too.

        Returns:
            A new tensor of the same shape, type and memory format. `images` is left as it was.

        Raises:
            ValueError: batch or pixels differ from the plan's.
        """
        check_size(images, len(self), self.size, "patches")
        plain = images.contiguous()
        on_cpu = plain.device.type == "cpu" and not wants_graph(plain)
        few = vars(self)["parts"] <= FEW and len(self) > 1
        return laid_out_as(images, self._laid_over(plain) if on_cpu and few else self._gathered(plain))

    def _gathered(self, images: Tensor) -> Tensor:
        """By one gather."""
        pieces = images.view(-1, self.patch)
        each = pieces.shape[0] // len(self)
        rows = self._pixels[:, :: self.patch].to(images.device, non_blocking=True)  # of each piece of a row
        shift = rows.expand(each // rows.numel(), -1, -1).reshape(-1) * each
        index = torch.arange(len(pieces), device=images.device).view(len(self), each) + shift
        index[len(self) - min(len(self), vars(self)["parts"]) :] %= len(pieces)
        return pieces.index_select(0, index.view(-1)).view(images.shape)

    def _laid_over(self, images: Tensor) -> Tensor:
        """Group by group: an image g further on is laid over the others in the places of group g.

        Neighbouring pixels of a patch go together, read as one number of up to 16 bytes: nothing is computed
        of them, and a few wide numbers are chosen between more quickly than many narrow ones.
        """
        piece = images.element_size() * self.patch
        width, kind = next((width, kind) for width, kind in WIDE if piece % width == 0)
        together = width // images.element_size()
        aligned = images.clone() if images.storage_offset() % together else images.detach()
        flat = aligned.view(len(self), -1).view(kind)
        groups = self._pixels[:, ::together].expand(*images.shape[1:-1], -1).reshape(-1)
        below, out = flat, torch.empty_like(flat)
        for group in range(1, vars(self)["parts"]):
            here, start = groups == group, group % len(self)
            for rows, from_rows in (
                (slice(0, len(self) - start), slice(start, None)),
                (slice(len(self) - start, None), slice(0, start)),
            ):
                torch.where(here, flat[from_rows], below[rows], out=out[rows])
            below = out
        return (out if below is out else flat.clone()).view(images.dtype).view(images.shape)

    @cached_property
    def _pixels(self) -> Tensor:
        """(H, W): the group of each pixel."""
        height, width = self.size
        grid = self.groups.view(height // self.patch, 1, width // self.patch, 1)
        return grid.expand(-1, self.patch, -1, self.patch).reshape(height, width)
