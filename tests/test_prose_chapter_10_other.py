"""Chapter 10: what the page of other data says of its cells, its methods and its exercises holds."""

from __future__ import annotations

import re
from functools import partial
from statistics import mean
from typing import Any

import pytest
import torch
from torch import Tensor

import mixlearn as ml
from mixlearn.train.records import Interval, interval
from tests.prose import BOOK, cells, held, prose, run

PAGE, WHICH = prose("10_other"), (BOOK / "which.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def other() -> dict[str, Any]:
    return run("10_other")


def against_plain(other: dict[str, Any], noise: float, way: str) -> Interval:
    found = other["found"]
    return interval([a - b for a, b in zip(found[noise, way], found[noise, "plain"], strict=True)])


def test_errors_of_the_curve_are_those_of_the_text(other: dict[str, Any]) -> None:
    keys = [(noise, way) for noise in (0.0, 0.3) for way in ("Mixup", "C-Mixup")]
    gains = {key: against_plain(other, *key) for key in keys}
    told = {key: f"{abs(gain.mean):.3f} ± {gain.half:.3f}" for key, gain in gains.items()}
    assert held(f"Without noise it raised the error by {told[0.0, 'Mixup']}", PAGE)
    assert held(f"With noise the change, −{told[0.3, 'Mixup']}, is not significant", PAGE)
    both = f"C-Mixup lowered it both times, by {told[0.0, 'C-Mixup']} and by {told[0.3, 'C-Mixup']}"
    assert held(both, PAGE)
    assert gains[0.0, "Mixup"].mean > 0 > gains[0.3, "Mixup"].mean
    assert all(gains[noise, "C-Mixup"].mean + gains[noise, "C-Mixup"].half < 0 for noise in (0.0, 0.3))
    assert not any(gains[noise, "Mixup"].mean + gains[noise, "Mixup"].half < 0 for noise in (0.0, 0.3))
    assert "only C-Mixup beat plain training" in PAGE and "plain training; Mixup did not" in WHICH


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_other_bandwidths_beat_plain_training_too(other: dict[str, Any], noise: float) -> None:
    assert "among 0.1, 0.3 and 1, and all three beat plain training" in PAGE
    for bandwidth in (0.1, 1.0):
        mix = partial(mixed, bandwidth=bandwidth, **other["draw"])
        pairs = zip(other["errors"](mix, noise), other["found"][noise, "plain"], strict=True)
        gain = interval([mine - plain for mine, plain in pairs])
        assert gain.mean + gain.half < 0


def mixed(x: Tensor, y: Tensor, generator: torch.Generator, **draw: Any) -> tuple[Tensor, Tensor]:
    images, targets, _ = ml.cmixup(x, y, generator=generator, **draw)
    assert targets is not None
    return images, targets


def test_the_curve_bends_away_from_mixtures_of_far_targets(other: dict[str, Any]) -> None:
    apart = {
        name: float((target - (other["curve"](at) - other["shift"]) / other["scale"]).mean())
        for name, (at, target) in other["mixed"].items()
    }
    assert abs(apart["plain"]) < 1e-5 and apart["Mixup"] > 10 * apart["C-Mixup"] > 0, "above a convex curve"


def test_between_class_learning_keeps_pressure_and_energy(other: dict[str, Any]) -> None:
    """The formula of the authors' code, with levels in decibels, on sounds that have nothing in common."""
    g = torch.Generator().manual_seed(0)
    waves = torch.randn(2, 50_000, generator=g) * torch.tensor([[3.0], [0.2]])
    level = [20 * float(other["amplitude"](wave).log10()) for wave in waves]
    for r in (0.2, 0.5, 0.9):
        mixture, p = other["between"](*waves, r)
        assert abs(float(p) - 1 / (1 + 10 ** ((level[0] - level[1]) / 20) * (1 - r) / r)) < 1e-5
        shares = zip(waves, (p, 1 - p), strict=True)
        parts = [float(other["amplitude"](wave)) * share for wave, share in shares]
        assert abs(parts[0] / sum(parts) - r) < 1e-5
        energy = (parts[0] ** 2 + parts[1] ** 2) / float(p**2 + (1 - p) ** 2)
        assert abs(float(mixture.square().mean()) / energy - 1) < 0.05
    assert float(other["drowned"]) < 0.05, "a shout drowns a whisper"


def test_ids_of_words_average_to_what_the_figure_shows(other: dict[str, Any]) -> None:
    names = other["names"]
    assert sorted(names) == names
    ids = [[names.index(word) + 1 for word in said.split()] for said in ("great plot", "awful acting")]
    assert [names[int(mean(pair)) - 1] for pair in zip(*ids, strict=True)] == ["cheese", "fish"]
    assert all(sum(pair) % 2 == 0 for pair in zip(*ids, strict=True)), "nothing is rounded"


def test_a_short_sentence_counts_less_after_pooling(other: dict[str, Any]) -> None:
    n = other["real"].sum((1, 2))
    assert n.tolist() == [5, 2] and "two sevenths rather than a half" in PAGE
    by_length = 0.5 * n / (0.5 * n.sum())
    assert torch.isclose(by_length[1], torch.tensor(2 / 7))


def test_matched_points_make_a_shape(other: dict[str, Any]) -> None:
    ring, cross, halves = other["ring"], other["cross"], other["halves"]
    rows = (ring + cross) / 2

    def straight(cloud: torch.Tensor) -> float:
        """The mean distance of matched points: PointMixup's path is the shortest."""
        return float((ring - cloud).norm(dim=1).mean())

    assert straight(other["other"]) < straight(cross)
    assert abs(2 * straight(halves) - straight(other["other"])) < 1e-5
    nearest = [float(torch.cdist(c, c).fill_diagonal_(9).min(1).values.mean()) for c in (rows, halves)]
    assert nearest[1] < 0.7 * nearest[0], "an outline, not a heap"
    assert float(other["exchanged"][other["part"]].eq(other["other"][other["part"]]).float().mean()) == 1


def test_clips_are_cut_by_one_tube(other: dict[str, Any]) -> None:
    assert len(other["boxes"][:16].unique(dim=0)) > 8 and other["clips"].shape[2] == 16
    white = torch.stack([torch.zeros(1, 8, 8, 8), torch.ones(1, 8, 8, 8)])
    mixed = ml.cutmix(white, partner=[1, 0], generator=torch.Generator().manual_seed(1))
    assert torch.allclose(1 - mixed.images[0].mean(), mixed.plan.lam[0]), "λ by volume"


def test_published_numbers_of_sounds_are_those_of_the_table() -> None:
    table = {"plain": 25.6, "mixed": 18.2, "people": 18.7}  # ESC-50, the README of the authors' code
    for value in table.values():
        assert f"{value} %" in PAGE
    assert table["mixed"] < table["people"] < table["plain"]


def test_exercises_are_solved() -> None:
    asked = re.findall(r":label: (ex-\S+)", PAGE)
    solved = re.findall(r":::\{solution\} (ex-other\S+)", prose("solutions/10_beyond"))
    assert asked == solved and len(asked) == 3
    assert all(f"({label})=" in PAGE for label in re.findall(r"\]\(#(sec-other-\w+)\)", PAGE))
    assert len(PAGE.split()) <= 1900 and len(cells("10_other", "code")) > 10
