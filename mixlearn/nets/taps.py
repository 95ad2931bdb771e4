"""Taps: how the features inside a network are read and replaced, also in networks of other libraries.

A network with taps has `stages`, the names of its taps, and takes `net(images, tap=tap)`. It then calls
`features = tap(name, features)` at each stage, in order, and goes on with what comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from mixlearn.core.checks import takes

Tap = Callable[[str, Tensor], Tensor]
WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
WRAPPING = ("lightning.fabric", "mixlearn.core.processes")  # modules of other classes that wrap a network


def pass_on(name: str, features: Tensor) -> Tensor:
    """The tap of a network called without one."""
    return features


@contextmanager
def quiet_draws() -> Iterator[None]:
    """Build layers without moving torch's default generator; their weights are drawn afterwards."""
    with torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def evaluation(model: Any) -> Iterator[None]:
    """A network in evaluation mode for a while, each of its modules afterwards as it was."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    training = [module for module in modules if module.training]
    try:
        if training:
            model.eval()
        yield
    finally:
        for module in training:
            module.training = True


def initialise(net: nn.Module, generator: torch.Generator | None, zero_init: bool = False) -> None:
    """Draw the first weights of a residual network; `zero_init` starts every block as the identity."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01, generator=generator)
            nn.init.zeros_(module.bias)
        elif zero_init and hasattr(module, "last_norm"):
            nn.init.zeros_(module.last_norm.weight)  # type: ignore[union-attr, arg-type]


def bare(model: Any) -> Any:
    """The network itself, without the wrappers of Fabric, DistributedDataParallel or several processes."""
    while isinstance(model, WRAPPERS) or type(model).__module__.startswith(WRAPPING):
        model = model.module
    return model


def logits_of(output: Any) -> Any:
    """The logits in what a network puts out, which may be a dict, as those of Hugging Face put out."""
    if not isinstance(output, Mapping):
        return output
    for key in ("logits", "out", *(output if len(output) == 1 else ())):
        if key in output:
            return output[key]
    names = ", ".join(map(str, output))
    raise TypeError(f"a network that returns a dict must have 'logits' in it, got {names}")


def check_taps(model: Any, who: str) -> None:
    """Refuse a network, wrapped or not, that has no taps; `who` needs them."""
    net = bare(model)
    tapped = isinstance(getattr(net, "stages", None), tuple) or not isinstance(net, nn.Module)
    if not tapped and not takes(net.forward, "tap"):
        way = "ml.nets.Tapped(net) adds them to torchvision's and timm's ResNets, "
        way += "ml.nets.Tapped(net, stages={…}, head=…) to any other network"
        raise TypeError(f"{who} needs a network with taps, got {type(net).__name__}; {way}")


class Only:
    """A tap of some stages; processes that share a batch then gather the features of those alone."""

    def __init__(self, stages: str | tuple[str, ...], tap: Tap) -> None:
        self.only, self.tap = (stages,) if isinstance(stages, str) else stages, tap

    def __call__(self, name: str, features: Tensor) -> Tensor:
        return self.tap(name, features) if name in self.only else features


class _Found(Exception):
    """Raised by a tap to end a pass whose rest is not needed."""


def read(
    model: Any, images: Tensor, *stages: str, whole: bool = True, tap: Tap | None = None
) -> tuple[Any, dict[str, Tensor]]:
    """The output of a network with taps, and the features of some stages.

    Args:
        model: a network with taps. images: (B, C, H, W). stages: the taps' names.
        whole: finish the pass; else it ends once all stages are read, and its output is None.
        tap: may read and change the features of all stages on the way.

    >>> import mixlearn as ml
    >>> logits, features = read(ml.nets.resnet(8, 4, width=4), torch.zeros(2, 3, 8, 8), "stage2", "pool")
    >>> logits.shape, features["stage2"].shape, features["pool"].shape
    (torch.Size([2, 4]), torch.Size([2, 8, 4, 4]), torch.Size([2, 16]))
    """
    features: dict[str, Tensor] = {}

    def keep(name: str, value: Tensor) -> Tensor:
        value = value if tap is None else tap(name, value)
        if name in stages:
            features[name] = value
        if not whole and len(features) == len(stages):
            raise _Found
        return value

    output = None
    with suppress(_Found):
        output = model(images, tap=Only(stages, keep) if tap is None else keep)
    return output, features


