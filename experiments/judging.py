"""Judging mixtures: a frozen classifier looks at mixtures of pairs that it has not seen.

A mixture does its work if both of its classes can be seen in it, in the proportion that its label states. The
judge is trained once, on images as they are, Mixup and CutMix, a third each. All methods then mix the same
pairs at the same λ, as far as they take both; where a method chooses pairs, mixtures of one class are left
out. Their cost is the time that mixing takes, divided by CutMix's for the same batches.

`truth` asks no classifier: it compares each label with what the true masks of the objects leave to be seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from experiments.training import Outcome, loaded, weights
from mixlearn.core.checks import in_words, takes
from mixlearn.core.labels import soft_cross_entropy
from mixlearn.core.plan import Mixed, MixPlan
from mixlearn.data.sets import Data, ImageSet
from mixlearn.measure.evaluate import evaluate
from mixlearn.measure.mixtures import label_noise, visible
from mixlearn.methods.augment import crop_and_flip
from mixlearn.methods.automix import MixBlock, mask_loss
from mixlearn.methods.cutmix import cutmix
from mixlearn.methods.learner import Mixing
from mixlearn.methods.mixup import mixup
from mixlearn.methods.random_mix import RandomMix
from mixlearn.nets import resnet, strided_stem
from mixlearn.nets.resnet import parameter_count
from mixlearn.nets.taps import evaluation, staged
from mixlearn.page.studio_net import studio_net
from mixlearn.train.fit import History, fit, sgd
from mixlearn.train.schedules import one_cycle

LAMS = (0.3, 0.5, 0.7)
BATCH = 100  # pairs mixed at a time
STAGE, CHANNELS = "stage2", 32  # the judge's features that a Mix Block sees
Method = Callable[..., Mixed]


@lru_cache(maxsize=1)
def judge(folder: str | Path = "checkpoints", images: int = 12_000, epochs: int = 30) -> nn.Module:
    """The judge of Off-centre Fashion, trained on first use and kept in a folder."""
    data = loaded("offcentre")
    net = resnet(8, len(data.classes), width=16, stem=strided_stem, generator=weights(0))
    train = data.train.subset(images, generator=torch.Generator().manual_seed(0))
    mix = RandomMix([mixup, cutmix], p=2 / 3, num_classes=len(data.classes))
    fit(
        net, train, Mixing(mix), epochs=epochs, batch_size=64, augment=crop_and_flip, optimizer=sgd,
        schedule=one_cycle, checkpoint=Path(folder) / "judge-offcentre.pt", resume=True,
        progress="the judge", accelerator="cpu",
    )  # fmt: skip
    return net.eval().requires_grad_(False)


# ------------------------------------------------------------------------------------ methods to compare with
def true_masks(
    images: Tensor, labels: Tensor, *, objects: Tensor, lam: Any, partner: Tensor, num_classes: int, **_: Any
) -> Mixed:
    """The oracle: each image shows its own object whole, its partner's object whole, and λ of the rest."""
    own, other = objects, objects[partner]  # (B, 1, H, W)
    share = torch.as_tensor(lam).expand(len(images))[:, None, None, None]
    masks = (own * (1 - other) + share * (1 - own * (1 - other) - other * (1 - own))).clamp(0, 1)
    plan = MixPlan.pair(partner, share.flatten(), masks)
    return Mixed(plan.mix(images), plan.soften(labels, num_classes), plan)


def true_labels(images: Tensor, labels: Tensor, *, objects: Tensor, **options: Any) -> Mixed:
    """CutMix whose labels count what can be seen of each object, not pixels."""
    mixed = cutmix(images, labels, **options)
    seen = visible(mixed.plan, objects)  # (2, B)
    plan = mixed.plan.changed(weights=(seen + 1e-6) / (seen + 1e-6).sum(0))
    return Mixed(mixed.images, plan.soften(labels, options["num_classes"]), plan)


