"""Small changes that fool a network: FGSM and PGD, in pixels between 0 and 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mixlearn.core.checks import as_ids, check_generator
from mixlearn.measure.evaluate import batches, device_of
from mixlearn.nets.taps import evaluation

Attack = Callable[..., Tensor]


def fgsm(
    model: Any,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float = 8 / 255,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
) -> Tensor:
    """Move every pixel by ε in the direction that raises the loss: the fast gradient sign method.

    Args:
        model: images (B, C, H, W) → logits (B, classes).
        images: (B, C, H, W), normalised by mean and std.
        labels: (B,) class ids.
        epsilon: ε ≥ 0 in units of the range from black to white.
        mean, std: one number, or one a channel, by which the images were normalised.

    Returns:
        (B, C, H, W), normalised again.

    Source: Goodfellow, Shlens & Szegedy, *Explaining and Harnessing Adversarial Examples*, ICLR 2015.

    >>> linear = lambda x: x.flatten(1) @ torch.tensor([[1., -1.], [0., 0.]])
    >>> fgsm(linear, torch.tensor([[0.5, 0.5]]).view(1, 1, 1, 2), torch.tensor([0]), epsilon=0.1).flatten()
    tensor([0.4000, 0.5000])
    """
    return pgd(model, images, labels, epsilon=epsilon, step=epsilon, steps=1, start=False, mean=mean, std=std)


def pgd(
    model: Any,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float = 8 / 255,
    step: float = 2 / 255,
    steps: int = 10,
    start: bool = True,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
    generator: torch.Generator | None = None,
) -> Tensor:
    """Projected gradient descent: several steps of `fgsm`, with no pixel ever further than ε from its start.

    Args:
        model, images, labels, epsilon, mean, std: as for `fgsm`.
        step: length of a step, in the same units as ε.
        steps: how many, at least 1.
        start: begin at a random point of the ball around each image.
        generator: source of that point, on the CPU; None uses torch's default one.

    Raises:
        ValueError: pixels outside 0 and 1, as of normalised images without their mean and std.

    Source: Madry et al., *Towards Deep Learning Models Resistant to Adversarial Attacks*, ICLR 2018.

    >>> linear = lambda x: x.flatten(1) @ torch.tensor([[1., -1.], [0., 0.]])
    >>> images = torch.tensor([[0.5, 0.5]]).view(1, 1, 1, 2)
    >>> pgd(linear, images, torch.tensor([0]), epsilon=0.1, step=0.04, steps=9, start=False).flatten()
    tensor([0.4000, 0.5000])
    """
    if not (epsilon >= 0 and step >= 0 and steps >= 1):
        raise ValueError(f"expected epsilon ≥ 0, step ≥ 0 and steps ≥ 1, got {epsilon}, {step} and {steps}")
    check_generator(generator)
    centre, scale = (torch.tensor(part, dtype=images.dtype).view(1, -1, 1, 1) for part in (mean, std))
    if images.dim() != 4 or any(part.shape[1] not in (1, images.shape[1]) for part in (centre, scale)):
        raise ValueError(
            f"expected images (B, C, H, W) and mean and std of one number or C, got {tuple(images.shape)}, "
            f"{mean} and {std}"
        )
    if not bool((scale > 0).all()):
        raise ValueError(f"std must be positive, got {std}")
    centre, scale = centre.to(images.device), scale.to(images.device)
    pixels = images.detach() * scale + centre
    least, most = float(pixels.min()), float(pixels.max())
    if least < -0.01 or most > 1.01:
        raise ValueError(
            f"images · std + mean must be pixels between 0 and 1, got {least:.2f} to {most:.2f}; "
            "give the mean and std by which they were normalised"
        )
    pixels = pixels.clamp(0, 1)
    low, high = (pixels - epsilon).clamp_min(0), (pixels + epsilon).clamp_max(1)
    moved = pixels
    if start:
        noise = torch.rand(images.shape, generator=generator).to(pixels)
        moved = torch.minimum(torch.maximum(pixels + epsilon * (2 * noise - 1), low), high)
    with evaluation(model), torch.enable_grad():
        for _ in range(steps):
            shown = ((moved - centre) / scale).requires_grad_()
            loss = F.cross_entropy(model(shown), as_ids(labels), reduction="sum")
            (slope,) = torch.autograd.grad(loss, shown)
            moved = torch.minimum(torch.maximum(moved + step * slope.sign(), low), high)
    return (moved - centre) / scale


def attacked(model: Any, data: Any, attack: Attack = fgsm, *, batch_size: int = 256, **options: Any) -> float:
    """Accuracy on images that were changed to fool this network.

    Args:
        model: images (B, C, H, W) → logits (B, classes).
        data: an `ImageSet`, whose mean and std are taken, or batches, whose `mean` and `std` go into options.
        attack: `fgsm`, `pgd`, or a function called alike.
        batch_size: of an `ImageSet`.
        options: for the attack, such as epsilon.

    Returns:
        In [0, 1].

    >>> images, labels = torch.tensor([[0.52, 0.5], [0.9, 0.]]).view(2, 1, 1, 2), torch.tensor([0, 0])
    >>> linear = lambda x: x.flatten(1) @ torch.tensor([[1., 0.], [0., 1.]])
    >>> attacked(linear, [(images, labels)], epsilon=0.05)
    0.5
    """
    known = {name: getattr(data, name) for name in ("mean", "std") if hasattr(data, name)} | options
    device = device_of(model)
    right = count = 0
    for images, labels in batches(data, batch_size):
        images, labels = images.to(device), labels.to(device)
        changed = attack(model, images, labels, **known)
        with evaluation(model), torch.no_grad():
            right += int((model(changed).argmax(1) == labels).sum())
        count += len(labels)
    if not count:
        raise ValueError("data must hold at least one image, got none")
    return right / count
