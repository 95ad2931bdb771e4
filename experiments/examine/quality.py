"""What a trained network says of its mistakes, and of what lies between two images: chapter 6."""

from __future__ import annotations

import math

import torch
from torch import nn

from mixlearn.data import load
from mixlearn.data.sets import Data, ImageSet
from mixlearn.measure import between, predict, prediction_quality


def examine_quality(net: nn.Module, *, data: str, pairs: int = 1000) -> dict[str, dict[str, float]]:
    """Prediction quality and linear behaviour between images, for one trained network.

    Args:
        net: trained on the data set, with a tap "pool".
        data: "fashion" or "emoji"; its first test set is looked at.
        pairs: how many pairs of images of different classes, the same for every network.

    Returns:
        `quality` (the means of `ml.measure.Quality` over the network's own mistakes; those that are not
        defined without a mistake are left out) and `between` (the measures of `ml.measure.Between`, of logits
        and of the features that the head is given: averaged over λ, and " at half" for λ = ½).

    Raises:
        ValueError: another data set, a network without the tap.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 10, width=4, channels=1)
    >>> list(examine_quality(net, data="fashion", pairs=10)["between"])[:3]
    ['misses', 'cross_entropy', 'divergence']
    """
    if data not in ("fashion", "emoji"):
        raise ValueError(f"data must be 'fashion' or 'emoji', got {data!r}")
    loaded: Data[ImageSet] = load("fashion") if data == "fashion" else load("emoji")
    test = loaded.test
    quality = prediction_quality(*predict(net, test, batch_size=128))._asdict()
    found = between(net, test, stage="pool", count=pairs, generator=torch.Generator().manual_seed(0))
    return {
        "quality": {name: float(value) for name, value in quality.items() if not math.isnan(value)},
        "between": found.means() | {f"{name} at half": value for name, value in found.at(0.5).items()},
    }
