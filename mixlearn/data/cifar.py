"""CIFAR-10 and CIFAR-100: from their archives, or from images by class in a folder or a zip."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch

from mixlearn.core.extras import need
from mixlearn.data.files import (
    DamagedFile,
    cache_folder,
    digest,
    fetch,
    joint_digest,
    new_files,
    read_bytes,
    read_sums,
    verify,
)
from mixlearn.data.photos import decode
from mixlearn.data.sets import Data, ImageSet, channel_statistics

SIZE = 32  # pixels of a side
SPLITS = ("train", "test")
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
LAYOUT = "…/train/CLASS/NAME.jpg and …/test/CLASS/NAME.jpg"


def load_cifar(
    name: str, root: str | Path | None = None, mirror: str | None = None, download: bool = True
) -> Data[ImageSet]:
    """CIFAR-10 or CIFAR-100 from a folder, fetched into it if need be; or from images by class."""
    datasets = need("torchvision.datasets", f"reading {name}")
    cifar = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
    folder = cache_folder() if root is None else Path(root)
    batches = folder / cifar.base_folder
    if root is not None and not batches.is_dir() and not (folder / cifar.filename).is_file():
        classes = 10 if name == "cifar10" else 100
        images = find(folder, classes)
        if images is not None:
            return load_by_class(name, images, classes)
        if folder.is_file():
            raise ValueError(
                f"root must be a folder that holds {cifar.filename}, or a folder or zip of images as "
                f"{LAYOUT}, got the file {folder}"
            )
    sums = dict(cifar.train_list + cifar.test_list) | {cifar.meta["filename"]: cifar.meta["md5"]}
    if not all((batches / file).is_file() for file in sums):
        _unpack(cifar, folder, mirror, download)
    for file, value in sums.items():
        verify(batches / file, value, f"Remove the folder {batches} and load again.", "md5")
    train, test = (cifar(str(folder), train=part) for part in (True, False))
    pixels = [torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous() for part in (train, test)]
    mean, std = channel_statistics(pixels[0])
    sets = [
        ImageSet(x, torch.tensor(p.targets), mean, std) for x, p in zip(pixels, (train, test), strict=True)
    ]
    sha256 = joint_digest({file: digest(batches / file) for file in sums})
    source = f"the archive {cifar.filename}"
    return Data(name, tuple(test.classes), sets[0], {"test": sets[1]}, mean, std, sha256, source)


def _unpack(cifar: Any, folder: Path, mirror: str | None, download: bool) -> None:
    archive = folder / cifar.filename
    by_hand = (
        f"Get {cifar.filename} (md5 {cifar.tgz_md5}) from {cifar.url} or a mirror, and put it into {folder}. "
        f"A folder or zip of images, {LAYOUT}, will do too: root=."
    )
    if not archive.is_file() and download:
        url = cifar.url if mirror is None else f"{mirror.rstrip('/')}/{cifar.filename}"
        fetch(url, archive, cifar.tgz_md5)
    remedy = f"Remove it and load again. {by_hand}" if archive.is_file() else by_hand
    verify(archive, cifar.tgz_md5, remedy, "md5")
    with tarfile.open(archive) as tar:
        safely: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(folder, **safely)


class Source(NamedTuple):
    """Images by class: the folder or zip, their paths in it, how one is read, and a hash of their state."""

    where: Path
    paths: list[str]
    read: Callable[[str], bytes]
    state: str


def find(root: Path, classes: int) -> Source | None:
    """The images by class of a zip, of a folder, or of a folder in it with so many classes."""
    if root.is_file() and root.suffix == ".zip":
        try:
            packed = zipfile.ZipFile(root)
        except zipfile.BadZipFile as problem:
            raise DamagedFile(f"{root} is damaged or no zip ({problem}); get it again") from problem
        return Source(root, _images(packed.namelist()), packed.read, digest(root))
    for folder in (root, *sorted(root.glob("*"))):
        titles = [part for part in (folder / "train").glob("*") if part.is_dir()]
        if folder != root and len(titles) != classes:
            continue
        if all((folder / split).is_dir() for split in SPLITS):
            files = [file for split in SPLITS for file in (folder / split).glob("*/*")]
            paths = _images(file.relative_to(folder).as_posix() for file in files)
            state = hashlib.sha256(str(folder.resolve()).encode())
            for path in paths:
                facts = (folder / path).stat()
                state.update(f"\n{path} {facts.st_size} {facts.st_mtime_ns}".encode())
            return Source(folder, paths, partial(_read, folder), state.hexdigest())
    return None


def _read(folder: Path, path: str) -> bytes:
    return (folder / path).read_bytes()


def _images(paths: Iterable[str]) -> list[str]:
    """The paths of pictures, sorted."""
    seen = (PurePosixPath(path) for path in paths)
    return sorted(str(p) for p in seen if p.suffix.lower() in ENDINGS and not p.name.startswith("."))


def load_by_class(name: str, source: Source, classes: int) -> Data[ImageSet]:
    """Decode the images of a source, or take what was kept of it in the cache."""
    kept = cache_folder() / f"{name}-by-class" / source.state[:16]
    names = ["classes.txt", *(f"{split}-{part}.bin" for split in SPLITS for part in ("images", "labels"))]
    if not all((kept / file).is_file() for file in (*names, "SHA256SUMS")):
        _decode(source, kept, classes)
    sums = read_sums(kept / "SHA256SUMS")
    for file in names:
        verify(kept / file, sums[file], f"Remove the folder {kept} and load again.")
    pixels = [read_bytes(kept / f"{split}-images.bin", -1, 3, SIZE, SIZE) for split in SPLITS]
    labels = [read_bytes(kept / f"{split}-labels.bin", -1).long() for split in SPLITS]
    mean, std = channel_statistics(pixels[0])
    train, test = (ImageSet(*part, mean, std) for part in zip(pixels, labels, strict=True))
    titles = tuple((kept / "classes.txt").read_text(encoding="utf8").splitlines())
    endings = sorted({PurePosixPath(p).suffix[1:].lower().replace("jpeg", "jpg") for p in source.paths})
    place = f"{'zip' if source.where.is_file() else 'folder'} {source.where.name}"
    words = f"{len(source.paths)} images by class ({', '.join(endings)}) in the {place}"
    return Data(name, titles, train, {"test": test}, mean, std, joint_digest(sums), words)


def _decode(source: Source, kept: Path, classes: int) -> None:
    """Write the pixels and labels of each part, the names of the classes, and the sha256 of each file."""
    parts = _listed(source, classes)
    titles = sorted({title for title, _ in parts["train"]})
    with new_files(kept) as folder:
        (folder / "classes.txt").write_text("\n".join(titles) + "\n", encoding="utf8")
        for split, images in parts.items():
            with open(folder / f"{split}-images.bin", "wb") as file:
                for _, path in images:
                    file.write(_pixels(source, path))
            (folder / f"{split}-labels.bin").write_bytes(bytes(titles.index(title) for title, _ in images))
        lines = [f"{digest(file)}  {file.name}\n" for file in sorted(folder.iterdir())]
        (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf8")


def _listed(source: Source, classes: int) -> dict[str, list[tuple[str, str]]]:
    """The images of each part as (class, path), by class and name."""
    parts: dict[str, list[tuple[str, str]]] = {split: [] for split in SPLITS}
    for path in source.paths:
        *_, split, title, _ = ("", "", *PurePosixPath(path).parts)
        if split in parts:
            parts[split].append((title, path))
    train, test = ({title for title, _ in parts[split]} for split in SPLITS)
    if train != test or len(train) != classes:
        alone = ", ".join(sorted(train ^ test)) or "none"
        raise DamagedFile(
            f"{source.where} must have the same {classes} classes in train and test, laid out as {LAYOUT}; "
            f"it has {len(train)} in train and {len(test)} in test, in one alone: {alone}"
        )
    return {split: sorted(images) for split, images in parts.items()}


def _pixels(source: Source, path: str) -> bytes:
    """One image as bytes, (3, 32, 32)."""
    name = f"{path} in {source.where}"
    picture = decode(io.BytesIO(source.read(path)), "RGB", name=name)
    if picture.size != (SIZE, SIZE):
        raise DamagedFile(f"{name} has {picture.width} × {picture.height} pixels, expected {SIZE} × {SIZE}")
    return b"".join(channel.tobytes() for channel in picture.split())
