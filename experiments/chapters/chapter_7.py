"""Learning without labels, side by side: chapter 7."""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.examine.features import examine_features
from experiments.recipes.contrast import pretrain
from experiments.rivals import MaskedImages, MixCo, SimSiam
from mixlearn.methods.contrast import MoCo, SimCLR
from mixlearn.methods.patchmix import PatchMix


def contrast() -> dict[str, Any]:
    """SimCLR, MoCo v3 and PatchMix on both shipped sets at equal epochs, with their controls.

    Controls: the same network as it was drawn, fine-tuned with the same rate in all layers, that is, trained
    from scratch; and trained with labels. On Fashion-MNIST more: SimSiam, MixCo, mixtures of three and four,
    PatchMix symmetric, without a twin and without each of its terms. With a small transformer, as the paper
    has them: PatchMix beside MoCo v3 and masked images.
    """
    found: dict[str, Any] = {}
    for name in ("fashion", "emoji"):
        judged = partial(examine_features, data=name, tune=10)
        scratch = {"mix": "nothing", "examine": partial(judged, decay=1.0)}
        setting = partial(pretrain, name=name, images=3600, examine=judged)
        for way, options in _compared().items():
            found[f"contrast-{name}-{way}"] = partial(setting, **options)
        found[f"contrast-{name}-scratch"] = partial(setting, **scratch)
        for way, mix in (("moco", MoCo), ("patchmix", PatchMix), ("masked", MaskedImages)):
            found[f"contrast-{name}-vit-{way}"] = partial(setting, mix=mix, network="vit", lr=1e-3)
        found[f"contrast-{name}-vit-scratch"] = partial(setting, **scratch, network="vit", lr=1e-3)
    setting = partial(
        pretrain, name="fashion", images=3600, examine=partial(examine_features, data="fashion")
    )
    for way, options in _varied().items():
        found[f"contrast-fashion-{way}"] = partial(setting, **options)
    return found


def _compared() -> dict[str, dict[str, Any]]:
    return {
        "simclr": {"mix": SimCLR},
        "moco": {"mix": MoCo},
        "patchmix": {"mix": PatchMix},
        "labels": {"mix": None},
    }


def _varied() -> dict[str, dict[str, Any]]:
    terms = ("origin", "mix_to_origin", "mix_to_mix")
    return {
        "simsiam": {"mix": SimSiam},
        "mixco": {"mix": MixCo},
        "patchmix-three": {"mix": partial(PatchMix, parts=3)},
        "patchmix-four": {"mix": partial(PatchMix, parts=4)},
        "patchmix-symmetric": {"mix": partial(PatchMix, symmetric=True)},
        "patchmix-alone": {"mix": partial(PatchMix, momentum=None)},
        **{f"patchmix-no-{term.replace('_', '-')}": {"mix": PatchMix, "ablate": (term,)} for term in terms},
    }
