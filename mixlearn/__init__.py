"""mixlearn: image mixing for training networks, as the book *mixlearn* derives it.

Importing needs torch alone. Everything beyond the mixing itself (data, networks, training, figures,
widgets) loads when it is first used: `pip install "mixlearn[lab]"` brings what it needs.

>>> import torch, mixlearn as ml
>>> images, labels = torch.rand(8, 3, 32, 32), torch.arange(8)
>>> mixed = ml.mixup(images, labels, num_classes=10, alpha=1.0, generator=torch.Generator().manual_seed(0))
>>> mixed.images.shape, mixed.targets.shape
(torch.Size([8, 3, 32, 32]), torch.Size([8, 10]))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mixlearn.core.boxes import box_area, boxes_to_masks, masks_to_boxes, patchify, unpatchify
from mixlearn.core.draw import sample_boxes, sample_lam, sample_partner, sample_squares
from mixlearn.core.labels import (
    mixed_accuracy,
    one_hot,
    pair_cross_entropy,
    smooth,
    soft_bce,
    soft_cross_entropy,
)
from mixlearn.core.plan import BoxPlan, Mixed, MixPlan, PatchPlan
from mixlearn.methods.alignmix import alignmix
from mixlearn.methods.attentivemix import attentivemix
from mixlearn.methods.augmix import augmix
from mixlearn.methods.automix import MixBlock, mask_loss
from mixlearn.methods.classmix import classmix
from mixlearn.methods.cmixup import cmixup
from mixlearn.methods.comixup import comixup
from mixlearn.methods.contrast import contrastive_loss
from mixlearn.methods.copy_paste import copy_paste
from mixlearn.methods.cowmix import cowmix
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.cutmix_seg import cutmix_seg, segmentation_consistency
from mixlearn.methods.cutout import cutout
from mixlearn.methods.dividemix import clean_probability, refine_labels
from mixlearn.methods.fmix import fmix
from mixlearn.methods.gmix import gmix
from mixlearn.methods.gridmix import gridmix
from mixlearn.methods.guidedmixup import guidedmixup
from mixlearn.methods.hmix import hmix
from mixlearn.methods.kmixup import kmixup
from mixlearn.methods.mixstyle import mixstyle
from mixlearn.methods.mixup import mixup
from mixlearn.methods.moex import moex
from mixlearn.methods.mosaic import mosaic
from mixlearn.methods.objects import Objects, mix_objects
from mixlearn.methods.patchmix import patchmix
from mixlearn.methods.pixmix import pixmix
from mixlearn.methods.puzzlemix import puzzlemix
from mixlearn.methods.remix import remix
from mixlearn.methods.resizemix import resizemix
from mixlearn.methods.ricap import ricap
from mixlearn.methods.saliency import feature_attention, gradient_saliency, spectral_residual
from mixlearn.methods.saliencymix import saliencymix
from mixlearn.methods.smmix import smmix
from mixlearn.methods.smoothmix import smoothmix
from mixlearn.methods.snapmix import snapmix
from mixlearn.methods.transmix import transmix
from mixlearn.methods.unimix import balanced_partner, unimix

if TYPE_CHECKING:
    from mixlearn import course, data, measure, nets
    from mixlearn.methods import augment, learners
    from mixlearn.methods.random_mix import RandomMix
    from mixlearn.page import figures, widgets
    from mixlearn.train import lightning
    from mixlearn.train import records as runs
    from mixlearn.train.detection import DetectionCollate, YoloCollate
    from mixlearn.train.fit import fit
    from mixlearn.train.mixing import MixCollate

__version__ = "0.1.0"

_ROOMS = {
    "augment": "mixlearn.methods.augment",
    "course": "mixlearn.course",
    "data": "mixlearn.data",
    "figures": "mixlearn.page.figures",
    "learners": "mixlearn.methods.learners",
    "lightning": "mixlearn.train.lightning",
    "measure": "mixlearn.measure",
    "nets": "mixlearn.nets",
    "recipes": "mixlearn.recipes",
    "runs": "mixlearn.train.records",
    "widgets": "mixlearn.page.widgets",
}
_NAMES = {
    "DetectionCollate": "mixlearn.train.detection",
    "MixCollate": "mixlearn.train.mixing",
    "RandomMix": "mixlearn.methods.random_mix",
    "YoloCollate": "mixlearn.train.detection",
    "fit": "mixlearn.train.fit",
}

__all__ = [
    "alignmix",
    "attentivemix",
    "augment",
    "augmix",
    "balanced_partner",
    "box_area",
    "boxes_to_masks",
    "BoxPlan",
    "classmix",
    "clean_probability",
    "cmixup",
    "comixup",
    "contrastive_loss",
    "copy_paste",
    "course",
    "cowmix",
    "cutmix",
    "cutmix_seg",
    "cutout",
    "data",
    "DetectionCollate",
    "feature_attention",
    "figures",
    "fit",
    "fmix",
    "gmix",
    "gradient_saliency",
    "gridmix",
    "guidedmixup",
    "hmix",
    "kmixup",
    "learners",
    "lightning",
    "mask_loss",
    "masks_to_boxes",
    "measure",
    "mix_objects",
    "MixBlock",
    "MixCollate",
    "Mixed",
    "mixed_accuracy",
    "MixPlan",
    "mixstyle",
    "mixup",
    "moex",
    "mosaic",
    "nets",
    "Objects",
    "one_hot",
    "pair_cross_entropy",
    "patchify",
    "patchmix",
    "PatchPlan",
    "pixmix",
    "puzzlemix",
    "RandomMix",
    "refine_labels",
    "remix",
    "resizemix",
    "ricap",
    "runs",
    "saliencymix",
    "sample_boxes",
    "sample_lam",
    "sample_partner",
    "sample_squares",
    "segmentation_consistency",
    "smmix",
    "smooth",
    "smoothmix",
    "snapmix",
    "soft_bce",
    "soft_cross_entropy",
    "spectral_residual",
    "transmix",
    "unimix",
    "unpatchify",
    "widgets",
    "YoloCollate",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(_ROOMS[name])
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'mixlearn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
