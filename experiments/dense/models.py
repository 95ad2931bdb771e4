"""Detectors and segmenters of full size around a trained residual network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.dense.backbone import borrowed
from mixlearn.core.extras import need
from mixlearn.nets.taps import Tapped, stage_channels

STAGES = ("stage1", "stage2", "stage3", "stage4")


class Stages(nn.Module):
    """What several stages of a residual network show, each under its place in the list.

    Args:
        net: a network with taps "stage1" to "stage4", such as `torchvision_resnet` makes.
        stages: the taps to read.
        held: whether batch normalisation keeps its running means in training.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(18, 10, width=4, stem=ml.nets.imagenet_stem)
    >>> {name: tuple(features.shape) for name, features in Stages(net)(torch.zeros(1, 3, 64, 64)).items()}
    {'0': (1, 4, 16, 16), '1': (1, 8, 8, 8), '2': (1, 16, 4, 4), '3': (1, 32, 2, 2)}
    """

    def __init__(self, net: nn.Module, stages: Sequence[str] = STAGES, held: bool = False) -> None:
        super().__init__()
        self.net, self.stages, self.held = net, tuple(stages), held

    def train(self, mode: bool = True) -> Stages:
        """Training mode, where batch normalisation may keep its running means."""
        super().train(mode)
        if self.held:
            self.net.eval()
        return self

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        found: dict[str, Tensor] = {}

        def note(name: str, features: Tensor) -> Tensor:
            if name in self.stages:
                found[name] = features
            return features

        self.net(images, tap=note)
        return OrderedDict((str(i), found[stage]) for i, stage in enumerate(self.stages))


class FeaturePyramid(nn.Module):
    """A feature pyramid on four stages, as torchvision's detectors read it.

    Args:
        net: as for `Stages`. channels: of each level.

    >>> import mixlearn as ml
    >>> levels = FeaturePyramid(ml.nets.resnet(18, 10, width=4), channels=8)(torch.zeros(1, 3, 32, 32))
    >>> [(name, tuple(features.shape[2:])) for name, features in levels.items()]
    [('0', (32, 32)), ('1', (16, 16)), ('2', (8, 8)), ('3', (4, 4)), ('pool', (2, 2))]
    """

    def __init__(self, net: nn.Module, channels: int = 256) -> None:
        super().__init__()
        pyramids = need("torchvision.ops.feature_pyramid_network", "detection")
        self.body, self.out_channels = Stages(net, held=True), channels
        inside = [stage_channels(net, stage, 64) for stage in STAGES]
        self.levels = pyramids.FeaturePyramidNetwork(inside, channels, pyramids.LastLevelMaxPool())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.levels(self.body(images))
        return found


class DeepLab(nn.Module):
    """DeepLabV3 on a residual network whose last two stages keep the size of the one before them.

    Args:
        net: as for `Stages`. It is copied; its last two stages are dilated in the copy.
        classes: how many.

    In training mode it gives the logits (B, classes, H, W) and those of a second head on stage 3, in
    evaluation mode the first alone.

    >>> import mixlearn as ml
    >>> model = DeepLab(ml.nets.resnet(18, 10, width=4), classes=5)
    >>> len(model(torch.zeros(2, 3, 32, 32))), model.eval()(torch.zeros(1, 3, 32, 32)).shape
    (2, torch.Size([1, 5, 32, 32]))
    """

    def __init__(self, net: nn.Module, classes: int) -> None:
        super().__init__()
        heads = need("torchvision.models.segmentation.deeplabv3", "segmentation")
        plain = need("torchvision.models.segmentation.fcn", "segmentation")
        self.body = Stages(dilate(deepcopy(net)), ("stage3", "stage4"))
        third, last = (stage_channels(net, stage, 64) for stage in self.body.stages)
        self.head = heads.DeepLabHead(last, classes)
        self.second = plain.FCNHead(third, classes)

    def forward(self, images: Tensor) -> Any:
        third, last = self.body(images).values()
        heads = ((self.head, last), (self.second, third)) if self.training else ((self.head, last),)
        logits = [F.interpolate(head(part), images.shape[-2:], mode="bilinear") for head, part in heads]
        return tuple(logits) if self.training else logits[0]


def dilate(net: nn.Module) -> nn.Module:
    """Let the last two stages of a residual network keep the size of the second, in place.

    Strides become 1 and the 3×3 convolutions after them are spread by as much, so that each sees what it saw.

    Args:
        net: with stages as `torchvision_resnet` or `mixlearn.nets.resnet` make them.

    Source: Chen et al., *Rethinking Atrous Convolution for Semantic Image Segmentation*, 2017, section 3.1.

    >>> import mixlearn as ml
    >>> Stages(dilate(ml.nets.resnet(18, 10, width=4)), ("stage4",))(torch.zeros(1, 3, 32, 32))["0"].shape
    torch.Size([1, 32, 16, 16])
    """
    before = 1
    for stage in STAGES[2:]:
        for i, block in enumerate(stage_module(net, stage)):
            for layer in block.modules():
                if not isinstance(layer, nn.Conv2d):
                    continue
                if layer.kernel_size == (3, 3):
                    strided = i == 0 and layer.stride == (2, 2)
                    spread = before if strided else 2 * before
                    layer.dilation = layer.padding = (spread, spread)
                layer.stride = (1, 1)
        before *= 2
    return net


def stage_module(net: nn.Module, stage: str) -> Any:
    """The blocks of one of the four stages of a residual network.

    Args:
        net: the network. stage: "stage1" to "stage4".

    Raises:
        ValueError: a network without these stages; the message names the taps it has.

    >>> import mixlearn as ml
    >>> len(stage_module(ml.nets.resnet(18, 10, width=4), "stage2"))
    2
    """
    taps: Any = getattr(net, "stages", ())
    groups: Any = getattr(net, "groups", None)
    if not set(STAGES) <= set(taps) or not (isinstance(net, Tapped) or groups is not None):
        raise ValueError(
            f"net must be a residual network with the taps {', '.join(STAGES)}, got a {type(net).__name__} "
            f"with {', '.join(taps) or 'none'}"
        )
    return (
        net.net.get_submodule(net.places[stage]) if isinstance(net, Tapped) else groups[STAGES.index(stage)]
    )


def taken(net: nn.Module, *, held: bool) -> nn.Module:
    """A copy of a trained residual network without what a detector or segmenter does not train.

    Args:
        net: the network, or a bare one of torchvision; it is left as it is.
        held: whether its stem and first stage keep their weights, as is usual in detection.

    >>> import mixlearn as ml
    >>> copy = taken(ml.nets.resnet(18, 10, width=4), held=True)
    >>> [name for name, weight in copy.named_parameters() if weight.requires_grad][0]
    'groups.1.0.first.weight'
    """
    if not hasattr(net, "stages"):
        models = need("torchvision.models", "a network of torchvision")
        net = Tapped(net) if isinstance(net, models.ResNet) else net
    copy: Any = borrowed(net, frozen=held)
    for stage in STAGES:
        stage_module(copy, stage).requires_grad_(not held or stage != "stage1")
    copy.head.requires_grad_(False)
    return copy


def faster_rcnn(net: nn.Module, classes: int, *, size: int = 800, longest: int = 1333, seed: int = 0) -> Any:
    """Faster R-CNN with a feature pyramid on a copy of a trained residual network.

    Its batch normalisation keeps its running means, its stem and first stage keep their weights.

    Args:
        net: as for `Stages`, or a bare ResNet of torchvision.
        classes: how many; label 0 is the background, the first class 1.
        size, longest: pictures are scaled until their shorter side has `size` pixels or the longer `longest`.
        seed: of the new weights.

    Source: Ren et al., *Faster R-CNN*, NeurIPS 2015; Lin et al., *Feature Pyramid Networks*, CVPR 2017.

    >>> import mixlearn as ml
    >>> model = faster_rcnn(ml.nets.resnet(18, 10, width=4), 3, size=32, longest=32).eval()
    >>> sorted(model([torch.zeros(3, 32, 32)])[0])
    ['boxes', 'labels', 'scores']
    """
    models = need("torchvision.models.detection", "detection")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        backbone = FeaturePyramid(taken(net, held=True))
        return models.FasterRCNN(backbone, 1 + classes, min_size=size, max_size=longest)


def deeplab(net: nn.Module, classes: int, *, seed: int = 0) -> DeepLab:
    """DeepLabV3 with a second head on a copy of a trained residual network.

    Args:
        net: as for `Stages`, or a bare ResNet of torchvision. classes: how many. seed: of the new weights.

    Source: Chen et al., *Rethinking Atrous Convolution for Semantic Image Segmentation*, 2017.

    >>> import mixlearn as ml
    >>> deeplab(ml.nets.resnet(18, 10, width=4), 3).eval()(torch.zeros(1, 3, 16, 16)).shape
    torch.Size([1, 3, 16, 16])
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return DeepLab(taken(net, held=False), classes)
