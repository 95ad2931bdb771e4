"""Runs give the same numbers as ever, and no public name or keyword has gone."""

from __future__ import annotations

import json
from typing import Any

import pytest

import mixlearn as ml
from tests.golden import names, runs

KEPT = json.loads(runs.FILE.read_text(encoding="utf-8"))


def terms(run: dict[str, Any]) -> dict[str, float]:
    """Each term of each epoch, such as "1/loss"."""
    return {f"{row['epoch']}/{key}": value for row in run["epochs"] for key, value in row.items()}


@pytest.mark.parametrize("name", ["automix-fashion-automix", "contrast-fashion-patchmix"])
def test_a_run_gives_the_same_numbers_as_ever(name: str) -> None:
    """Bit for bit on the same kind of machine. Elsewhere sums are rounded otherwise, and ten steps make
    2e-4 of a loss of that where torch may use no vector instructions at all."""
    found, kept = runs.golden(name), KEPT["runs"][name]
    if runs.machine() == KEPT["machine"]:
        assert found == kept
    assert terms(found) == pytest.approx(terms(kept), rel=1e-3, abs=1e-3)


def test_every_run_was_kept() -> None:
    assert tuple(KEPT["runs"]) == runs.RUNS
    for run in KEPT["runs"].values():
        assert [row["epoch"] for row in run["epochs"]] == [1, 2] and len(run["weights"]) == 64


def test_no_public_name_or_keyword_has_gone() -> None:
    kept, now = json.loads(names.FILE.read_text(encoding="utf-8")), names.public()
    assert set(ml.__all__) <= set(kept), "new names: run python -m tests.golden.names"
    gone = [name for name in kept if name not in now]
    gone += [f"{name}({key}=)" for name in kept if name in now for key in kept[name] if key not in now[name]]
    assert gone == []
