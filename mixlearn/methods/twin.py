"""A network's slow twin: its weights follow by a moving average and are never trained."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any, Literal

import torch
from torch import nn

Buffers = Literal["averaged", "own"]


class Twin(nn.Module):
    """Copies of some modules that follow them: θ′ ← m θ′ + (1 − m) θ after every step.

    The twin's weights need no gradient, but gradients pass through it to its input. In training its batch
    normalisation uses the batch it sees, as that of the originals does.

    Args:
        modules: by their names, what to follow.
        momentum: m, in [0, 1].
        buffers: what becomes of running means and the like: "averaged" lets them follow as the weights do,
            and the twin's own passes leave them alone; "own" leaves them to those passes, as AutoMix's
            released code does.

    Raises:
        TypeError: weights of 16 bits, in which small steps are lost.
        ValueError: a momentum outside [0, 1], another rule for buffers.

    >>> layer = nn.Linear(1, 1, bias=False)
    >>> nn.init.constant_(layer.weight, 1.0).item()
    1.0
    >>> twin = Twin({"layer": layer}, momentum=0.75)
    >>> layer.weight.data.fill_(5.0).item()
    5.0
    >>> twin.follow({"layer": layer})
    >>> twin["layer"].weight.item(), twin["layer"].weight.requires_grad
    (2.0, False)
    """

    def __init__(
        self, modules: dict[str, nn.Module], momentum: float = 0.999, buffers: Buffers = "averaged"
    ) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must lie in [0, 1], got {momentum}")
        if buffers not in ("averaged", "own"):
            raise ValueError(f"buffers must be 'averaged' or 'own', got {buffers!r}")
        self.copies = nn.ModuleDict({name: deepcopy(module) for name, module in modules.items()})
        self.copies.requires_grad_(False)
        small = [p.dtype for p in self.copies.parameters() if p.is_floating_point() and p.itemsize < 4]
        if small:
            raise TypeError(f"a twin needs weights of 32 bits to follow in small steps, got {small[0]}")
        if buffers == "averaged":
            for module in self.copies.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.momentum = 0.0  # of its running means
        self.momentum, self.buffers_rule = momentum, buffers

    def __getitem__(self, name: str) -> Any:
        return self.copies[name]

    @torch.no_grad()
    def follow(self, modules: dict[str, nn.Module]) -> None:
        """One step towards the modules as they are now.

        Args:
            modules: those that the twin was made of, by the same names.
        """
        for name, copy in self.copies.items():
            pairs = list(zip(copy.parameters(), modules[name].parameters(), strict=True))
            if self.buffers_rule == "averaged":
                pairs += zip(copy.buffers(), modules[name].buffers(), strict=True)  # type: ignore[arg-type]
            for slow, fast in pairs:
                if slow.is_floating_point():
                    slow.lerp_(fast.to(slow), 1 - self.momentum)
                else:
                    slow.copy_(fast)


def slow_down(progress: float, start: float = 0.999, end: float = 0.999999, hold: float = 0.1) -> float:
    """AutoMix's momentum: constant for the first share of training, then it rises to its end as a cosine.

    The cosine is that of the whole of training, so that m jumps a little where it sets in.

    Args:
        progress: of training, in [0, 1].
        start, end: the momentum at the beginning and at the end.
        hold: the share of training with the first.

    Source: Liu et al., *AutoMix*, ECCV 2022; the schedule from the authors' code.

    >>> [round(slow_down(progress), 6) for progress in (0, 0.05, 0.1, 0.5, 1)]
    [0.999, 0.999, 0.999024, 0.999499, 0.999999]
    """
    if progress < hold:
        return start
    return end - (end - start) * (1 + math.cos(math.pi * progress)) / 2
