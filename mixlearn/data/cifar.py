"""Small images that lie in a folder or a zip by class: decoded once, then read from arrays in the cache."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.extras import need
from mixlearn.data.files import (
    DamagedFile,
    cache_folder,
    digest,
    fetch,
    joint_digest,
    read_sums,
    unpack,
    verify,
)
from mixlearn.data.sets import Data, ImageSet, channel_statistics

SPLITS = ("train", "test")


ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


LAYOUT = "…/train/CLASS/NAME.jpg and …/test/CLASS/NAME.jpg"


@dataclass(frozen=True)
class Source:
    """Where images lie: their places, how one is read, what they are in words, and a key of their state."""

    where: Path
    places: tuple[str, ...]
    read: Callable[[str], bytes]
    words: str
    key: str


def find(root: Path, classes: int) -> Source | None:
    """The images by class of a zip, of a folder, or of a folder in it with so many classes; None without any.

    Raises:
        DamagedFile: a file called .zip is not one.
    """
    if root.is_file() and root.suffix == ".zip":
        return _zipped(root)
    inner = (part for part in sorted(root.glob("*")) if len(_folders(part / "train")) == classes)
    for folder in (root, *inner):
        if all((folder / split).is_dir() for split in SPLITS):
            return _foldered(folder)
    return None


def load_by_class(name: str, source: Source, classes: int, size: int) -> Data[ImageSet]:
    """Decode the images of a source, or take what was kept of it in the cache.

    Raises:
        DamagedFile: classes are missing or differ between the parts, or an image cannot be used; it is named.
    """
    kept = cache_folder() / f"{name}-by-class" / source.key[:16]
    names = tuple(f"{split}-{kind}.bin" for split in SPLITS for kind in ("images", "labels"))
    if not all((kept / file).is_file() for file in (*names, "SHA256SUMS", "classes.txt")):
        _decode(source, kept, classes, size)
    sums, remedy = read_sums(kept / "SHA256SUMS"), f"Remove the folder {kept} and load again."
    for file in (*names, "classes.txt"):
        verify(kept / file, sums[file], remedy)
    parts = [
        (_read(kept / file, (-1, 3, size, size)), _read(kept / label, (-1,)).long())
        for file, label in (names[:2], names[2:])
    ]
    mean, std = channel_statistics(parts[0][0])
    train, test = (ImageSet(images, labels, mean, std) for images, labels in parts)
    titles = tuple((kept / "classes.txt").read_text(encoding="utf8").splitlines())
    return Data(name, titles, train, {"test": test}, mean, std, joint_digest(sums), source.words)


def _zipped(path: Path) -> Source:
    try:
        packed = zipfile.ZipFile(path)
    except zipfile.BadZipFile as problem:
        raise DamagedFile(f"{path} is damaged or no zip ({problem}); get it again") from problem
    inside = tuple(sorted(name for name in packed.namelist() if _is_image(name)))
    words = _words(inside, f"zip {path.name}")
    return Source(path, inside, packed.read, words, digest(path))


def _foldered(folder: Path) -> Source:
    files = sorted(file for split in SPLITS for file in (folder / split).glob("*/*") if _is_image(file.name))
    inside = tuple(file.relative_to(folder).as_posix() for file in files)
    state = hashlib.sha256(str(folder.resolve()).encode())
    for place, file in zip(inside, files, strict=True):
        facts = file.stat()
        state.update(f"\n{place} {facts.st_size} {facts.st_mtime_ns}".encode())
    words = _words(inside, f"folder {folder.name}")
    return Source(folder, inside, lambda place: (folder / place).read_bytes(), words, state.hexdigest())


def _folders(folder: Path) -> list[Path]:
    return [part for part in folder.glob("*") if part.is_dir()]


def _words(places: tuple[str, ...], where: str) -> str:
    kinds = sorted({PurePosixPath(place).suffix[1:].lower().replace("jpeg", "jpg") for place in places})
    return f"{len(places)} images by class ({', '.join(kinds)}) in the {where}"


def _is_image(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not PurePosixPath(name).name.startswith(".")


def _decode(source: Source, kept: Path, classes: int, size: int) -> None:
    """Write the arrays beside their place, and move them there when all is whole."""
    listed = _listed(source, classes)
    kept.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="making-", dir=kept.parent))
    try:
        titles = sorted({title for title, _ in listed["train"]})
        (made / "classes.txt").write_text("\n".join(titles) + "\n", encoding="utf8")
        for split, images in listed.items():
            with open(made / f"{split}-images.bin", "wb") as file:
                for _, place in images:
                    file.write(_pixels(source, place, size))
            (made / f"{split}-labels.bin").write_bytes(bytes(titles.index(title) for title, _ in images))
        files = sorted(made.iterdir())
        lines = "".join(f"{digest(file)}  {file.name}\n" for file in files)
        (made / "SHA256SUMS").write_text(lines, encoding="utf8")
        shutil.rmtree(kept, ignore_errors=True)
        made.rename(kept)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _listed(source: Source, classes: int) -> dict[str, list[tuple[str, str]]]:
    """The images of each part as (class, place), by class and name."""
    found: dict[str, list[tuple[str, str]]] = {split: [] for split in SPLITS}
    for place in source.places:
        parts = PurePosixPath(place).parts
        if len(parts) >= 3 and parts[-3] in found:
            found[parts[-3]].append((parts[-2], place))
    titles = {split: {title for title, _ in images} for split, images in found.items()}
    for split, each in titles.items():
        if len(each) != classes:
            raise DamagedFile(
                f"{source.where} has images of {len(each)} classes in {split}, expected {classes}, "
                f"laid out as {LAYOUT}"
            )
    alone = sorted(titles["train"] ^ titles["test"])
    if alone:
        raise DamagedFile(
            f"{source.where} must have the same classes in train and test; {alone[0]!r} is in one"
        )
    return {split: sorted(images) for split, images in found.items()}


def _pixels(source: Source, place: str, size: int) -> bytes:
    """One image as bytes, (3, size, size)."""
    numpy: Any = need("numpy", "reading images")
    image: Any = need("PIL.Image", "reading images")
    try:
        with image.open(io.BytesIO(source.read(place))) as picture:
            pixels = numpy.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, zipfile.BadZipFile) as problem:
        raise DamagedFile(
            f"{place} in {source.where} cannot be decoded ({problem}); get it again"
        ) from problem
    if pixels.shape != (size, size, 3):
        height, width = pixels.shape[:2]
        raise DamagedFile(
            f"{place} in {source.where} has {width} × {height} pixels, expected {size} × {size}"
        )
    return bytes(pixels.transpose(2, 0, 1).tobytes())


def _read(path: Path, shape: tuple[int, ...]) -> Tensor:
    return torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8).view(shape)


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
