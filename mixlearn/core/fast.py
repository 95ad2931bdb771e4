"""Fast ways to compute `plan.weighted_sum`; tests hold each equal to that formula.

Also copies between the CPU and an accelerator that seldom make the host wait: a plain `tensor.to("cuda")`
waits until the GPU has finished all its work, even for four numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Fill = float | Sequence[float] | Tensor
LARGE = 8_000  # values of an image from which pasting one box after the other is quicker than a mask
FEW = 4  # parts up to which laying patches over each other is quicker on a CPU than gathering
BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # integers by size in bytes
WIDE = ((16, torch.complex128), (8, torch.int64), (4, torch.int32), (2, torch.int16), (1, torch.uint8))


def sent(values: Tensor, device: torch.device) -> Tensor:
    """The values on a device. To a GPU they are copied in the background; a copy to the CPU, which may be
    read at once, does wait."""
    return values.to(device, non_blocking=device.type not in ("cpu", "mps"))  # mps: may free them too early


def fetched(*values: Tensor) -> tuple[Tensor, ...]:
    """Several tensors of one device on the CPU, for a single wait."""
    if values[0].device.type == "cpu":
        return values
    together = torch.cat([value.reshape(-1) for value in values]).cpu()  # in a type that holds them all
    parts = together.split([value.numel() for value in values])
    return tuple(part.view(value.shape).to(value.dtype) for part, value in zip(parts, values, strict=True))


def wants_graph(*tensors: Tensor) -> bool:
    """Whether a formula is to be written out: for autograd, or for a compiler."""
    learns = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return torch.compiler.is_compiling() or learns


def channels_last(values: Tensor) -> bool:
    """Whether values (B, C, H, W) have their channels together. One channel, or one pixel, is both layouts at
    once and counts as contiguous: other strides make some convolutions of torch write out of bounds."""
    last = values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last)
    return last and not values.is_contiguous()


def laid_out_as(images: Tensor, values: Tensor) -> Tensor:
    """values in the memory format of images: with channels together, or else contiguous."""
    layout = torch.channels_last if channels_last(images) else torch.contiguous_format
    return values.contiguous(memory_format=layout)


def take(values: Tensor, source: Tensor) -> Tensor:
    """values[source] in the memory format of values."""
    return laid_out_as(values, values.index_select(0, source))


def quick_sum(values: Tensor, sources: Tensor, shares: Tensor, pair: bool = False) -> Tensor | None:
    """Σₖ shareₖ ⊙ v[sₖ] for values (B, …), sources (K, B), shares (K, B, …); None where the formula is best.

    With shares that are constant over an image an embedding bag is this sum; it has no second derivative, so
    it is not for gradients. A `pair`, whose shares sum to 1, is one interpolation.
    """
    graph = wants_graph(values, shares)
    if not graph and shares.numel() == sources.numel():
        last = channels_last(values)
        rows = values.permute(0, 2, 3, 1) if last else values
        starts = torch.arange(0, sources.numel(), len(sources), device=values.device)
        weights = shares.view(sources.shape).T.to(values.dtype).reshape(-1)  # (B K,)
        table, ids = rows.reshape(len(values), -1), sources.T.reshape(-1)  # (B, C H W), (B K,)
        sums = torch.embedding_bag(table, ids, starts, mode=0, per_sample_weights=weights)[0]
        return sums.view(rows.shape).permute(0, 3, 1, 2) if last else sums.view(rows.shape)
    if not pair:
        return None
    other, share = take(values, sources[1]), shares[0].to(values.dtype)
    return torch.lerp(other, values, share) if graph else torch.lerp(other, values, share, out=other)


def pick(values: Tensor, sources: Tensor, masks: Tensor, fill: Fill = 0) -> Tensor:
    """Σₖ Mₖ ⊙ v[sₖ] for integer maps, which cannot be averaged: v[sₖ] where Mₖ is 1, `fill` where none is."""
    if not bool((((masks == 0) | (masks == 1)) & (masks.sum(0) <= 1)).all()):
        under = "under masks between 0 and 1 or masks that overlap"
        way = "expected floating point (for class ids: one-hot them first)"
        raise TypeError(f"values of type {values.dtype} cannot be averaged {under}; {way}")
    integers = BITS[values.element_size()]  # some versions of torch choose among signed types alone
    bits, out = values.view(integers), as_fill(fill, values).view(integers)
    for source, mask in zip(sources, masks, strict=True):
        out = torch.where(mask.bool(), take(bits, source), out)
    return out.view(values.dtype)


def filled(values: Tensor, shares: Tensor, fill: Fill) -> Tensor:
    """values (B, …) plus `fill` by the share that shares (K, B, …) leave of each pixel."""
    if isinstance(fill, (int, float)) and fill == 0:
        return values
    return values + (1 - shares.sum(0)).to(values.dtype) * as_fill(fill, values)


def as_fill(fill: Fill, values: Tensor) -> Tensor:
    """One number, or one for each channel as (C, 1, 1), in the type of values (B, …, C, H, W)."""
    given = torch.as_tensor(fill)
    if given.is_floating_point() and not values.is_floating_point():
        raise TypeError(f"fill must be a whole number for values of type {values.dtype}, got {fill}")
    made = given.to(values.dtype)
    if not values.is_floating_point() and not torch.equal(made.to(given.dtype), given):
        raise ValueError(f"fill must fit the type of the values, {values.dtype}, got {fill}")
    if made.dim() == 1 and values.dim() > 3 and len(made) == values.shape[-3]:
        made = made.view(-1, 1, 1)
    elif made.dim():
        expected, shapes = (
            "one for each channel of (B, C, H, W)",
            f"{tuple(made.shape)} for {tuple(values.shape)}",
        )
        raise ValueError(f"fill must be one number, or {expected}, got shape {shapes}")
    return made.to(values.device, non_blocking=True)


def spans(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Which rows (n, height) and which columns (n, width) each box (n, 4) covers, as bool."""
    x0, y0, x1, y1 = boxes.T[:, :, None]
    columns = torch.arange(width, device=boxes.device)
    rows = columns if height == width else torch.arange(height, device=boxes.device)
    return (rows >= y0) & (rows < y1), (columns >= x0) & (columns < x1)


