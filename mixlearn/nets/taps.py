"""What residual networks are made of: the stems, the three kinds of block, taps and first weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from mixlearn.core.checks import as_count
from mixlearn.core.extras import need, takes
from mixlearn.core.modes import evaluation
from mixlearn.core.processes import Shared

Tap = Callable[[str, Tensor], Tensor]


def pass_on(name: str, features: Tensor) -> Tensor:
    """The tap of a network called without one."""
    return features


@contextmanager
def quiet_draws() -> Iterator[None]:
    """Build layers without moving torch's default generator; their weights are drawn afterwards."""
    with torch.random.fork_rng(devices=[]):
        yield


Tap = Callable[[str, Tensor], Tensor]


WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)


class _Found(Exception):
    """Raised by a tap to end a pass whose rest nobody needs."""


def bare(model: Any) -> Any:
    """The network itself, without what Fabric, DistributedDataParallel or several processes put around it.

    Args:
        model: a network, wrapped or not.

    >>> net = nn.Linear(2, 2)
    >>> bare(nn.DataParallel(net)) is net, bare(net) is net
    (True, True)
    """
    while True:
        if isinstance(model, Shared):
            model = model.model
        elif isinstance(model, WRAPPERS) or type(model).__module__.startswith("lightning.fabric"):
            model = model.module
        else:
            return model


def check_taps(model: Any, who: str) -> None:
    """Refuse a network that has no taps.

    Args:
        model: a network, wrapped or not, or a function.
        who: needs the taps, for the error.

    Raises:
        TypeError: the network has neither `stages` nor an argument `tap`.

    >>> check_taps(nn.Linear(2, 2), "MixingInside")
    Traceback (most recent call last):
    TypeError: MixingInside needs a network with taps, got Linear; networks made elsewhere get them by ...
    """
    net = bare(model)
    if isinstance(getattr(net, "stages", None), tuple):
        return
    if not isinstance(net, nn.Module) or takes(net.forward, "tap"):
        return
    raise TypeError(
        f"{who} needs a network with taps, got {type(net).__name__}; networks made elsewhere get them by "
        "ml.nets.Tapped(net), for torchvision's and timm's ResNets, or by "
        "ml.nets.Tapped(net, stages={…}, head=…), which names the modules of any other network"
    )


class Only:
    """A tap that looks at some stages; processes that share a batch then gather the features of those alone.

    Args:
        stages: the tap's name, or several.
        tap: what looks.

    >>> seen = []
    >>> tap = Only("pool", lambda name, features: seen.append(name) or features)
    >>> [tap(name, torch.zeros(1)).item() for name in ("stage1", "pool")], seen
    ([0.0, 0.0], ['pool'])
    """

    def __init__(self, stages: str | tuple[str, ...], tap: Tap) -> None:
        self.only, self.tap = (stages,) if isinstance(stages, str) else stages, tap

    def __call__(self, name: str, features: Tensor) -> Tensor:
        return self.tap(name, features) if name in self.only else features


def staged(model: Any, images: Tensor, stage: str, whole: bool = False) -> Tensor:
    """The features of a stage as (B, C, h, w); tokens of a transformer are laid out as the patches are.

    Args:
        model: a network with taps.
        images: (B, C, H, W).
        stage: the tap's name.
        whole: finish the pass, so that later layers see the batch too (running means need that).

    Raises:
        ValueError: a stage that the network does not have.

    >>> import mixlearn as ml
    >>> staged(ml.nets.resnet(8, 4, width=4), torch.zeros(2, 3, 8, 8), "stage2").shape
    torch.Size([2, 8, 4, 4])
    >>> staged(ml.nets.vit(4, size=8, patch=4, dim=12, depth=2), torch.zeros(2, 3, 8, 8), "block1").shape
    torch.Size([2, 12, 2, 2])
    """
    check_taps(model, f"reading the features {stage!r}")
    there = getattr(bare(model), "stages", (stage,))
    if stage not in there:
        raise ValueError(f"the network has the taps {', '.join(there)}, it has no {stage!r}")
    found: list[Tensor] = []

    def tap(name: str, features: Tensor) -> Tensor:
        found.append(features)
        if not whole:
            raise _Found
        return features

    with contextlib.suppress(_Found):
        model(images, tap=Only(stage, tap))
    if not found:
        raise ValueError(f"the network never called its tap {stage!r}")
    features = found[0]
    side = round((features.shape[1] - 1) ** 0.5)
    if features.dim() == 3 and side**2 == features.shape[1] - 1:  # a class token, then patches row by row
        features = features[:, 1:].mT.unflatten(2, (side, side))
    if features.dim() != 4:
        raise ValueError(f"the tap {stage!r} shows {tuple(features.shape)}, expected (B, C, h, w) or tokens")
    return features


def pooled(model: Any, images: Tensor, tap: Tap | None = None) -> Tensor:
    """What the network's head is given, (B, features): its tap "pool".

    Args:
        model: a network with taps. images: (B, C, H, W). tap: may look at the features on the way.

    >>> import mixlearn as ml
    >>> pooled(ml.nets.resnet(8, 4, width=4), torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 16])
    """
    check_taps(model, "reading what the head is given")
    kept: dict[str, Tensor] = {}

    def keep(name: str, features: Tensor) -> Tensor:
        kept[name] = features if tap is None else tap(name, features)
        return kept[name]

    model(images, tap=Only("pool", keep) if tap is None else keep)
    return kept["pool"]


def headed(model: Any, head: Any, images: Tensor, tap: Tap | None = None) -> Tensor:
    """What another head says of the features that the network's own would be given.

    Args:
        model: a network with taps; its features may be of another precision than the head.
        head: a linear layer.
        images: (B, C, H, W).
        tap: may look at the features on the way.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> headed(net, nn.Linear(net.features, 7), torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 7])
    """
    logits: Tensor = head(pooled(model, images, tap).to(head.weight.dtype))
    return logits


class WithHead(nn.Module):
    """A network that predicts by another head than its own.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> WithHead(net, nn.Linear(net.features, 7))(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 7])
    """

    def __init__(self, net: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.net, self.head = net, head

    @property
    def stages(self) -> tuple[str, ...]:
        """The network's taps."""
        found: tuple[str, ...] = self.net.stages  # type: ignore[assignment]
        return found

    def forward(self, images: Tensor, tap: Tap | None = None) -> Tensor:
        return headed(self.net, self.head, images, tap)


@torch.no_grad()
def stage_channels(net: nn.Module, stage: str, size: int) -> int:
    """Channels of a stage's features for square images, found by looking at one.

    Args:
        net: a network with taps. stage: the tap's name. size: of the images in pixels.

    Raises:
        ValueError: a stage that the network lacks, or whose features do not divide the image.

    >>> import mixlearn as ml
    >>> stage_channels(ml.nets.resnet(8, 4, width=4), "stage2", 8)
    8
    """
    check_taps(net, f"reading the features {stage!r}")
    first = next(p for p in net.parameters() if p.dim() == 4)
    with evaluation(net):
        features = staged(net, first.new_zeros(1, first.shape[1], size, size), stage)
    h, w = features.shape[-2:]
    if size % h or size % w:
        raise ValueError(f"the {h} × {w} features of {stage!r} must divide images of {size} × {size}")
    return features.shape[1]


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
