"""Kill a small training at random moments and go on with it, again and again: the weights must not tell.

`python -m tests.train.kills` kills twenty times and prints what came of each run.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mixlearn as ml
from tests.lab.sets import Blobs, weights


def train(path: Path | None, result: Path | None) -> torch.Tensor:
    """A run of a few seconds that goes on from its checkpoint, saved after every step."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = nn.Sequential(ml.nets.resnet(8, 8, width=8, channels=1), nn.Dropout(0.3), nn.Linear(8, 4))
    options: dict[str, Any] = {"epochs": 4, "batch_size": 8, "accelerator": "cpu", "progress": False}
    if path is not None:
        options |= {"checkpoint": path, "checkpoint_every": 1, "resume": True}
    learner = ml.learners.Mixing(ml.RandomMix([ml.mixup, ml.cutmix], num_classes=4))
    history = ml.fit(net, Blobs(44), learner, ema=0.9, augment=ml.augment.crop_and_flip, **options)
    assert history.averaged is not None
    averaged = [value.double().flatten() for value in history.averaged.values()]
    numbers = torch.cat([weights(net), *averaged])
    if result is not None:
        torch.save(numbers, result)
    return numbers


def killed(seed: int, kills: int, seconds: float, folder: Path) -> tuple[int, torch.Tensor]:
    """How often a run was killed before it came to its end, and the weights that it ended with."""
    moments, server = random.Random(seed), multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["lightning.fabric", "mixlearn.train.fit", "tests.lab.sets"])
    path, result, done = folder / "run.pt", folder / "result.pt", 0
    while not result.exists():
        child = server.Process(target=train, args=(path, result))
        child.start()
        child.join(moments.uniform(0, seconds) if done < kills else None)
        if child.is_alive():
            child.kill()
            child.join()
            done += 1
        elif child.exitcode:
            raise RuntimeError(f"the run failed with exit code {child.exitcode}")
    return done, torch.load(result)


def main(kills: int = 20) -> int:
    """How many of the runs ended with other weights."""
    started = time.perf_counter()
    unbroken = train(None, None)
    seconds, total, seed, wrong = time.perf_counter() - started, 0, 0, 0
    while total < kills:
        with tempfile.TemporaryDirectory() as folder:
            count, resumed = killed(seed, min(2, kills - total), seconds, Path(folder))
        same = torch.equal(resumed, unbroken)
        total, seed, wrong = total + count, seed + 1, wrong + (not same)
        print(f"run {seed}: killed {count} times, weights {'equal' if same else 'DIFFERENT'}", flush=True)
    print(f"{total} kills in {seed} runs, {wrong} with other weights than the unbroken run")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
