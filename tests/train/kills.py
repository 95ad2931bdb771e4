"""Kill a small training at random moments and go on with it, again and again: the weights must not tell.

`python -m tests.train.kills` kills ten runs twice each and prints what came of them.
"""

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
from mixlearn.train import checkpoint
from tests.sets import Blobs, weights


def train(path: Path | None, result: Path) -> None:
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
    torch.save(torch.cat([weights(net), *averaged]), result)


def child(path: Path | None, result: Path, seconds: float | None = None) -> bool:
    """Train in a process of its own, and kill it after so many seconds; whether it was still at work."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["lightning.fabric", "mixlearn.train.fit", "tests.sets"])
    process = server.Process(target=train, args=(path, result))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        return not result.exists()
    if process.exitcode:
        raise RuntimeError(f"the run failed with exit code {process.exitcode}")
    return False


def killed(seed: int, kills: int, seconds: float, folder: Path) -> tuple[list[int], torch.Tensor]:
    """Kill a run so many times. How many steps it had saved each time, and the weights it ended with.

    A run that ends before it is killed is begun anew, to be killed sooner.
    """
    moments, path, result = random.Random(seed), folder / "run.pt", folder / "result.pt"
    steps: list[int] = []
    while len(steps) < kills:
        if child(path, result, moments.uniform(0, seconds)):
            steps.append(checkpoint.load(path)["place"]["step"] if path.exists() else 0)
        else:
            seconds *= 0.8
            steps = []
            path.unlink()
            result.unlink()
    child(path, result)
    return steps, torch.load(result)


def unbroken(folder: Path) -> tuple[torch.Tensor, float]:
    """The weights of a run that nobody kills, and the seconds that it takes."""
    for name in ("first", "second"):  # the first waits until everything is imported
        started = time.perf_counter()
        child(None, folder / name)
    return torch.load(folder / "second"), time.perf_counter() - started


def main(kills: int = 20) -> int:
    """How many of the runs, each killed twice, ended with other weights."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        expected, seconds = unbroken(Path(folder))
    for run in range(kills // 2):
        with tempfile.TemporaryDirectory() as folder:
            steps, resumed = killed(run, 2, seconds, Path(folder))
        same = torch.equal(resumed, expected)
        wrong += not same
        print(f"killed with {steps} steps saved: weights {'equal' if same else 'DIFFERENT'}", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
