"""What a run leaves in a folder or a logger: a table of its epochs, pictures of mixed images."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.extras import array, need
from mixlearn.train.checkpoint import write_whole


def log_epoch(log: Any, epochs: Sequence[dict[str, float]], grid: Tensor | None) -> None:
    """Give the last of the epochs and a picture (C, H, W) to a logger of Lightning's.

    A folder, made if need be, gets `metrics.csv` with all epochs, and `mixed-0001.png` and so on.
    """
    if not isinstance(log, (str, os.PathLike)):
        log.log_metrics(epochs[-1], step=len(epochs))
        if grid is not None:
            log_picture(log, "mixed", grid, len(epochs))
        if hasattr(log, "save"):
            log.save()
        return
    folder, text = Path(log), io.StringIO()
    folder.mkdir(parents=True, exist_ok=True)
    names = dict.fromkeys(name for row in epochs for name in row)
    table = csv.DictWriter(text, list(names), lineterminator="\n")
    table.writeheader()
    table.writerows(epochs)
    write_whole(folder / "metrics.csv", lambda file: file.write(text.getvalue().encode()))
    if grid is not None:
        pixels = (grid * 255).round().to(torch.uint8)
        values = array(pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0), "writing pictures")
        picture = need("PIL.Image", "writing pictures").fromarray(values)
        picture.save(folder / f"mixed-{len(epochs):04d}.png")


def log_picture(logger: Any, name: str, grid: Tensor, step: int) -> None:
    """Give a picture (C, H, W) in [0, 1] to a logger of Lightning's, if it takes pictures."""
    add_image = getattr(getattr(logger, "experiment", None), "add_image", None)
    if callable(add_image):
        add_image(name, grid, global_step=step)
    elif hasattr(logger, "log_image"):
        logger.log_image(name, [array(grid.permute(1, 2, 0), "a log")], step=step)


def image_grid(
    images: Tensor, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> Tensor:
    """The first 64 images of a batch, eight in a row, on the CPU; the first channel or the first three.

    Args:
        images: (B, C, H, W), normalised by `mean` and `std`; without these they are stretched to [0, 1].
        mean, std: one number a channel.

    >>> image_grid(torch.rand(9, 3, 8, 8)).shape
    torch.Size([3, 16, 64])
    """
    shown = images[:64].detach().float().cpu()
    if mean and std:
        shown = shown * torch.tensor(std).view(-1, 1, 1) + torch.tensor(mean).view(-1, 1, 1)
    shown = shown[:, : 3 if shown.shape[1] >= 3 else 1]
    if not (mean and std):
        low, high = shown.amin(), shown.amax()
        shown = (shown - low) / (high - low).clamp_min(1e-12)
    columns = min(8, len(shown))
    rows = -(-len(shown) // columns)
    grid = shown.new_ones((rows * columns, *shown.shape[1:]))  # white where there is no image
    grid[: len(shown)] = shown.clamp(0, 1)
    grid = grid.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4)  # (C, rows, H, columns, W)
    return grid.flatten(3).flatten(1, 2)
