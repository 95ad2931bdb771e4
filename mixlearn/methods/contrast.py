"""Contrastive learning: views of images find each other. The skeleton of its learners, SimCLR and MoCo v3."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import check_positive, check_range, readable
from mixlearn.core.labels import soft_cross_entropy
from mixlearn.methods.augment import crop_and_flip
from mixlearn.methods.learner import (
    Draws,
    Learner,
    Momentum,
    Terms,
    Twin,
    check_callable,
    dealt,
    interleaved,
    slow_down,
)
from mixlearn.nets.taps import pooled

rising = partial(slow_down, start=0.996, end=1.0, hold=0.0)  # the momentum of MoCo v3 and PatchMix


def contrastive_loss(
    queries: Tensor, keys: Tensor, targets: Tensor | None = None, *, temperature: float = 0.2
) -> Tensor:
    """Soft cross-entropy over cosine similarities: which keys belong to each query, and in what shares?

    Args:
        queries: (B, D).
        keys: (K, D); those of all processes, where there are several.
        targets: (B, K), shares of the keys, rows that sum to 1. None: key i for query i, as in InfoNCE.
        temperature: τ, above 0, by which similarities are divided.

    Returns:
        A scalar, float32 at least.

    Raises:
        ValueError: features that are not finite or of length 0, and arguments out of their ranges.

    Source: van den Oord, Li & Vinyals, *Representation Learning with Contrastive Predictive Coding*, 2018,
    for one key; Shen et al., *Inter-Instance Similarity Modeling for Contrastive Learning*, 2023, for more.

    >>> contrastive_loss(torch.eye(3), 5 * torch.eye(3), temperature=1.0)
    tensor(0.5514)
    """
    if queries.dim() != 2 or keys.dim() != 2 or queries.shape[1] != keys.shape[1]:
        raise ValueError(
            f"queries (B, D) and keys (K, D) must be equally long, got {tuple(queries.shape)} and "
            f"{tuple(keys.shape)}"
        )
    check_range("(0, inf)", temperature=temperature)
    logits = directions(queries, "queries") @ directions(keys, "keys").T / temperature  # (B, K)
    if targets is None:
        if len(queries) > len(keys):
            raise ValueError(f"each query needs a key of its own, got {len(queries)} and {len(keys)}")
        targets = torch.eye(len(queries), len(keys), device=queries.device)
    if targets.shape != logits.shape:
        raise ValueError(f"targets must have shape {tuple(logits.shape)}, got {tuple(targets.shape)}")
    if readable(targets) and not bool(((targets.sum(1) - 1).abs() < 1e-4).all()):
        raise ValueError(f"targets must sum to 1 in each row, got {targets.sum(1).tolist()[:4]} …")
    return soft_cross_entropy(logits, targets)


def nt_xent(first: Tensor, second: Tensor, *, temperature: float = 0.5) -> Tensor:
    """SimCLR's loss for features (B, D) of two views: each finds its image's other view among 2B − 1 others.

    Cosine similarities are divided by `temperature`.

    >>> nt_xent(torch.eye(3), torch.eye(3), temperature=1.0)  # log(1 + 4 / e)
    tensor(0.9048)
    """
    if first.shape != second.shape or first.dim() != 2:
        raise ValueError(f"both views must be (B, D), got {tuple(first.shape)} and {tuple(second.shape)}")
    check_range("(0, inf)", temperature=temperature)
    both = directions(torch.cat([first, second]), "features")  # (2B, D)
    logits = both @ both.T / temperature  # (2B, 2B)
    alone = torch.eye(len(both), dtype=torch.bool, device=both.device)
    others = torch.arange(len(both), device=both.device).roll(len(first))
    return F.cross_entropy(logits.masked_fill(alone, -torch.inf), others)


def moco_loss(
    queries: Sequence[Tensor], keys: Sequence[Tensor], *, temperature: float = 0.2, scaled: bool = True
) -> Tensor:
    """MoCo v3's loss: each query finds the key of its image's other view; the sum over both views.

    `queries` are two (B, D) and `keys` two (K, D), one of each view. `scaled` multiplies by 2τ, as published,
    so that the size of gradients depends less on τ.
    """
    find = partial(contrastive_loss, temperature=temperature)
    total = find(queries[0], keys[1]) + find(queries[1], keys[0])
    return 2 * temperature * total if scaled else total


def directions(features: Tensor, name: str) -> Tensor:
    """Features (B, D) brought to length 1, in float32 at least; `name` says in an error what they are."""
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    length = features.norm(dim=1, keepdim=True)
    if readable(features) and not bool((length.isfinite() & (length > 0)).all()):
        raise ValueError(f"{name} must be finite and not of length 0")
    return features / length


def perceptron(sizes: Sequence[int], *, last_norm: bool = True, generator: Draws = None) -> nn.Sequential:
    """Linear layers of these sizes, with batch normalisation and ReLU between them.

    Normalised layers have no bias. `last_norm` normalises the output too, without scale and shift.

    >>> [type(layer).__name__ for layer in perceptron((8, 16, 4))]
    ['Linear', 'BatchNorm1d', 'ReLU', 'Linear', 'BatchNorm1d']
    """
    check_positive(**{f"size {i} of the layers": size for i, size in enumerate(sizes)})
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        for i, (inside, outside) in enumerate(zip(sizes, sizes[1:], strict=False)):
            last = i == len(sizes) - 2
            layer = nn.Linear(inside, outside, bias=last and not last_norm)
            for numbers in layer.parameters():
                nn.init.uniform_(numbers, -(inside**-0.5), inside**-0.5, generator=generator)
            layers.append(layer)
            if not last:
                layers += [nn.BatchNorm1d(outside), nn.ReLU(inplace=True)]
            elif last_norm:
                layers.append(nn.BatchNorm1d(outside, affine=False))
    return nn.Sequential(*layers)


class Unlabelled(nn.Module, Learner):
    """A learner that reads no labels. A subclass writes `terms`, the loss terms of a batch of images.

    It needs a network with `features`, a `head` and a tap "pool", and `augment(images, generator=…)`, which
    makes a view.
    """

    reads_labels = False

    def __init__(self, net: Any, augment: Callable[..., Tensor], smoothing: float) -> None:
        super().__init__()
        name = type(self).__name__
        if not hasattr(net, "features") or "pool" not in getattr(net, "stages", ()):
            raise TypeError(
                f"{name} needs a network with `features` and a tap 'pool', got {type(net).__name__}; "
                "networks made elsewhere get them by ml.nets.Tapped(net)"
            )
        check_callable("augment", augment, "images, *, generator")
        if smoothing:
            raise ValueError(f"{name} reads no labels; smoothing must be 0, got {smoothing}")
        self.augment = augment

    def forward(self, model: Any, images: Tensor, labels: Any = None, *, generator: Draws = None) -> Terms:
        return self.terms(model, images, generator)

    @abstractmethod
    def terms(self, model: Any, images: Tensor, generator: Draws) -> Terms:
        """The loss terms of a batch (B, C, H, W)."""

    def unused(self, model: Any) -> list[nn.Module]:
        """The network's head."""
        return [getattr(model, "module", model).head]


