"""The recipes are in `experiments.recipes` of the repository; the book writes the published ones out."""

# ruff: noqa: F822  (the names come by __getattr__)
from __future__ import annotations

from typing import Any

from mixlearn.core.extras import moved

__all__ = [
    "cifar10_small",
    "cifar100",
    "cifar100_pyramid",
    "emoji",
    "fashion",
    "imagenet",
    "offcentre",
    "pretrain",
    "small_vit",
]


def __getattr__(name: str) -> Any:
    chapters = {"cifar10_paper": 2, "automix_cifar100": 5, "tiny_imagenet": 5, "fine_grained": 5}
    chapters |= {"mixskd_cifar100": 6, "patchmix_cifar": 7, "patchmix_imagenet": 7}
    gone = {old: f"ml.fit, as chapter {chapter} of the book does" for old, chapter in chapters.items()}
    return moved(name, __name__, dict.fromkeys(__all__, "experiments.recipes") | gone)
