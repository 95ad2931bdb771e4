"""What is measured of a trained network besides its accuracy; records name these functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.dense import detect, localize_scenes, segment
from experiments.hidden import in_between, occlusion
from experiments.training import fine_tune, loaded
from mixlearn.core.checks import is_count
from mixlearn.data import load, photos
from mixlearn.data.scenes import Scenes, emoji_scenes
from mixlearn.data.sets import Data, ImageSet
from mixlearn.measure import (
    CorruptedSets,
    activations,
    attacked,
    between,
    evaluate,
    features_of,
    fgsm,
    knn_accuracy,
    localization,
    noise_images,
    out_of_distribution,
    pgd,
    predict,
    prediction_quality,
)
from mixlearn.measure.corruptions import grey
from mixlearn.methods.augment import crop_and_flip
from mixlearn.train.finetune import linear_layer

Measures = dict[str, dict[str, float]]
HIDDEN = (0.25, 0.5, 0.75)
STEPS = (1, 2, 4, 8)  # of FGSM, in 255ths


def _shipped(name: str, more: str = "", others: Sequence[str] = ()) -> Data[ImageSet]:
    if name in others:
        return loaded(name)
    if name not in ("fashion", "emoji"):
        raise ValueError(f"data must be 'fashion' or 'emoji'{more}, got {name!r}")
    data: Data[ImageSet] = load("fashion") if name == "fashion" else load("emoji")
    return data


# -------------------------------------------------------------------------------------------- chapter 3
def examine(net: nn.Module, *, data: str, images: int = 500) -> Measures:
    """Out-of-distribution, corrupted, hidden and mixed images for a network trained on "fashion" or "emoji".

    Returns:
        `foreign …` (for each out-of-distribution set AUROC, TNR at 95 % TPR, detection accuracy), `corrupted`
        (accuracy under each corruption, mean over severities), `hidden` (accuracy with the middle and with
        the border hidden), `between` (share of pairs where neither class was named). The last three take
        `images` test images.
    """
    test, foreign, corrupted = _material(data, images)
    scores = out_of_distribution(net, test, foreign)
    result = {f"foreign {name}": score._asdict() for name, score in scores.items()}
    robust, few = corrupted.robustness(net), corrupted.clean
    result["corrupted"] = {"accuracy": robust.mean} | {name: robust.of(name) for name in robust.names}
    result["hidden"] = {}
    for where in ("middle", "border"):
        seen = occlusion(net, few, HIDDEN, border=where == "border")
        for share, accuracy in zip(HIDDEN, seen.tolist(), strict=True):
            result["hidden"][f"{where} {share:g}"] = accuracy
    result["between"] = {
        "blend": float(in_between(net, few, [0.5])[0]),
        "box": float(in_between(net, few, [0.5], box=True)[0]),
    }
    return result


@lru_cache(maxsize=2)
def corrupted_sets(name: str, images: int) -> CorruptedSets:
    """So many test images of a shipped data set under each corruption; made once."""
    return CorruptedSets(_shipped(name).test, images)


@lru_cache(maxsize=2)
def _material(name: str, images: int) -> tuple[ImageSet, dict[str, Tensor], CorruptedSets]:
    """The test set, the foreign images as the network takes them, and the corrupted sets; made once."""
    test, other = _shipped(name).test, _shipped("emoji" if name == "fashion" else "fashion")
    generator, count = torch.Generator().manual_seed(0), 2 * images
    stranger = other.test.subset(min(count, len(other.test)), generator=generator).images.float() / 255
    size = test.images.shape[-1]
    pictures = photos(size=4 * size).images
    foreign = {
        other.name: _fitted(stranger, test),
        "photographs": _fitted(_crops(pictures, size, count, generator), test),
        "uniform noise": _fitted(noise_images(count, test.images, generator=generator), test),
        "normal noise": _fitted(noise_images(count, test.images, normal=True, generator=generator), test),
    }
    return test, foreign, corrupted_sets(name, images)


def _fitted(images: Tensor, like: ImageSet) -> Tensor:
    """Images in [0, 1] with the channels, the size and the normalisation of a set."""
    channels, size = like.images.shape[1], like.images.shape[-1]
    if channels == 1:
        images = grey(images)  # (N, 1, H, W)
    elif images.shape[1] == 1:
        images = images.expand(-1, channels, -1, -1)
    if images.shape[-1] != size:
        images = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(value).view(-1, 1, 1) for value in (like.mean, like.std))
    return ((images - mean) / std).float()


def _crops(pictures: Tensor, size: int, count: int, generator: torch.Generator) -> Tensor:
    """Random windows of photographs, (count, 3, size, size)."""
    chosen = torch.randint(len(pictures), (count,), generator=generator).tolist()
    corners = torch.randint(pictures.shape[-1] - size + 1, (count, 2), generator=generator).tolist()
    places = zip(chosen, corners, strict=True)
    return torch.stack([pictures[k, :, y : y + size, x : x + size] for k, (y, x) in places])


# -------------------------------------------------------------------------------------------- chapter 5
def examine_robust(net: nn.Module, *, data: str, images: int = 500) -> Measures:
    """Corruptions, attacks and, where the true boxes are known, localisation, for one trained network.

    Returns:
        `corrupted` (accuracy under each corruption, mean over severities), `attacked` (accuracy after "fgsm
        ε" and "pgd ε", ε in 255ths; PGD makes ten steps of ε / 4), both of `images` test images, and, for
        "emoji", `located …` for each test set (MaxBoxAcc, its threshold, and the share at a fifth of the
        peak; also where boxes must overlap by 0.7 and not 0.5).
    """
    test_sets = _shipped(data).tests if data == "emoji" else {}
    corrupted = corrupted_sets(data, images)
    robust, few = corrupted.robustness(net), corrupted.clean
    result = {"corrupted": {"accuracy": robust.mean} | {name: robust.of(name) for name in robust.names}}
    result["attacked"] = {
        f"fgsm {step}": attacked(net, few, partial(fgsm, epsilon=step / 255)) for step in STEPS
    }
    for step in STEPS[1:3]:
        start = torch.Generator().manual_seed(0)
        attack = partial(pgd, epsilon=step / 255, step=step / 4 / 255, generator=start)
        result["attacked"][f"pgd {step}"] = attacked(net, few, attack)
    for name, part in test_sets.items():
        assert part.boxes is not None
        maps = activations(net, part)
        found, strict = localization(maps, part.boxes), localization(maps, part.boxes, overlap=0.7)
        whole = {"best": found.best, "threshold": found.threshold, "fixed": found.fixed}
        result[f"located {name}"] = whole | {"best 0.7": strict.best, "fixed 0.7": strict.fixed}
    return result


def examine_transfer(net: nn.Module, *, train: int = 1200, test: int = 300, epochs: int = 4) -> Measures:
    """Detection with the network as a frozen and as a tuned backbone, and localisation in scenes of emoji.

    Detectors are trained on `train` scenes of 96 × 96 pixels with one to five objects of the training part of
    Emoji Scenes and measured on `test` scenes of unseen concepts. Activation maps are looked at in scenes of
    64 × 64 with one object of unseen concepts. Scenes, first weights and order are the same for each network.

    Returns:
        `detected frozen` and `detected tuned` (`map` and `map50`), and `located scenes`.
    """
    shown, unseen, single = _scenes(train, test)
    given: dict[str, Any] = {"train": shown, "test": unseen, "epochs": epochs}
    return {
        "detected frozen": detect(net, frozen=True, **given),
        "detected tuned": detect(net, **given),
        "located scenes": localize_scenes(net, single),
    }


@lru_cache(maxsize=2)
def _scenes(train: int, test: int) -> tuple[Scenes, Scenes, Scenes]:
    """Scenes to train on, to detect in, and with one object each; made once."""
    shown, unseen, single = (torch.Generator().manual_seed(seed) for seed in range(3))
    return (
        emoji_scenes("train", train, size=96, generator=shown),
        emoji_scenes("concepts", test, size=96, generator=unseen),
        emoji_scenes("concepts", test, size=64, objects=(1, 1), generator=single),
    )


# -------------------------------------------------------------------------------------------- chapter 6
def examine_quality(net: nn.Module, *, data: str, pairs: int = 1000) -> Measures:
    """Prediction quality and linear behaviour between images, for one network with a tap "pool".

    Returns:
        `quality` (the means of `ml.measure.Quality` over the network's own mistakes; those that are not
        defined without a mistake are left out) and `between` (the measures of `ml.measure.Between` for
        `pairs` pairs, of logits and of the features that the head is given: averaged over λ, and " at half"
        for λ = ½).
    """
    test = _shipped(data).test
    quality = prediction_quality(*predict(net, test, batch_size=128))._asdict()
    lines = between(net, test, stage="pool", count=pairs, generator=torch.Generator().manual_seed(0))
    return {
        "quality": {name: float(value) for name, value in quality.items() if not math.isnan(value)},
        "between": lines.means() | {f"{name} at half": value for name, value in lines.at(0.5).items()},
    }


def examine_dense(
    net: nn.Module, *, train: int = 1200, test: int = 300, epochs: int = 4, segment_epochs: int = 3
) -> Measures:
    """The measures of `examine_transfer`, and `segmented frozen` and `segmented tuned` on the same scenes."""
    result = examine_transfer(net, train=train, test=test, epochs=epochs)
    shown, unseen, _ = _scenes(train, test)
    given: dict[str, Any] = {"train": shown, "test": unseen, "epochs": segment_epochs}
    return result | {
        "segmented frozen": segment(net, frozen=True, **given),
        "segmented tuned": segment(net, **given),
    }


# -------------------------------------------------------------------------------------------- chapter 7
def examine_features(
    net: nn.Module,
    *,
    data: str | Data[ImageSet],
    images: int | None = 7200,
    k: Sequence[int] = (20, 1),
    epochs: int = 100,
    tune: int = 0,
    tune_images: int | None = None,
    tune_lr: float = 8e-3,
    decay: float = 0.75,
    shares: Sequence[float] = (),
    kin: bool = False,
) -> Measures:
    """Nearest neighbours, a linear probe and fine-tuning, each measured on the first test set.

    The choice of images, first weights and order are the same for each network.

    Args:
        net: with a tap "pool". Not changed.
        data: the name of a set, or a loaded set whose images are in memory.
        images: a stratified choice of so many training images; None takes all.
        k: how many neighbours vote.
        epochs: of the linear probe, on standardised features, without augmentation.
        tune: epochs of fine-tuning; 0 leaves it out. Images in colour are cropped and flipped.
        tune_images: a stratified choice of so many training images to fine-tune on; None takes `images`.
        tune_lr, decay: as for `fine_tune`, with 64 images a step.
        shares: of the training images' labels; for each a further linear probe learns from so many alone.
        kin: measure `kinship` too, for a test set whose images have names.
    """
    if not is_count(tune, 0):
        raise ValueError(f"tune must be a number of epochs, 0 or more, got {tune!r}")
    further = ("offcentre", "garments")
    known: Any = _shipped(data, ", or a loaded set", further) if isinstance(data, str) else data
    colour = data != "fashion" if isinstance(data, str) else len(data.mean) == 3
    first = torch.Generator().manual_seed(0)
    train = known.train if images is None else known.train.subset(images, generator=first)
    name, test = next(iter(known.tests.items()))
    bank, seen = features_of(net, train), features_of(net, test)
    voted = knn_accuracy(*bank, *seen, k=list(k))
    layer = linear_layer(*bank, epochs=epochs, standardise=True)
    result = {
        "knn": {f"k={number}": accuracy for number, accuracy in voted.items()},
        "linear": evaluate(layer, [seen]),
    }
    for share in shares:
        few = train.subset(round(share * len(train)), generator=torch.Generator().manual_seed(1))
        layer = linear_layer(*features_of(net, few), epochs=epochs, standardise=True)
        result[f"linear {share:.0%}"] = evaluate(layer, [seen])
    if kin:
        result["kin"] = kinship(*seen, known.tests[name].names)
    if tune:
        part: Any = Data(known.name, known.classes, train, {name: test}, known.mean, known.std, known.sha256)
        options: dict[str, Any] = {"images": tune_images, "epochs": tune, "batch_size": 64, "lr": tune_lr}
        options |= {"augment": crop_and_flip if colour else None, "progress": False}
        device = next((weight.device.type for weight in net.parameters()), "cpu")
        outcome = fine_tune(net, part, decay=decay, accelerator=device, **options)
        result["tuned"] = outcome.final[name]
    return result


def kinship(features: Tensor, labels: Tensor, names: Sequence[str]) -> dict[str, float]:
    """The mean cosine of pairs of images that show the same thing, the same class, and different classes.

    Args:
        features: (N, D), from which their mean is subtracted. labels: (N,). names: what each image shows.

    >>> features = torch.tensor([[1.0, 0], [1, 0], [0, 1], [-2, -1]])
    >>> found = kinship(features, torch.tensor([0, 0, 0, 1]), ["cat", "cat", "dog", "car"])
    >>> found["same thing"] > found["same class"] > found["other class"]
    True
    """
    directions = F.normalize(features - features.mean(0), dim=1)
    cosines = directions @ directions.T  # (N, N)
    ids = torch.tensor([sorted(set(names)).index(name) for name in names])
    thing, class_ = ids[:, None] == ids, labels[:, None] == labels
    off = ~torch.eye(len(labels), dtype=torch.bool)
    kinds = {"same thing": thing & off, "same class": class_ & ~thing, "other class": ~class_}
    return {kind: float(cosines[pairs].mean()) for kind, pairs in kinds.items()}


# ------------------------------------------------------------------------------------------- chapter 10
def examine_scenes(
    net: nn.Module, *, mixes: Mapping[str, Any], few: int | None = None, consistent: bool = False
) -> Measures:
    """What each mixture of scenes is worth to a detector, or to a segmenter, that begins with the network.

    Scenes have 128 × 128 pixels: 600 to train on, and 300 of unseen concepts to measure on. The order and the
    first weights are the same for each.

    Args:
        mixes: ways of mixing by name, such as "mosaic"; None mixes nothing.
        few: train segmenters, on so many of the scenes; None trains detectors on all.
        consistent: the rest of the scenes has no labels, and is what the segmenters mix.
    """
    shown, unseen = (torch.Generator().manual_seed(seed) for seed in range(2))
    train, test = emoji_scenes("train", 600, generator=shown), emoji_scenes("concepts", 300, generator=unseen)
    if few is None:
        return {name: detect(net, train=train, test=test, epochs=6, mix=mix) for name, mix in mixes.items()}
    known, rest = (
        replace(
            train, **{name: getattr(train, name)[chosen] for name in ("images", "boxes", "labels", "masks")}
        )
        for chosen in (slice(few), slice(few, None))
    )
    given: dict[str, Any] = {"train": known, "test": test, "epochs": 3600 // few // (1 + consistent)}
    others = {name: rest if consistent and mix else None for name, mix in mixes.items()}
    return {name: segment(net, mix=mix, unlabelled=others[name], **given) for name, mix in mixes.items()}


def examine_classes(net: nn.Module, *, data: str, counts: Sequence[int]) -> Measures:
    """The accuracy on the three classes with the most training images, the three with the fewest, and all."""
    logits, labels = predict(net, _shipped(data).test, batch_size=500)
    right = logits.argmax(1) == labels
    order = torch.tensor(counts).argsort(descending=True)
    parts = {"commonest": order[:3], "between": order[3:-3], "rarest": order[-3:]}
    found = {name: float(right[torch.isin(labels, ids)].float().mean()) for name, ids in parts.items()}
    return {name: {"accuracy": accuracy} for name, accuracy in found.items()}
