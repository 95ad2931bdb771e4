"""What `fit` logs: numbers, and images as they were mixed."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import pytest
import torch

import mixlearn as ml
from mixlearn.methods.learners import Mixing
from mixlearn.train.logs import Files, TensorBoard, image_grid
from tests.lab.quick_fit import quick, small_net
from tests.lab.sets import Blobs


def test_logs_hold_numbers_and_mixed_images(tmp_path: Path) -> None:
    data, folder = Blobs(64), tmp_path / "log"
    history = quick(
        small_net(), data, Mixing(partial(ml.mixup, lam=0.5), 4), log=[Files(folder), TensorBoard(folder)]
    )
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["mixed_labels"]) for row in rows] == pytest.approx(
        [e["mixed_labels"] for e in history.epochs]
    )
    from PIL import Image

    picture = Image.open(folder / "mixed-0002.png")
    assert picture.size == (64, 16)
    assert any(path.name.startswith("events") for path in folder.iterdir())


def test_grid_undoes_the_normalisation() -> None:
    images = torch.full((3, 3, 2, 2), 0.5)
    grid = image_grid(images, mean=(0.1, 0.2, 0.3), std=(1.0, 0.5, 0.2), columns=2)
    assert grid.shape == (3, 4, 4)
    assert grid[:, 0, 0].tolist() == pytest.approx([0.6, 0.45, 0.4])
    assert grid[:, 3, 3].tolist() == [1, 1, 1]
