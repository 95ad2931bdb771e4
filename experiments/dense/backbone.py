"""What detectors and segmenters share: a copy of a network that is looked at through one of its taps."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

from torch import Tensor, nn

from mixlearn.nets.taps import staged

Self = TypeVar("Self", bound="Backbone")


def borrowed(net: nn.Module, frozen: bool) -> nn.Module:
    """A copy of a network to be trained on, or to be left as it is.

    Args:
        net: left alone.
        frozen: no weight of the copy is to be trained.

    >>> net = nn.Linear(2, 1)
    >>> copy = borrowed(net, frozen=True)
    >>> copy is net, copy.weight.requires_grad, net.weight.requires_grad
    (False, False, True)
    """
    return deepcopy(net).requires_grad_(not frozen)


class Backbone(nn.Module):
    """A network whose features other layers go on from.

    The network's batch normalisation keeps its running means, in training too, as is usual in detection,
    where a batch holds few scenes; its scales and shifts are weights like others.

    Args:
        net: a network with taps.
        stage: the tap to read.

    >>> import torch, mixlearn as ml
    >>> backbone = Backbone(ml.nets.resnet(8, 10, width=4), "stage2").train()
    >>> backbone.features(torch.zeros(1, 3, 16, 16)).shape, backbone.net.training
    (torch.Size([1, 8, 8, 8]), False)
    """

    def __init__(self, net: nn.Module, stage: str) -> None:
        super().__init__()
        self.net, self.stage = net, stage

    def train(self: Self, mode: bool = True) -> Self:
        """Training mode for the new layers alone."""
        super().train(mode)
        self.net.eval()
        return self

    def features(self, images: Tensor) -> Tensor:
        """What the tap shows, (B, C, h, w)."""
        return staged(self.net, images, self.stage)
