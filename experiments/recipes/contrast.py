"""Learning without labels on a CPU; used through `experiments.recipes`.

`mix` is a learner of chapter 7 or a partial of one. It is told how to make views of the data and how large
its projector is; options that are set already, as in `partial(PatchMix, parts=4)`, stay.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch.optim import AdamW

from experiments.examine.features import examine_features
from experiments.recipes.parts import loaded, weights
from experiments.recipes.vit import tiny_vit
from experiments.rivals import SimSiam
from experiments.training import Outcome, train
from mixlearn.core.checks import in_words
from mixlearn.methods.augment import contrastive_view, crop_and_flip
from mixlearn.methods.contrast import Contrast, SimCLR
from mixlearn.methods.learner import Unlabelled, slow_down
from mixlearn.methods.patchmix import PatchMix
from mixlearn.nets.resnet import resnet
from mixlearn.train.schedules import cosine

# A thousand steps in all: a twin with the published memory would be made of its first weights for long.
quick = partial(slow_down, start=0.9, end=0.99, hold=0.0)


def pretrain(
    mix: Any = PatchMix,
    *,
    name: str = "emoji",
    network: str = "resnet8",
    seed: int = 0,
    images: int | None = 7200,
    epochs: int = 20,
    width: int | None = None,
    batch_size: int = 128,
    lr: float = 5e-3,
    data: Any = None,
    **options: Any,
) -> Outcome:
    """Learning without labels on a CPU: a ResNet-8 or a small transformer, AdamW, warm-up and cosine.

    Args:
        mix: `PatchMix`, `MoCo` or another learner without labels, or a partial of one; their projectors are
            small, their twins quick, τ is 0.2 for all, as far as it is not set. For comparison, None trains
            the same network with labels; "nothing" leaves it as it was drawn.
        name: "fashion" or "emoji".
        network: "resnet8"; or "vit", of four layers of 64 numbers a token with patches of 4 pixels.
        images: a stratified choice of so many training images; None takes all.
        width: channels of the ResNet's first stage, in place of 8.
        lr: learning rate.
        seed, epochs, batch_size, data, options: as for `fashion`. Without another `examine` the features are
            judged by `examine_features`, on the same data.

    Raises:
        ValueError: another name, network or way of learning, a width of the transformer.

    Source: settings of this book.
    """
    if name not in ("fashion", "emoji"):
        raise ValueError(f"name must be 'fashion' or 'emoji', got {name!r}")
    untrained = mix == "nothing"
    judged = {"data": name} if data is None else {"data": data, "images": None}
    data, colour, first = loaded(name, data), name == "emoji", weights(seed)
    channels = 3 if colour else 1
    if network == "vit":
        if width is not None:
            raise ValueError(f"width is that of a ResNet; the transformer has one size, got {width}")
        net: Any
        net, words = tiny_vit(len(data.classes), colour, first)
    elif network == "resnet8":
        width = 8 if width is None else width
        net = resnet(8, len(data.classes), width=width, channels=channels, generator=first)
        words = f"ResNet-8, width {width}"
    else:
        raise ValueError(f"network must be 'resnet8' or 'vit', got {network!r}")
    given: dict[str, Any] = {
        "optimizer": partial(AdamW, lr=lr, weight_decay=0.05),
        "schedule": partial(cosine, warmup=0.1),
        "examine": partial(examine_features, **judged),
        "augment": crop_and_flip if colour and mix is None else None,
        "untrained": untrained,
    }
    view = partial(contrastive_view, mean=data.mean, std=data.std)
    small = {"hidden": 256, "outside": 64, "predictor": 256, "momentum": quick, "temperature": 0.2}
    return train(
        net,
        data,
        None if mix is None or untrained else told(mix, view, small),
        network=words,
        seed=seed,
        images=images,
        epochs=epochs,
        batch_size=batch_size,
        **given | options,
    )


def told(mix: Any, view: Any, sizes: dict[str, Any]) -> Any:
    """The learner, told how views are made and how large its layers are, unless it knows better.

    Args:
        mix: a learner without labels, or a partial of one, whose own settings come first.
        view: its `augment`.
        sizes: sizes of its layers and further settings by name; those that it does not take are left out.

    >>> from experiments.rivals import SimSiam
    >>> sorted(told(SimSiam, crop_and_flip, {"outside": 64, "momentum": 0.99}).keywords.items())[1:]
    [('outside', 64), ('predictor', 16)]
    """
    kind = getattr(mix, "func", mix)
    if not (isinstance(kind, type) and issubclass(kind, Unlabelled)):
        words = repr(mix) if isinstance(mix, str) else in_words(mix)
        raise ValueError(f"mix must be a learner without labels, such as PatchMix, or a partial, got {words}")
    wanted = {"augment": view}
    if issubclass(kind, Contrast):
        lacking = ("momentum", "predictor") if issubclass(kind, (SimCLR, SimSiam)) else ()
        lacking = lacking if issubclass(kind, PatchMix) else (*lacking, "small")
        wanted |= {name: value for name, value in sizes.items() if name not in lacking}
    if issubclass(kind, SimSiam) and "outside" in wanted:
        wanted["predictor"] = wanted["outside"] // 4  # a bottleneck, as published
    return partial(mix, **wanted | getattr(mix, "keywords", {}))
