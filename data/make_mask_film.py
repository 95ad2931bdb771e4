"""Make mixlearn/page/assets/mask_film.safetensors: a Mix Block through training, for the mask film.

    python data/make_mask_film.py           # trains, rounds, writes; on one CPU core

A Mix Block learns to mix Emoji Scenes of 32 × 32 pixels for the frozen classifier of the mask studio: the
half of AutoMix that makes masks, beside a network that has learned already. Kept are the Mix Block after some
epochs and the classifier up to the stage that the block sees, in half precision. The file is mixlearn's own,
MIT.
"""

import copy
import time
from typing import Any

import torch
from packing import packed_film

import mixlearn as ml
from experiments.judging import teach
from experiments.training import weights
from mixlearn.methods.automix import MixBlock
from mixlearn.nets.taps import staged
from mixlearn.page.film import FILE, RecordedBlock, unpacked_film
from mixlearn.page.studio_net import SIDE, judged, studio_facts, studio_net

STAGE, SEED, BATCH = 2, 0, 64
KEPT = (0, 1, 2, 3, 5, 8, 12, 18)  # epochs


def make() -> None:
    """Train, round, write; say what the masks are."""
    data, net, start = ml.data.load("emoji"), studio_net(), time.process_time()
    channels = staged(net, torch.zeros(1, 3, SIDE, SIDE), f"stage{STAGE}").shape[1]
    block = MixBlock(channels, std=0.3, generator=weights(SEED))
    frames: dict[int, RecordedBlock] = {}
    epoch_steps = len(data.train) // BATCH

    def keep(step: int) -> None:
        epoch, rest = divmod(step, epoch_steps)
        if not rest and epoch in KEPT:
            frames[epoch] = RecordedBlock(net, STAGE, copy.deepcopy(block))
            print(f"epoch {epoch}, {time.process_time() - start:.0f} s", flush=True)

    teach(block, net, data.train, steps=KEPT[-1] * epoch_steps, stage=f"stage{STAGE}", seed=SEED, watch=keep)
    words = (
        f"a Mix Block at stage {STAGE} of the mask studio's classifier, which is frozen, on Emoji Scenes, "
        f"{KEPT[-1]} epochs"
    )
    facts = studio_facts()
    written = packed_film(frames, words, facts.mean, facts.std)
    FILE.write_bytes(written)
    print(f"{FILE.name}: {len(written)} bytes, {time.process_time() - start:.0f} s of training")
    show(unpacked_film(written)[0], data.test)
    compare(unpacked_film(written)[0][KEPT[-1]], data.tests["designers"])


@torch.no_grad()
def show(frames: dict[int, RecordedBlock], part: Any) -> None:
    """Epoch by epoch, of 200 pairs: means of the masks at some λ, and how they differ from place to place."""
    images, _ = part.batch(torch.arange(0, 1000, 5))
    partner = torch.arange(len(images)).roll(1)
    for epoch, block in frames.items():
        means = [f"{block(images, share, partner).mean():.2f}" for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
        spread = block(images, 0.5, partner).flatten(1).std(1).mean()
        print(f"epoch {epoch}: means {' '.join(means)} at λ 0.1 … 0.9, deviation within a mask {spread:.3f}")


@torch.no_grad()
def compare(block: RecordedBlock, part: Any, count: int = 300, lam: float = 0.6) -> None:
    """The studio's score of the last masks, of a plain blend and of a straight cut, over random pairs."""
    generator = torch.Generator().manual_seed(SEED)
    scores: dict[str, list[float]] = {"block": [], "blend": [], "cut": []}
    for _ in range(count):
        places = torch.randperm(len(part), generator=generator)[:2].tolist()
        pixels, labels = part.images[places], part.labels[places]
        if labels[0] == labels[1]:
            continue
        images, _ = part.batch(places)
        own = block(images, lam, torch.tensor([1, 0]))[0, 0]  # (H, W)
        cut = (torch.arange(SIDE) >= round(lam * SIDE)).float().expand(SIDE, -1)
        for name, share in {"block": 1 - own, "blend": torch.full_like(own, 1 - lam), "cut": cut}.items():
            scores[name].append(judged(pixels, labels, share, lam)[1])
    print(", ".join(f"{name} {sum(each) / len(each):.1f}" for name, each in scores.items()))


if __name__ == "__main__":
    make()
