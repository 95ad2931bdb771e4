"""mixlearn in a timm loop: timm's network, optimiser, schedule and soft-target loss; our mixing.

    python examples/timm_loop.py [--epochs 2] [--images 1000]

Needs timm. In timm's own `train.py` the same two lines replace `mixup_fn`: build the `RandomMix`, call it on
the batch where `mixup_fn(input, target)` stood.
"""

from __future__ import annotations

import argparse
from functools import partial

import timm
import torch
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import AverageMeter, accuracy
from torch.utils.data import DataLoader

import mixlearn as ml


def main(epochs: int = 2, images: int = 1000, seed: int = 0) -> float:
    """Train for a few epochs on Emoji Scenes and return the accuracy on new designers, in per cent."""
    torch.manual_seed(seed)
    data = ml.data.load("emoji")
    few = data.train.subset(images, generator=torch.Generator().manual_seed(seed))
    train = DataLoader(few, batch_size=64, shuffle=True, drop_last=True)
    test = DataLoader(data.tests["designers"], batch_size=256)

    model = timm.create_model("test_resnet", pretrained=False, num_classes=len(data.classes))
    optimizer = create_optimizer_v2(model, opt="adamw", lr=2e-3, weight_decay=0.05)
    scheduler = CosineLRScheduler(optimizer, t_initial=epochs)
    loss_fn = SoftTargetCrossEntropy()

    mix = ml.RandomMix([partial(ml.mixup, alpha=0.8), ml.cutmix], num_classes=len(data.classes))
    generator = torch.Generator().manual_seed(seed)

    for epoch in range(epochs):
        model.train()
        losses = AverageMeter()
        for input, target in train:
            input, target, _ = mix(input, target, generator=generator)
            loss = loss_fn(model(input), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.update(loss.item(), len(input))
        scheduler.step(epoch + 1)
        top1 = validate(model, test)
        print(f"epoch {epoch + 1}: loss {losses.avg:.3f}, accuracy {top1:.1f} %")
    return top1


@torch.no_grad()
def validate(model: torch.nn.Module, loader: DataLoader) -> float:
    model.eval()
    top1 = AverageMeter()
    for input, target in loader:
        top1.update(accuracy(model(input), target)[0].item(), len(input))
    return top1.avg


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=1000)
    main(**vars(parser.parse_args()))
