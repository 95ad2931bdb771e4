"""Picture files that are damaged, or unpack to more than the memory holds."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image

from experiments.data import PictureSet, whole
from mixlearn.data.files import DamagedFile
from mixlearn.data.photos import decode


def bomb(path: Path, side: int) -> Path:
    """A PNG of a few bytes that says it has side × side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def damaged(path: Path, ending: str) -> Path:
    Image.effect_noise((64, 64), 50).save(path.with_suffix(ending))
    content = path.with_suffix(ending).read_bytes()
    path.with_suffix(ending).write_bytes(content[: len(content) // 2])
    return path.with_suffix(ending)


def opens(file: Path) -> list:
    """Each way in which the package reads a picture of a user's."""
    folder = PictureSet((file,), torch.zeros(1, dtype=torch.int64), whole(8), (0.0,) * 3, (1.0,) * 3)
    return [lambda: decode(file), lambda: folder[0], lambda: folder.open(0)]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 60_000])  # Pillow warns of the first and refuses the second
def test_a_bomb_is_refused_by_name(tmp_path: Path, side: int) -> None:
    file = bomb(tmp_path / "small-file.png", side)
    for call in opens(file):
        with pytest.raises(DamagedFile, match=r"small-file\.png has too many pixels"):
            call()


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_by_name_where_warnings_are_errors(tmp_path: Path) -> None:
    for call in opens(bomb(tmp_path / "small-file.png", 10_000)):
        with pytest.raises(DamagedFile, match=r"small-file\.png has too many pixels"):
            call()


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".gif", ".tif", ".bmp"])
def test_a_damaged_picture_is_refused_by_name(tmp_path: Path, ending: str) -> None:
    file = damaged(tmp_path / "cut", ending)
    for call in opens(file):
        with pytest.raises(DamagedFile, match=rf"cut\{ending} cannot be decoded"):
            call()


def test_a_whole_picture_is_read(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), (255, 0, 0)).save(tmp_path / "red.png")
    for call in opens(tmp_path / "red.png"):
        call()
