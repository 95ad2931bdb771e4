"""The scripts that make the shipped data: what of them runs without their packages."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import struct
import zlib
from pathlib import Path
from types import ModuleType

import pytest

DATA = Path(__file__).parents[2] / "data"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DATA / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def resource_archive(version: int, content: bytes, compressed: bool) -> bytes:
    """A Qt resource archive with the one file folder/file."""
    packed = struct.pack(">i", len(content)) + zlib.compress(content) if compressed else content
    data = struct.pack(">i", len(packed)) + packed
    names = b"".join(
        struct.pack(">Hi", len(name), 0) + name.encode("utf-16-be") for name in ("folder", "file")
    )
    time = bytes(8) if version > 1 else b""
    tree = struct.pack(">iHii", 0, 2, 1, 1) + time  # the root, its one child is node 1
    tree += struct.pack(">iHii", 0, 2, 1, 2) + time  # folder
    tree += struct.pack(">iHHHi", 6 + 2 * len("folder"), int(compressed), 0, 0, 0) + time  # file
    head = struct.pack(">4i", version, 20, 20 + len(tree), 20 + len(tree) + len(data))
    return b"qres" + head + tree + data + names


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("compressed", [False, True])
def test_resource_archives_are_read(version: int, compressed: bool) -> None:
    content = b"some content" * 9
    archive = resource_archive(version, content, compressed)
    assert dict(script("rcc").entries(archive)) == {"folder/file": content}


def test_another_file_is_no_resource_archive() -> None:
    with pytest.raises(ValueError, match="starts with b'PK.*', expected b'qres'"):
        script("rcc").entries(b"PK\x03\x04 something")


def test_the_head_of_a_gzip_file_is_restored() -> None:
    restored = script("make_fashion").restored
    packed = gzip.compress(b"pixels", mtime=7)
    whole = restored(packed, "name", 1504176606)
    assert gzip.decompress(whole) == b"pixels"
    assert whole[4:8] == struct.pack("<I", 1504176606) and whole[10:15] == b"name\0"
    with pytest.raises(ValueError, match="name: expected a gzip file with an empty head"):
        restored(whole, "name", 0)


def test_published_sums_are_those_of_the_shipped_files() -> None:
    for name, (_, md5) in script("make_fashion").FILES.items():
        assert hashlib.md5((DATA / "fashion" / name).read_bytes()).hexdigest() == md5
