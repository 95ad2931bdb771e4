"""A step of AutoMix against a step of plain training: time and peak memory.

    python -m benchmarks.automix [--depth 18] [--width 64] [--batch 100] [--rounds 5] [--threads N]

Three candidates take turns within every round: plain training; AutoMix as published, four passes forward and
three back, the twin's running means its own; and AutoMix as the package does it, with the same update: the
twin's first pass ends at the stage that the Mix Block sees, masks that teach the network keep no graph, and
each part's gradient is taken before the next part is begun.
What is printed is the median over rounds of the ratio inside a round, with its quartiles. Runs on the GPU
where there is one, and on the CPU in any case.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from torch import nn

import mixlearn as ml
from benchmarks.mixing import peak_bytes, seconds
from mixlearn.lab.learners import AutoMix, Plain
from mixlearn.lab.twin import Buffers

Step = Callable[[], None]


def step_of(kind: str, depth: int, width: int, batch: int, device: torch.device) -> Step:
    """One step of training: terms, gradients, the optimiser, the twin."""
    seeded = torch.Generator().manual_seed(0)
    net = ml.nets.resnet(depth, 100, width=width, generator=seeded).to(device)
    learner: Plain | AutoMix = Plain()
    if kind != "plain":
        published = kind == "automix as published"
        rule: Buffers = "own" if published else "averaged"
        learner = AutoMix(net, plainly=published, buffers=rule, generator=seeded).to(device)
    images = torch.rand(batch, 3, 32, 32, generator=seeded).to(device)
    labels = torch.randint(100, (batch,), generator=seeded).to(device)
    parts = nn.ModuleList([net, learner]) if isinstance(learner, nn.Module) else net
    trained = [p for p in parts.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, 0.01, momentum=0.9)

    def step() -> None:
        if kind == "automix":  # as `fit` does
            for part in learner.in_parts(net, images, labels, generator=seeded):
                torch.stack(list(part.values())).sum().backward()
        else:
            terms = learner(net, images, labels, generator=seeded)
            torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        if isinstance(learner, AutoMix):
            learner.after_step(net)

    return step


def compare(depth: int, width: int, batch: int, rounds: int, device: torch.device) -> dict[str, list[float]]:
    """For each candidate the ratios of its time to plain training's, sorted, and last that of its memory."""
    kinds = ("plain", "automix as published", "automix")
    steps = {kind: step_of(kind, depth, width, batch, device) for kind in kinds}
    for step in steps.values():
        step()
    turns = [{kind: seconds(step, 1, device) for kind, step in steps.items()} for _ in range(rounds)]
    memory = {kind: peak_bytes(step, device) for kind, step in steps.items()}
    return {
        kind: [*sorted(turn[kind] / turn["plain"] for turn in turns), memory[kind] / memory["plain"]]
        for kind in kinds
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--depth", type=int, default=18, help="of the residual network")
    parser.add_argument("--width", type=int, default=64, help="channels of its first stage")
    parser.add_argument("--batch", type=int, default=100, help="images")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every candidate")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for device in [torch.device("cpu")] + ([torch.device("cuda")] if torch.cuda.is_available() else []):
        where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {arguments.threads} threads"
        print(f"ResNet-{arguments.depth}, width {arguments.width}, batch {arguments.batch}, {where}")
        found = compare(arguments.depth, arguments.width, arguments.batch, arguments.rounds, device)
        for kind, (*ratios, memory) in found.items():
            low, high = ratios[len(ratios) // 4], ratios[(3 * len(ratios)) // 4]
            print(
                f"  {kind:<22} time × {statistics.median(ratios):.2f} ({low:.2f}–{high:.2f})   "
                f"memory × {memory:.2f}"
            )


if __name__ == "__main__":
    main()
