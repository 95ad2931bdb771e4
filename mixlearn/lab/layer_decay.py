"""Learning rates that fall from a network's head towards the image, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import nn

from mixlearn.lab.nets.tapped import Tapped
from mixlearn.lab.nets.taps import WithHead

_FREE = ("token", "position", "pos_embed")  # ends of names: of ours and of timm's


class LayerGroup(NamedTuple):
    """Parameters of one depth.

    Args:
        names: of the parameters, as in `net.named_parameters()`.
        parameters: those themselves.
        share: of the learning rate that they are trained with, in (0, 1].
    """

    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]
    share: float


def layer_groups(net: nn.Module, decay: float = 0.75) -> list[LayerGroup]:
    """A network's parameters by their depth ℓ = 0 … L + 1; those of depth ℓ have the share decay^(L + 1 − ℓ).

    A transformer of L layers: ℓ = 0 is the patch embedding, the class token and the positions; layer i, from
    0, has ℓ = i + 1; the last normalisation goes with the last layer. A residual network of L stages: ℓ = 0
    is the stem, the blocks of stage i, from 1, have ℓ = i; a last normalisation goes with the last stage.
    The head has ℓ = L + 1, and the share 1.

    Args:
        net: of `ml.nets`, a `Tapped`, or one of them that predicts by another head (`WithHead`).
        decay: in (0, 1]; 1 trains all layers alike.

    Returns:
        The groups, from the image to the head.

    Raises:
        TypeError: a network of another kind.
        ValueError: a decay outside (0, 1].

    Source: Clark et al., *ELECTRA*, ICLR 2020, for the decay; Bao et al., *BEiT*, ICLR 2022, and timm, for
    transformers that see images.

    >>> import mixlearn as ml
    >>> groups = layer_groups(ml.nets.vit(4, size=8, patch=4, dim=12, depth=2), decay=0.5)
    >>> [(group.share, group.names[0]) for group in groups]
    [(0.125, 'token'), (0.25, 'layers.0.attend_norm.weight'), (0.5, 'layers.1.attend_norm.weight'), (1.0, ...
    """
    if not 0 < decay <= 1:
        raise ValueError(f"decay must lie in (0, 1], got {decay}")
    depth_of, layers = _depths(net)
    found: list[list[tuple[str, nn.Parameter]]] = [[] for _ in range(layers + 2)]
    for name, parameter in net.named_parameters():
        found[depth_of(name)].append((name, parameter))
    return [
        LayerGroup(
            tuple(name for name, _ in group),
            tuple(parameter for _, parameter in group),
            decay ** (layers + 1 - depth),
        )
        for depth, group in enumerate(found)
    ]


@dataclass(frozen=True)
class LayerDecay:
    """AdamW whose learning rate falls towards the image: `fit(net, …, optimizer=LayerDecay(net))`.

    Each depth of `layer_groups` has its share of the rate. A schedule multiplies the rate of each group, so
    the shares stay. What belongs to no layer, such as a learner's own parameters, has the whole rate. Biases,
    scales, the class token and the positions have no weight decay. The head's groups come first, so that logs
    show its rate.

    Args:
        net: the network that is trained.
        lr: of the head.
        decay: as for `layer_groups`.
        weight_decay: of all else.

    Raises:
        TypeError, ValueError: as for `layer_groups`.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> made = LayerDecay(net, lr=0.01, decay=0.5)(net.parameters())
    >>> sorted({group["lr"] for group in made.param_groups})
    [0.000625, 0.00125, 0.0025, 0.005, 0.01]
    """

    net: nn.Module = field(repr=False)
    lr: float = 5e-4
    decay: float = 0.75
    weight_decay: float = 0.05

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of these parameters.

        Args:
            parameters: all that are trained; `fit` gives them.
        """
        known = {
            id(parameter): (group.share, name.endswith(_FREE))
            for group in layer_groups(self.net, self.decay)
            for name, parameter in zip(group.names, group.parameters, strict=True)
        }
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for parameter in parameters:
            share, free = known.get(id(parameter), (1.0, False))
            groups.setdefault((share, free or parameter.dim() < 2), []).append(parameter)
        return torch.optim.AdamW(
            [
                {"params": chosen, "lr": self.lr * share, "weight_decay": 0.0 if free else self.weight_decay}
                for (share, free), chosen in sorted(groups.items(), reverse=True, key=lambda one: one[0])
            ],
            lr=self.lr,
        )


def _depths(net: nn.Module) -> tuple[Callable[[str], int], int]:
    """Which depth a parameter has by its name, and L."""
    if isinstance(net, WithHead):
        inner, layers = _depths(net.net)
        return (
            lambda name: layers + 1 if name.startswith("head.") else inner(name.removeprefix("net.")),
            layers,
        )
    if isinstance(net, Tapped):
        below = [place for stage, place in net.places.items() if stage != "stem"]
        ends, prefix = [*below, net.head_place], "net."
    else:
        prefix = ""
        for kind in ("layers", "groups"):  # of a transformer, of a residual network
            blocks = getattr(net, kind, None)
            if isinstance(blocks, nn.ModuleList) and hasattr(net, "head"):
                below = [f"{kind}.{i}" for i in range(len(blocks))]
                break
        else:
            raise TypeError(f"expected a network of ml.nets or a Tapped one, got {type(net).__name__}")
        ends = [*below, "head"]
    after = tuple(f"{prefix}{name}." for name in ("norm", "last"))
    starts = {f"{prefix}{place}.": depth for depth, place in enumerate(ends, 1)}

    def depth_of(name: str) -> int:
        if name.startswith(after):
            return len(below)
        return next((depth for start, depth in starts.items() if name.startswith(start)), 0)

    return depth_of, len(below)
