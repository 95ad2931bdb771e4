"""Learning rates that fall from a network's head towards the image, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import as_count, check_positive, is_integer
from mixlearn.nets.taps import Tapped, WithHead
from mixlearn.train.schedules import Pace, cosine

_FREE = ("token", "position", "pos_embed")  # ends of names: of ours and of timm's


class LayerGroup(NamedTuple):
    """Parameters of one depth, their names, and the share of the learning rate that they are trained with."""

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
    groups: list[dict[str, nn.Parameter]] = [{} for _ in range(layers + 2)]
    for name, parameter in net.named_parameters():
        groups[depth_of(name)][name] = parameter
    return [
        LayerGroup(tuple(group), tuple(group.values()), decay ** (layers + 1 - depth))
        for depth, group in enumerate(groups)
    ]


@dataclass(frozen=True)
class LayerDecay:
    """AdamW whose learning rate falls towards the image: `fit(net, …, optimizer=LayerDecay(net))`.

    Each depth of `layer_groups` has its share of the rate. A schedule multiplies the rate of each group, so
    the shares stay. What belongs to no layer, such as a learner's own parameters, has the whole rate. Biases,
    scales, the class token and the positions have no weight decay. The head's groups come first, so that logs
    show its rate.

    Args:
        net, decay: as for `layer_groups`.
        lr: of the head.
        weight_decay: of all else.

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
        """The optimiser of these parameters: all that are trained."""
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
        inner, depth = _depths(net.net)
        return lambda n: depth + 1 if n.startswith("head.") else inner(n.removeprefix("net.")), depth
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


def with_new_head(net: nn.Module, num_classes: int, *, generator: torch.Generator | None = None) -> nn.Module:
    """A copy of a network that is ready to be trained, with a new linear head.

    Every weight of the copy is trained, and running means that stood still, as those of a momentum network
    do, follow their batches again.

    Args:
        net: has its last linear layer under `head`. Not changed.
        num_classes: length of the new logits.
        generator: source of the head's first weights; None uses torch's default one.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> with_new_head(net, 7)(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 7])
    """
    head = getattr(net, "head", None)
    width = getattr(head, "in_features", None) or getattr(net, "features", None)
    if not isinstance(head, nn.Module) or not isinstance(width, int):
        raise TypeError(f"the network must have a linear layer under head, {type(net).__name__} has none")
    num_classes = as_count(num_classes, "num_classes", 1)
    copy = deepcopy(net).requires_grad_(True)
    for module in copy.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.momentum == 0:
            module.momentum = 0.1
    place = next(name for name, module in net.named_modules() if module is head)
    parent, _, last = place.rpartition(".")
    fresh = _small_layer(width, num_classes, next(copy.parameters()), generator)
    setattr(copy.get_submodule(parent), last, fresh)
    return copy


def _small_layer(inputs: int, outputs: int, like: Tensor, generator: torch.Generator | None) -> nn.Linear:
    """A linear layer of small weights, on the device and of the type of `like`."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, device=like.device, dtype=like.dtype)
    with torch.no_grad():
        layer.weight.copy_(0.01 * torch.randn(outputs, inputs, generator=generator))
        layer.bias.zero_()
    return layer


def linear_layer(
    features: Tensor,
    labels: Tensor,
    *,
    epochs: int = 100,
    batch_size: int = 256,
    lr: float = 0.05,
    standardise: bool = False,
    seed: int = 0,
) -> nn.Linear:
    """One linear layer trained on features: Nesterov momentum 0.9, no weight decay, a cosine down to 0.

    Args:
        features: (N, F), on any device, where the layer is trained. Not changed.
        labels: (N,) class ids; there are as many classes as the largest says.
        epochs: passes over the features.
        batch_size: rows a step.
        lr: the highest learning rate at 256 rows a step; it grows in proportion to `batch_size`.
        standardise: train on features brought to mean 0 and deviation 1, so that one rate suits networks
            whose features differ in size. The layer that comes back takes the features as they are.
        seed: of the first weights and the order.

    Returns:
        The trained layer, F → classes.

    Source: settings of the authors' code of PatchMix for its ViT-T (the ViT-S takes lr = 0.02, the ViT-B
    0.01). Standardised features: He et al., *Masked Autoencoders*, CVPR 2022, appendix A.1.

    >>> features = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> layer = linear_layer(features, torch.tensor([1, 0]), epochs=50, batch_size=2, lr=128.0)
    >>> layer(features).argmax(1).tolist()
    [1, 0]
    """
    check_positive(epochs=epochs, batch_size=batch_size)
    _check(features, labels, lr)
    values, truth = features.detach().float(), labels.to(features.device).long()
    shift, scale = torch.zeros_like(values[0]), torch.ones_like(values[0])
    if standardise:
        scale, shift = torch.std_mean(values, dim=0, correction=0)
        scale = torch.where(scale > 1e-6 * (1 + shift.abs()), scale, torch.ones_like(scale))  # else constant
    values = (values - shift) / scale
    draws = torch.Generator().manual_seed(seed)
    layer = _small_layer(values.shape[1], int(truth.max()) + 1, values, draws)
    rate = lr * batch_size / 256
    optimizer = torch.optim.SGD(layer.parameters(), lr=rate, momentum=0.9, nesterov=True)
    pace, step, total = Pace(optimizer, cosine), 0, epochs * math.ceil(len(values) / batch_size)
    for _ in range(epochs):
        for index in torch.randperm(len(values), generator=draws).split(batch_size):
            here = index.to(values.device)
            pace.set(step, total)
            optimizer.zero_grad()
            F.cross_entropy(layer(values[here]), truth[here]).backward()
            optimizer.step()
            step += 1
    with torch.no_grad():
        layer.weight /= scale
        layer.bias.sub_(layer.weight @ shift)
    if not bool(layer.weight.isfinite().all()):
        raise FloatingPointError(f"the weights grew beyond all bounds at lr = {lr}; take a smaller one")
    return layer


def _check(features: Tensor, labels: Tensor, lr: float) -> None:
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be positive and finite, got {lr}")
    if features.dim() != 2 or labels.shape != features.shape[:1] or not features.numel():
        raise ValueError(
            f"expected features (N, F) and labels (N,), got {tuple(features.shape)} and {tuple(labels.shape)}"
        )
    if not is_integer(labels):
        raise TypeError(f"labels must be integer class ids, got {labels.dtype}")
    if int(labels.min()) < 0:
        raise ValueError(f"labels must be 0 or more, got {int(labels.min())}")
    if not bool(features.isfinite().all()):
        raise ValueError("features must be finite, got NaN or infinity")
