"""Learners that compare two views of each image: SimCLR, MoCo v3 and SimSiam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mixlearn.lab.learners.contrast import Contrast, rising
from mixlearn.methods.contrast import moco_loss, nt_xent, simsiam_loss


class SimCLR(Contrast):
    """Each view is to find the other view of its image among all views of the batch. Its term: "contrast".

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

    def __init__(self, net: Any, *, temperature: float = 0.5, **parts: Any) -> None:
        super().__init__(net, temperature=temperature, **parts)

    def terms(self, model: Any, images: Tensor, generator: torch.Generator | None) -> dict[str, Tensor]:
        """The term of a batch.

        Args:
            model, images, generator: as for the call.
        """
        (first, second), _ = self.encoded(model, self.views(images, generator))
        return {"contrast": nt_xent(first, second, temperature=self.temperature)}


class MoCo(Contrast):
    """Each query is to find the key that a slow twin makes of its image's other view. Its term: "contrast".

    This is MoCo v3, whose negatives are the other images of the batch.

    Args:
        net: the network that is to be trained.
        scaled: times 2τ, as published.
        predictor, momentum: as for `Contrast`, here as published; momentum=None makes keys with the network
            itself.
        parts: all else, as for `Contrast`.

    Source: Chen, Xie & He, *An Empirical Study of Training Self-Supervised Vision Transformers*, ICCV 2021.
    The paper holds a transformer's patch embedding as drawn; here all is trained. The twin follows after a
    step and not before the next, which is the same, save that its momentum is that of one step before.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> learner = MoCo(net, hidden=8, outside=4, predictor=8)
    >>> list(learner(net, torch.rand(3, 3, 8, 8))), learner.twin.momentum
    (['contrast'], 0.996)
    """

    def __init__(
        self,
        net: Any,
        *,
        scaled: bool = True,
        predictor: int | None = 4096,
        momentum: float | Callable[[float], float] | None = rising,
        **parts: Any,
    ) -> None:
        super().__init__(net, predictor=predictor, momentum=momentum, **parts)
        self.scaled = scaled

    def terms(self, model: Any, images: Tensor, generator: torch.Generator | None) -> dict[str, Tensor]:
        """The term of a batch, of both ways together.

        Args:
            model, images, generator: as for the call.
        """
        both = self.views(images, generator)
        queries, keys = self.encoded(model, both, both)
        found = moco_loss(
            (queries[0], queries[1]), (keys[0], keys[1]), temperature=self.temperature, scaled=self.scaled
        )
        return {"contrast": found}


class SimSiam(Contrast):
    """Each view predicts what the network says of the other, which is held fixed. Its term: "prediction".

    Neither twin nor negatives. Its term lies in [−1, 1].

    Args:
        net: the network that is to be trained.
        hidden, outside, predictor, predictor_norm: as for `Contrast`, here as published.
        parts: all else, as for `Contrast`.

    Raises:
        ValueError: no predictor, without which there is nothing to be learnt.

    Source: Chen & He, *Exploring Simple Siamese Representation Learning*, CVPR 2021.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> list(SimSiam(net, hidden=8, outside=4, predictor=2)(net, torch.rand(3, 3, 8, 8)))
    ['prediction']
    """

    def __init__(
        self,
        net: Any,
        *,
        hidden: int = 2048,
        outside: int = 2048,
        predictor: int | None = 512,
        predictor_norm: bool = False,
        **parts: Any,
    ) -> None:
        if predictor is None:
            raise ValueError("SimSiam's views agree on one answer for all without a predictor, got None")
        super().__init__(
            net, hidden=hidden, outside=outside, predictor=predictor, predictor_norm=predictor_norm, **parts
        )

    def terms(self, model: Any, images: Tensor, generator: torch.Generator | None) -> dict[str, Tensor]:
        """The term of a batch, the mean of both ways.

        Args:
            model, images, generator: as for the call.
        """
        both = self.views(images, generator)
        said, found = self.encoded(model, both, both)
        return {"prediction": simsiam_loss((said[0], said[1]), (found[0], found[1]))}