def by_block(block: MixBlock, net: nn.Module, images: Tensor, labels: Tensor, **options: Any) -> Mixed:
    """Mixtures under the masks that a Mix Block makes from the judge's features."""
    lam, partner = options["lam"], options["partner"]
    share = torch.full((len(images),), float(lam))
    with torch.no_grad(), evaluation(block):
        masks = block(staged(net, images, STAGE), share, partner, images.shape[-2:])  # (B, 1, H, W)
    plan = MixPlan.pair(partner, share, masks)
    return Mixed(plan.mix(images), plan.soften(labels, options["num_classes"]), plan)


def teach(
    block: MixBlock,
    net: nn.Module,
    data: ImageSet,
    *,
    steps: int = 2000,
    optimizer: Callable[..., torch.optim.Optimizer] = partial(torch.optim.Adam, lr=3e-3),  # noqa: B008
    mask_weight: float = 1.0,
    stage: str = STAGE,
    seed: int = 0,
    watch: Callable[[int], object] | None = None,
) -> None:
    """Train a Mix Block, in place, to make mixtures that a frozen network classifies as their labels say.

    Args:
        block: for the features of `stage` of the network, whose `head` is linear.
        mask_weight: weight of the mask loss, in all steps.
        watch: called with the number of steps done, before the first step and after each.
    """
    generator, classes = torch.Generator().manual_seed(seed), int(net.head.out_features)  # type: ignore
    made = optimizer(block.parameters())
    for step in range(steps):
        if watch is not None:
            watch(step)
        images, labels = data.batch(torch.randint(len(data), (64,), generator=generator))
        lam, partner = torch.rand(1, generator=generator), torch.randperm(64, generator=generator)
        with torch.no_grad():
            features = staged(net, images, stage)  # (64, C, h, w)
        masks = block(features, lam, partner, images.shape[-2:])  # (64, 1, H, W)
        plan = MixPlan.pair(partner, lam.expand(64), masks)
        loss = soft_cross_entropy(net(plan.mix(images)), plan.soften(labels, classes))
        made.zero_grad()
        (loss + mask_weight * mask_loss(masks, lam)).backward()
        made.step()
    if watch is not None:
        watch(steps)


# ------------------------------------------------------------------------------------------ what is measured
def measured(mixed: Mixed, logits: Tensor, objects: Tensor) -> dict[str, Tensor]:
    """The measures of mixtures: one number each, summed over the batch afterwards.

    Args:
        mixed: of a batch of B. logits: (B, classes) of the judge. objects: (B, 1, H, W), 1 on the object.

    Returns:
        "top 2", whether the judge's two likeliest classes are the label's two largest; "kl", from the label
        to the judge's probabilities; "own", "partner" and "background", an image's mean mask on its own
        object, on its partner's and on neither, where masks are of two images that keep their places.
    """
    assert mixed.targets is not None
    targets, plan = mixed.targets, mixed.plan
    targets = targets / targets.sum(1, keepdim=True).clamp_min(1e-6)  # SnapMix's need not sum to 1
    two, best = targets.topk(2).indices, logits.topk(2).indices  # (B, 2)
    kl = (torch.special.xlogy(targets, targets) - targets * logits.log_softmax(1)).sum(1)
    values = {"top 2": (two.sort().values == best.sort().values).all(1).float(), "kl": kl}
    if len(plan.sources) == 2 and getattr(plan, "scales", None) is None and plan.masks.shape[-1] > 1:
        mask, own, other = plan.masks[0], objects, objects[plan.sources[1]]  # (B, 1, H, W)
        places = {
            "own": own * (1 - other),
            "partner": other * (1 - own),
            "background": (1 - own) * (1 - other),
        }
        for name, place in places.items():
            values[name] = (mask * place).sum((1, 2, 3)) / place.sum((1, 2, 3)).clamp_min(1)
    return values


