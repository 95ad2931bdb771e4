"""The classifier of the mask studio: a ResNet-8 whose half-precision weights Python and the page share."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mixlearn.nets.resnet import Basic, ResNet, resnet
from mixlearn.page.halves import read, written

FILE = Path(__file__).parent / "assets" / "studio_net.bin"  # written by data/make_studio_net.py


@dataclass(frozen=True)
class Facts:
    """What the file of a network says of it.

    Attributes:
        classes: names, in the order of the logits.
        mean, std: of each channel, in [0, 1]; the network takes (image − mean) / std.
        width: channels of the first stage.
        shapes: name and shape of each tensor, in the order of the file.
    """

    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    width: int
    shapes: tuple[tuple[str, tuple[int, ...]], ...]


def folded(net: ResNet) -> ResNet:
    """The same function with each batch normalisation inside the convolution before it.

    Args:
        net: a residual network of basic blocks with the stem for small images. Not changed.

    Returns:
        A network in evaluation mode, whose convolutions have biases and whose normalisations do nothing.

    Raises:
        ValueError: a network of other blocks, or with another stem.

    >>> net, images = resnet(8, 3, width=4), torch.rand(1, 3, 8, 8)
    >>> torch.allclose(folded(net)(images), net.eval()(images), atol=1e-5)
    True
    """
    found = copy.deepcopy(net).eval()
    blocks: list[Any] = [block for group in found.groups for block in group.children()]
    if not all(isinstance(block, Basic) for block in blocks):
        raise ValueError(f"folded expects basic blocks, got {type(blocks[0]).__name__}")
    if not (isinstance(found.stem, nn.Sequential) and len(found.stem) == 3):
        raise ValueError("folded expects the stem for small images: convolution, normalisation, ReLU")
    pairs: list[tuple[Any, Any, Any]] = [(found.stem, 0, 1)]
    for block in blocks:
        pairs += [(block, "first", "first_norm"), (block, "second", "last_norm")]
        if isinstance(block.shortcut, nn.Sequential):
            pairs.append((block.shortcut, 0, 1))
    for owner, first, second in pairs:
        if isinstance(owner, nn.Sequential):
            owner[first], owner[second] = fuse_conv_bn_eval(owner[first], owner[second]), nn.Identity()
        else:
            setattr(owner, first, fuse_conv_bn_eval(getattr(owner, first), getattr(owner, second)))
            setattr(owner, second, nn.Identity())
    return found.requires_grad_(False)


def packed(net: ResNet, classes: Sequence[str], mean: Sequence[float], std: Sequence[float]) -> bytes:
    """A folded network as bytes, see `halves.written`.

    Args:
        net: as `folded` gives it.
        classes: names, in the order of the logits.
        mean, std: of each channel of the training images, in [0, 1].
    """
    state = net.state_dict()
    header = {
        "classes": list(classes),
        "mean": list(mean),
        "std": list(std),
        "width": state["stem.0.weight"].shape[0],
    }
    return written(header, [state])


def unpacked(data: bytes) -> tuple[ResNet, Facts]:
    """The network that `packed` wrote, and what the header says of it.

    Args:
        data: the bytes.

    Raises:
        ValueError: bytes that hold more or fewer weights than the header lists.
    """
    header, (state,) = read(data)
    net = folded(resnet(8, len(header["classes"]), width=header["width"]))
    net.load_state_dict(state)
    classes, mean, std = (tuple(header[key]) for key in ("classes", "mean", "std"))
    shapes = tuple((name, tuple(value.shape)) for name, value in state.items())
    return net, Facts(classes, mean, std, header["width"], shapes)


@cache
def studio_bytes() -> bytes:
    """The file that ships, as the page gets it."""
    return FILE.read_bytes()


@cache
def studio_facts() -> Facts:
    """Classes, normalisation and shapes of the network that ships.

    >>> studio_facts().classes[:2]
    ('face', 'mammal')
    """
    return _shipped()[1]


def studio_net() -> ResNet:
    """The network that scores mixtures in the mask studio, in evaluation mode.

    It takes Emoji Scenes of 32 × 32 pixels, normalised as `ml.data.load("emoji")` gives them. It was trained
    by `data/make_studio_net.py` on Mixup and CutMix, half and half, so it knows mixtures.

    >>> studio_net()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    return copy.deepcopy(_shipped()[0])


@cache
def _shipped() -> tuple[ResNet, Facts]:
    return unpacked(studio_bytes())


def mask_score(logits: Tensor, targets: Tensor) -> Tensor:
    """How well a network sees the soft label in a mixture: 100 · exp(−KL(ỹ ‖ p)).

    100 where the network says the label exactly; an even guess of `C` classes scores 200 / C on a label of
    two halves.

    Args:
        logits: (B, C) of the mixtures.
        targets: (B, C) soft labels ỹ.

    Returns:
        (B,) in (0, 100].

    >>> mask_score(torch.zeros(1, 4), torch.tensor([[0.5, 0.5, 0, 0]]))
    tensor([50.])
    """
    log_p = logits.log_softmax(1)
    terms = torch.xlogy(targets, targets) - targets * log_p
    return 100 * torch.exp(-terms.sum(1)).clamp(max=1)
