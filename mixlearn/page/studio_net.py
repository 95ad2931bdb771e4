"""What the mask studio and the mask film share: a classifier, its file and its score, pairs of images."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mixlearn.core.extras import array
from mixlearn.data.sets import ImageSet
from mixlearn.nets.resnet import ResNet, resnet
from mixlearn.page.host import ASSETS, picture_url
from mixlearn.page.widget import one_of

FILE = ASSETS / "studio_net.safetensors"  # written by data/make_studio_net.py
SIDE = 32  # pixels of an image's side
PAIRS = ((630, 621), (792, 741), (1007, 363), (69, 902), (716, 516))  # of the test images "designers"


def read(data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The facts and the tensors, in single precision, of a safetensors file in half precision."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    facts = json.loads(header.pop("__metadata__")["facts"])
    taken = max(entry["data_offsets"][1] for entry in header.values())
    if len(data) - start != taken:
        raise ValueError(f"the weights must take {taken} bytes after the header, got {len(data) - start}")
    numbers = torch.frombuffer(bytearray(data[start:]), dtype=torch.float16).float()
    places = {name: [at // 2 for at in entry["data_offsets"]] for name, entry in header.items()}
    return facts, {name: numbers[a:b].view(header[name]["shape"]) for name, (a, b) in places.items()}


class Facts(NamedTuple):
    """The classifier's class names, and the normalisation of its images."""

    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def folded(net: ResNet) -> ResNet:
    """A ResNet-8 with each batch normalisation folded into the convolution before it, in evaluation mode.

    >>> net, images = resnet(8, 3, width=4), torch.rand(1, 3, 8, 8)
    >>> torch.allclose(folded(net)(images), net.eval()(images), atol=1e-5)
    True
    """
    net = copy.deepcopy(net).eval()
    blocks: list[Any] = [block for group in net.groups for block in group.children()]
    pairs: list[tuple[Any, Any, Any]] = [(net.stem, "0", "1")]
    for block in blocks:
        pairs += [(block, "first", "first_norm"), (block, "second", "last_norm")]
        if isinstance(block.shortcut, nn.Sequential):
            pairs.append((block.shortcut, "0", "1"))
    for owner, first, second in pairs:
        setattr(owner, first, fuse_conv_bn_eval(getattr(owner, first), getattr(owner, second)))
        setattr(owner, second, nn.Identity())
    return net.requires_grad_(False)


def unpacked(data: bytes) -> tuple[ResNet, Facts]:
    """The network and the facts in a file that `data/packing.py` wrote."""
    facts, state = read(data)
    net = folded(resnet(8, len(facts["classes"]), width=facts["width"]))
    net.load_state_dict(state)
    return net, Facts(*(tuple(facts[key]) for key in Facts._fields))


@cache
def _shipped() -> tuple[ResNet, Facts]:
    return unpacked(FILE.read_bytes())


def studio_facts() -> Facts:
    """Classes and normalisation of the network that ships.

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


def mask_score(logits: Tensor, targets: Tensor) -> Tensor:
    """How well a network sees the soft label in a mixture: 100 · exp(−KL(ỹ ‖ p)).

    Args:
        logits: (B, C) of the mixtures.
        targets: (B, C) soft labels ỹ.

    Returns:
        (B,) in (0, 100]; an even guess of C classes scores 200 / C on a label of two halves.

    >>> mask_score(torch.zeros(1, 4), torch.tensor([[0.5, 0.5, 0, 0]]))
    tensor([50.])
    """
    terms = torch.xlogy(targets, targets) - targets * logits.log_softmax(1)
    return 100 * torch.exp(-terms.sum(1)).clamp(max=1)


def normalised(pixels: Tensor) -> Tensor:
    """Bytes (…, 3, H, W), or values in [0, 255], as the studio's network takes them, in double precision."""
    facts = studio_facts()
    mean, std = (torch.tensor(v, dtype=torch.float64).view(-1, 1, 1) for v in (facts.mean, facts.std))
    return (pixels.double() / 255 - mean) / std


