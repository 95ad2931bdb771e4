"""The recipes have moved to `experiments.recipes`, in the repository; the chapters write out theirs."""

# ruff: noqa: F822  (the names come by __getattr__)
from __future__ import annotations

from typing import Any

from mixlearn.core.extras import moved

__all__ = [
    "automix_cifar100",
    "cifar10_paper",
    "cifar10_small",
    "cifar100",
    "cifar100_pyramid",
    "emoji",
    "fashion",
    "fine_grained",
    "imagenet",
    "mixskd_cifar100",
    "offcentre",
    "patchmix_cifar",
    "patchmix_imagenet",
    "pretrain",
    "small_vit",
    "tiny_imagenet",
]


def __getattr__(name: str) -> Any:
    return moved(name, __name__, dict.fromkeys(__all__, "experiments.recipes"))
