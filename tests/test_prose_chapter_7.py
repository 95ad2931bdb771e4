"""What the text of chapter 7 says of its run records."""

from __future__ import annotations

from pathlib import Path

import pytest

import mixlearn as ml
from mixlearn.train.records import Interval, Record

JUDGES = ("knn/k=20", "knn/k=1", "linear/accuracy", "tuned/accuracy")
FROZEN = JUDGES[:3]
PAGE = Path(__file__).resolve().parents[1] / "book" / "07_patchmix_results.ipynb"
LEARNED = ("simclr", "moco", "patchmix")


def record(data: str, way: str) -> Record:
    return ml.runs.load(f"contrast-{data}-{way}")


def gain(data: str, way: str, base: str, judge: str = "knn/k=20") -> Interval:
    return record(data, way).gain(record(data, base), judge)


def test_networks_on_fashion() -> None:
    ways = (*LEARNED, "labels")
    at = [record("fashion", way).measured("knn/k=20").percent(1) for way in ways]
    assert at == ["79.0 ± 1.3", "78.0 ± 2.2", "76.5 ± 3.2", "83.8 ± 0.3"]
    assert record("emoji", "simclr").measured("knn/k=20").percent(1) == "28.3 ± 7.0"
    assert record("fashion", "vit-patchmix").measured("knn/k=20").percent(1).startswith("74.0")


@pytest.mark.parametrize("judge", FROZEN)
def test_raw_pixels_beat_every_contrastive_network_on_fashion(judge: str) -> None:
    pixels = record("fashion", "pixels").measured(judge).mean
    for way in (*LEARNED, "vit-moco", "vit-patchmix"):
        assert record("fashion", way).measured(judge).mean < pixels
    if judge == "knn/k=20":
        assert round(100 * pixels, 1) == 82.0


def test_raw_pixels_on_emoji_lead_by_neighbours_and_lose_under_the_probe() -> None:
    pixels = record("emoji", "pixels")
    for way in LEARNED:
        assert record("emoji", way).measured("knn/k=20").mean < pixels.measured("knn/k=20").mean
        probe = "linear/accuracy"
        for network in (way, "scratch"):
            assert record("emoji", network).measured(probe).mean > pixels.measured(probe).mean


def test_raw_pixels_fail_on_garments_off_centre() -> None:
    for way, percent in (("pixels", 56.5), ("scratch", 44.6)):
        assert round(100 * record("garments", way).measured("knn/k=20").mean, 1) == percent
    simclr = record("garments", "simclr")
    assert f"{100 * simclr.measured('knn/k=20').mean:.1f} %" == "69.0 %" and simclr.seeds == (0,)


@pytest.mark.parametrize(
    ("data", "way", "base", "judge", "text"),
    [
        ("fashion", "simclr", "scratch", "knn/k=20", "16.2 ± 9.7"),
        ("fashion", "moco", "scratch", "knn/k=20", "15.2 ± 11.3"),
        ("fashion", "patchmix", "scratch", "knn/k=20", "13.7 ± 6.5"),
        ("fashion", "labels", "patchmix", "knn/k=20", "7.3 ± 3.2"),
        ("emoji", "labels", "patchmix", "knn/k=20", "17.1 ± 1.5"),
        ("fashion", "patchmix", "moco", "knn/k=20", "−1.5 ± 5.1"),
        ("emoji", "patchmix", "moco", "knn/k=20", "0.6 ± 5.7"),
        ("fashion", "patchmix", "simclr", "linear/accuracy", "−2.8 ± 1.4"),
        ("emoji", "patchmix", "simclr", "tuned/accuracy", "−3.4 ± 2.4"),
        ("fashion", "patchmix", "scratch", "tuned/accuracy", "0.6 ± 1.3"),
        ("emoji", "simclr", "scratch", "tuned/accuracy", "2.7 ± 1.6"),
        ("emoji", "patchmix", "scratch", "tuned/accuracy", "−0.7 ± 2.0"),
        ("fashion", "vit-patchmix", "vit-scratch", "knn/k=20", "21.5 ± 5.6"),
        ("fashion", "vit-moco", "vit-scratch", "knn/k=20", "20.7 ± 3.6"),
        ("fashion", "vit-patchmix", "vit-scratch", "tuned/accuracy", "2.5 ± 1.1"),
        ("fashion", "vit-moco", "vit-scratch", "tuned/accuracy", "2.2 ± 1.8"),
        ("fashion", "vit-patchmix", "vit-moco", "knn/k=20", "0.8 ± 2.0"),
        ("emoji", "vit-patchmix", "vit-moco", "knn/k=20", "0.4 ± 4.2"),
        ("fashion", "mixco", "patchmix", "linear/accuracy", "1.4 ± 2.4"),
        ("fashion", "patchmix-alone", "patchmix", "linear/accuracy", "0.8 ± 0.6"),
        ("fashion", "patchmix-alone", "patchmix", "knn/k=20", "0.5 ± 2.5"),
        ("fashion", "simsiam", "patchmix", "linear/accuracy", "−1.8 ± 0.9"),
    ],
)
def test_difference(data: str, way: str, base: str, judge: str, text: str) -> None:
    assert gain(data, way, base, judge).percent(1) == text
    assert text.removeprefix("−") in PAGE.read_text(encoding="utf-8")


def test_patchmix_does_not_beat_its_baselines() -> None:
    significant = []
    for data in ("fashion", "emoji"):
        for judge in JUDGES:
            assert not gain(data, "patchmix", "moco", judge).clear
            beside = gain(data, "patchmix", "simclr", judge)
            assert beside.mean < 0
            significant += [(data, judge)] * beside.clear
            if judge != "tuned/accuracy":
                assert gain(data, "simclr", "scratch", judge).mean > 0
            assert not gain(data, "vit-patchmix", "vit-moco", judge).clear
    assert significant == [("fashion", "linear/accuracy"), ("emoji", "tuned/accuracy")]


@pytest.mark.parametrize("judge", ["knn/k=20", "linear/accuracy"])
@pytest.mark.parametrize(
    "part", [*(f"no-{loss}" for loss in ("origin", "mix-to-origin", "mix-to-mix")), "three", "four"]
)
def test_no_single_part_matters_measurably(part: str, judge: str) -> None:
    assert not gain("fashion", f"patchmix-{part}", "patchmix", judge).clear


def test_cost_in_the_text() -> None:
    """Forward passes, a backward pass counted as two: of PatchMix, MoCo v3 and SimCLR."""
    labels, simclr, moco, patchmix = (3 * asked + kept for asked, kept in ((1, 0), (2, 0), (2, 2), (2, 3)))
    assert (labels, simclr, moco, patchmix) == (3, 6, 8, 9) and simclr / patchmix == 2 / 3
