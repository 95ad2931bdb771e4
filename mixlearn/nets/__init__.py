"""Networks whose inner features can be read or changed: residual networks, a vision transformer, an MLP."""

from __future__ import annotations

from typing import Any

from mixlearn.core.extras import moved
from mixlearn.nets.drops import ShakeDrop, StochasticDepth
from mixlearn.nets.mlp import MLP, mlp
from mixlearn.nets.resnet import (
    PyramidNet,
    ResNet,
    cifar_stem,
    imagenet_stem,
    parameter_count,
    preact_resnet,
    pyramidnet,
    resnet,
    strided_stem,
    torchvision_resnet,
)
from mixlearn.nets.taps import Tap, Tapped
from mixlearn.nets.vit import ViT, vit

__all__ = [
    "MLP",
    "PyramidNet",
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
    "preact_resnet",
    "pyramidnet",
    "resnet",
    "strided_stem",
    "torchvision_resnet",
    "vit",
]


def __getattr__(name: str) -> Any:
    return moved(name, __name__, dict.fromkeys(("Staged", "resnext", "wide_resnet"), "experiments.nets"))
