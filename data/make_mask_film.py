"""Make mixlearn/page/assets/mask_film.safetensors: a Mix Block through training, for the mask film.

    python data/make_mask_film.py           # trains, rounds, writes; on one CPU core

AutoMix on Emoji Scenes at 32 × 32, as chapter 5's experiments have it, but at the third stage: there the
masks of so short a run come to differ from place to place. Kept are the Mix Block and its twin up to that
stage, batch normalisations folded into the convolutions, in half precision. The file is mixlearn's own, MIT.
"""

import copy
import time
from functools import partial
from typing import Any

import torch
from packing import packed_film

import mixlearn as ml
from experiments.chapters.chapter_5 import whole
from experiments.training import weights
from mixlearn.methods.augment import crop_and_flip
from mixlearn.page.film import FILE, RecordedBlock, unpacked_film
from mixlearn.page.studio_net import folded
from mixlearn.train.fit import sgd
from mixlearn.train.schedules import one_cycle

WIDTH, EPOCHS, SEED = 8, 15, 0
KEPT = (0, 1, 2, 3, 5, 8, 11, 15)


class Camera:
    """A log for `fit` that keeps what the Mix Block and its twin are after some epochs."""

    def __init__(self, learner: Any) -> None:
        self.learner, self.frames = learner, {0: self.shot(learner)}

    @staticmethod
    def shot(learner: Any) -> RecordedBlock:
        """Both as they are now."""
        return RecordedBlock(
            folded(learner.twin["net"]), int(learner.stage[-1]), copy.deepcopy(learner.block)
        )

    def epochs(self, epochs: list[dict[str, float]]) -> None:
        """Called by `fit` after each epoch."""
        done = int(epochs[-1]["epoch"])
        print(f"epoch {done}: " + ", ".join(f"{name} {value:.3f}" for name, value in epochs[-1].items()))
        if done in KEPT:
            self.frames[done] = self.shot(self.learner)

    def images(self, epoch: int, grid: torch.Tensor) -> None:
        """Called by `fit` with mixtures, which are not kept."""


def make() -> None:
    """Train, fold, round, write; say what the masks are."""
    data = ml.data.load("emoji")
    net = ml.nets.resnet(8, len(data.classes), width=WIDTH, generator=weights(SEED))
    first = torch.Generator().manual_seed(SEED + 104_729)
    learner = whole(net, stage="stage3", image_size=32, generator=first)
    camera, start = Camera(learner), time.process_time()
    ml.fit(
        net,
        data.train,
        learner,
        epochs=EPOCHS,
        batch_size=64,
        optimizer=partial(sgd, lr=0.1),
        schedule=one_cycle,
        augment=crop_and_flip,
        seed=SEED,
        log=camera,
        progress=False,
    )
    words = (
        f"AutoMix on Emoji Scenes, a ResNet-8 of width {WIDTH}, Mix Block at {learner.stage}, {EPOCHS} epochs"
    )
    written = packed_film(camera.frames, words, data.mean, data.std)
    FILE.write_bytes(written)
    print(f"{FILE.name}: {len(written)} bytes, {time.process_time() - start:.0f} s of training")
    show(unpacked_film(written)[0], data.test)


@torch.no_grad()
def show(frames: dict[int, RecordedBlock], part: Any) -> None:
    """Epoch by epoch, of 200 pairs: means of the masks at some λ, and how they differ from place to place."""
    images, _ = part.batch(torch.arange(0, 1000, 5))
    partner = torch.arange(len(images)).roll(1)
    for epoch, block in frames.items():
        means = [f"{block(images, share, partner).mean():.2f}" for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
        spread = block(images, 0.5, partner).flatten(1).std(1).mean()
        print(f"epoch {epoch}: means {' '.join(means)} at λ 0.1 … 0.9, deviation within a mask {spread:.3f}")


if __name__ == "__main__":
    make()
