"""Mixing inside a network: features at a stage, rather than images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.checks import in_words
from mixlearn.methods.learner import Draws, Loss, Mix, Mixing, Terms, check_callable
from mixlearn.nets.taps import Only, bare, check_taps, logits_of


class MixingInside(Mixing):
    """Soft cross-entropy with features mixed at one stage of the network, drawn for each batch.

    With `cutmix` this is Feature CutMix, with `mixup` Manifold Mixup. The plan is drawn at the
    size of the stage's features.

    Args:
        mix: as for `Mixing`; or for each stage a method of its own, as in
            `{"input": ml.mixup, "stage3": ml.alignmix}`, which is AlignMix.
        stages: names of the network's taps, such as ("input", "stage1"); each has the same chance. Not needed
            where `mix` names them.
        num_classes, smoothing, loss: as for `Mixing`.

    Source: Yun et al., *CutMix*, ICCV 2019, section 4.1.2; Verma et al., *Manifold Mixup*, ICML 2019;
    Venkataramanan et al., *AlignMixup*, CVPR 2022.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4, channels=1)
    >>> learner = MixingInside(ml.cutmix, ("stem", "stage1"), num_classes=4)
    >>> list(learner(net, torch.zeros(2, 1, 8, 8), torch.tensor([0, 3])))
    ['mixed_labels']
    """

    mix: Any  # a dict, by stage

    def __init__(
        self,
        mix: Mix | Mapping[str, Mix],
        stages: Sequence[str] | None = None,
        num_classes: int | None = None,
        smoothing: float = 0.0,
        loss: Loss | None = None,
    ) -> None:
        if isinstance(mix, Mapping):
            if stages is not None:
                raise ValueError(f"stages are named by mix already, {list(mix)}; got {stages!r} besides")
            stages = list(mix)
        if isinstance(stages, str) or not stages:
            raise ValueError(f"stages must be one or more names of taps, got {stages!r}")
        mixes = dict(mix) if isinstance(mix, Mapping) else dict.fromkeys(stages, mix)
        for one in mixes.values():
            check_callable("mix", one, "images, labels, *, generator")
        super().__init__(mixes[stages[0]], num_classes, smoothing, loss)
        self.mix, self.stages = mixes, tuple(stages)

    def __call__(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        check_taps(model, "MixingInside")
        known = getattr(bare(model), "stages", self.stages)
        for stage in self.stages:
            if stage not in known:
                raise ValueError(f"the network has the taps {', '.join(known)}, it has no {stage!r}")
        chosen = self.stages[int(torch.randint(len(self.stages), (), generator=generator))]
        targets: list[Tensor] = []

        def tap(stage: str, features: Tensor) -> Tensor:
            mixed, soft = self.mixed(self.mix[stage], features, labels, generator)
            targets.append(soft)
            return mixed.images

        logits = logits_of(model(images, tap=Only(chosen, tap)))
        if not targets:
            raise ValueError(f"the network never called its tap {chosen!r}, so nothing was mixed")
        return {"mixed_labels": self.loss(logits, self.smoothed(targets[0]))}

    def __repr__(self) -> str:
        return self._in_words(*(f"{stage}: {in_words(mix)}" for stage, mix in self.mix.items()))
