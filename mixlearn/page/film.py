"""The recorded run of the mask film: a Mix Block, and the network it looks at, after several epochs."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mixlearn.methods.automix import MixBlock
from mixlearn.nets.resnet import ResNet, resnet
from mixlearn.page.halves import read, written
from mixlearn.page.studio_net import folded

FILE = Path(__file__).parent / "assets" / "mask_film.bin"  # written by data/make_mask_film.py


class RecordedBlock(nn.Module):
    """A Mix Block with the network whose features it sees, as both were after some epoch of a run.

    Args:
        net: a ResNet-8, as `folded` gives it.
        stages: how many of its stages the features have passed.
        block: the Mix Block.

    >>> import torch
    >>> RecordedBlock(folded(resnet(8, 3, width=4)), 2, MixBlock(8)).features(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 8, 4, 4])
    """

    def __init__(self, net: ResNet, stages: int, block: MixBlock) -> None:
        super().__init__()
        self.stem, self.groups, self.block = net.stem, net.groups[:stages], block

    def features(self, images: Tensor) -> Tensor:
        """What the Mix Block sees of normalised images (B, 3, H, W): (B, C, h, w)."""
        seen: Tensor = self.stem(images)
        for group in self.groups:
            seen = group(seen)
        return seen

    def forward(self, images: Tensor, lam: float | Tensor, partner: Tensor) -> Tensor:
        """Each image's own share of each pixel.

        Args:
            images: (B, 3, H, W) normalised.
            lam: (B,), or one for all: each image's share, in [0, 1].
            partner: (B,) int64, the partner of each image.

        Returns:
            (B, 1, H, W) in (0, 1).
        """
        masks: Tensor = self.block(self.features(images), lam, partner, (images.shape[-2], images.shape[-1]))
        return masks


@dataclass(frozen=True)
class FilmFacts:
    """What the file says of the recorded run.

    Attributes:
        epochs: after how many epochs the weights were kept; 0 is before the first step.
        stage: the tap whose features the Mix Block saw.
        words: how the run was made, in words.
    """

    epochs: tuple[int, ...]
    stage: str
    words: str


def packed_film(frames: dict[int, RecordedBlock], words: str, mean: Any, std: Any) -> bytes:
    """A recorded run as bytes, see `halves.written`.

    Args:
        frames: by epochs done, alike but for their weights.
        words: how the run was made.
        mean, std: of each channel of the training images, in [0, 1].
    """
    first = next(iter(frames.values()))
    header = {
        "epochs": list(frames),
        "words": words,
        "mean": list(mean),
        "std": list(std),
        "width": len(first.state_dict()["stem.0.weight"]),
        "stages": len(first.groups),
        "reduction": first.block.channels // first.block.look.out_features,
        "embed": first.block.embed,
    }
    return written(header, [frame.state_dict() for frame in frames.values()])


def unpacked_film(data: bytes) -> tuple[dict[int, RecordedBlock], FilmFacts]:
    """What `packed_film` wrote, in evaluation mode, and what its header says.

    Args:
        data: the bytes.

    Raises:
        ValueError: bytes that hold more or fewer weights than the header lists.
    """
    header, states = read(data, times="epochs")
    width, stages = header["width"], header["stages"]
    frames = {}
    for epoch, state in zip(header["epochs"], states, strict=True):
        block = MixBlock(width * 2 ** (stages - 1), reduction=header["reduction"], embed=header["embed"])
        frames[epoch] = RecordedBlock(folded(resnet(8, 1, width=width)), stages, block)
        frames[epoch].load_state_dict(state)
        frames[epoch].eval().requires_grad_(False)
    return frames, FilmFacts(tuple(header["epochs"]), f"stage{stages}", header["words"])


@cache
def film_bytes() -> bytes:
    """The file that ships, as the page gets it."""
    return FILE.read_bytes()


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

    >>> import torch
    >>> masks = recorded_block(0)(torch.zeros(2, 3, 32, 32), 0.6, torch.tensor([1, 0]))
    >>> masks.shape, bool((masks - 0.5).abs().max() < 0.05)
    (torch.Size([2, 1, 32, 32]), True)
    """
    frames, facts = _shipped()
    if epoch not in frames:
        raise ValueError(f"epoch must be one of {', '.join(map(str, facts.epochs))}, got {epoch!r}")
    return copy.deepcopy(frames[epoch])


@cache
def _shipped() -> tuple[dict[int, RecordedBlock], FilmFacts]:
    return unpacked_film(film_bytes())
