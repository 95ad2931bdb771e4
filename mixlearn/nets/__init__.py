"""Networks whose inner features can be read or changed: residual networks, a vision transformer, an MLP."""

from __future__ import annotations

from typing import Any

from mixlearn.core.extras import moved
from mixlearn.nets.drops import ShakeDrop, StochasticDepth
from mixlearn.nets.mlp import MLP, mlp
from mixlearn.nets.resnet import (
    ResNet,
    cifar_stem,
    imagenet_stem,
    parameter_count,
    resnet,
    strided_stem,
)
from mixlearn.nets.taps import Tap, Tapped
from mixlearn.nets.vit import ViT, vit

__all__ = [
    "MLP",
    "ResNet",
    "ShakeDrop",
    "StochasticDepth",
    "Tap",
    "Tapped",
    "ViT",
    "cifar_stem",
    "imagenet_stem",
    "mlp",
    "parameter_count",
    "resnet",
    "strided_stem",
    "vit",
]

MOVED = ["PyramidNet", "Staged", "preact_resnet", "pyramidnet"]  # to experiments
GONE = {"resnext": "ml.nets.Tapped", "torchvision_resnet": "ml.nets.Tapped", "wide_resnet": "ml.nets.resnet"}


def __getattr__(name: str) -> Any:
    return moved(name, __name__, dict.fromkeys(MOVED, "experiments.nets") | GONE)
