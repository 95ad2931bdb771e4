"""Golden runs: two short epochs of one experiment of each chapter, on a CPU, with one thread and one seed.

`python -m tests.golden.runs` runs them all and writes what came out to `runs.json`, beside this file. That is
right only after a change that is meant to change numbers.
"""

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mixlearn as ml
from experiments.command import named
from experiments.examine import examine_features
from experiments.records import device_name

FILE = Path(__file__).with_name("runs.json")
RUNS = (
    "fashion-mixup",
    "boxes-emoji-cutmix",
    "automix-fashion-automix",
    "mixskd-fashion-mixskd",
    "contrast-fashion-patchmix",
)


def golden(name: str) -> dict[str, Any]:
    """One run: the terms and measures of each epoch, the final measures, a sha256 of the final weights.

    Args:
        name: of a record. The run has its learner and settings, but two epochs of 320 images, and 200 images
            of each test set. Of the further measures only the evaluations of features are taken.
    """
    data: Any = ml.data.load("emoji" if "emoji" in name else "fashion")
    data = replace(
        data,
        train=data.train.subset(320, generator=torch.Generator().manual_seed(0)),
        tests={part: images.subset(200, generator=torch.Generator()) for part, images in data.tests.items()},
    )
    examine = partial(examine_features, data=data, images=None, epochs=5, tune=1)
    options = {"examine": examine if name.startswith("contrast") else None}
    setting = named(name)
    assert setting is not None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(0)
        outcome = setting(
            data=data, images=None, epochs=2, seed=0, accelerator="cpu", progress=False, **options
        )
    finally:
        torch.set_num_threads(threads)
    epochs = [{key: row[key] for key in row if key != "seconds"} for row in outcome.history.epochs]
    return {"epochs": epochs, "final": outcome.final, "weights": digest(outcome.model)}


def digest(net: nn.Module) -> str:
    """The sha256 of all weights and buffers, in the order of their names, and of the names."""
    whole = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        whole.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        whole.update(value.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def machine() -> dict[str, str]:
    """What decides how numbers are rounded: torch's version, its vector instructions, the processor."""
    return {
        "torch": str(torch.__version__),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "processor": device_name(torch.device("cpu")),
    }


if __name__ == "__main__":
    found = {"machine": machine(), "runs": {name: golden(name) for name in RUNS}}
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
