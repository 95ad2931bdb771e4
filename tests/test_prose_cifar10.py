"""The page of CIFAR-10 holds what its records hold."""

from __future__ import annotations

from typing import Any

import pytest

import mixlearn as ml
from experiments.chapters import cifar10
from tests.prose import gain, prose, run, words

PAGE = prose("09_cifar10")


def record(way: str) -> Any:
    return ml.runs.load(f"cifar10-{way}")


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    return run("09_cifar10")


def test_gains_of_mixup_and_cutmix(page: dict[str, Any]) -> None:
    plain = record("plain")
    gains = [gain(f"cifar10-{way}", "cifar10-plain", "accuracy") for way in ("cutmix", "mixup")]
    assert f"our network classifies {100 * plain.measured('accuracy').mean:.1f} % of" in PAGE
    assert f"CutMix adds {words(gains[0])} points, Mixup {words(gains[1])}, and" in PAGE
    errors = [100 * record(way).measured("ece").mean for way in ("plain", "cutmix", "mixup")]
    assert f"falls from {errors[0]:.0f} to below 5 %" in PAGE and max(errors[1:]) < 5
    assert min(errors[0] - error for error in errors[1:]) > 16 and "by 16 points or more" in PAGE
    losses = [record(way).measured("nll").mean for way in ("plain", "cutmix", "mixup")]
    assert f"the NLL from {losses[0]:.2f} to about 1.1" in PAGE
    assert all(abs(loss - 1.1) < 0.05 for loss in losses[1:])
    found = page["corrected"]
    told = [f"(p = {found[name]:.3f})" for name in ("CutMix", "Mixup")]
    assert f"by the declared test {told[0]}." in PAGE and f"once corrected {told[1]}." in PAGE
    assert found["CutMix"] < 0.05 < found["Mixup"]
    assert page["declared"] == len(cifar10.TWELVE) - 2 and len(page["RUNS"]) == 3
    assert "four are trained so far" in PAGE
    between = gain("cifar10-cutmix", "cifar10-mixup", "accuracy")
    assert f"CutMix − Mixup: {words(between, sign=True)} points" in PAGE and not between.clear


def test_the_single_run_of_automix() -> None:
    one, lead = record("automix"), gain("cifar10-automix", "cifar10-cutmix", "accuracy")
    assert len(one.runs) == 1 and f"best single run**: {100 * one.measured('accuracy').mean:.1f} %" in PAGE
    assert f"on the same seed {100 * lead.mean:.1f} points above CutMix" in PAGE
    best = max(value for way in ("plain", "mixup", "cutmix") for value in record(way).values("accuracy"))
    assert one.measured("accuracy").mean > best


def test_the_setting_was_chosen_on_another_seed_and_the_comparison_declared(page: dict[str, Any]) -> None:
    seeds = {seed for run in page["RUNS"].values() for seed in run.seeds} | {*record("plain").seeds}
    assert 0 not in seeds and "on seed 0" in PAGE
    assert "the primary comparison is CutMix with no mixing" in " ".join(str(cifar10.__doc__).split())
    assert len(cifar10.TWELVE) == 12
    pilot = {
        (cell, way): gain(f"pilot-cifar10-{cell}-{way}", f"pilot-cifar10-{cell}-plain", "accuracy")
        for cell in ("r8w16s-n2500-e60", "r18w16s-n2500-e100")
        for way in ("mixup", "cutmix")
    }
    small = [pilot["r8w16s-n2500-e60", way] for way in ("mixup", "cutmix")]
    assert f"With the ResNet-8 Mixup gained {words(small[0])} points and CutMix nothing." in PAGE
    assert small[0].clear and not small[1].clear
    chosen = pilot["r18w16s-n2500-e100", "cutmix"]
    assert f"CutMix gained {100 * chosen.mean:.1f} points on seed 0" in PAGE and chosen.n == 1
    losses = [run["epochs"][-1]["loss"] for run in record("plain").runs]
    assert min(losses) > 0.2 and "the loss stays well above zero" in PAGE


def test_settings_and_time() -> None:
    plain = record("plain")
    settings = plain.settings
    assert (settings["images"], settings["epochs"], settings["augment"]) == (2500, 100, "crop_and_flip")
    assert round(settings["parameters"], -5) == 700_000 and "network of 700,000 weights" in PAGE
    assert 3.5 < plain.seconds / len(plain.runs) / 60 < 4.6 and "about four minutes on one core" in PAGE
