"""Unpack Qt resource archives (.rcc, format versions 1 to 3), with the standard library alone.

python data/rcc.py FOLDER ARCHIVE.rcc ...
"""

import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

COMPRESSED, DIRECTORY, ZSTD = 1, 2, 4


def entries(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """Path and content of every file of an archive."""
    if archive[:4] != b"qres":
        raise ValueError(f"not a Qt resource archive: it starts with {archive[:4]!r}, expected b'qres'")
    version, tree, data, names = struct.unpack_from(">4i", archive, 4)
    node_size = 14 if version == 1 else 22  # from version 2 on, a node also holds the time of change

    def name(offset: int) -> str:
        (length,) = struct.unpack_from(">H", archive, names + offset)
        start = names + offset + 6  # the length, then a hash
        return archive[start : start + 2 * length].decode("utf-16-be")

    def walk(node: int, folder: str) -> Iterator[tuple[str, bytes]]:
        at = tree + node * node_size
        name_at, flags = struct.unpack_from(">iH", archive, at)
        path = f"{folder}/{name(name_at)}" if node else ""
        if flags & DIRECTORY:
            count, first = struct.unpack_from(">ii", archive, at + 6)
            for child in range(first, first + count):
                yield from walk(child, path)
            return
        (content_at,) = struct.unpack_from(">i", archive, at + 10)
        (length,) = struct.unpack_from(">i", archive, data + content_at)
        start = data + content_at + 4
        content = archive[start : start + length]
        if flags & ZSTD:
            raise ValueError(f"{path} is packed with zstd, which this reader does not know")
        yield path.lstrip("/"), zlib.decompress(content[4:]) if flags & COMPRESSED else content

    return walk(0, "")


if __name__ == "__main__":
    for archive in sys.argv[2:]:
        for path, content in entries(Path(archive).read_bytes()):
            target = Path(sys.argv[1]) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
