"""A short training on the CPU, and a network that is small enough for it."""

from functools import partial

import torch
from torch import nn

import mixlearn as ml

quick = partial(ml.fit, epochs=2, batch_size=16, accelerator="cpu", progress=False)


def small_net(seed: int = 0) -> nn.Module:
    return ml.nets.mlp(64, (16,), 4, generator=torch.Generator().manual_seed(seed))
