"""Networks made elsewhere, given the taps of ours: torchvision's and timm's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.core.scalars import as_count
from mixlearn.lab.extras import need
from mixlearn.lab.nets.blocks import Tap, quiet_draws

RESNET = {"stem": "maxpool"} | {f"stage{i}": f"layer{i}" for i in range(1, 5)}


class Tapped(nn.Module):
    """A network made elsewhere, with taps: "input", what some of its modules put out, and "pool", what its
    head is given.

    Args:
        net: ends in a linear layer.
        stages: for each tap's name the dotted name of the module whose output it shows, in the order in which
            they run; None takes those of torchvision's and timm's ResNets, "stem" and "stage1" to "stage4".
        head: dotted name of the linear layer.

    Raises:
        ValueError: a module that the network lacks, a head that is not linear.

    >>> import torchvision
    >>> net = Tapped(torchvision.models.resnet18(num_classes=4))
    >>> seen = {}
    >>> net(torch.zeros(2, 3, 64, 64), tap=lambda name, features: seen.setdefault(name, features)).shape
    torch.Size([2, 4])
    >>> list(seen), seen["stage3"].shape
    (['input', 'stem', 'stage1', 'stage2', 'stage3', 'stage4', 'pool'], torch.Size([2, 256, 4, 4]))
    """

    def __init__(self, net: nn.Module, stages: Mapping[str, str] | None = None, head: str = "fc") -> None:
        super().__init__()
        self.places, self.head_place = dict(RESNET if stages is None else stages), head
        known = dict(net.named_modules())
        for place in (*self.places.values(), head):
            if place not in known:
                raise ValueError(f"{type(net).__name__} has no module {place!r}")
        if not isinstance(known[head], nn.Linear):
            raise ValueError(f"the head must be a linear layer, {head!r} is {type(known[head]).__name__}")
        self.net = net
        self.stages = ("input", *self.places, "pool")
        self.features: int = self.head.in_features

    @property
    def head(self) -> Any:
        """The linear layer that puts out the logits."""
        return self.net.get_submodule(self.head_place)

    @property
    def groups(self) -> list[nn.Module]:
        """The stages of a residual network of torchvision or timm, one after the other; others have none."""
        if self.places != RESNET:
            raise AttributeError(
                f"the stages of {type(self.net).__name__} are not known to follow each other"
            )
        return [self.net.get_submodule(place) for name, place in self.places.items() if name != "stem"]

    @property
    def last(self) -> nn.Module:
        """What comes between the last of `groups` and the mean over places: nothing."""
        return nn.Identity()

    def forward(self, images: Tensor, tap: Tap | None = None) -> Tensor:
        if tap is None:
            logits: Tensor = self.net(images)
            return logits
        hooks = [
            self.net.get_submodule(place).register_forward_hook(partial(_after, tap, name))
            for name, place in self.places.items()
        ]
        hooks.append(self.head.register_forward_pre_hook(partial(_before, tap, "pool")))
        try:
            logits = self.net(tap("input", images))
        finally:
            for hook in hooks:
                hook.remove()
        return logits


def torchvision_resnet(
    name: str = "resnet18",
    num_classes: int = 1000,
    *,
    weights: str | None = "IMAGENET1K_V1",
    generator: torch.Generator | None = None,
) -> Tapped:
    """One of torchvision's residual networks, trained on ImageNet, with a new head and with taps.

    Args:
        name: torchvision's, such as "resnet50", "resnext50_32x4d" or "wide_resnet50_2".
        num_classes: length of the logits.
        weights: torchvision's name of the weights, which are downloaded once; None starts anew.
        generator: source of the new weights; None uses torch's default one.

    Raises:
        ValueError: a name or weights that torchvision does not know, or a network of another kind.
        ConnectionError: the weights could not be downloaded; the message says where they belong.

    >>> net = torchvision_resnet("resnet18", 5, weights=None)
    >>> net(torch.zeros(2, 3, 32, 32)).shape, net.features
    (torch.Size([2, 5]), 512)
    """
    models = need("torchvision.models", "a network of torchvision")
    seed = int(torch.randint(2**62, (), generator=generator))
    with quiet_draws():
        torch.manual_seed(seed)
        try:
            net = models.get_model(name, weights=weights)
        except KeyError as unknown:
            raise ValueError(f"{name} has no weights {weights!r}") from unknown
        except OSError as problem:
            raise ConnectionError(
                f"the weights {weights!r} of {name} could not be had ({problem}); put their file into "
                f"{torch.hub.get_dir()}/checkpoints, or start anew with weights=None"
            ) from problem
        if not isinstance(net, models.ResNet):
            raise ValueError(f"name must be one of torchvision's residual networks, got {name!r}")
        net.fc = nn.Linear(net.fc.in_features, as_count(num_classes, "num_classes", 1))
    nn.init.normal_(net.fc.weight, 0.0, 0.01, generator=generator)
    nn.init.zeros_(net.fc.bias)
    return Tapped(net)


def _after(tap: Tap, name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return tap(name, output)


def _before(tap: Tap, name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
    return (tap(name, inputs[0]),)
