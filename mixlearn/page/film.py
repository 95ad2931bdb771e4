"""The mask film: the masks of a recorded Mix Block through training, against the reader's own."""

from __future__ import annotations

import base64
import copy
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mixlearn.data.sets import ImageSet
from mixlearn.methods.automix import MixBlock
from mixlearn.nets.resnet import ResNet, resnet
from mixlearn.page import studio_net as net
from mixlearn.page.host import ASSETS
from mixlearn.page.widget import one_of, widget, within

FILE = ASSETS / "mask_film.safetensors"  # written by data/make_mask_film.py


class RecordedBlock(nn.Module):
    """A Mix Block with the first stages of the folded ResNet-8 whose features it sees, after some epoch."""

    def __init__(self, net: ResNet, stages: int, block: MixBlock) -> None:
        super().__init__()
        self.stem, self.groups, self.block = net.stem, net.groups[:stages], block

    def forward(self, images: Tensor, lam: float | Tensor, partner: Tensor) -> Tensor:
        """Each image's own share of each pixel, (B, 1, H, W) in (0, 1); λ is one number or (B,)."""
        features: Tensor = self.stem(images)
        for group in self.groups:
            features = group(features)  # (B, C, h, w)
        masks: Tensor = self.block(features, lam, partner, (images.shape[-2], images.shape[-1]))
        return masks


class FilmFacts(NamedTuple):
    """The recorded run: the epochs at which weights were kept, the Mix Block's tap, and the settings."""

    epochs: tuple[int, ...]  # 0 is before the first step
    stage: str
    words: str


def unpacked_film(data: bytes) -> tuple[dict[int, RecordedBlock], FilmFacts]:
    """The frames, by epoch, and the facts in a file that `data/packing.py` wrote."""
    facts, tensors = net.read(data)
    width, stages = facts["width"], facts["stages"]
    frames = {}
    for epoch in facts["epochs"]:
        block = MixBlock(width * 2 ** (stages - 1), reduction=facts["reduction"], embed=facts["embed"])
        frames[epoch] = RecordedBlock(net.folded(resnet(8, 1, width=width)), stages, block)
        start = f"{epoch}."
        own = {name.removeprefix(start): each for name, each in tensors.items() if name.startswith(start)}
        frames[epoch].load_state_dict(own)
        frames[epoch].eval().requires_grad_(False)
    return frames, FilmFacts(tuple(facts["epochs"]), f"stage{stages}", facts["words"])


@cache
def _shipped() -> tuple[dict[int, RecordedBlock], FilmFacts]:
    return unpacked_film(FILE.read_bytes())


def film_facts() -> FilmFacts:
    """Epochs and settings of the run that ships.

    >>> film_facts().epochs[0]
    0
    """
    return _shipped()[1]


def recorded_block(epoch: int) -> RecordedBlock:
    """The Mix Block of the mask film as it was after some epochs, with the network it looked at.

    AutoMix was trained on Emoji Scenes of 32 × 32 pixels by `data/make_mask_film.py`. The network is the slow
    twin; its batch normalisations use running means, where training used those of the batch, and are folded
    away. It takes images as `ml.data.load("emoji")` gives them.

    Args:
        epoch: one of `film_facts().epochs`; 0 is before the first step.

    Returns:
        A module in evaluation mode: `recorded_block(8)(images, lam, partner)` gives each image's own mask.

    Raises:
        ValueError: an epoch that was not kept.

    >>> masks = recorded_block(0)(torch.zeros(2, 3, 32, 32), 0.6, torch.tensor([1, 0]))
    >>> masks.shape, bool((masks - 0.5).abs().max() < 0.05)
    (torch.Size([2, 1, 32, 32]), True)
    """
    frames, facts = _shipped()
    if epoch not in frames:
        raise ValueError(f"epoch must be one of {', '.join(map(str, facts.epochs))}, got {epoch!r}")
    return copy.deepcopy(frames[epoch])


def mask_film(
    lam: float = 0.6,
    pair: str | None = None,
    *,
    epoch: int | None = None,
    mask: Tensor | None = None,
    pairs: Sequence[tuple[int, int]] | None = None,
    images: ImageSet | None = None,
) -> Any:
    """Masks through training: go through the epochs of a recorded run of AutoMix, and paint against it.

    The Mix Block runs in the page, for any λ. Its mixture and the reader's are judged by the classifier of
    the mask studio, both against the label of the λ that was asked: 100 · exp(−KL(ỹ ‖ p)).

    Args:
        lam: λ to begin with, in [0, 1].
        epoch: of the recorded run, one of `mixlearn.page.film.film_facts().epochs`; None is the last.
        mask: (32, 32) in [0, 1], the reader's mask to begin with: the partner's share of each pixel. None: a
            straight cut.
        pair, pairs, images: as for `mask_studio`.

    Returns:
        A widget with the traits `lam`, `pair`, `swapped` (whether the block is asked from the partner's
        side), `epoch` and `mask` (base64 of 32 × 32 bytes, the partner's share), and `score`, `block_score`
        and `block_mean`, which follow.

    >>> film = mask_film(0.3, epoch=0)
    >>> round(film.block_mean, 1), 0 < film.score <= 100  # before the first step: ½, whatever λ
    (0.5, True)
    """
    if not 0 <= lam <= 1:
        raise ValueError(f"lam must lie in [0, 1], got {lam}")
    epochs = film_facts().epochs
    epoch = epochs[-1] if epoch is None else epoch
    block = recorded_block(epoch)
    part = net.designers() if images is None else images
    chosen = net.checked_pairs(part, net.PAIRS if pairs is None else pairs)
    told = [net.told_pair(part, places) for places in chosen]
    begin = net.first_pair(told, pair)
    painted, places = net.painted_bytes(mask, lam), list(chosen[begin])
    pixels, labels = part.images[places], part.labels[places]
    with torch.no_grad():
        masks = block(net.normalised(pixels).float(), lam, torch.tensor([1, 0]))
    mixture, block_score = net.judged(pixels, labels, 1 - masks[0, 0], lam)
    state = {
        "pairs": told,
        "classes": list(net.studio_facts().classes),
        "net": base64.b64encode(net.FILE.read_bytes()).decode(),
        "film": base64.b64encode(FILE.read_bytes()).decode(),
        "epochs": list(epochs),
        "shipped": images is None,
        "pair": told[begin]["name"],
        "swapped": False,
        "lam": float(lam),
        "epoch": int(epoch),
        "mask": net.mask_text(painted),
        "score": net.judged(pixels, labels, painted / 255, lam)[1],
        "block_score": block_score,
        "block_mean": float(masks[0].mean()),
    }
    rules = {"mask": net.mask_rule, "epoch": one_of(epochs), "pair": one_of(each["name"] for each in told)}
    rules |= dict.fromkeys(("lam", "block_mean"), within(0, 1))
    rules |= dict.fromkeys(("score", "block_score"), within(0, 100))
    follows = {"score": "mask", **dict.fromkeys(("block_score", "block_mean"), "epoch and lam")}
    own, partner = told[begin]["words"]
    words = (
        f"Mask film: AutoMix's mixture of {own} and {partner} after epoch {epoch} at λ = {lam:.2f}, "
        f"{round(100 * float(masks[0].mean()))} % {own}"
    )
    return widget("mask_film", state, net.still(mixture), words, rules, follows)
