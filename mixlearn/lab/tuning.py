"""Fine-tuning: train a copy of a network on, the layers near the image by smaller steps than its head."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.core.scalars import as_count
from mixlearn.lab.layer_decay import LayerDecay, layer_groups
from mixlearn.lab.schedules import cosine
from mixlearn.lab.training import Mix, Outcome, train

__all__ = ["LayerDecay", "fine_tune", "layer_groups", "with_new_head"]


def fine_tune(
    net: nn.Module,
    data: Any,
    *,
    mix: Mix | None = None,
    images: int | None = None,
    epochs: int = 100,
    batch_size: int = 256,
    lr: float = 5e-4,
    decay: float = 0.75,
    weight_decay: float = 0.05,
    warmup: float = 0.1,
    smoothing: float = 0.1,
    augment: Callable[..., Tensor] | None = None,
    seed: int = 0,
    **options: Any,
) -> Outcome:
    """Train a copy of a network, with a new head, on labels, and measure it on every test set.

    AdamW, the learning rate smaller from layer to layer towards the image (`layer_groups`), a linear warm-up
    and a cosine down to 0. To compare with training from scratch give a fresh network: the call is the same,
    usually with `decay=1`, since there is nothing yet in the first layers that is to be kept.

    Args:
        net: of `ml.nets`, a `Tapped`, or one of them that predicts by another head. Not changed; weights that
            were not trained before, as those of a momentum network, are trained in the copy.
        data: a loaded data set: `.train`, `.tests`, `.classes`.
        mix: such as `ml.cutmix`, or a learner; None trains on the images as they are.
        images: a stratified choice of so many training images; None takes all.
        epochs: passes over the training images.
        batch_size: images a step.
        lr: the highest learning rate of the head at 256 images a step; it grows in proportion to them.
        decay: of the rate from a layer to the one before, in (0, 1].
        weight_decay: of matrices and filters; biases, scales and positions have none.
        warmup: share of the run in which the rate rises.
        smoothing: share of each label spread over all classes.
        augment: `augment(images, *, generator)` on each batch.
        seed: of the head's first weights, the choice of images, the order and the draws.
        options: any other option of `ml.recipes` or of `ml.fit`, such as `examine=` or `accelerator=`.

    Returns:
        An `Outcome`: the trained copy under `model`, its history, `final` measures on each test set, and the
        settings in words, as a run record wants them.

    Raises:
        TypeError: a network of another kind.
        ValueError: numbers out of range, and what `fit` refuses.

    Source: settings of the authors' code of PatchMix for its ViT-S and ViT-B, from He et al., *Masked
    Autoencoders*, CVPR 2022; it draws RandAugment, and Mixup or CutMix with the same chance, besides.

    >>> from torch.utils.data import TensorDataset
    >>> from types import SimpleNamespace
    >>> import mixlearn as ml
    >>> few = TensorDataset(torch.rand(8, 3, 8, 8), torch.arange(8) % 2)
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> data = SimpleNamespace(name="few", train=few, test=[few[:]], tests=None, classes=("a", "b"))
    >>> outcome = fine_tune(net, data, epochs=1, batch_size=4, progress=False)
    >>> outcome.model.head.out_features, net.head.out_features, list(outcome.final)
    (2, 4, ['test'])
    """
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be positive and finite, got {lr}")
    first = torch.Generator().manual_seed(seed + 7919)
    copy = with_new_head(net, len(data.classes), generator=first)
    layer_groups(copy, decay)  # refuses before any work is done
    return train(
        copy,
        data,
        mix,
        network=f"{type(net).__name__}, fine-tuned",
        images=images,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        augment=augment,
        optimizer=LayerDecay(copy, lr * batch_size / 256, decay, weight_decay),
        schedule=partial(cosine, warmup=warmup),
        smoothing=smoothing,
        **options,
    )


def with_new_head(net: nn.Module, num_classes: int, *, generator: torch.Generator | None = None) -> nn.Module:
    """A copy of a network that is ready to be trained, with a new linear head.

    Every weight of the copy is trained, and running means that stood still, as those of a momentum network
    do, follow their batches again.

    Args:
        net: has its last linear layer under `head`. Not changed.
        num_classes: length of the new logits.
        generator: source of the head's first weights; None uses torch's default one.

    Raises:
        TypeError: a network without such a head.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> with_new_head(net, 7)(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 7])
    """
    head = getattr(net, "head", None)
    width = getattr(head, "in_features", None) or getattr(net, "features", None)
    if not isinstance(head, nn.Module) or not isinstance(width, int):
        raise TypeError(f"the network must have a linear layer under head, {type(net).__name__} has none")
    num_classes = as_count(num_classes, "num_classes", 1)
    copy = deepcopy(net).requires_grad_(True)
    for module in copy.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.momentum == 0:
            module.momentum = 0.1
    place = next(name for name, module in net.named_modules() if module is head)
    old = next(copy.parameters())
    fresh = nn.utils.skip_init(nn.Linear, width, num_classes, device=old.device, dtype=old.dtype)
    with torch.no_grad():
        fresh.weight.copy_(0.01 * torch.randn(num_classes, width, generator=generator))
        fresh.bias.zero_()
    parent, _, last = place.rpartition(".")
    setattr(copy.get_submodule(parent), last, fresh)
    return copy
