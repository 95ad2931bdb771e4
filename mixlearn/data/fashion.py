"""Fashion-MNIST: the four original files, read and checked."""

from __future__ import annotations

import gzip
from pathlib import Path

import torch
from torch import Tensor

from mixlearn.core.extras import need
from mixlearn.data.files import cache_folder, joint_digest, shipped_folders, verify
from mixlearn.data.sets import Data, ImageSet, channel_statistics

CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


def load_fashion(root: str | Path | None = None) -> Data[ImageSet]:
    """The set from `root`, else from the checkout, else from the cache, else by torchvision's download."""
    folder = _find() if root is None else Path(root)
    remedy = "Remove it and load again, or take it from the checkout of mixlearn."
    contents = [_read(verify(folder / name, value, remedy)) for name, value in SHA256.items()]
    mean, std = channel_statistics(contents[0][:, None])
    train, test = (
        ImageSet(images[:, None], labels.long(), mean, std)  # (N, 1, 28, 28) and (N,)
        for images, labels in (contents[:2], contents[2:])
    )
    return Data("fashion", CLASSES, train, {"test": test}, mean, std, joint_digest(SHA256))


def _find() -> Path:
    raw = cache_folder() / "FashionMNIST" / "raw"
    for folder in (*(place / "fashion" for place in shipped_folders()), raw):
        if all((folder / name).is_file() for name in SHA256):
            return folder
    try:
        datasets = need("torchvision.datasets", "downloading Fashion-MNIST")
        datasets.FashionMNIST(str(cache_folder()), download=True)
    except (RuntimeError, OSError) as problem:
        raise ConnectionError(
            f"Fashion-MNIST could not be fetched ({' '.join(str(problem).split())}). Put {', '.join(SHA256)} "
            f'into {raw}, or give their folder: ml.data.load("fashion", root=...). The checkout of mixlearn '
            "has them in data/fashion."
        ) from problem
    return raw


def _read(path: Path) -> Tensor:
    """An idx file: two bytes 0, the type, the number of axes, their lengths, then the values."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[k : k + 4], "big") for k in range(4, start, 4)]
    return torch.frombuffer(content, dtype=torch.uint8, offset=start).view(shape)
