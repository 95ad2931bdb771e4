"""Chapter 7: SimCLR, MoCo v3 and PatchMix on both shipped sets at equal epochs, with their controls.

Controls: the same network as it was drawn, fine-tuned with the same rate in all layers, that is, trained from
scratch; trained with labels; raw pixels. On Fashion-MNIST more: SimSiam, MixCo, mixtures of three and four,
PatchMix without a twin and without each of its terms. With a small transformer, as the paper has them:
PatchMix and MoCo v3. Then garments off-centre on black, where raw pixels fail.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.examine import examine_features
from experiments.recipes import pretrain
from experiments.rivals import MixCo, SimSiam
from mixlearn.methods.contrast import MoCo, SimCLR
from mixlearn.methods.patchmix import PatchMix

COMPARED: dict[str, dict[str, Any]] = {
    "simclr": {"mix": SimCLR},
    "moco": {"mix": MoCo},
    "patchmix": {"mix": PatchMix},
    "labels": {"mix": None},
    "scratch": {"mix": "nothing"},
    "vit-moco": {"mix": MoCo},
    "vit-patchmix": {"mix": PatchMix},
    "vit-scratch": {"mix": "nothing"},
}
PIXELS: dict[str, Any] = {"mix": "nothing", "network": "pixels"}
GARMENTS = {way: COMPARED[way] for way in ("simclr", "moco", "patchmix", "labels", "scratch")} | {
    "pixels": PIXELS
}
VARIED: dict[str, dict[str, Any]] = {
    "simsiam": {"mix": SimSiam},
    "mixco": {"mix": MixCo},
    "patchmix-three": {"mix": partial(PatchMix, parts=3)},
    "patchmix-four": {"mix": partial(PatchMix, parts=4)},
    "patchmix-alone": {"mix": partial(PatchMix, momentum=None)},
    "patchmix-no-origin": {"mix": PatchMix, "ablate": ("origin",)},
    "patchmix-no-mix-to-origin": {"mix": PatchMix, "ablate": ("mix_to_origin",)},
    "patchmix-no-mix-to-mix": {"mix": PatchMix, "ablate": ("mix_to_mix",)},
}


def setting(name: str, way: str) -> partial[Any]:
    """One network of the comparison, with all three evaluations of its features."""
    judged = partial(examine_features, data=name, tune=10)
    options = COMPARED[way]
    if way.endswith("scratch"):
        judged = partial(judged, decay=1.0)
    if way.startswith("vit-"):
        options = options | {"network": "vit", "lr": 1e-3}
    return partial(pretrain, name=name, images=3600, examine=judged, **options)


judged = partial(examine_features, shares=(0.01, 0.1), data="garments")
seen = partial(examine_features, data="fashion")
contrast = (
    {f"contrast-{name}-{way}": setting(name, way) for name in ("fashion", "emoji") for way in COMPARED}
    | {
        f"contrast-fashion-{way}": partial(pretrain, name="fashion", images=3600, examine=seen, **options)
        for way, options in VARIED.items()
    }
    | {
        f"contrast-garments-{way}": partial(
            pretrain, name="garments", images=4000, epochs=30, examine=judged, **options
        )
        for way, options in GARMENTS.items()
    }
    | {
        f"contrast-{name}-pixels": partial(
            pretrain, name=name, images=3600, examine=partial(examine_features, data=name), **PIXELS
        )
        for name in ("fashion", "emoji")
    }
)

# which images of Emoji Scenes are alike: of the same concept, the same class or another one
alike = partial(
    pretrain, name="emoji", images=3600, examine=partial(examine_features, data="emoji", kin=True)
)
kin = {f"kin-emoji-{way}": partial(alike, **options) for way, options in GARMENTS.items() if way != "labels"}
