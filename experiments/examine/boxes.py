"""Beyond accuracy: foreign, corrupted, hidden and mixed images of the two shipped data sets."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.data import load, photos
from mixlearn.data.sets import Data, ImageSet
from mixlearn.measure import CorruptedSets, in_between, noise_images, occlusion, out_of_distribution
from mixlearn.measure.corruptions import grey

HIDDEN = (0.25, 0.5, 0.75)


def examine(net: nn.Module, *, data: str, images: int = 500) -> dict[str, dict[str, float]]:
    """Every measure of chapter 3 on one trained network.

    Args:
        net: trained on the data set.
        data: "fashion" or "emoji"; the other one serves as foreign images.
        images: how many test images are corrupted, hidden and mixed.

    Returns:
        `foreign …` (for each foreign set AUROC, TNR at 95 % TPR, detection accuracy), `corrupted` (accuracy
        under each corruption, mean over severities), `hidden` (accuracy with the middle and with the border
        hidden), `between` (share of pairs where neither class was named).
    """
    test, foreign, corrupted = _material(data, images)
    found: dict[str, dict[str, float]] = {}
    for name, told in out_of_distribution(net, test, foreign).items():
        found[f"foreign {name}"] = told._asdict()
    robust = corrupted.robustness(net)
    found["corrupted"] = {"accuracy": robust.mean} | {name: robust.of(name) for name in robust.names}
    few = corrupted.clean
    found["hidden"] = {}
    for where in ("middle", "border"):
        seen = occlusion(net, few, HIDDEN, border=where == "border")
        for share, accuracy in zip(HIDDEN, seen.tolist(), strict=True):
            found["hidden"][f"{where} {share:g}"] = accuracy
    found["between"] = {
        "blend": float(in_between(net, few, [0.5])[0]),
        "box": float(in_between(net, few, [0.5], box=True)[0]),
    }
    return found


@lru_cache(maxsize=2)
def corrupted_sets(name: str, images: int) -> CorruptedSets:
    """So many test images of a shipped data set under each corruption; made once.

    Args:
        name: "fashion" or "emoji".
        images: how many.

    Raises:
        ValueError: another name.

    >>> len(corrupted_sets("fashion", 10).clean)
    10
    """
    return CorruptedSets(_shipped(name).test, images)


def _shipped(name: str) -> Data[ImageSet]:
    if name not in ("fashion", "emoji"):
        raise ValueError(f"data must be 'fashion' or 'emoji', got {name!r}")
    data: Data[ImageSet] = load("fashion") if name == "fashion" else load("emoji")
    return data


@lru_cache(maxsize=2)
def _material(name: str, images: int) -> tuple[ImageSet, dict[str, Tensor], CorruptedSets]:
    """The test set, the foreign images as the network takes them, and the corrupted sets; made once."""
    data = _shipped(name)
    other = _shipped("emoji" if name == "fashion" else "fashion")
    test = data.test
    generator = torch.Generator().manual_seed(0)
    count = 2 * images
    stranger = other.test.subset(min(count, len(other.test)), generator=generator).images.float() / 255
    pictures = photos(size=4 * test.images.shape[-1]).images
    foreign = {
        other.name: _fitted(stranger, test),
        "photographs": _fitted(_crops(pictures, test.images.shape[-1], count, generator), test),
        "uniform noise": _fitted(noise_images(count, test.images, generator=generator), test),
        "normal noise": _fitted(noise_images(count, test.images, normal=True, generator=generator), test),
    }
    return test, foreign, corrupted_sets(name, images)


def _fitted(images: Tensor, like: ImageSet) -> Tensor:
    """Images in [0, 1] with the channels, the size and the normalisation of a set."""
    channels, size = like.images.shape[1], like.images.shape[-1]
    if channels == 1:
        images = grey(images)
    elif images.shape[1] == 1:
        images = images.expand(-1, channels, -1, -1)
    if images.shape[-1] != size:
        images = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(value).view(-1, 1, 1) for value in (like.mean, like.std))
    return ((images - mean) / std).float()


def _crops(pictures: Tensor, size: int, count: int, generator: torch.Generator) -> Tensor:
    """Random windows of photographs."""
    which = torch.randint(len(pictures), (count,), generator=generator)
    places = torch.randint(pictures.shape[-1] - size + 1, (count, 2), generator=generator)
    return torch.stack(
        [
            pictures[k, :, y : y + size, x : x + size]
            for k, (y, x) in zip(which.tolist(), places.tolist(), strict=True)
        ]
    )
