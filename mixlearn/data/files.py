"""Files of data sets: where they are, whether they are intact, and how they are fetched or made."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor


class DamagedFile(OSError):
    """A file that is not what it should be. The message names it, what it is and what was expected."""


def shipped_folders() -> list[Path]:
    """Where the data sets that come with mixlearn may be: inside the package, or in the checkout."""
    package = Path(__file__).resolve().parents[1]
    return [package / "_data", package.parent / "data"]


def cache_folder() -> Path:
    """Where downloads are kept: $MIXLEARN_DATA, or mixlearn in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "mixlearn"
    return Path(os.environ.get("MIXLEARN_DATA") or cache).expanduser()


def digest(path: Path, method: str = "sha256") -> str:
    """Hash of a file. It is computed once in a process, and again only when the file has changed."""
    state = path.stat()
    return _digest(path, method, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, method: str, size: int, changed: int) -> str:
    total = hashlib.new(method)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            total.update(chunk)
    return total.hexdigest()


def verify(path: Path, expected: str, remedy: str, method: str = "sha256") -> Path:
    """The path of a file whose hash is the expected one; else an error, with the remedy."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing. {remedy}")
    actual = digest(path, method)
    if actual != expected:
        raise DamagedFile(
            f"{path} is damaged or not the right file ({path.stat().st_size} bytes): its {method} is {actual}"
            f", expected {expected}. {remedy}"
        )
    return path


def read_sums(path: Path) -> dict[str, str]:
    """The lines of a sha256sum list: file name → hash."""
    pairs = (line.split(maxsplit=1) for line in path.read_text(encoding="utf8").splitlines() if line.strip())
    return {name.lstrip("*"): value for value, name in pairs}


def joint_digest(sums: Mapping[str, str]) -> str:
    """One sha256 for several files: that of their list, sorted by name, as sha256sum writes it."""
    lines = "".join(f"{value}  {name}\n" for name, value in sorted(sums.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def shipped(folder: str, names: Iterable[str]) -> dict[str, Path]:
    """Files of a data set that comes with mixlearn, each checked against the list beside it."""
    for root in shipped_folders():
        if (root / folder).is_dir() and (root / "SHA256SUMS").is_file():
            sums = read_sums(root / "SHA256SUMS")
            remedy = "Take it again: reinstall mixlearn, or `git checkout` the file."
            return {name: verify(root / folder / name, sums[f"{folder}/{name}"], remedy) for name in names}
    places = " nor ".join(str(root / folder) for root in shipped_folders())
    raise FileNotFoundError(f"the data set is neither in {places}: reinstall mixlearn, or use its checkout")


def read_bytes(path: Path, *shape: int) -> Tensor:
    """A file as a uint8 tensor, read as it is used; changes to it are not written back."""
    size = path.stat().st_size
    return torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8).view(shape)


@contextmanager
def new_files(folder: Path) -> Iterator[Path]:
    """A place to write files, which move into a folder if all goes well and are removed if not."""
    folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="making-", dir=folder))
    try:
        yield place
        for file in place.iterdir():
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def fetch(url: str, target: Path, expected: str, method: str = "md5", attempts: int = 5) -> Path:
    """Download a file and check its hash; it resumes after a broken connection, and after an earlier call.

    What has come so far is kept beside the target as NAME.part. A file with another hash is removed.
    """
    if target.is_file() and digest(target, method) == expected:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    problem: OSError | None = None
    for _ in range(attempts):
        try:
            problem = None
            _resume(url, part)
            break
        except urllib.error.HTTPError as error:
            problem = None if error.code == 416 else error  # 416: nothing is left to send
            if error.code in (401, 403, 404, 410, 416):  # asking again would not help
                break
        except OSError as error:
            problem = error
    if problem is not None:
        raise ConnectionError(
            f"{url} could not be fetched ({problem}). Call again to go on where it stopped, give another "
            f"host with mirror=, or put {target.name} into {target.parent} by hand."
        )
    try:
        verify(part, expected, "It has been removed; call again, or give another host with mirror=.", method)
    except DamagedFile:
        part.unlink()
        raise
    return part.replace(target)


def _resume(url: str, part: Path) -> None:
    """Append what is missing of a file."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        length, received = answer.headers.get("Content-Length"), 0
        with open(part, "ab" if answer.status == 206 else "wb") as file:
            while chunk := answer.read(1 << 20):
                received += file.write(chunk)
    if length is not None and received < int(length):
        raise ConnectionError(f"the connection broke after {received} of {length} bytes")
