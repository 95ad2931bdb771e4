"""BYOT: side branches that learn from the network's own deepest answer and features."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.core.labels import cross_entropy
from mixlearn.lab.learners.branches import Branch, as_map, branch_points, stages_of
from mixlearn.lab.nets.taps import Only
from mixlearn.methods.distill import distillation


class BYOT(nn.Module):
    """Trains a network with side branches that learn from its end: be your own teacher.

    Its terms: "labels", cross-entropy of the network and of every branch; "answers", each branch distilled
    from the network; "features", mean squared distance of each branch's map from the network's last, both
    taken before the head's mean. What is learnt from is held fixed. The branches are dropped in the end: to
    predict, use the network itself.

    Args:
        net: as for `MixSKD`.
        temperature: T of the distillation.
        weight: of "features".
        image_size: not needed, kept so that it is built as `AutoMix` is.
        smoothing: share of each label spread over all classes.
        generator: source of the first weights of the branches.

    Raises:
        TypeError: a network that branches cannot be made of.
        ValueError: smoothing outside [0, 1).

    Source: Zhang et al., *Be Your Own Teacher*, ICCV 2019, in the form of Self-KD-Lib, the code of MixSKD:
    its branches, and its weights of the terms. The code of BYOT's own authors takes 0.7 of the branches'
    cross-entropy and 0.3 of a soft one at T = 3 without the factor T², and 0.03 of the length of the
    difference of features, not of its square, with none for the branch nearest to the image.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> list(BYOT(net)(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1])))
    ['labels', 'answers', 'features']
    """

    def __init__(
        self,
        net: Any,
        *,
        temperature: float = 4.0,
        weight: float = 0.05,
        image_size: int | None = None,
        smoothing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must lie in [0, 1), got {smoothing}")
        self.temperature, self.weight, self.smoothing = temperature, weight, smoothing
        self.autocast: Callable[[], AbstractContextManager[Any]] = nullcontext  # `fit` sets its precision
        with torch.random.fork_rng(devices=[]):
            self.side = nn.ModuleList(Branch(net, after, generator=generator) for after in branch_points(net))
        self.final = stages_of(net)[-1]

    def forward(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """The three terms of a batch.

        Args:
            model, images, labels, generator: as for any learner.
        """
        kept: dict[str, Tensor] = {}

        def keep(name: str, features: Tensor) -> Tensor:
            kept[name] = features
            return features

        own = model(images, tap=Only((*(str(branch.stage) for branch in self.side), self.final), keep))
        with self.autocast():
            said = [branch(kept[branch.stage]) for branch in self.side]  # type: ignore[index]
        last = as_map(kept[self.final]).detach().float()
        answers = [logits for _, logits in said]
        right = [cross_entropy(logits.float(), labels, self.smoothing) for logits in (own, *answers)]
        taught = [distillation(logits, own, temperature=self.temperature) for logits in answers]
        near = [(maps.float() - last).square().mean() for maps, _ in said]
        return {
            "labels": torch.stack(right).sum(),
            "answers": torch.stack(taught).sum(),
            "features": self.weight * torch.stack(near).sum(),
        }
