"""Whose λ? Run every library's Mixup and CutMix on tell-tale images, and write down what each one does.

    python -m benchmarks.whose_lam [--json FILE]

Libraries that are not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import mixlearn as ml
from mixlearn.measure import probe

BATCH = 8
Told = tuple[Tensor, Tensor | None]


def libraries() -> dict[str, tuple[str, Callable[[Tensor, Tensor], Told]]]:
    """For each call its package and how to make it: (images, labels) → (mixed, λ as the library says it)."""
    calls: dict[str, tuple[str, Callable[[Tensor, Tensor], Told]]] = {}
    generator = torch.Generator().manual_seed(0)
    for name, method in (("mixlearn mixup", ml.mixup), ("mixlearn cutmix", ml.cutmix)):

        def ours(images: Tensor, labels: Tensor, method: Any = method) -> Told:
            mixed = method(images, labels, num_classes=BATCH, generator=generator)
            return mixed.images, mixed.plan.lam

        calls[name] = ("mixlearn", ours)
    for add in (_torchvision, _timm, _kornia, _fastai):
        try:
            add(calls)
        except ImportError:
            continue
    return calls


def _torchvision(calls: dict[str, Any]) -> None:
    from torchvision.transforms import v2

    for name, kind in (("torchvision v2.MixUp", v2.MixUp), ("torchvision v2.CutMix", v2.CutMix)):
        peer = kind(num_classes=BATCH)

        def call(images: Tensor, labels: Tensor, peer: Any = peer) -> Told:
            mixed, targets = peer(images, labels)
            return mixed, targets

        calls[name] = ("torchvision", call)


def _timm(calls: dict[str, Any]) -> None:
    from timm.data import Mixup

    for name, alphas in (("timm Mixup", (1.0, 0.0)), ("timm Mixup, CutMix", (0.0, 1.0))):
        peer = Mixup(*alphas, label_smoothing=0.0, num_classes=BATCH)

        def call(images: Tensor, labels: Tensor, peer: Any = peer) -> Told:
            mixed, targets = peer(images, labels)
            return mixed, targets

        calls[name] = ("timm", call)


def _kornia(calls: dict[str, Any]) -> None:
    import warnings

    from kornia.augmentation import RandomCutMixV2, RandomMixUpV2

    keys = {"p": 1.0, "data_keys": ["input", "class"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peers = {
            "kornia RandomMixUpV2": RandomMixUpV2(**keys),
            "kornia RandomCutMixV2": RandomCutMixV2(**keys),
            "kornia RandomCutMixV2, use_correct_lambda": RandomCutMixV2(**keys, use_correct_lambda=True),
        }
    for name, peer in peers.items():

        def call(images: Tensor, labels: Tensor, peer: Any = peer) -> Told:
            mixed, marks = peer(images, labels)
            return mixed, marks.reshape(-1, 3)[:, 2]

        calls[name] = ("kornia", call)


def _fastai(calls: dict[str, Any]) -> None:
    from fastai.callback.mixup import CutMix, MixUp  # type: ignore[import-not-found,unused-ignore]

    class Batch:
        """As much of a fastai learner as its mixing callbacks touch."""

        loss_func = torch.nn.CrossEntropyLoss()

    for name, kind in (("fastai MixUp", MixUp), ("fastai CutMix", CutMix)):
        peer = kind(1.0)
        peer.stack_y = True

        def call(images: Tensor, labels: Tensor, peer: Any = peer) -> Told:
            batch = Batch()
            vars(batch).update(xb=(images,), yb=(labels,), x=images, y=labels)
            peer.learn = batch
            peer.before_batch()
            share = torch.as_tensor(peer.lam).flatten().expand(BATCH)
            return batch.xb[0], share  # type: ignore[attr-defined]

        calls[name] = ("fastai", call)


def table() -> dict[str, dict[str, Any]]:
    """What each installed call does, with the version that did it."""
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    rows = {}
    for name, (package, call) in libraries().items():
        try:
            number = ml.__version__ if package == "mixlearn" else version(package)
        except PackageNotFoundError:
            number = "unknown"
        rows[name] = {"package": package, "version": number, **probe(call, size=64, rounds=1000)._asdict()}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write the table to this file as well")
    arguments = parser.parse_args()
    rows = table()
    for name, row in rows.items():
        print(name, *(f"{key} {value}" for key, value in row.items()), sep="\n  ")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
