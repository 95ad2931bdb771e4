"""The linear probe: how far apart are the classes in features that are not trained further?"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.scalars import is_count
from mixlearn.lab.schedules import cosine


def linear_layer(
    features: Tensor,
    labels: Tensor,
    *,
    epochs: int = 100,
    batch_size: int = 256,
    lr: float = 0.05,
    standardise: bool = False,
    seed: int = 0,
) -> nn.Linear:
    """One linear layer trained on features: Nesterov momentum 0.9, no weight decay, a cosine down to 0.

    Args:
        features: (N, F), on any device, where the layer is trained. Not changed.
        labels: (N,) class ids; there are as many classes as the largest says.
        epochs: passes over the features.
        batch_size: rows a step.
        lr: the highest learning rate at 256 rows a step; it grows in proportion to `batch_size`.
        standardise: train on features brought to mean 0 and deviation 1, so that one rate suits networks
            whose features differ in size. The layer that comes back takes the features as they are.
        seed: of the first weights and the order.

    Returns:
        The trained layer, F → classes.

    Raises:
        TypeError: labels that are no integers.
        ValueError: shapes that disagree, features that are not finite, labels below 0, numbers out of range.

    Source: settings of the authors' code of PatchMix for its ViT-T (the ViT-S takes lr = 0.02, the ViT-B
    0.01). Standardised features: He et al., *Masked Autoencoders*, CVPR 2022, appendix A.1.

    >>> features = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> layer = linear_layer(features, torch.tensor([1, 0]), epochs=50, batch_size=2, lr=128.0)
    >>> layer(features).argmax(1).tolist()
    [1, 0]
    """
    _check(features, labels, epochs=epochs, batch_size=batch_size, lr=lr)
    values, truth = features.detach().float(), labels.to(features.device).long()
    shift, scale = torch.zeros_like(values[0]), torch.ones_like(values[0])
    if standardise:
        scale, shift = torch.std_mean(values, dim=0, correction=0)
        scale = torch.where(scale > 1e-6 * (1 + shift.abs()), scale, torch.ones_like(scale))  # else constant
    values = (values - shift) / scale
    draws = torch.Generator().manual_seed(seed)
    first = torch.randn(int(truth.max()) + 1, values.shape[1], generator=draws)
    weight = (0.01 * first).to(values.device).requires_grad_()
    bias = weight.new_zeros(len(weight)).requires_grad_()
    rate = lr * batch_size / 256
    optimizer = torch.optim.SGD([weight, bias], lr=rate, momentum=0.9, nesterov=True)
    step, total = 0, epochs * math.ceil(len(values) / batch_size)
    for _ in range(epochs):
        for index in torch.randperm(len(values), generator=draws).split(batch_size):
            here = index.to(values.device)
            optimizer.param_groups[0]["lr"] = rate * cosine(step, total)
            optimizer.zero_grad()
            F.cross_entropy(F.linear(values[here], weight, bias), truth[here].long()).backward()
            optimizer.step()
            step += 1
    layer = nn.utils.skip_init(nn.Linear, values.shape[1], len(weight), device=values.device)
    with torch.no_grad():
        layer.weight.copy_(weight / scale)
        layer.bias.copy_(bias - (weight / scale) @ shift)
    if not bool(layer.weight.isfinite().all()):
        raise FloatingPointError(
            f"the probe's weights grew beyond all bounds at lr = {lr}; take a smaller one"
        )
    return layer


def _check(features: Tensor, labels: Tensor, *, epochs: int, batch_size: int, lr: float) -> None:
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if not is_count(value):
            raise ValueError(f"{name} must be a positive integer, got {value!r}")
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be positive and finite, got {lr}")
    if features.dim() != 2 or labels.shape != features.shape[:1] or not features.numel():
        raise ValueError(
            f"expected features (N, F) and labels (N,), got {tuple(features.shape)} and {tuple(labels.shape)}"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"labels must be integer class ids, got {labels.dtype}")
    if int(labels.min()) < 0:
        raise ValueError(f"labels must be 0 or more, got {int(labels.min())}")
    if not bool(features.isfinite().all()):
        raise ValueError("features must be finite, got NaN or infinity")
