"""What a trained network is worth to other tasks, on scenes of emoji: chapters 5 and 6."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import nn

from experiments.dense.transfer import detect, localize_scenes
from experiments.dense.transfer_segment import segment
from mixlearn.data.scenes import Scenes, emoji_scenes


def examine_transfer(
    net: nn.Module, *, train: int = 1200, test: int = 300, epochs: int = 4
) -> dict[str, dict[str, float]]:
    """Detection with the network as a frozen and as a tuned backbone, and localisation in scenes.

    Detectors are trained on scenes of 96 × 96 pixels with one to five objects of the training part of Emoji
    Scenes and measured on those of unseen concepts. Activation maps are looked at in scenes of 64 × 64 with
    one object of unseen concepts. Scenes, first weights and order are the same for each network.

    Args:
        net: trained on Emoji Scenes, with taps, "stage3" its last.
        train: how many scenes are trained on.
        test: how many scenes each measure takes.
        epochs: of the detectors.

    Returns:
        `detected frozen` and `detected tuned` (`map` and `map50` as in `detect`), and `located scenes`
        (as `localize_scenes` tells it).

    >>> import mixlearn as ml
    >>> list(examine_transfer(ml.nets.resnet(8, 10, width=4), train=2, test=2, epochs=1))
    ['detected frozen', 'detected tuned', 'located scenes']
    """
    shown, unseen, single = _material(train, test)
    found = {
        f"detected {'frozen' if frozen else 'tuned'}": detect(
            net, train=shown, test=unseen, frozen=frozen, epochs=epochs
        )
        for frozen in (True, False)
    }
    return found | {"located scenes": localize_scenes(net, single)}


def examine_dense(
    net: nn.Module, *, train: int = 1200, test: int = 300, epochs: int = 4, segment_epochs: int = 3
) -> dict[str, dict[str, float]]:
    """What `examine_transfer` tells, and segmentation with the network as a frozen and as a tuned backbone.

    Segmenters are trained and measured on the scenes of the detectors.

    Args:
        net, train, test, epochs: as for `examine_transfer`.
        segment_epochs: of the segmenters.

    Returns:
        The parts of `examine_transfer`, then `segmented frozen` and `segmented tuned` (`miou` and `accuracy`
        as in `segment`).

    >>> import mixlearn as ml
    >>> list(examine_dense(ml.nets.resnet(8, 10, width=4), train=2, test=2, epochs=1, segment_epochs=1))[3:]
    ['segmented frozen', 'segmented tuned']
    """
    found = examine_transfer(net, train=train, test=test, epochs=epochs)
    shown, unseen, _ = _material(train, test)
    for way in ("frozen", "tuned"):
        found[f"segmented {way}"] = segment(
            net, train=shown, test=unseen, frozen=way == "frozen", epochs=segment_epochs
        )
    return found


@lru_cache(maxsize=2)
def _material(train: int, test: int) -> tuple[Scenes, Scenes, Scenes]:
    """Scenes to train on, to detect in, and with one object each; made once."""
    shown, unseen, single = (torch.Generator().manual_seed(seed) for seed in range(3))
    return (
        emoji_scenes("train", train, size=96, generator=shown),
        emoji_scenes("concepts", test, size=96, generator=unseen),
        emoji_scenes("concepts", test, size=64, objects=(1, 1), generator=single),
    )
