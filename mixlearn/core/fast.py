"""Copies between the CPU and an accelerator that make the host wait as seldom as possible.

A plain `tensor.to("cuda")` waits until all that was asked of the GPU before is done, even for four numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def sent(values: Tensor, device: torch.device) -> Tensor:
    """The values on a device. To a GPU they are copied in the background, so nothing waits.

    What is copied to the CPU may be read at once, so that copy does wait.

    >>> sent(torch.ones(2), torch.device("cpu"))
    tensor([1., 1.])
    """
    return values.to(device, non_blocking=device.type not in ("cpu", "mps"))  # mps: may free them too early


def fetched(*values: Tensor) -> tuple[Tensor, ...]:
    """Several tensors of one device on the CPU, for a single wait.

    >>> fetched(torch.tensor(True), torch.ones(2))
    (tensor(True), tensor([1., 1.]))
    """
    if values[0].device.type == "cpu":
        return values
    together = torch.cat([value.reshape(-1) for value in values]).cpu()  # in a type that holds them all
    parts = together.split([value.numel() for value in values])
    return tuple(part.view(value.shape).to(value.dtype) for part, value in zip(parts, values, strict=True))


def spans(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Which rows (n, height) and which columns (n, width) each box covers, as bool; boxes (n, 4).

    >>> down, across = spans(torch.tensor([[1, 0, 3, 1]]), 2, 4)
    >>> down.tolist(), across.tolist()
    ([[True, False]], [[False, True, True, False]])
    """
    x0, y0, x1, y1 = boxes.T[:, :, None]
    columns = torch.arange(width, device=boxes.device)
    rows = columns if height == width else torch.arange(height, device=boxes.device)
    return (rows >= y0) & (rows < y1), (columns >= x0) & (columns < x1)


Fill = float | Sequence[float] | Tensor


def gather_sum(values: Tensor, sources: Tensor, weights: Tensor, pair: bool = False) -> Tensor:
    """Σₖ wₖ · v[sₖ] for values (B, …), sources and weights (K, B).

    An embedding bag is this very sum: each row read once, each result written once, nothing kept in
    between. It has no second derivative, so where a gradient is wanted the sum is written out.
    """
    if wants_graph(values, weights):
        shares = weights.reshape(*weights.shape, *(1,) * (values.dim() - 1))
        return _written_out(values, sources, shares, pair)
    last = _channels_last(values)
    rows = values.permute(0, 2, 3, 1) if last else values
    parts, batch = sources.shape
    starts = torch.arange(0, parts * batch, parts, device=values.device)
    bags = torch.embedding_bag(
        rows.reshape(batch, -1),
        sources.T.reshape(-1),
        starts,
        mode=0,  # sum
        per_sample_weights=weights.T.to(values.dtype).reshape(-1),
    )[0]
    out = bags.view(rows.shape)
    return out.permute(0, 3, 1, 2) if last else out


def mask_sum(values: Tensor, sources: Tensor, masks: Tensor, pair: bool = False) -> Tensor:
    """Σₖ Mₖ ⊙ v[sₖ] for values (B, …, H, W), sources (K, B) and masks (K, B, …, H, W)."""
    if wants_graph(values, masks) or not pair:
        return _written_out(values, sources, masks, pair)
    out = _take(values, sources[1])
    return torch.lerp(out, values, masks[0].to(values.dtype), out=out)


def pick(values: Tensor, sources: Tensor, masks: Tensor, fill: Fill = 0) -> Tensor:
    """Σₖ Mₖ ⊙ v[sₖ] for integer maps, which cannot be averaged: v[sₖ] where Mₖ is 1, `fill` where none is."""
    if not bool((((masks == 0) | (masks == 1)) & (masks.sum(0) <= 1)).all()):
        raise TypeError(
            f"values of type {values.dtype} cannot be averaged under masks between 0 and 1 or masks that "
            "overlap; expected floating point (for class ids: one-hot them first)"
        )
    integers = _BITS[values.element_size()]  # some versions of torch choose among signed types alone
    bits, out = values.view(integers), as_fill(fill, values).view(integers)
    for source, mask in zip(sources, masks, strict=True):
        out = torch.where(mask.bool(), _take(bits, source), out)
    return out.view(values.dtype)


