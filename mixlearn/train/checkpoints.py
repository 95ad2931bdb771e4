"""Checkpoints: written whole or not at all, read without running code from the file."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

FORMAT = "mixlearn checkpoint 1"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read, or that belongs to another run."""


def save(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a checkpoint beside its place, flush it to the disk, then move it there in one act.

    A process killed at any moment leaves the old file or the new one, never a part of one.

    Args:
        path: the file; its folder is made if need be.
        state: tensors, numbers, strings, and dicts, lists or tuples of them.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, lambda file: torch.save({"format": FORMAT, **state}, file))


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, with `weights_only=True`: the file cannot run code.

    Raises:
        CheckpointError: a truncated file, or one that is no checkpoint of mixlearn; it names the file.
        FileNotFoundError: no such file.
    """
    target = Path(path)
    size = target.stat().st_size
    try:
        with zipfile.ZipFile(target) as archive:
            spoiled = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError) as wrong:
        raise CheckpointError(f"{target} is truncated or no checkpoint of mixlearn ({size} bytes)") from wrong
    if spoiled is not None:
        raise CheckpointError(f"{target} is damaged: its part {spoiled} fails its checksum")
    try:
        state = torch.load(target, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as wrong:
        raise CheckpointError(
            f"{target} is damaged, or no checkpoint of mixlearn: {_first_line(wrong)}"
        ) from wrong
    found = state.get("format") if isinstance(state, dict) else None
    if found != FORMAT:
        raise CheckpointError(
            f"{target} is no checkpoint of mixlearn: its format is {found!r}, expected {FORMAT!r}"
        )
    return dict(state)


def write_whole(target: Path, write: Any) -> None:
    """Give `write` a new file in the target's folder, then move that file to the target in one act."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    if os.name == "posix":
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
