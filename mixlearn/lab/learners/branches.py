"""Side branches of a network: from the features of an early stage, by layers like its own, to an answer."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.lab.nets.blocks import initialise
from mixlearn.lab.nets.tapped import Tapped
from mixlearn.lab.nets.taps import check_taps


class Branch(nn.Module):
    """The layers that a network has left after a stage, with first weights of their own, and a head.

    `branch(features)` gives a map, of the shape of the network's last stage, and logits. `branch.stage` is
    the tap whose features it is given.

    Args:
        net: a residual network with `groups`, `Tapped` ones of torchvision and timm too, or a ViT with
            `layers`. It is only looked at and copied.
        after: how many of its stages come before.
        generator: source of the first weights; None uses torch's default one.

    Source: Yang et al., *MixSKD*, ECCV 2022, where it aligns features of all stages.

    >>> import mixlearn as ml
    >>> branch = Branch(ml.nets.resnet(8, 4, width=4), after=1)
    >>> maps, logits = branch(torch.zeros(2, 4, 8, 8))
    >>> branch.stage, maps.shape, logits.shape
    ('stage1', torch.Size([2, 16, 2, 2]), torch.Size([2, 4]))
    """

    def __init__(self, net: Any, after: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        stages = stages_of(net)
        if not 1 <= after < len(stages):
            raise ValueError(f"after must be from 1 to {len(stages) - 1}, got {after}")
        self.stage = stages[after - 1]
        layers = net.layers if hasattr(net, "layers") else net.groups
        self.rest = nn.Sequential(*deepcopy(list(layers)[after:]))
        self.last = deepcopy(net.norm if hasattr(net, "layers") else net.last)
        self.head = nn.Linear(net.head.in_features, net.head.out_features, device=net.head.weight.device)
        for module in self.modules():
            if isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm)):
                module.reset_parameters()
        if hasattr(net, "layers"):
            for module in self.rest.modules():
                if isinstance(module, nn.Linear):
                    nn.init.trunc_normal_(module.weight, std=0.02, generator=generator)
            initialise(self.head, generator)
        else:
            initialise(self, generator)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.rest(features)
        if hidden.dim() == 3:  # tokens
            seen = self.last(hidden)[:, 0]
        else:
            even = hidden if isinstance(self.last, nn.Identity) else F.relu(self.last(hidden))
            seen = even.mean((2, 3))
        return as_map(hidden), self.head(seen)


def stages_of(net: Any) -> tuple[str, ...]:
    """The taps after each stage of a residual network, or after each quarter of a ViT's layers.

    Args:
        net: as for `Branch`.

    Raises:
        TypeError: a network of another kind.

    >>> import mixlearn as ml
    >>> stages_of(ml.nets.resnet(18, 4, width=4))
    ('stage1', 'stage2', 'stage3', 'stage4')
    """
    check_taps(net, "a learner with branches")
    if hasattr(net, "groups"):
        return tuple(f"stage{k + 1}" for k in range(len(net.groups)))
    if hasattr(net, "layers") and "block1" in getattr(net, "stages", ()):
        return tuple(f"block{k + 1}" for k in range(len(net.layers)))
    raise TypeError(
        "branches need a residual network or a ViT, "
        f"got {type(net.net if isinstance(net, Tapped) else net).__name__}"
    )


def branch_points(net: Any) -> tuple[int, ...]:
    """After how many stages a branch leaves: all but the last, of a ViT after each quarter of its layers.

    Args:
        net: as for `Branch`.

    Raises:
        TypeError: as for `stages_of`.
        ValueError: a network of one stage.

    >>> import mixlearn as ml
    >>> branch_points(ml.nets.resnet(18, 4, width=4))
    (1, 2, 3)
    >>> branch_points(ml.nets.vit(4, size=8, patch=4, dim=12, depth=8))
    (2, 4, 6)
    """
    depth = len(stages_of(net))
    if depth < 2:
        raise ValueError(f"branches need a network of two stages or more, got {depth}")
    if hasattr(net, "groups") or depth <= 4:
        return tuple(range(1, depth))
    return tuple(round(depth * k / 4) for k in (1, 2, 3))


def as_map(features: Tensor) -> Tensor:
    """Features as (B, C, h, w): tokens (B, N, C) become (B, C, N, 1).

    >>> as_map(torch.zeros(2, 5, 3)).shape
    torch.Size([2, 3, 5, 1])
    """
    return features.mT.unsqueeze(3) if features.dim() == 3 else features
