"""Files of data sets: where they lie, whether they are whole, and how they are fetched."""

from __future__ import annotations

import hashlib
import os
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path


class DamagedFile(OSError):
    """A file that is not what it should be. The message names it, what it is and what was expected."""


def shipped_folders() -> list[Path]:
    """Where the data sets that come with mixlearn may lie: inside the package, or in the checkout."""
    package = Path(__file__).resolve().parents[1]
    return [package / "_data", package.parent / "data"]


def cache_folder() -> Path:
    """Where downloads are kept: $MIXLEARN_DATA, or mixlearn in the user's cache."""
    chosen = os.environ.get("MIXLEARN_DATA")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "mixlearn"


def digest(path: Path, method: str = "sha256") -> str:
    """Hash of a file. It is computed once in a process, and again only when the file has changed."""
    state = path.stat()
    return _digest(path, method, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, method: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return (
            hashlib.file_digest(file, method).hexdigest()
            if hasattr(hashlib, "file_digest")
            else _read(file, method)
        )


def _read(file: Iterable[bytes], method: str) -> str:  # Python 3.10 has no file_digest
    total = hashlib.new(method)
    for chunk in file:
        total.update(chunk)
    return total.hexdigest()


def verify(path: Path, expected: str, remedy: str, method: str = "sha256") -> Path:
    """Return the path of a file whose hash is the expected one.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFile: the hash differs; the message ends with the remedy.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing. {remedy}")
    found = digest(path, method)
    if found != expected:
        size = path.stat().st_size
        raise DamagedFile(
            f"{path} is damaged or not the right file ({size} bytes): its {method} is {found}, "
            f"expected {expected}. {remedy}"
        )
    return path


def read_sums(path: Path) -> dict[str, str]:
    """The lines of a sha256sum list: file name -> hash."""
    pairs = (line.split(maxsplit=1) for line in path.read_text(encoding="utf8").splitlines() if line.strip())
    return {name.lstrip("*"): value for value, name in pairs}


def shipped(folder: str, names: Iterable[str]) -> dict[str, Path]:
    """Files of a data set that comes with mixlearn, each checked against the list beside it.

    Raises:
        FileNotFoundError: the folder lies in no known place, or a file of it is missing.
        DamagedFile: a file is not what the list says.
    """
    for root in shipped_folders():
        if (root / folder).is_dir() and (root / "SHA256SUMS").is_file():
            sums = read_sums(root / "SHA256SUMS")
            remedy = "Take it again: reinstall mixlearn, or `git checkout` the file."
            return {name: verify(root / folder / name, sums[f"{folder}/{name}"], remedy) for name in names}
    places = " nor ".join(str(root / folder) for root in shipped_folders())
    raise FileNotFoundError(f"the data set lies neither in {places}: reinstall mixlearn, or use its checkout")


def joint_digest(sums: Mapping[str, str]) -> str:
    """One sha256 for several files: that of their list, sorted by name, as sha256sum writes it.

    >>> joint_digest({"a": "00", "b": "11"}) == joint_digest({"b": "11", "a": "00"})
    True
    """
    lines = "".join(f"{value}  {name}\n" for name, value in sorted(sums.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def fetch(url: str, target: Path, expected: str, method: str = "md5", attempts: int = 5) -> Path:
    """Download a file, going on where an earlier attempt stopped, and check it.

    What has come so far is kept beside the target as NAME.part, also when this function is interrupted.

    Args:
        url: where the file is.
        target: where it shall be.
        expected: its hash.
        method: name of the hash.
        attempts: how often to go on after a broken connection before giving up.

    Raises:
        ConnectionError: it could not be fetched; the message says how to go on.
        DamagedFile: what came has another hash; it is removed.
    """
    if target.is_file() and digest(target, method) == expected:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    problem: Exception | None = None
    whole = False
    for _ in range(attempts):
        try:
            _continue(url, part)
            whole = True
        except urllib.error.HTTPError as error:
            problem = error
            whole = error.code == 416  # nothing is left to send
            if whole or error.code in (401, 403, 404, 410):  # asking again would not help
                break
        except OSError as error:
            problem = error
        if whole:
            break
    if not whole:
        raise ConnectionError(
            f"{url} could not be fetched ({problem}). Call again to go on where it stopped, give another "
            f"host with mirror=, or put {target.name} into {target.parent} by hand."
        )
    try:
        verify(part, expected, "It has been removed; call again, or give another host with mirror=.", method)
    except DamagedFile:
        part.unlink()
        raise
    part.replace(target)
    return target


def _continue(url: str, part: Path) -> None:
    """Append what is missing of a file, up to its end."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        goes_on = answer.status == 206
        length = answer.headers.get("Content-Length")
        with open(part, "ab" if goes_on else "wb") as file:
            received = 0
            while chunk := answer.read(1 << 20):
                file.write(chunk)
                received += len(chunk)
    if length is not None and received < int(length):
        raise ConnectionError(f"the connection broke after {received} of {length} bytes")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .zip or .tar archive into a folder; members that would leave it are refused."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
        return
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(folder, filter="data")
            return
        for member in tar:  # early releases of Python 3.10 know no filter
            if not (folder / member.name).resolve().is_relative_to(folder.resolve()) or not (
                member.isfile() or member.isdir()
            ):
                raise DamagedFile(f"{archive} holds {member.name!r}, which would leave {folder}")
            tar.extract(member, folder)
