"""What a run shows: a bar, a table of its epochs, pictures of mixed images."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.extras import array, need
from mixlearn.train.checkpoint import write_whole


def peak_memory(device: torch.device) -> int:
    """Bytes at the peak: of the accelerator, else of this process since it started (0 if not known)."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


class Progress:
    """Counts steps: a bar in a terminal or a notebook, elsewhere (a log file) one line an epoch."""

    def __init__(self, total: int | None, done: int, *, shown: bool, label: str = "") -> None:
        shell = sys.modules.get("IPython")
        notebook = shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"
        self._lines = shown and not (notebook or sys.stderr.isatty())
        self._label = label
        self._bar: Any = None
        if shown and not self._lines:
            options = {"unit": "step", "dynamic_ncols": True, "mininterval": 0.3}
            tqdm = need("tqdm.auto", "a progress bar").tqdm
            self._bar = tqdm(total=total, initial=done, desc=label, **options)

    def step(self) -> None:
        if self._bar is not None:
            self._bar.update(1)

    def epoch(self, number: int, of: int, measures: dict[str, float]) -> None:
        """Show the numbers of the epoch just ended."""
        keys = [key for key in ("loss", "accuracy", "mean_average_precision") if key in measures]
        words = f"epoch {number}/{of}, " + ", ".join(f"{key} {measures[key]:.3f}" for key in keys)
        if self._bar is not None:
            self._bar.set_postfix_str(words)
        elif self._lines:
            print(f"{self._label}: {words}" if self._label else words, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class Files:
    """`metrics.csv` with a row an epoch, and `mixed-0001.png` and so on, in one folder, made if need be."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Add a row; rows of this step and of later ones, left by a run that was broken off, go."""
        path, rows = self.folder / "metrics.csv", list[dict[str, Any]]()
        if path.exists():
            with open(path, newline="") as file:
                rows = [row for row in csv.DictReader(file) if float(row["epoch"]) < step]
        rows.append(metrics)
        text = io.StringIO()
        table = csv.DictWriter(
            text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n"
        )
        table.writeheader()
        table.writerows(rows)
        write_whole(path, lambda file: file.write(text.getvalue().encode()))

    def add_image(self, name: str, grid: Tensor, global_step: int) -> None:
        pixels = (grid.clamp(0, 1) * 255).round().to(torch.uint8)
        values = array(pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0), "writing pictures")
        picture = need("PIL.Image", "writing pictures").fromarray(values)
        picture.save(self.folder / f"{name}-{global_step:04d}.png")


def as_loggers(log: Any) -> list[Any]:
    """A folder, a logger or several of either, as a list of loggers."""
    several = log if isinstance(log, (list, tuple)) else [] if log is None else [log]
    return [Files(one) if isinstance(one, (str, os.PathLike)) else one for one in several]


def log_picture(logger: Any, name: str, grid: Tensor, step: int) -> None:
    """Give a picture (C, H, W) in [0, 1] to a logger of Lightning's, if it takes pictures, or to `Files`."""
    add_image = getattr(getattr(logger, "experiment", logger), "add_image", None)
    if callable(add_image):
        add_image(name, grid, global_step=step)
    elif hasattr(logger, "log_image"):
        logger.log_image(name, [array(grid.permute(1, 2, 0), "a log")], step=step)


def image_grid(
    images: Tensor, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> Tensor:
    """The first 64 images of a batch, eight in a row, on the CPU.

    Args:
        images: (B, C, H, W), normalised by `mean` and `std`; without these they are stretched to [0, 1].
        mean, std: one number a channel.

    >>> image_grid(torch.rand(9, 3, 8, 8)).shape
    torch.Size([3, 16, 64])
    """
    shown = images[:64].detach().float().cpu()
    if mean and std:
        shown = shown * torch.tensor(std).view(-1, 1, 1) + torch.tensor(mean).view(-1, 1, 1)
    else:
        low, high = shown.amin(), shown.amax()
        shown = (shown - low) / (high - low).clamp_min(1e-12)
    return tiled(shown[:, : 3 if shown.shape[1] >= 3 else 1].clamp(0, 1), min(8, len(shown)))


def tiled(images: Tensor, columns: int) -> Tensor:
    """Images (N, C, H, W) row by row in one picture (C, rows · H, columns · W)."""
    rows = -(-len(images) // columns)
    grid = images.new_ones((rows * columns, *images.shape[1:]))
    grid[: len(images)] = images
    grid = grid.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4)  # (C, rows, H, columns, W)
    return grid.flatten(3).flatten(1, 2)
