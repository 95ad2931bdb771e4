"""Chapters 4 and 5: what a frozen classifier sees in the mixtures of each method, on Off-centre Fashion.

Methods that need a network's saliency get the judge's. Mix Blocks are trained against the judge. The runs
`truth-emoji-*` compare labels with true masks instead.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from experiments.chapters.chapter_4 import class_activation
from experiments.judging import judged, true_labels, true_masks, truth
from mixlearn.methods.attentivemix import attentivemix
from mixlearn.methods.automix import MixBlock
from mixlearn.methods.comixup import comixup
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.fmix import fmix
from mixlearn.methods.gridmix import gridmix
from mixlearn.methods.mixup import mixup
from mixlearn.methods.puzzlemix import puzzlemix
from mixlearn.methods.resizemix import resizemix
from mixlearn.methods.saliency import feature_attention, gradient_saliency
from mixlearn.methods.saliencymix import saliencymix
from mixlearn.methods.samix import SAMixBlock
from mixlearn.methods.smoothmix import smoothmix
from mixlearn.methods.snapmix import snapmix


def attention(net: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """How strong the features of the judge's last stage are at each place, (B, 1, H, W)."""
    return feature_attention(net, images, "stage3")


WAYS: dict[str, dict[str, Any]] = {
    "mixup": {"mix": mixup},
    "cutmix": {"mix": cutmix},
    "resizemix": {"mix": resizemix, "drawn": True},
    "gridmix": {"mix": gridmix},
    "fmix": {"mix": fmix},
    "smoothmix": {"mix": smoothmix, "drawn": True},
    "saliencymix": {"mix": saliencymix},
    "attentivemix": {"mix": attentivemix, "guide": attention},
    "snapmix": {"mix": snapmix, "guide": class_activation},
    "puzzlemix": {"mix": puzzlemix, "guide": gradient_saliency},
    "comixup": {"mix": comixup, "guide": gradient_saliency, "drawn": True},
    "automix": {"mix": partial(MixBlock, std=0.3), "teaching": {}},
    "samix": {"mix": partial(SAMixBlock, std=0.3), "teaching": {}},
    "true-masks": {"mix": true_masks},
    "true-labels": {"mix": true_labels},
}
judging = {f"judge-offcentre-{way}": partial(judged, **options) for way, options in WAYS.items()}
SECOND = ("mixup", "cutmix", "automix", "samix", "true-masks")  # before a second judge, on seeds 3 to 9
again = {f"again-{way}": judging[f"judge-offcentre-{way}"] for way in SECOND}

BLIND: dict[str, Any] = {
    "mixup": mixup, "cutmix": cutmix, "resizemix": resizemix, "gridmix": gridmix, "fmix": fmix,
    "smoothmix": smoothmix,
}  # fmt: skip
LOOKING: dict[str, Any] = {
    "saliencymix": saliencymix, "attentivemix": attentivemix, "snapmix": snapmix, "puzzlemix": puzzlemix,
    "comixup": comixup,
}  # fmt: skip
labelled = {f"truth-emoji-{way}": partial(truth, mix) for way, mix in BLIND.items()}
labelled |= {f"truth-emoji-{way}": partial(truth, mix, guide=attention) for way, mix in LOOKING.items()}
labelled["truth-emoji-snapmix-cam"] = partial(truth, snapmix, guide=class_activation)  # as published
