"""A host of a test's own: what it hands out, and the sums of that; where the shipped data are."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

DATA = Path(__file__).parents[2] / "data"


@dataclass
class Host:
    """What a server hands out, how much of it before it breaks off, and what it was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    breaks_after: list[int] = field(default_factory=list)
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()
