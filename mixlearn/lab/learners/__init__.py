"""Learners: how a batch becomes named loss terms. `fit` adds the terms up, logs each and can leave any out.

A learner is any `learner(model, images, labels, *, generator)` that returns a dict of scalar tensors,
their weights already in. One that is an `nn.Module` has its own parameters trained and saved too.
"""

from __future__ import annotations

from mixlearn.lab.learners.automix import AutoMix
from mixlearn.lab.learners.averaged import Averaged
from mixlearn.lab.learners.base import Learner, Mixing, Plain
from mixlearn.lab.learners.byot import BYOT
from mixlearn.lab.learners.contrast import Contrast
from mixlearn.lab.learners.contrast_masked import MaskedImages
from mixlearn.lab.learners.contrast_mixed import MixCo, PatchMix
from mixlearn.lab.learners.contrast_views import MoCo, SimCLR, SimSiam
from mixlearn.lab.learners.distill import CSKD, DDGSD, TFKD
from mixlearn.lab.learners.guided import Guided, TransMixing
from mixlearn.lab.learners.inside import MixingInside
from mixlearn.lab.learners.mixskd import MixSKD
from mixlearn.lab.learners.pskd import PSKD
from mixlearn.lab.learners.samix import SAMix

__all__ = [
    "AutoMix",
    "Averaged",
    "BYOT",
    "CSKD",
    "Contrast",
    "DDGSD",
    "Guided",
    "Learner",
    "MaskedImages",
    "MixCo",
    "MixSKD",
    "Mixing",
    "MixingInside",
    "MoCo",
    "PSKD",
    "PatchMix",
    "Plain",
    "SAMix",
    "SimCLR",
    "SimSiam",
    "TFKD",
    "TransMixing",
]