class Contrast(Unlabelled):
    """The skeleton of learners that compare views of images, without labels.

    Pooled features go through a projector of three layers, and those of queries through a predictor too. All
    queries go through the network in one call, and all keys in another, without gradients: through the slow
    twin where there is one, else through the network, which keys that are also queries do not enter again.
    Projector and predictor normalise each view on its own, over all processes.

    Args:
        net: the network that is to be trained: with a tap "pool", `features` and a `head`.
        augment: `augment(images, generator=…)` makes a view, and is called twice. Give it here, and none to
            `fit`. Contrastive learning needs stronger views than the default's crops and flips.
        hidden: numbers in the projector's inner layers. Published: 4096.
        outside: numbers in a query or key. Published: 256.
        predictor: numbers in the predictor's inner layer; None goes without one.
        predictor_norm: normalise the predictor's output.
        momentum: of the twin, a number or a function of progress; None goes without a twin.
        deploy: "twin" or "network": which of the two `deployed` returns.
        temperature: τ, by which similarities are divided, where the loss has one.
        image_size: not needed, kept so that it is built as `AutoMix` is.
        smoothing: must be 0: there are no labels.
        generator: source of the first weights of projector and predictor.

    Source: Chen, Xie & He, *An Empirical Study of Training Self-Supervised Vision Transformers*, ICCV 2021.
    """

    compares = True

    def __init__(
        self,
        net: Any,
        *,
        augment: Callable[..., Tensor] = crop_and_flip,
        hidden: int = 4096,
        outside: int = 256,
        predictor: int | None = None,
        predictor_norm: bool = True,
        momentum: Momentum | None = None,
        deploy: str = "twin",
        temperature: float = 0.2,
        image_size: int | None = None,
        smoothing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(net, augment, smoothing)
        if deploy not in ("twin", "network"):
            raise ValueError(f"deploy must be 'twin' or 'network', got {deploy!r}")
        check_range("(0, inf)", temperature=temperature)
        self.temperature, self.deploy = temperature, deploy
        self.projector = perceptron((net.features, hidden, hidden, outside), generator=generator)
        self.predictor: nn.Module | None = None
        if predictor is not None:
            self.predictor = perceptron(
                (outside, predictor, outside), last_norm=predictor_norm, generator=generator
            )
        self.twin = None if momentum is None else Twin(self._followed(net), momentum)

    def advance(self, progress: float) -> None:
        if self.twin is not None:
            self.twin.advance(progress)

    def after_step(self, model: Any) -> None:
        if self.twin is not None:
            self.twin.follow(self._followed(getattr(model, "module", model)))

    def deployed(self, model: Any) -> Any:
        """The pretrained network, by `deploy`, its head untrained; see `Learner.deployed` to train it on."""
        return model if self.twin is None or self.deploy == "network" else self.twin["net"]

    def views(self, images: Tensor, generator: Draws) -> tuple[Tensor, Tensor]:
        """Two views of a batch of at least two images."""
        if len(images) < 2:
            raise ValueError(f"{type(self).__name__} compares the images of a batch, got {len(images)}")
        return self.augment(images, generator=generator), self.augment(images, generator=generator)

    def encoded(
        self, model: Any, queries: Sequence[Tensor], keys: Sequence[Tensor] = ()
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Queries and keys (B, outside) of batches (B, C, H, W). No gradient reaches the keys."""
        with self.autocast():
            projected = [self.projector(self._fitting(one)) for one in _at_once(model, queries)]
            predicted = [one if self.predictor is None else self.predictor(one) for one in projected]
        with torch.no_grad(), self.autocast():
            if self.twin is None:
                encoder, projector = model, self.projector
                known = {id(view): one.detach() for view, one in zip(queries, projected, strict=True)}
            else:
                encoder, projector, known = self.twin["net"], self.twin["projector"], {}
                if hasattr(type(model), "alongside"):  # several processes share each batch
                    encoder = model.alongside(encoder)
            rest = [view for view in keys if id(view) not in known]
            if rest:
                for view, one in zip(rest, _at_once(encoder, rest), strict=True):
                    known[id(view)] = projector(self._fitting(one))
        return predicted, [known[id(view)] for view in keys]

    def _fitting(self, features: Tensor) -> Tensor:
        """Features in the precision of the projector."""
        return features.to(next(self.projector.parameters()).dtype)

    def _followed(self, net: nn.Module) -> dict[str, nn.Module]:
        return {"net": net, "projector": self.projector}


def _at_once(encoder: Any, batches: Sequence[Tensor]) -> list[Tensor]:
    """The pooled features (B, features) of several batches, by one call."""
    return dealt(pooled(encoder, interleaved(*batches)), len(batches))


class SimCLR(Contrast):
    """Each view finds the other view of its image among all views of the batch. Its term: "contrast".

    No twin and no predictor; both views carry gradients.

    Args:
        net: the network that is to be trained.
        temperature: τ. The paper has 0.5 for CIFAR-10 and 0.1 for ImageNet.
        parts: all else, as for `Contrast`.

    Source: Chen, Kornblith, Norouzi & Hinton, *A Simple Framework for Contrastive Learning of Visual
    Representations*, ICML 2020. The projector here is the skeleton's, of three layers.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> list(SimCLR(net, hidden=8, outside=4)(net, torch.rand(3, 3, 8, 8)))
    ['contrast']
    """

    term_names = ("contrast",)

    def __init__(self, net: Any, *, temperature: float = 0.5, **parts: Any) -> None:
        super().__init__(net, temperature=temperature, **parts)

    def terms(self, model: Any, images: Tensor, generator: Draws) -> Terms:
        (first, second), _ = self.encoded(model, self.views(images, generator))
        return {"contrast": nt_xent(first, second, temperature=self.temperature)}


class MoCo(Contrast):
    """Each query finds the key that a slow twin makes of its image's other view. Its term: "contrast".

    This is MoCo v3, whose negatives are the other images of the batch.

    Args:
        net: the network that is to be trained.
        scaled: see `moco_loss`.
        predictor, momentum: as for `Contrast`, here as published; momentum=None makes keys with the network
            itself.
        parts: all else, as for `Contrast`.

    Source: Chen, Xie & He, *An Empirical Study of Training Self-Supervised Vision Transformers*, ICCV 2021.
    The paper keeps a transformer's patch embedding as it was drawn; here all is trained. The twin follows
    after a step, not before the next one, so its momentum is that of one step before.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> list(MoCo(net, hidden=8, outside=4, predictor=8)(net, torch.rand(3, 3, 8, 8)))
    ['contrast']
    """

    term_names = ("contrast",)

    def __init__(
        self,
        net: Any,
        *,
        scaled: bool = True,
        predictor: int | None = 4096,
        momentum: Momentum | None = rising,
        **parts: Any,
    ) -> None:
        super().__init__(net, predictor=predictor, momentum=momentum, **parts)
        self.scaled = scaled

    def terms(self, model: Any, images: Tensor, generator: Draws) -> Terms:
        views = self.views(images, generator)
        queries, keys = self.encoded(model, views, views)
        return {"contrast": moco_loss(queries, keys, temperature=self.temperature, scaled=self.scaled)}
