"""Mixing that asks the network where to look before it mixes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.checks import in_words, takes
from mixlearn.methods.learner import Draws, Loss, Mix, Mixing, Terms
from mixlearn.methods.random_mix import RandomMix
from mixlearn.methods.saliency import gradient_saliency
from mixlearn.nets.taps import bare, logits_of

Guide = Callable[[Any, Tensor, Tensor], Tensor]


class Guided(Mixing):
    """Soft cross-entropy on images mixed by what the network itself finds salient in them.

    A gradient is one more pass forward and one more back: the step takes about twice as long. In mixed
    precision the maps are made in full precision, or as `fit` has it in bfloat16.

    Args:
        mix: a method that takes `saliency=`, such as `ml.puzzlemix`, or a `RandomMix` with one; its maps are
            made only for batches that such a method mixes.
        guide: `guide(model, images, labels)` → (B, 1, H, W) maps; None takes `gradient_saliency`.
        num_classes, smoothing, loss: as for `Mixing`.

    Source: Kim, Choo & Song, *Puzzle Mix*, ICML 2020.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4, channels=1)
    >>> list(Guided(ml.puzzlemix, num_classes=4)(net, torch.rand(2, 1, 8, 8), torch.tensor([0, 3])))
    ['mixed_labels']
    """

    def __init__(
        self,
        mix: Mix,
        guide: Guide | None = None,
        num_classes: int | None = None,
        smoothing: float = 0.0,
        loss: Loss | None = None,
    ) -> None:
        super().__init__(mix, num_classes, smoothing, loss)
        if not any(takes(method, "saliency") for method in getattr(mix, "methods", [mix])):
            raise TypeError(
                f"mix must take saliency=, as ml.puzzlemix does, got {in_words(mix)}; "
                "methods that do not look at images go into ml.learners.Mixing"
            )
        self.guide = gradient_saliency if guide is None else guide

    def __call__(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        net = bare(model)  # each process makes the maps of all, and no wrapper waits for a step
        maps: list[Tensor] = []

        def look(_: Tensor) -> Tensor:
            if not maps:
                with self.autocast():
                    maps.append(self.guide(net, images.to(_dtype(net, images)), labels))  # (B, 1, H, W)
            return maps[0]

        saliency = look if isinstance(self.mix, RandomMix) else look(images)
        mixed, targets = self.mixed(self.mix, images, labels, generator, saliency=saliency)
        return {"mixed_labels": self.loss(logits_of(model(mixed.images)), self.smoothed(targets))}

    def __repr__(self) -> str:
        return self._in_words(in_words(self.mix), in_words(self.guide))


def _dtype(net: Any, images: Tensor) -> torch.dtype:
    """The type of the network's weights, to which a wrapper for true half precision converts images."""
    weights = net.parameters() if isinstance(net, torch.nn.Module) else ()
    return next((one.dtype for one in weights if one.is_floating_point()), images.dtype)
