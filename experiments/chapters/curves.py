"""Fashion-MNIST with Mixup, CutMix or neither: one quantity varied, parts of a recipe added, wrong labels.

The centre: 2,000 images, 40 epochs, a ResNet-8 of width 8, not augmented, α = 1 on half of the batches.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from experiments.recipes import fashion
from mixlearn.methods.augment import crop_and_flip
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.cutout import cutout
from mixlearn.methods.manifold import MixingInside
from mixlearn.methods.mixup import mixup
from mixlearn.methods.random_mix import RandomMix
from mixlearn.nets import ShakeDrop
from mixlearn.train.schedules import steps

MIXES: dict[str, Any] = {"mixup": mixup, "cutmix": cutmix}


def sometimes(way: str, alpha: float = 1.0, p: Any = 0.5) -> Any:
    """A mixture on the share `p` of the batches."""
    mix = partial(MIXES[way], alpha=alpha)
    return mix if p == 1 else RandomMix([mix], p=p)


at_centre = partial(fashion, images=2000, epochs=40, width=8)
WAYS: dict[str, Any] = {"plain": None} | {way: sometimes(way) for way in MIXES}
VARIED: dict[str, dict[str, Any]] = {
    "centre": {},
    **{f"n{images}": {"images": images} for images in (500, 1000, 5000)},
    **{f"few-e{epochs}": {"images": 500, "epochs": epochs} for epochs in (10, 160)},
    "few-crops": {"images": 500, "epochs": 160, "augment": crop_and_flip},
    "e10": {"epochs": 10},
    **{f"w{width}": {"width": width} for width in (4, 16)},
    "crops": {"augment": crop_and_flip},
}
curves: dict[str, Any] = {
    f"curve-{name}-{way}": partial(at_centre, mix=mix, **options)
    for name, options in VARIED.items()
    for way, mix in WAYS.items()
}
strengths = {f"a{str(alpha).replace('.', '')}": {"alpha": alpha} for alpha in (0.2, 0.5, 2, 4)}
shares = {f"p{round(100 * p)}": {"p": p} for p in (0.25, 0.75, 1)}
curves |= {
    f"curve-{name}-{way}": partial(at_centre, mix=sometimes(way, **options))
    for name, options in (strengths | shares).items()
    for way in MIXES
}


def early(progress: float) -> float:
    return 0.5 * (progress < 0.75)  # half of the batches, none in the last quarter of training


def erased(images: Tensor, *, generator: Any = None) -> Tensor:
    return cutout(images, size=14, generator=generator).images


deeper = partial(at_centre, images=1000, depth=20)
practice: dict[str, Any] = {}
for way, mix in WAYS.items():
    practice |= {
        f"practice-smoothed-{way}": partial(at_centre, mix=mix, smoothing=0.1),
        f"practice-cutout-{way}": partial(at_centre, mix=mix, augment=erased),
        f"practice-deeper-{way}": partial(deeper, mix=mix),
        f"practice-shakedrop-{way}": partial(deeper, mix=mix, drop=ShakeDrop),
    }
    if mix is not None:
        practice[f"practice-early-{way}"] = partial(at_centre, mix=sometimes(way, p=early))
        practice[f"practice-inside-{way}"] = partial(at_centre, mix=MixingInside(mix, ("stage1",)))

noisy = partial(fashion, images=1000, epochs=80, width=16, measure_every=8)
ALWAYS = {"mixup": sometimes("mixup", p=1), "mixup-8": sometimes("mixup", alpha=8.0, p=1)}
ALWAYS |= {"plain": None, "cutmix": sometimes("cutmix", p=1)}
wrong: dict[str, Any] = {}
for way, mix in ALWAYS.items():
    for share in (20, 50, 80):
        wrong[f"wrong-{share}-{way}"] = partial(noisy, name=f"fashion-wrong-{share}", mix=mix)
    wrong[f"wrong-50-steps-{way}"] = partial(wrong[f"wrong-50-{way}"], schedule=steps)
