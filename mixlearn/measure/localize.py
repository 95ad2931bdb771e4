"""Where does a network think that its object is? Boxes from heat maps, against the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mixlearn.core.boxes import box_area, masks_to_boxes
from mixlearn.measure.evaluate import batches, device_of
from mixlearn.methods.saliency import feature_attention


class Localization(NamedTuple):
    """How often the box around the hot part of a map meets the true box; each in [0, 1].

    `best` is MaxBoxAcc: the share at the threshold that suits this network best, and `threshold` is that.
    `fixed` is the share at a threshold that was fixed beforehand. `curve` holds it for all thresholds. A
    network with flat maps loses at a fixed threshold and may still rank its pixels as well as another.
    """

    best: float
    threshold: float
    fixed: float
    curve: Tensor


def activations(model: Any, data: Any, stage: str = "stage3", batch_size: int = 256) -> Tensor:
    """Class activation maps of the true class, for a whole test set.

    Args:
        model: a network of `ml.nets`.
        data, batch_size: as for `predict`.
        stage: the network's last.

    Returns:
        (N, 1, H, W) on the CPU, as `feature_attention` makes them.

    Source: Zhou et al., *Learning Deep Features for Discriminative Localization*, CVPR 2016.

    >>> import mixlearn as ml
    >>> batch = torch.rand(2, 3, 16, 16), torch.tensor([0, 3])
    >>> activations(ml.nets.resnet(8, 4, width=4), [batch, batch]).shape
    torch.Size([4, 1, 16, 16])
    """
    device, maps = device_of(model), []
    for images, labels in batches(data, batch_size):
        maps.append(feature_attention(model, images.to(device), stage, labels.to(device)).cpu())
    return torch.cat(maps)


def spread_boxes(maps: Tensor, threshold: float) -> Tensor:
    """The box around the largest connected part of each map that is at least a share of its peak.

    Args:
        maps: (B, 1, H, W), at least 0.
        threshold: in [0, 1], of the way from the least to the largest value of each map.

    Returns:
        (B, 4) int64 as (x0, y0, x1, y1), half-open.

    Source: Zhou et al., *Learning Deep Features for Discriminative Localization*, CVPR 2016.

    >>> maps = torch.tensor([[0., 9., 0., 0.], [0., 8., 9., 0.], [0., 0., 0., 5.]]).view(1, 1, 3, 4)
    >>> spread_boxes(maps, 0.5)
    tensor([[1, 0, 3, 2]])
    """
    if maps.dim() != 4 or maps.shape[1] != 1:
        raise ValueError(f"maps must have shape (B, 1, H, W), got {tuple(maps.shape)}")
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must lie in [0, 1], got {threshold}")
    if not bool(maps.isfinite().all()):
        raise ValueError("maps must be finite, got values that are not")
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    on = (maps - low >= threshold * (high - low))[:, 0]
    part = torch.cat([_largest_part(some) for some in on.split(256)])
    return masks_to_boxes(part[:, None])


def localization(
    maps: Tensor,
    boxes: Tensor,
    *,
    overlap: float = 0.5,
    fixed: float = 0.2,
    thresholds: Sequence[float] | None = None,
) -> Localization:
    """Share of images in which the box of the map and the true box overlap enough.

    Args:
        maps: (N, 1, H, W), such as class activation maps of the true class.
        boxes: (N, 4) true boxes as (x0, y0, x1, y1), half-open, in pixels of the maps.
        overlap: intersection over union that counts as found.
        fixed: the threshold of the older protocol, a fifth of the peak.
        thresholds: those that MaxBoxAcc tries; None takes 0, 0.05 … 1.

    Source: Choe et al., *Evaluating Weakly Supervised Object Localization Methods Right*, CVPR 2020, for
    MaxBoxAcc; Zhou et al., CVPR 2016, for the fixed threshold.

    >>> maps = torch.zeros(1, 1, 8, 8); maps[..., 2:6, 2:6] = 1
    >>> found = localization(maps, torch.tensor([[2, 2, 6, 5]]))
    >>> found.best, found.fixed
    (1.0, 1.0)
    """
    if len(maps) != len(boxes) or boxes.dim() != 2 or boxes.shape[1] != 4 or not len(maps):
        raise ValueError(
            f"expected a box (4,) for each map, got {tuple(boxes.shape)} for {tuple(maps.shape)}"
        )
    tried = [k / 20 for k in range(21)] if thresholds is None else list(thresholds)
    if not tried or not 0 < overlap <= 1:
        raise ValueError(f"expected thresholds and an overlap in (0, 1], got {tried} and {overlap}")
    curve = torch.tensor([_share(maps, boxes, threshold, overlap) for threshold in tried])
    best = int(curve.argmax())
    return Localization(float(curve[best]), tried[best], _share(maps, boxes, fixed, overlap), curve)


def _share(maps: Tensor, boxes: Tensor, threshold: float, overlap: float) -> float:
    """Of boxes (N, 4): those that overlap with the boxes of the maps by at least so much of their union."""
    spread = spread_boxes(maps, threshold)
    upper, lower = torch.maximum(spread, boxes)[:, :2], torch.minimum(spread, boxes)[:, 2:]
    common = (lower - upper).clamp_min(0).prod(1)
    union = box_area(spread) + box_area(boxes) - common
    return float((common >= overlap * union).double().mean())


def _largest_part(on: Tensor) -> Tensor:
    """The largest 4-connected part of each mask (B, H, W).

    Each pixel has a number; the largest of each run in a row, then in a column, spreads over the run.
    """
    batch, height, width = on.shape
    names = torch.arange(1, height * width + 1, dtype=torch.int32, device=on.device)
    names = names.view(1, height, width) * on
    while True:
        spread = _along_runs(_along_runs(names, on).mT, on.mT).mT
        if torch.equal(spread, names):
            break
        names = spread
    flat = names.flatten(1).long()
    sizes = flat.new_zeros(batch, height * width + 1).scatter_add_(1, flat, on.flatten(1).long())
    return on & (flat == sizes.argmax(1, keepdim=True)).view_as(on)


def _along_runs(names: Tensor, on: Tensor) -> Tensor:
    """In each row, every run of pixels that are on takes its largest name."""
    most = names.shape[1] * names.shape[2] + 1
    run = (~on).cumsum(2, dtype=torch.int32) * most  # grows from run to run, so that none reaches the next
    there = (run + names).cummax(2).values - run
    back = (there - run).flip(2).cummax(2).values.flip(2) + run
    return back * on
