"""Fashion-MNIST: the four original files, read and checked."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mixlearn.core.extras import need
from mixlearn.data.files import cache_folder, joint_digest, shipped_folders, verify
from mixlearn.data.sets import Data, ImageSet, channel_statistics

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
PIXELS, CODES = 0x803, 0x801  # what an idx file of images, of labels, starts with


def load_fashion(root: str | Path | None = None) -> Data[ImageSet]:
    """The set from `root`, else from the checkout, else from the cache, else by torchvision's download."""
    folder = _find(root)
    return read_fashion(folder, SHA256)


def read_fashion(folder: Path, sums: Mapping[str, str]) -> Data[ImageSet]:
    """Read and check the four files of a folder."""
    remedy = "Remove it and load again, or take it anew from the checkout of mixlearn."
    train_images, train_labels, test_images, test_labels = (
        _read(verify(folder / name, value, remedy), PIXELS if "images" in name else CODES)
        for name, value in sums.items()
    )
    mean, std = channel_statistics(train_images)
    train = ImageSet(train_images, train_labels, mean, std)
    test = ImageSet(test_images, test_labels, mean, std)
    return Data("fashion", CLASSES, train, {"test": test}, mean, std, joint_digest(sums))


def _find(root: str | Path | None) -> Path:
    if root is not None:
        return Path(root)
    for folder in (
        *(place / "fashion" for place in shipped_folders()),
        cache_folder() / "FashionMNIST" / "raw",
    ):
        if all((folder / name).is_file() for name in SHA256):
            return folder
    raw = cache_folder() / "FashionMNIST" / "raw"
    datasets = need("torchvision.datasets", "downloading Fashion-MNIST")
    try:
        datasets.FashionMNIST(str(cache_folder()), download=True)
    except Exception as problem:
        reason = " ".join(str(problem).split())
        raise ConnectionError(
            f"Fashion-MNIST could not be fetched ({reason}). Put {', '.join(SHA256)} into {raw}, or give "
            'their folder: ml.data.load("fashion", root=...). The checkout of mixlearn has them '
            "in data/fashion."
        ) from problem
    return raw


def _read(path: Path, kind: int) -> torch.Tensor:
    """An idx file: images as (N, 1, 28, 28) uint8, labels as (N,) int64."""
    numpy: Any = need("numpy", "reading Fashion-MNIST")
    with gzip.open(path) as file:
        content = file.read()
    start, count = (int.from_bytes(content[k : k + 4], "big") for k in (0, 4))
    if start != kind:
        raise ValueError(f"{path} starts with {start:#x}, expected {kind:#x}")
    values = torch.from_numpy(numpy.frombuffer(bytearray(content), numpy.uint8))
    if kind == CODES:
        return values[8 : 8 + count].long()
    height, width = (int.from_bytes(content[k : k + 4], "big") for k in (8, 12))
    return values[16:].view(count, 1, height, width)
