"""Full-size transfer: a trained residual network as the backbone of published detectors and segmenters.

Each takes the network, the name of a data set and the folder that holds it, and any option of `train_steps`.
Both train on one accelerator. The published numbers are the defaults; give fewer `steps` to try them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Subset

from experiments.dense.detector import average_precision
from experiments.dense.models import deeplab, faster_rcnn
from experiments.dense.segmenter import overlap
from experiments.dense.sets import IGNORE, DenseSet, ade20k, coco, voc
from experiments.dense.training import train_steps
from experiments.dense.views import cut_out, listed, mirrored, scaled
from experiments.training import Outcome
from mixlearn.core.checks import in_words, is_count
from mixlearn.train.fit import History, sgd
from mixlearn.train.schedules import steps as drops

Pair = tuple[DenseSet, DenseSet]

_DETECTION: dict[str, tuple[float, tuple[float, ...]]] = {  # rate; where it falls, in shares of the run
    "coco": (0.02, (8 / 12, 11 / 12)),
    "voc": (0.01, (9 / 12,)),
}


def detect_pictures(
    net: nn.Module,
    name: str = "coco",
    *,
    root: Any = None,
    data: Pair | None = None,
    epochs: int = 12,
    steps: int | None = None,
    batch_size: int = 16,
    lr: float | None = None,
    size: int = 800,
    longest: int = 1333,
    seed: int = 0,
    workers: int = 8,
    **options: Any,
) -> Outcome:
    """Detection with Faster R-CNN and a feature pyramid on COCO 2017, or on VOC 2007 and 2012.

    SGD with momentum 0.9 and weight decay 1e-4 on 16 pictures a step, 12 epochs. COCO: 0.02, divided by ten
    after epochs 8 and 11. VOC: 0.01, divided by ten after epoch 9. The rate rises over the first 500 steps,
    at most a tenth of the run. Half of the pictures are flipped.

    Args:
        net: a trained residual network, as for `faster_rcnn`; a copy of it is trained.
        name: "coco" or "voc"; the latter is trained on the trainval parts of 2007 and 2012 and measured on
            the test part of 2007.
        root: as for `coco` and `voc`.
        data: sets of boxes to train and to measure on, in place of the named ones.
        epochs: passes over the pictures that show something.
        steps: of the run, in place of `epochs`.
        batch_size: pictures of a step.
        lr: in place of the published rate.
        size, longest: as for `faster_rcnn`.
        seed: of the new weights, the order and the draws.
        workers: processes that read pictures.
        options: as for `train_steps`: accelerator, precision, checkpoint, checkpoint_every, resume, progress.

    Returns:
        `Outcome`, whose `final` holds `map` and `map50` of "test".

    Raises:
        ValueError: another name, training pictures that show nothing, or what `train_steps` refuses.

    Source: Ren et al., *Faster R-CNN*, NeurIPS 2015; schedules of MMDetection's configs. The MixSKD paper has
    Cascade R-CNN, three such heads in a row, in this place.
    """
    for what, value in (("epochs", epochs), ("batch_size", batch_size)):
        if not is_count(value):
            raise ValueError(f"{what} must be a positive integer, got {value!r}")
    if name not in _DETECTION:
        raise ValueError(f"name must be one of {', '.join(_DETECTION)}, got {name!r}")
    if data is None:
        data = _boxes(name, root)
    train, test = data
    shown = [i for i in range(len(train)) if bool((train.read(i, (1, 1))["iscrowd"] == 0).any())]
    if not shown:
        raise ValueError(f"{train} shows no objects to train on")
    steps = epochs * max(1, len(shown) // batch_size) if steps is None else steps
    rate, places = _DETECTION[name]
    model = faster_rcnn(net, len(train.classes), size=size, longest=longest, seed=seed)
    given: dict[str, Any] = {
        "steps": steps,
        "batch_size": batch_size,
        "optimizer": partial(sgd, lr=lr or rate, momentum=0.9, weight_decay=1e-4, nesterov=False),
        "schedule": partial(drops, at=places, warmup=min(0.1, 500 / max(1, steps))),
    }
    history = train_steps(
        model,
        Subset(train, shown),
        _detection_loss,
        view=mirrored,
        collate=listed,
        seed=seed,
        workers=workers,
        **given,
        **options,
    )
    device = next(model.parameters()).device

    def batches() -> Iterable[tuple[list[Tensor], list[dict[str, Tensor]]]]:
        for i in range(len(test)):
            images, targets = listed([test[i]])
            yield [images[0].to(device)], [{key: value.to(device) for key, value in targets[0].items()}]

    return _outcome(model, history, average_precision(model, batches()), data, "Faster R-CNN", given)


_SEGMENTATION = ("voc", "ade20k")


def segment_pictures(
    net: nn.Module,
    name: str = "voc",
    *,
    root: Any = None,
    data: Pair | None = None,
    steps: int = 40_000,
    batch_size: int = 16,
    lr: float = 0.02,
    size: int = 512,
    seed: int = 0,
    workers: int = 8,
    **options: Any,
) -> Outcome:
    """Segmentation with DeepLabV3 on VOC 2012 with SBD, or on ADE20K, the setting of the MixSKD paper.

    SGD at 0.02 with momentum 0.9 and weight decay 5e-4 on 16 parts of 512 × 512 pixels, 40 000 steps, the
    rate falling as (1 − share of the run) to the power of 0.9. Pictures are scaled by 0.5 to 2 and flipped. A
    second head on stage 3 weighs 0.4. Measured on whole pictures whose shorter side is made 512 pixels.

    Args:
        net: a trained residual network, as for `deeplab`; a copy of it is trained.
        name: "voc" or "ade20k".
        root: as for `voc` and `ade20k`.
        data: sets of pixels to train and to measure on, in place of the named ones.
        steps: of the run.
        batch_size: parts of a step, at least 2.
        lr: the first rate.
        size: pixels of a part's side.
        seed: of the new weights, the order and the draws.
        workers: processes that read pictures.
        options: as for `train_steps`: accelerator, precision, checkpoint, checkpoint_every, resume, progress.

    Returns:
        `Outcome`, whose `final` holds `miou` and `accuracy` of "test".

    Raises:
        ValueError: another name, a batch of one, or what `train_steps` refuses.

    Source: Yang et al., *MixSKD*, ECCV 2022, for steps, batch, rate and size; Chen et al., *Rethinking Atrous
    Convolution for Semantic Image Segmentation*, 2017; the rest from MMSegmentation's configs.
    """
    if name not in _SEGMENTATION:
        raise ValueError(f"name must be one of {', '.join(_SEGMENTATION)}, got {name!r}")
    if batch_size < 2:  # the head normalises the mean of each part's features
        raise ValueError(f"batch_size must be at least 2, got {batch_size}")
    if data is None:
        data = _pixels(name, root)
    train, test = data
    model = deeplab(net, len(train.classes), seed=seed)
    given: dict[str, Any] = {
        "steps": steps,
        "batch_size": batch_size,
        "optimizer": partial(sgd, lr=lr, momentum=0.9, weight_decay=5e-4, nesterov=False),
        "schedule": polynomial,
    }
    history = train_steps(
        model,
        train,
        _segmentation_loss,
        view=partial(cut_out, size=size),
        collate=torch.utils.data.default_collate,
        seed=seed,
        workers=workers,
        **given,
        **options,
    )
    device = next(model.parameters()).device

    def batches() -> Iterable[tuple[Tensor, Tensor]]:
        for i in range(len(test)):
            image, labels = test[i]
            yield scaled(image, size)[None].to(device), labels[None]

    return _outcome(model, history, overlap(model, batches(), len(test.classes)), data, "DeepLabV3", given)


def polynomial(step: int, total: int, *, power: float = 0.9) -> float:
    """What is left of a run, to a power: the schedule of DeepLab.

    Args:
        step: from 0. total: number of steps. power: 1 falls evenly.

    Source: Chen et al., *DeepLab*, TPAMI 2018, section 4.1.2.

    >>> [round(polynomial(step, 4), 3) for step in range(5)]
    [1.0, 0.772, 0.536, 0.287, 0.0]
    """
    return float((1 - step / total) ** power)


def _detection_loss(model: Any, batch: Any) -> Tensor:
    return torch.stack(list(model(*batch).values())).sum()


def _segmentation_loss(model: Any, batch: Any) -> Tensor:
    images, labels = batch
    known = (labels != IGNORE).sum().clamp_min(1)  # a part may show nothing that counts
    sums = [F.cross_entropy(each, labels, ignore_index=IGNORE, reduction="sum") for each in model(images)]
    return (sums[0] + 0.4 * sums[1]) / known


def _boxes(name: str, root: Any) -> Pair:
    if name == "coco":
        return coco(root, "train", masks=False), coco(root, "val", masks=False)
    return voc(root, "trainval", years=(2007, 2012)), voc(root, "test", years=(2007,))


def _pixels(name: str, root: Any) -> Pair:
    if name == "ade20k":
        return ade20k(root, "training"), ade20k(root, "validation")
    return voc(root, "trainaug", show="pixels"), voc(root, "val", show="pixels")


def _outcome(
    model: nn.Module, history: History, found: dict[str, float], data: Pair, kind: str, given: dict[str, Any]
) -> Outcome:
    settings = {key: value if isinstance(value, int) else in_words(value) for key, value in given.items()}
    return Outcome(model, history, {"test": found}, {"network": kind, **settings}, {"name": data[0].name})
