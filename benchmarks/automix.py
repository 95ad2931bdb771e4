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

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.steps import Build, report
from mixlearn.methods.learners import AutoMix, Plain


class Published(nn.Module):
    """AutoMix with all terms made in one go, their gradients taken together."""

    def __init__(self, net: Any, generator: torch.Generator) -> None:
        super().__init__()
        self.learner = AutoMix(net, plainly=True, buffers="own", generator=generator)
        self.after_step = self.learner.after_step

    def forward(self, *given: Any, generator: torch.Generator) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = self.learner(*given, generator=generator)
        return terms


BUILDS: dict[str, Build] = {
    "plain": lambda net, seeded: Plain(),
    "automix as published": Published,
    "automix": lambda net, seeded: AutoMix(net, generator=seeded),
}

if __name__ == "__main__":
    report(__doc__ or "", BUILDS)
