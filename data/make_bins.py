"""Make mixlearn/page/assets/bins.json: the predictions that the bins lab shows.

    python data/make_bins.py           # half a minute, on one CPU core

They are the mask studio's classifier's for all test images of Emoji Scenes, in random order: one number each,
the confidence, negative where the prediction is wrong.
"""

import json

import torch

from mixlearn.data import load
from mixlearn.measure import predict
from mixlearn.page.bins import FILE, predicted
from mixlearn.page.studio_net import studio_net


def shipped() -> list[float]:
    """The predictions, in random order."""
    found = [predict(studio_net(), part) for part in load("emoji").tests.values()]
    logits, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return predicted(logits[order], labels[order])


if __name__ == "__main__":
    FILE.write_text(json.dumps(shipped()) + "\n", encoding="utf-8")
