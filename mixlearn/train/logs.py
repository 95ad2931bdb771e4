"""Where the numbers and the mixed images of a run go: CSV and PNG files, or TensorBoard."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from mixlearn.core.extras import array, need
from mixlearn.train.checkpoints import write_whole


class Log(Protocol):
    """What `fit(log=…)` writes to."""

    def epochs(self, epochs: Sequence[dict[str, float]]) -> None:
        """All epochs so far, the newest last."""

    def images(self, epoch: int, grid: Tensor) -> None:
        """A grid (C, H, W) in [0, 1] of what the network was shown first in this epoch."""


class Files:
    """`metrics.csv` with a row an epoch, and `mixed-0001.png` and so on, in one folder.

    Args:
        folder: made if need be.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Files(folder).epochs([{"epoch": 1, "loss": 2.5}])
    ...     print(Path(folder, "metrics.csv").read_text().split())
    ['epoch,loss', '1,2.5']
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def epochs(self, epochs: Sequence[dict[str, float]]) -> None:
        names = list(dict.fromkeys(name for row in epochs for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, names, lineterminator="\n")
        table.writeheader()
        table.writerows(epochs)
        write_whole(self.folder / "metrics.csv", lambda file: file.write(text.getvalue().encode()))

    def images(self, epoch: int, grid: Tensor) -> None:
        image = need("PIL.Image", "writing pictures")
        pixels = (grid.clamp(0, 1) * 255).round().to(torch.uint8)
        values = pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)
        image.fromarray(array(values.cpu(), "writing pictures")).save(self.folder / f"mixed-{epoch:04d}.png")


class TensorBoard:
    """Scalars and grids for TensorBoard. Read them with `tensorboard --logdir FOLDER`.

    Args:
        folder: made if need be.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        need("tensorboard", "TensorBoard")
        self.writer: Any = need("torch.utils.tensorboard", "TensorBoard").SummaryWriter(str(folder))

    def epochs(self, epochs: Sequence[dict[str, float]]) -> None:
        for name, value in epochs[-1].items():
            if name != "epoch":
                self.writer.add_scalar(name, value, int(epochs[-1]["epoch"]))
        self.writer.flush()

    def images(self, epoch: int, grid: Tensor) -> None:
        self.writer.add_image("mixed", grid, epoch)


def as_logs(log: Any) -> list[Log]:
    """A folder, a log or several logs, as a list of logs."""
    if log is None:
        return []
    if isinstance(log, (str, os.PathLike)):
        return [Files(log)]
    return list(log) if isinstance(log, (list, tuple)) else [log]


def image_grid(
    images: Tensor, mean: Sequence[float] = (), std: Sequence[float] = (), columns: int = 8
) -> Tensor:
    """The first images of a batch side by side, columns × columns at most.

    Args:
        images: (B, C, H, W), normalised by `mean` and `std`; without these they are stretched to [0, 1].
        mean, std: one number a channel.
        columns: images in a row.

    Returns:
        (C, rows · H, columns · W) in [0, 1] on the CPU, C = 1 or 3.

    >>> image_grid(torch.rand(5, 3, 8, 8), columns=4).shape
    torch.Size([3, 16, 32])
    """
    shown = images[: columns * columns].detach().float().cpu()
    if mean and std:
        shown = shown * torch.tensor(std).view(-1, 1, 1) + torch.tensor(mean).view(-1, 1, 1)
    else:
        low, high = shown.amin(), shown.amax()
        shown = (shown - low) / (high - low).clamp_min(1e-12)
    shown = shown[:, :3] if shown.shape[1] >= 3 else shown[:, :1]
    rows = -(-len(shown) // columns)
    count, channels, height, width = shown.shape
    grid = shown.new_ones((rows * columns, channels, height, width))
    grid[:count] = shown.clamp(0, 1)
    grid = grid.view(rows, columns, channels, height, width).permute(2, 0, 3, 1, 4)
    return grid.reshape(channels, rows * height, columns * width)
