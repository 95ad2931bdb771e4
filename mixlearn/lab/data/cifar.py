"""CIFAR-10 and CIFAR-100: fetched with patience, checked file by file, read by torchvision; or by class."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import torch

from mixlearn.lab.data.by_class import LAYOUT, find, load_by_class
from mixlearn.lab.data.files import DamagedFile, cache_folder, digest, fetch, joint_digest, unpack, verify
from mixlearn.lab.data.sets import Data, ImageSet, channel_statistics
from mixlearn.lab.extras import need

SIZE = 32  # pixels of a side


def load_cifar(
    name: str, root: str | Path | None = None, mirror: str | None = None, download: bool = True
) -> Data[ImageSet]:
    """CIFAR-10 or CIFAR-100 from a folder, fetched into it if need be; or from images by class."""
    datasets = need("torchvision.datasets", f"reading {name}")
    kind = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
    folder = cache_folder() if root is None else Path(root)
    sums = dict(kind.train_list + kind.test_list) | {kind.meta["filename"]: kind.meta["md5"]}
    batches = folder / kind.base_folder
    if root is not None and not batches.is_dir() and not (folder / kind.filename).is_file():
        count = 10 if name == "cifar10" else 100
        images = find(folder, count)
        if images is not None:
            return load_by_class(name, images, count, SIZE)
        if folder.is_file():
            raise ValueError(
                f"root must be a folder that holds {kind.filename}, or a folder or zip of images as "
                f"{LAYOUT}, got the file {folder}"
            )
    if not all((batches / file).is_file() for file in sums):
        _unpack(kind, folder, mirror, download)
    remedy = f"Remove the folder {batches} and load again."
    for file, value in sums.items():
        verify(batches / file, value, remedy, "md5")
    parts = [_part(kind(str(folder), train=train)) for train in (True, False)]
    mean, std = channel_statistics(parts[0][0])
    train, test = (ImageSet(images, labels, mean, std) for images, labels in parts)
    found = {file: digest(batches / file) for file in sums}
    classes = tuple(kind(str(folder), train=False).classes)
    source = f"the archive {kind.filename}"
    return Data(name, classes, train, {"test": test}, mean, std, joint_digest(found), source)


def _unpack(kind: Any, folder: Path, mirror: str | None, download: bool) -> None:
    archive = folder / kind.filename
    by_hand = (
        f"Get {kind.filename} (md5 {kind.tgz_md5}) from {kind.url} or a mirror, and put it into {folder}. "
        f"A folder or zip of images, {LAYOUT}, will do too: root=."
    )
    if archive.is_file():
        remedy = "Remove it and load again. " + by_hand
        verify(archive, kind.tgz_md5, remedy, "md5")
    elif download:
        url = kind.url if mirror is None else f"{mirror.rstrip('/')}/{kind.filename}"
        fetch(url, archive, kind.tgz_md5)
    else:
        raise FileNotFoundError(f"{archive} is missing. {by_hand}")
    try:
        unpack(archive, folder)
    except tarfile.TarError as problem:
        raise DamagedFile(f"{archive} cannot be unpacked ({problem}). {by_hand}") from problem


def _part(read: Any) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.from_numpy(read.data).permute(0, 3, 1, 2).contiguous()
    return images, torch.tensor(read.targets, dtype=torch.int64)