def pairs(labels: Tensor) -> Tensor:
    """For each image of a batch a partner of another class; no class may have more than half of the images.

    >>> pairs(torch.tensor([3, 1, 3, 0]))
    tensor([3, 2, 1, 0])
    """
    order = labels.argsort(stable=True)
    shift = int(labels.bincount().max())
    partner = torch.empty_like(order)
    partner[order] = order.roll(-shift)
    return partner


def judged(
    mix: Any,
    *,
    seed: int = 0,
    data: Data[ImageSet] | None = None,
    count: int = 2000,
    drawn: bool = False,
    guide: Callable[..., Tensor] | None = None,
    teaching: dict[str, Any] | None = None,
    checkpoint: Path | None = None,
    dry: bool = False,
    **_: Any,
) -> Outcome:
    """Mix held-out pairs by one method at several λ, and let the judge look at the mixtures.

    Args:
        mix: a mixing method, or a function that makes a `MixBlock` from a number of channels.
        seed: of the draws, and of a Mix Block and its training. The pairs are the same for every seed.
        count: how many pairs.
        drawn: the method draws its own λ, for it takes none.
        guide: `guide(judge, images, labels)` → the saliency (B, 1, H, W) that the method is handed.
        teaching: options of `teach`; None means that `mix` mixes as it is.
        checkpoint: a file in the folder where the judge is kept.
        dry: measure nothing; the outcome holds the settings alone.
    """
    known = loaded("offcentre", data)
    words = {"judge": "ResNet-8, width 16, stride 2 at first; 12,000 images, 30 epochs", "mix": in_words(mix)}
    settings: dict[str, Any] = words | {"pairs": count, "lam": "its own" if drawn else list(LAMS)}
    if guide is not None:
        settings["guide"] = in_words(guide)
    if teaching is not None:
        mix = mix(CHANNELS, generator=weights(seed))
        settings["parameters"] = parameter_count(mix)
        settings["teaching"] = {key: in_words(v) if callable(v) else v for key, v in teaching.items()}
    source = {"name": str(known.name), "sha256": str(known.sha256)}
    outcome = Outcome(nn.Identity(), History(), {}, settings, source)
    if dry:
        return outcome
    start = time.process_time()
    net = judge("checkpoints" if checkpoint is None else checkpoint.parent)
    outcome.final["judge"] = {"accuracy": evaluate(net, known.test)["accuracy"]}
    if teaching is not None:
        before = time.process_time()
        teach(mix, net, known.train, seed=seed, **teaching)
        outcome.history.epochs.append({"epoch": 1, "seconds": time.process_time() - before})
        mix, outcome.model = partial(by_block, mix, net), mix
    test = known.test.subset(count, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    for lam in (None,) if drawn else LAMS:
        part = "λ drawn" if lam is None else f"λ {lam}"
        outcome.final[part] = _over_pairs(net, mix, test, lam, guide, generator)
    shown = [row for name, row in outcome.final.items() if name.startswith("λ")]
    outcome.final["all"] = {key: sum(row[key] for row in shown) / len(shown) for key in shown[0]}
    outcome.history.seconds = time.process_time() - start
    return outcome


def _over_pairs(
    net: nn.Module,
    mix: Method,
    test: ImageSet,
    lam: float | None,
    guide: Callable[..., Tensor] | None,
    generator: torch.Generator,
) -> dict[str, float]:
    """The mean of each measure over all pairs, and what mixing cost next to CutMix."""
    sums: dict[str, float] = {}
    spent = dict.fromkeys(("mix", "cutmix"), 0.0)
    classes, count = int(test.labels.max()) + 1, 0
    for start in range(0, len(test), BATCH):
        chosen = slice(start, start + BATCH)
        images, labels = test.batch(chosen)
        assert test.masks is not None
        objects = (test.masks[chosen] > 127).float()  # (B, 1, H, W)
        options: dict[str, Any] = {"num_classes": classes, "generator": generator}
        if lam is not None:
            options["lam"] = lam
        if takes(mix, "partner"):
            options["partner"] = pairs(labels)
        if takes(mix, "objects"):
            options["objects"] = objects
        began = time.process_time()
        if guide is not None:
            options["saliency"] = guide(net, images, labels)
        mixed = mix(images, labels, **options)
        ended = time.process_time()
        cutmix(images, labels, num_classes=classes, generator=torch.Generator().manual_seed(start))
        spent["mix"] += ended - began
        spent["cutmix"] += time.process_time() - ended
        with torch.no_grad():
            logits = net(mixed.images)
        counted = torch.ones(len(images), dtype=torch.bool)
        if "partner" not in options and mixed.targets is not None:
            counted = (mixed.targets > 0).sum(1) > 1
        count += int(counted.sum())
        for name, values in measured(mixed, logits, objects).items():
            sums[name] = sums.get(name, 0.0) + float(values[counted].sum())
    if not count:
        raise ValueError(
            f"{in_words(mix)} mixed images of one class alone, so that there is nothing to judge"
        )
    result = {name: total / count for name, total in sums.items()}
    return result | {"cost": spent["mix"] / spent["cutmix"]}


# ------------------------------------------------------------------------------------- labels and true masks
def truth(
    mix: Method,
    *,
    seed: int = 0,
    data: Data[ImageSet] | None = None,
    count: int = 1100,
    guide: Callable[..., Tensor] | None = None,
    dry: bool = False,
    **_: Any,
) -> Outcome:
    """How far the labels of a method are from what its mixtures of Emoji Scenes show.

    "drawn": λ as the method draws it, for each image where it can. "half": every mixture is asked for λ = ½.

    Args:
        seed: of the draws, and of the order of the images.
        count: how many test images, by designers that no network was trained on.
        guide: `guide(net, images, labels)` → the saliency (B, 1, H, W), by the mask studio's classifier.
        dry: measure nothing; the outcome holds the settings alone.
    """
    known = loaded("emoji", data)
    settings: dict[str, Any] = {"mix": in_words(mix), "images": count}
    if guide is not None:
        settings["guide"] = in_words(guide)
    source = {"name": str(known.name), "sha256": str(known.sha256)}
    outcome = Outcome(nn.Identity(), History(), {}, settings, source)
    if dry:
        return outcome
    start = time.process_time()
    test = known.tests["designers"].subset(count, generator=torch.Generator().manual_seed(0))
    images, labels = test.batch(slice(0, count))
    assert test.masks is not None
    objects, options = test.masks.float() / 255, dict[str, Any]()
    if takes(mix, "per_image"):
        options["per_image"] = True
    net, generator = studio_net(), torch.Generator().manual_seed(seed)

    def call(images: Tensor, labels: Tensor, **more: Any) -> Any:
        maps = {} if guide is None else {"saliency": guide(net, images, labels)}
        return mix(images, labels, **options, **maps, **more)

    classes = len(known.classes)
    found = label_noise(call, images, labels, objects, num_classes=classes, generator=generator)
    outcome.final["drawn"] = found._asdict()
    if takes(mix, "lam"):
        outcome.final["half"] = _at_half(call, images, labels, objects, classes, generator)
    outcome.history.seconds = time.process_time() - start
    return outcome


def _at_half(
    mix: Method, images: Tensor, labels: Tensor, objects: Tensor, classes: int, generator: torch.Generator
) -> dict[str, float]:
    """What is seen of the image's and the partner's object at λ = ½, and how much more of the partner's."""
    seen, bias = [], []
    for chosen in torch.arange(len(images)).split(BATCH):
        options = {"lam": 0.5, "partner": pairs(labels[chosen]), "generator": generator}
        plan = mix(images[chosen], labels[chosen], num_classes=classes, **options).plan
        shown = visible(plan, objects[chosen])  # (2, B)
        seen.append(shown)
        bias.append(shown[1] / shown.sum(0).clamp_min(1e-6) - plan.weights[1])
    own, partner = torch.cat(seen, 1).mean(1).tolist()
    return {"own": own, "partner": partner, "bias": float(torch.cat(bias).mean())}
