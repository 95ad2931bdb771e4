"""Learners: how a batch becomes named loss terms. `fit` adds the terms up, logs each and can leave any out.

A learner is any `learner(model, images, labels, *, generator)` that returns a dict of scalar tensors, their
weights already in; `Learner` says what else one may have.
"""

from __future__ import annotations

from typing import Any

from mixlearn.core.extras import moved
from mixlearn.methods.adautomix import AdAutoMix
from mixlearn.methods.augmix import AugMix
from mixlearn.methods.automix import AutoMix
from mixlearn.methods.contrast import Contrast, MoCo, SimCLR
from mixlearn.methods.decoupled import Decoupled
from mixlearn.methods.distill import DDGSD
from mixlearn.methods.guided import Guided
from mixlearn.methods.ict import ICT
from mixlearn.methods.learner import Learner, Mixing, Plain
from mixlearn.methods.manifold import MixingInside
from mixlearn.methods.mixmatch import MixMatch
from mixlearn.methods.mixskd import MixSKD
from mixlearn.methods.patchmix import PatchMix
from mixlearn.methods.regmixup import RegMixup
from mixlearn.methods.samix import SAMix
from mixlearn.methods.smmix import SMMix
from mixlearn.methods.transmix import TransMixing

_RIVALS = ("Averaged", "BYOT", "CSKD", "MixCo", "PSKD", "SimSiam", "TFKD")

__all__ = [
    "AdAutoMix",
    "AugMix",
    "AutoMix",
    "Contrast",
    "DDGSD",
    "Decoupled",
    "Guided",
    "ICT",
    "Learner",
    "MixMatch",
    "MixSKD",
    "Mixing",
    "MixingInside",
    "MoCo",
    "PatchMix",
    "Plain",
    "RegMixup",
    "SAMix",
    "SMMix",
    "SimCLR",
    "TransMixing",
]


def __getattr__(name: str) -> Any:
    places = dict.fromkeys(_RIVALS, "experiments.rivals")
    own = "ml.fit with a learner of your own"
    return moved(name, __name__, places | dict.fromkeys(("MaskedImages", "Taught"), own))
