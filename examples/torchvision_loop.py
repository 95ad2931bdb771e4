"""mixlearn in a loop like torchvision's reference training: mixing as the loader's `collate_fn`.

    python examples/torchvision_loop.py [--epochs 2] [--images 1000]

The reference script builds `v2.CutMix` or `v2.MixUp` into its `collate_fn`; `ml.MixCollate` stands in that
place. Cross-entropy takes the soft labels as they are, and smooths them too.
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader

import mixlearn as ml


def main(epochs: int = 2, images: int = 1000, seed: int = 0, workers: int = 0) -> float:
    """Train for a few epochs on Emoji Scenes and return the accuracy on new designers, in per cent."""
    torch.manual_seed(seed)
    data = ml.data.load("emoji")
    few = data.train.subset(images, generator=torch.Generator().manual_seed(seed))

    mix = ml.RandomMix([partial(ml.mixup, alpha=0.2), ml.cutmix], num_classes=len(data.classes))
    train = DataLoader(
        few,
        batch_size=64,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        collate_fn=ml.MixCollate(mix, seed=seed),
        generator=torch.Generator().manual_seed(seed),
    )
    test = DataLoader(data.tests["designers"], batch_size=256)

    model = torchvision.models.resnet18(num_classes=len(data.classes))
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)

    for epoch in range(epochs):
        loss = train_one_epoch(model, criterion, optimizer, train)
        scheduler.step()
        top1 = evaluate(model, test)
        print(f"epoch {epoch + 1}: loss {loss:.3f}, accuracy {top1:.1f} %")
    return top1


def train_one_epoch(
    model: nn.Module, criterion: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader
) -> float:
    model.train()
    total = count = 0.0
    for image, target in loader:  # target is (B, classes) by now
        loss = criterion(model(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total, count = total + loss.item() * len(image), count + len(image)
    return total / count


@torch.inference_mode()
def evaluate(model: nn.Module, loader: DataLoader) -> float:
    model.eval()
    right = sum((model(image).argmax(1) == target).sum().item() for image, target in loader)
    return 100 * right / len(loader.dataset)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=0)
    main(**vars(parser.parse_args()))
