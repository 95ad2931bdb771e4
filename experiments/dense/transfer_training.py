"""How a detector or a segmenter is trained on scenes: the same steps, order and flips for both."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.core.checks import is_count
from mixlearn.data.scenes import Scenes
from mixlearn.train.checkpoint import own_randomness, seed_rng
from mixlearn.train.schedules import one_cycle

Targets = list[dict[str, Tensor]]
Loss = Callable[[Tensor, Targets], Tensor]


def comparable(train: Scenes, test: Scenes) -> None:
    """Check that scenes to train on and scenes to measure on show the same classes.

    Args:
        train, test: scenes.

    Raises:
        ValueError: they do not.
    """
    if train.classes != test.classes:
        raise ValueError(f"train and test must have the same classes, got {train.classes} and {test.classes}")


def learn(
    model: Any,
    scenes: Scenes,
    loss: Loss,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    seed: int = 0,
    least: int = 1,
) -> None:
    """Train a model in place: AdamW with one cycle of the learning rate; half of the batches are flipped.

    Args:
        model: what is trained; weights that need no gradient stay.
        scenes: to train on.
        loss: images (n, 3, S, S) on the model's device and their targets → what is to become small.
        epochs: passes over the scenes.
        batch_size: scenes in a batch.
        lr: the highest learning rate.
        seed: of the order, the flips and the model's own randomness (dropout).
        least: scenes that a batch must hold, an epoch's last too.

    Raises:
        ValueError: no epochs, or a batch that holds too little.

    >>> import mixlearn as ml
    >>> from mixlearn.data.scenes import emoji_scenes
    >>> scenes = emoji_scenes("train", 2, size=32, generator=torch.Generator().manual_seed(0))
    >>> model = nn.Conv2d(3, 1, 1, bias=False)
    >>> before = model.weight.detach().clone()
    >>> learn(model, scenes, lambda images, _: model(images).mean(), epochs=1, batch_size=2, lr=0.1)
    >>> bool((model.weight == before).any())
    False
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if not is_count(value):
            raise ValueError(f"{name} must be a positive integer, got {value!r}")
    smallest = min(batch_size, len(scenes) % batch_size or batch_size)
    if smallest < least:
        raise ValueError(
            f"each batch must hold at least {least} scenes; batch_size={batch_size} leaves one of {smallest} "
            f"of {len(scenes)}"
        )
    learnt = [weight for weight in model.train().parameters() if weight.requires_grad]
    device = learnt[0].device
    optimizer = torch.optim.AdamW(learnt, lr=lr, weight_decay=1e-4)
    total = epochs * ceil(len(scenes) / batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(min(step, total), total))
    generator = torch.Generator().manual_seed(seed)
    with own_randomness(device):
        seed_rng(seed, device)
        for _ in range(epochs):
            for chosen in torch.randperm(len(scenes), generator=generator).split(batch_size):
                images, targets = scenes.batch(chosen)
                if torch.rand((), generator=generator) < 0.5:
                    images, targets = flipped(images, targets)
                small = loss(images.to(device), targets)
                optimizer.zero_grad()
                small.backward()
                nn.utils.clip_grad_norm_(learnt, 5.0)
                optimizer.step()
                schedule.step()


def flipped(images: Tensor, targets: Targets) -> tuple[Tensor, Targets]:
    """A batch seen in a mirror, with its boxes and masks.

    Args:
        images: (n, C, H, W).
        targets: of each image: `boxes` (k, 4), where there are `masks` (k, H, W), and what needs no turning.

    >>> known = {"boxes": torch.tensor([[0.0, 0, 2, 1]]), "masks": torch.tensor([[[True, True, False]]])}
    >>> images, (there,) = flipped(torch.arange(3.0).view(1, 1, 1, 3), [known])
    >>> images.flatten().tolist(), there["boxes"].tolist(), there["masks"].tolist()
    ([2.0, 1.0, 0.0], [[1.0, 0.0, 3.0, 1.0]], [[[False, True, True]]])
    """
    width = images.shape[-1]
    change, offset = torch.tensor([-1.0, 1, -1, 1]), torch.tensor([width, 0.0, width, 0])
    found = []
    for target in targets:
        turned = {"boxes": target["boxes"][:, [2, 1, 0, 3]] * change + offset}
        if "masks" in target:
            turned["masks"] = target["masks"].flip(-1)
        found.append({**target, **turned})
    return images.flip(-1), found