def filled(values: Tensor, shares: Tensor, fill: Fill) -> Tensor:
    """values (B, …) plus `fill` by the share that shares (K, B, …) leave of each pixel."""
    if isinstance(fill, (int, float)) and fill == 0:
        return values
    left = (1 - shares.sum(0)).to(values.dtype)
    return values + left.reshape(*left.shape, *(1,) * (values.dim() - left.dim())) * as_fill(fill, values)


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
        raise ValueError(
            f"fill must be one number, or one for each channel of (B, C, H, W), got shape "
            f"{tuple(made.shape)} for {tuple(values.shape)}"
        )
    return made.to(values.device, non_blocking=True)


def laid_out_as(images: Tensor, values: Tensor) -> Tensor:
    """values in the memory format of images: with channels together, or else contiguous."""
    if _channels_last(images):
        return values.contiguous(memory_format=torch.channels_last)
    return values.contiguous()


def paste(
    values: Tensor, partner: Tensor, boxes: Tensor, corners: tuple[int, int, int, int] | None
) -> Tensor:
    """values (B, …, H, W) with each one's box (B, 4) taken from its partner; `corners`: all share this box.

    Where the corners can be read without waiting for an accelerator, the values are copied and the boxes
    alone are pasted over. Elsewhere, and where the boxes of small images differ, comparisons make a mask.
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
    if plain and values[0].numel() >= _LARGE:
        out = values.clone()
        rows = zip(out, partner.tolist(), boxes.tolist(), strict=True)
        for image, source, (x0, y0, x1, y1) in rows:
            image[..., y0:y1, x0:x1] = values[source, ..., y0:y1, x0:x1]
        return out
    down, across = spans(sent(boxes, values.device), *values.shape[-2:])
    channels = (1,) * (values.dim() - 3)
    down, across = down.view(-1, *channels, down.shape[1], 1), across.view(-1, *channels, 1, across.shape[1])
    kind = _BITS.get(values.element_size()) if plain else None
    if kind is None:
        return torch.where(down & across, _take(values, partner), values)
    out, mine = _take(values, partner), values.view(kind)
    mask = down.to(kind).neg_() & across.to(kind).neg_()  # all bits set in the box, none outside
    out.view(kind).bitwise_xor_(mine).bitwise_and_(mask).bitwise_xor_(mine)
    return out


_LARGE = 8_000  # values of an image from which pasting one after the other is quicker than a mask


_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # integers by size in bytes


def _written_out(values: Tensor, sources: Tensor, shares: Tensor, pair: bool) -> Tensor:
    """The sum as a formula that autograd and compilers take apart."""
    shares = shares.to(values.dtype)
    if pair:
        return torch.lerp(_take(values, sources[1]), values, shares[0])
    out = shares[0] * _take(values, sources[0])
    for source, share in zip(sources[1:], shares[1:], strict=True):
        out = torch.addcmul(out, share, _take(values, source))
    return out


def _take(values: Tensor, source: Tensor) -> Tensor:
    """values[source] in the memory format of values."""
    return laid_out_as(values, values.index_select(0, source))


def _channels_last(values: Tensor) -> bool:
    """Whether values (B, C, H, W) keep their channels together. One channel, or one pixel, is both layouts
    at once and counts as plain: other strides for it make some convolutions of torch write out of bounds."""
    last = values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last)
    return last and not values.is_contiguous()


def wants_graph(*tensors: Tensor) -> bool:
    """Whether a formula is to be written out: for autograd, or for a compiler."""
    return torch.compiler.is_compiling() or (
        torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    )