def staged(model: Any, images: Tensor, stage: str, whole: bool = False) -> Tensor:
    """The features of a stage as (B, C, h, w); tokens of a transformer are laid out as the patches are.

    `whole` finishes the pass, so that later layers see the batch too (running means need that).

    >>> import mixlearn as ml
    >>> staged(ml.nets.vit(4, size=8, patch=4, dim=12, depth=2), torch.zeros(2, 3, 8, 8), "block1").shape
    torch.Size([2, 12, 2, 2])
    """
    check_taps(model, f"reading the features {stage!r}")
    there = getattr(bare(model), "stages", (stage,))
    if stage not in there:
        raise ValueError(f"the network has the taps {', '.join(there)}, it has no {stage!r}")
    found = read(model, images, stage, whole=whole)[1]
    features = found[stage]
    side = round((features.shape[1] - 1) ** 0.5)
    if features.dim() == 3 and side**2 == features.shape[1] - 1:  # a class token, then patches row by row
        features = features[:, 1:].mT.unflatten(2, (side, side))  # (B, C, h, w)
    if features.dim() != 4:
        raise ValueError(f"the tap {stage!r} shows {tuple(features.shape)}, expected (B, C, h, w) or tokens")
    return features


@torch.no_grad()
def stage_channels(net: nn.Module, stage: str, size: int) -> int:
    """Channels of a stage's features for images of `size` × `size` pixels, measured on an empty one."""
    check_taps(net, f"reading the features {stage!r}")
    first = next(p for p in net.parameters() if p.dim() == 4)
    with evaluation(net):
        features = staged(net, first.new_zeros(1, first.shape[1], size, size), stage)
    h, w = features.shape[-2:]
    if size % h or size % w:
        raise ValueError(f"the {h} × {w} features of {stage!r} must divide images of {size} × {size}")
    return features.shape[1]


def pooled(model: Any, images: Tensor, tap: Tap | None = None) -> Tensor:
    """The input of the network's head, (B, features): its tap "pool"."""
    check_taps(model, "reading the features of its head")
    return read(model, images, "pool", tap=tap)[1]["pool"]


def headed(model: Any, head: Any, images: Tensor, tap: Tap | None = None) -> Tensor:
    """The logits of another head, perhaps of another precision, in place of the network's own."""
    logits: Tensor = head(pooled(model, images, tap).to(head.weight.dtype))
    return logits


class WithHead(nn.Module):
    """A network that predicts by another head than its own."""

    def __init__(self, net: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.net, self.head = net, head
        self.stages: tuple[str, ...] = net.stages  # type: ignore[assignment]

    def forward(self, images: Tensor, tap: Tap | None = None) -> Tensor:
        return headed(self.net, self.head, images, tap)


RESNET = {"stem": "maxpool"} | {f"stage{i}": f"layer{i}" for i in range(1, 5)}


class Tapped(nn.Module):
    """A network of another library with taps: "input", the output of some modules, "pool" before the head.

    Args:
        net: ends in a linear layer.
        stages: for each tap the dotted name of the module whose output it shows, in the order in which they
            run; None takes those of torchvision's and timm's ResNets, "stem" and "stage1" to "stage4".
        head: dotted name of the linear layer.

    Raises:
        ValueError: a module that the network lacks, a head that is not linear.

    >>> import torchvision
    >>> net = Tapped(torchvision.models.resnet18(num_classes=4))
    >>> logits, features = read(net, torch.zeros(2, 3, 64, 64), *net.stages)
    >>> list(features), features["stage3"].shape
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
            name = type(self.net).__name__
            raise AttributeError(f"the stages of {name} are not known to follow each other")
        return [self.net.get_submodule(place) for name, place in self.places.items() if name != "stem"]

    @property
    def last(self) -> nn.Module:
        """The layer between the last of `groups` and the mean over places; it does nothing."""
        return nn.Identity()

    def forward(self, images: Tensor, tap: Tap | None = None) -> Tensor:
        if tap is None:
            return self.net(images)
        hooks = [self.head.register_forward_pre_hook(partial(_before, tap, "pool"))]
        for name, place in self.places.items():
            hooks.append(self.net.get_submodule(place).register_forward_hook(partial(_after, tap, name)))
        try:
            return self.net(tap("input", images))
        finally:
            for hook in hooks:
                hook.remove()


def _after(tap: Tap, name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return tap(name, output)


def _before(tap: Tap, name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
    return (tap(name, inputs[0]),)