def inside_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """Which pixels lie in each box; boxes (n, 4) → bool (n, height, width)."""
    down, across = spans(boxes, height, width)
    return down[:, :, None] & across[:, None, :]


def paste(values: Tensor, partner: Tensor, boxes: Tensor, corners: Sequence[int] | None) -> Tensor:
    """values (B, …, H, W) with each one's box (B, 4) taken from its partner; `corners`: all share this box.

    Where the corners can be read without a wait, the values are copied and the boxes alone are pasted over.
    Elsewhere, and where the boxes of small images differ, comparisons make a mask.
    """
    plain = values.device.type == boxes.device.type == "cpu" and not wants_graph(values)
    if corners is not None:
        x0, y0, x1, y1 = corners
        out, inside = values.clone(), values[..., y0:y1, x0:x1]
        if plain and inside.numel():
            torch.index_select(inside, 0, partner, out=out[..., y0:y1, x0:x1])
        else:
            out[..., y0:y1, x0:x1] = inside.index_select(0, partner)
        return out
    if plain and values[0].numel() >= LARGE:
        out = values.clone()
        rows = zip(out, partner.tolist(), boxes.tolist(), strict=True)
        for image, source, (x0, y0, x1, y1) in rows:
            image[..., y0:y1, x0:x1] = values[source, ..., y0:y1, x0:x1]
        return out
    down, across = spans(sent(boxes, values.device), *values.shape[-2:])
    channels = (1,) * (values.dim() - 3)
    down, across = down.view(-1, *channels, down.shape[1], 1), across.view(-1, *channels, 1, across.shape[1])
    integers = BITS.get(values.element_size()) if plain else None
    if integers is None:
        return torch.where(down & across, take(values, partner), values)
    out, mine = take(values, partner), values.view(integers)
    mask = down.to(integers).neg_() & across.to(integers).neg_()  # all bits set in the box, none outside
    out.view(integers).bitwise_xor_(mine).bitwise_and_(mask).bitwise_xor_(mine)
    return out


def shift_patches(images: Tensor, groups: Tensor, patch: int, parts: int) -> Tensor:
    """Each pixel from image (i + g) mod B; `groups` (H, W) holds g < parts and is constant over patches."""
    plain = images.contiguous()
    on_cpu = plain.device.type == "cpu" and not wants_graph(plain)
    way = _lay_over if on_cpu and parts <= FEW and len(images) > 1 else _gather
    return laid_out_as(images, way(plain, groups, patch, parts))


def _gather(images: Tensor, groups: Tensor, patch: int, parts: int) -> Tensor:
    """By one gather of pieces of rows, as long as a patch is wide: what is read is what is written."""
    pieces, batch = images.view(-1, patch), len(images)
    each = pieces.shape[0] // batch
    rows = groups[:, ::patch].to(images.device, non_blocking=True)  # of each piece of a row
    shift = rows.expand(each // rows.numel(), -1, -1).reshape(-1) * each
    index = torch.arange(len(pieces), device=images.device).view(batch, each) + shift
    index[batch - min(batch, parts) :] %= len(pieces)
    return pieces.index_select(0, index.view(-1)).view(images.shape)


def _lay_over(images: Tensor, groups: Tensor, patch: int, parts: int) -> Tensor:
    """Group by group: the image g further on is laid over the others in the places of group g.

    Neighbouring pixels of a patch are read as one number of up to 16 bytes, since a few wide numbers are
    chosen between more quickly than many narrow ones.
    """
    piece, batch = images.element_size() * patch, len(images)
    width, wide = next((width, wide) for width, wide in WIDE if piece % width == 0)
    together = width // images.element_size()
    aligned = images.clone() if images.storage_offset() % together else images.detach()
    flat = aligned.view(batch, -1).view(wide)
    places = groups[:, ::together].expand(*images.shape[1:-1], -1).reshape(-1)
    below, out = flat, torch.empty_like(flat)
    for group in range(1, parts):
        here, start = places == group, group % batch
        for rows, source in (
            (slice(0, batch - start), slice(start, None)),
            (slice(batch - start, None), slice(0, start)),
        ):
            torch.where(here, flat[source], below[rows], out=out[rows])
        below = out
    return (out if below is out else flat.clone()).view(images.dtype).view(images.shape)
