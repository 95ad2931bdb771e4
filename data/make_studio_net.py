"""Make mixlearn/page/assets/studio_net.safetensors: the classifier that scores masks in the mask studio.

    python data/make_studio_net.py           # trains, rounds, writes; on one CPU core
    python data/make_studio_net.py --pairs   # of the network that is there: images to choose pairs from

A ResNet-8 on Emoji Scenes at 32 × 32, trained on Mixup and CutMix, half and half. Its batch normalisations
are folded into the convolutions and its weights rounded to half precision. The file is mixlearn's own, MIT.
"""

import argparse

import torch
from packing import packed

import mixlearn as ml
from experiments import recipes
from mixlearn.page.studio_net import FILE, folded, studio_net, unpacked

WIDTH, EPOCHS, SEED = 12, 40, 0


def accuracy(net: torch.nn.Module, part: object) -> float:
    """Share of a test set that the network names right."""
    return float(ml.measure.evaluate(net, part)["accuracy"])


def make() -> None:
    """Train, fold, round, write; say what each step costs."""
    data = ml.data.load("emoji")
    mix = ml.RandomMix([ml.mixup, ml.cutmix])
    made = recipes.emoji(mix, seed=SEED, epochs=EPOCHS, width=WIDTH, data=data, progress=False)
    written = packed(folded(made.model), data.classes, data.mean, data.std)
    rounded, _ = unpacked(written)
    for name, part in {"train": data.train, **data.tests}.items():
        print(f"{name}: accuracy {accuracy(made.model, part):.4f}, rounded {accuracy(rounded, part):.4f}")
    FILE.write_bytes(written)
    print(f"{FILE.name}: {len(written)} bytes, {made.history.seconds:.0f} s of training")


def show_candidates(least: float = 0.8, most: int = 12) -> None:
    """Of each class, the test images that the network is sure of: place in "designers", name, probability."""
    data = ml.data.load("emoji")
    part, net = data.tests["designers"], studio_net()
    with torch.no_grad():
        p = net(part.batch(slice(None))[0]).softmax(1)[torch.arange(len(part)), part.labels]
    for label, word in enumerate(data.classes):
        places = [k for k in p.argsort(descending=True).tolist() if part.labels[k] == label and p[k] >= least]
        print(f"{word}: " + ", ".join(f"{k} {part.names[k]} {p[k]:.2f}" for k in places[:most]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", action="store_true", help="list images to choose pairs from")
    show_candidates() if parser.parse_args().pairs else make()
