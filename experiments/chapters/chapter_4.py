"""Chapter 4: every method on both sets; those that paste do so in half of the batches.

The networks without mixing, with Mixup and with CutMix are those of chapter 3. A ViT, plain, with CutMix and
with TransMix, comes last. AlignMix takes fewer steps than published, to be quick on a CPU.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from experiments.recipes import emoji, fashion, small_vit
from mixlearn.methods.alignmix import alignmix
from mixlearn.methods.attentivemix import attentivemix
from mixlearn.methods.comixup import comixup
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.fmix import fmix
from mixlearn.methods.gridmix import gridmix
from mixlearn.methods.learners import Guided, MixingInside, TransMixing
from mixlearn.methods.mixup import mixup
from mixlearn.methods.puzzlemix import puzzlemix
from mixlearn.methods.random_mix import RandomMix
from mixlearn.methods.resizemix import resizemix
from mixlearn.methods.saliency import feature_attention
from mixlearn.methods.saliencymix import saliencymix
from mixlearn.methods.smoothmix import smoothmix
from mixlearn.methods.snapmix import snapmix


def class_activation(model: Any, images: Tensor, labels: Tensor) -> Tensor:
    """The class activation map of each image's own class at the last stage, (B, 1, H, W); each sums to 1."""
    return feature_attention(model, images, "stage3", labels)


strong = partial(mixup, alpha=2.0)
half = RandomMix([cutmix], p=0.5)

WAYS: dict[str, Any] = {
    "resizemix": RandomMix([resizemix], p=0.5),
    "gridmix": RandomMix([gridmix], p=0.5),
    "fmix": RandomMix([fmix], p=0.5),
    "smoothmix": RandomMix([smoothmix], p=0.5),
    "saliencymix": RandomMix([saliencymix], p=0.5),
    "attentivemix": RandomMix([attentivemix], p=0.5),
    "snapmix": Guided(snapmix, class_activation),
    "puzzlemix": Guided(puzzlemix),
    "comixup": Guided(partial(comixup, part=16)),
    "manifold": MixingInside(strong, ("input", "stage1", "stage2")),
    "alignmix": MixingInside({"input": strong, "stage3": partial(alignmix, steps=20)}),
}

masks: dict[str, Any] = {
    f"masks-{recipe.__name__}-{way}": partial(recipe, mix=mix, width=8)
    for recipe in (fashion, emoji)
    for way, mix in WAYS.items()
} | {
    f"masks-{name}-vit-{way}": partial(small_vit, mix=mix, name=name, images=images, epochs=epochs)
    for name, images, epochs in (("fashion", 2000, 40), ("emoji", None, 15))
    for way, mix in (("plain", None), ("cutmix", half), ("transmix", TransMixing(half)))
}
seldom = Guided(RandomMix([partial(comixup, part=16)], p=0.5))  # Co-Mixup as often as CutMix
masks["masks-fashion-comixup-half"] = partial(fashion, mix=seldom, width=8)