def judged(pixels: Tensor, labels: Tensor, share: Tensor, lam: float) -> tuple[Tensor, float]:
    """A pair (2, 3, H, W) in bytes under a mask (H, W), the partner's share, against a label by any λ.

    Returns its mixture (3, H, W) in [0, 255], and the score.
    """
    mixture = torch.lerp(pixels[0].double(), pixels[1].double(), share.double())
    targets = torch.zeros(1, len(studio_facts().classes), dtype=torch.float64)
    targets[0, labels] = torch.tensor([lam, 1 - lam], dtype=torch.float64)
    return mixture, float(mask_score(studio_net().double()(normalised(mixture)[None]), targets))


def scored(pixels: Tensor, labels: Tensor, painted: Tensor) -> tuple[Tensor, float, float]:
    """A pair under a mask of bytes (H, W), against the mask's own λ: its mixture, λ and the score."""
    share = painted.double() / 255
    lam = float(1 - share.mean())
    mixture, score = judged(pixels, labels, share, lam)
    return mixture, lam, score


@cache
def designers() -> ImageSet:
    """The test images by designers not seen in training, read once."""
    from mixlearn.data import load

    return load("emoji").tests["designers"]


def checked_pairs(part: ImageSet, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The places of pairs, once it is clear that they are there and of two classes."""
    if tuple(part.images.shape[1:]) != (3, SIDE, SIDE):
        raise ValueError(f"images must have shape (N, 3, {SIDE}, {SIDE}), got {tuple(part.images.shape)}")
    if not pairs:
        raise ValueError("pairs must hold at least one pair of places, got none")
    for pair in pairs:
        if len(pair) != 2 or not all(0 <= place < len(part) for place in pair):
            raise ValueError(f"each pair must be two places from 0 to {len(part) - 1}, got {tuple(pair)}")
        own, partner = part.labels[list(pair)].tolist()
        if own == partner:
            word = studio_facts().classes[own]
            raise ValueError(f"a pair must be of two classes, got two of {word!r} at {tuple(pair)}")
    return [(int(own), int(partner)) for own, partner in pairs]


def told_pair(part: ImageSet, places: tuple[int, int]) -> dict[str, Any]:
    """The page's data of a pair: words, classes, places, and both pictures side by side."""
    words = [str(place) if part.names is None else part.names[place] for place in places]
    return {
        "name": " + ".join(words),
        "words": words,
        "labels": part.labels[list(places)].tolist(),
        "places": list(places),
        "pictures": picture_url(torch.cat([*part.images[list(places)]], 2)),
    }


def first_pair(told: Sequence[dict[str, Any]], pair: str | None) -> int:
    """Which pair to begin with."""
    names = [each["name"] for each in told]
    if len(set(names)) < len(names):
        raise ValueError(f"pairs must have different names, got {', '.join(names)}")
    if pair is not None and (wrong := one_of(names)(None, pair)):
        raise ValueError(f"pair must {wrong}, got {pair!r}")
    return 0 if pair is None else names.index(pair)


def painted_bytes(mask: Tensor | None, target: float) -> Tensor:
    """A mask (32, 32) in bytes: the one given, or a straight cut that leaves the target's share on the left.

    >>> painted_bytes(None, 0.25)[0, 7:9]
    tensor([  0, 255], dtype=torch.uint8)
    """
    if mask is None:
        columns = torch.arange(SIDE) >= round(target * SIDE)
        return (columns.byte() * 255).expand(SIDE, SIDE).contiguous()
    if tuple(mask.shape) != (SIDE, SIDE) or not bool(((mask >= 0) & (mask <= 1)).all()):
        span = f"values from {mask.min():.3g} to {mask.max():.3g}" if mask.numel() else "no values"
        raise ValueError(f"mask must be ({SIDE}, {SIDE}) in [0, 1], got {tuple(mask.shape)} with {span}")
    return (255 * mask.double()).round().byte().contiguous()


def mask_text(painted: Tensor) -> str:
    """A mask of bytes as the page holds it."""
    return base64.b64encode(array(painted, "a widget").tobytes()).decode()


def mask_rule(_: Any, text: str) -> str | None:
    """What such a text must be."""
    try:
        right = len(base64.b64decode(text, validate=True)) == SIDE**2
    except ValueError:
        right = False
    return None if right else f"be the base64 of {SIDE} × {SIDE} bytes"


def still(mixture: Tensor) -> str:
    """A mixture (3, H, W) in [0, 255], eight times as large, as a data URL."""
    return picture_url(mixture.repeat_interleave(8, 1).repeat_interleave(8, 2).round().byte())
