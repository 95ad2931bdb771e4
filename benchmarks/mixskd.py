"""A step of MixSKD against a step of plain training: time and peak memory.

    python -m benchmarks.mixskd [--depth 18] [--width 64] [--batch 100] [--rounds 5] [--threads N]

CutMix costs what plain training costs; DDGSD sends two views of each image through the network; MixSKD sends
images and mixtures, and all of them through its branches too.
What is printed is the median over rounds of the ratio inside a round, with its quartiles. Runs on the GPU
where there is one, and on the CPU in any case.
"""

from __future__ import annotations

import mixlearn as ml
from benchmarks.steps import Build, report
from mixlearn.methods.augment import crop_and_flip
from mixlearn.methods.distill import DDGSD
from mixlearn.methods.learners import Mixing, MixSKD, Plain

BUILDS: dict[str, Build] = {
    "plain": lambda net, seeded: Plain(),
    "cutmix": lambda net, seeded: Mixing(ml.cutmix, net.head.out_features),
    "ddgsd": lambda net, seeded: DDGSD(crop_and_flip),
    "mixskd": lambda net, seeded: MixSKD(net, generator=seeded),
}

if __name__ == "__main__":
    report(__doc__ or "", BUILDS)
