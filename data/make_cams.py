"""Make mixlearn/page/assets/cams.json: where four networks of chapter 3 look, for the figure of its results.

    python data/make_cams.py            # seed 0: trains four networks, writes; seven minutes on one CPU core
    python data/make_cams.py 1 2        # adds other seeds' shares

The networks are those of the records boxes-emoji-{plain,cutout,mixup,cutmix}. Kept are class activation maps
of the true class (8 × 8, 0 to 255) for four test images, and of each network how much of such a map lies on
the object, over all test images. They show concepts that were not in training. The images are the first four
of the test set, each of another class, that all four networks of seed 0 name right.
"""

import json
import sys
from typing import Any

import torch
from torch import Tensor, nn

import mixlearn as ml
from experiments.chapters.chapter_3 import boxes
from experiments.training import weights
from mixlearn.nets.taps import staged
from mixlearn.page.host import ASSETS

FILE = ASSETS / "cams.json"
WAYS = ("plain", "cutout", "mixup", "cutmix")


def small_maps(net: nn.Module, images: Tensor, labels: Tensor) -> list[Any]:
    """Class activation maps (B, 8, 8) as the network has them, each scaled to 0 … 255."""
    with torch.no_grad():
        maps = torch.einsum("bchw,bc->bhw", staged(net, images, "stage3"), net.head.weight[labels])
    maps = maps - maps.amin((1, 2), keepdim=True)
    return (255 * maps / maps.amax((1, 2), keepdim=True)).round().int().tolist()


def on_object(net: nn.Module, images: Tensor, labels: Tensor, masks: Tensor) -> Tensor:
    """(B,) share of each map that lies on the object."""
    maps = ml.feature_attention(net, images, "stage3", labels)
    return (maps * masks).sum((1, 2, 3))


def summary(shares: Tensor) -> list[float]:
    """Mean and half of the 95 % interval over images."""
    return [round(float(shares.mean()), 4), round(float(1.96 * shares.std() / len(shares) ** 0.5), 4)]


def make(seed: int, data: Any, found: dict[str, Any]) -> None:
    """Train the four networks of one seed and add what they show."""
    images, labels = data.test.batch(slice(None))
    masks = data.test.masks.float() / 255
    fresh = ml.nets.resnet(8, len(data.classes), width=8, generator=weights(seed)).eval()
    nets = {"untrained": fresh}
    for way in WAYS:
        made = boxes[f"boxes-emoji-{way}"](seed=seed, data=data, examine=None, progress=False)
        nets[way] = made.model.eval()
        print(f"seed {seed}, {way}: {made.history.seconds:.0f} s", flush=True)
    with torch.no_grad():
        right = {way: net(images).argmax(1) == labels for way, net in nets.items()}
    shares = {way: on_object(net, images, labels, masks) for way, net in nets.items()}
    entry = {
        way: {
            "accuracy": round(float(right[way].float().mean()), 4),
            "share": summary(shares[way]),
            "minus plain": summary(shares[way] - shares["plain"]),
        }
        for way in nets
    }
    found.setdefault("seeds", {})[str(seed)] = entry
    if seed == 0:
        chosen: dict[int, int] = {}  # class: place
        named = torch.stack([right[way] for way in WAYS]).all(0)
        for at in named.nonzero()[:, 0].tolist():
            chosen.setdefault(int(labels[at]), at)
        places = sorted(chosen.values())[:4]
        found |= {"places": places, "object": round(float(masks.mean()), 4)}
        found["maps"] = {way: small_maps(nets[way], images[places], labels[places]) for way in WAYS}


def main(seeds: list[int]) -> None:
    """Make or extend the file, seed by seed."""
    data = ml.data.load("emoji")
    for seed in seeds:
        found = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
        make(seed, data, found)
        FILE.write_text(json.dumps(found, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
        print(json.dumps(found["seeds"][str(seed)], indent=1), flush=True)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [0])
