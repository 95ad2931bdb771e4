"""The benchmarks run, and the memory that Mixup takes is that of its result alone."""

import sys

import pytest
import torch

from benchmarks import automix, mixing, mixskd, patches, steps


def test_every_candidate_is_measured():
    rows = {row["call"]: row for row in mixing.measure((16, 3, 48, 64), torch.device("cpu"), rounds=2)}
    assert {"mixlearn mixup", "torchvision v2.MixUp", "timm Mixup *", "kornia RandomMixUpV2"} <= set(rows)
    assert all(row["milliseconds"] > 0 and row["over limit"] > 0 for row in rows.values())
    assert {"mixlearn cutmix", "torchvision v2.CutMix", "timm CutMix *", "kornia RandomCutMixV2"} <= set(rows)
    name, _ = mixing.fastest_peer(list(rows.values()), "mixlearn cutmix")
    assert "CutMix" in name
    name, ratio = mixing.fastest_peer(list(rows.values()))
    assert name.split()[0] in ("torchvision", "kornia") and ratio > 0
    # memory does not depend on the machine: nothing as large as the batch is made beside the result
    assert 1.0 <= rows["mixlearn mixup"]["peak over result"] < 1.1
    assert 1.0 <= rows["mixlearn cutmix"]["peak over result"] < 1.1
    assert 1.0 <= rows["mixlearn cutmix, per image"]["peak over result"] < 2.2
    assert rows["the formula, λ x + (1 − λ) x[partner]"]["peak over result"] > 2


def test_candidates_leave_the_images_alone():
    images, labels = torch.rand(8, 3, 16, 16), torch.arange(8)
    before = images.clone()
    for call in mixing.candidates(images, labels).values():
        call()
    assert torch.equal(images, before)


def test_help_says_what_the_limit_is(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mixing", "--help"])
    with pytest.raises(SystemExit, match="0"):
        mixing.main()
    assert "copy limit" in capsys.readouterr().out


@pytest.mark.parametrize("builds", [automix.BUILDS, mixskd.BUILDS], ids=["automix", "mixskd"])
def test_steps_are_compared_with_plain_training(builds):
    cpu = torch.device("cpu")
    made = {kind: steps.step_of(build, 8, 4, 8, cpu) for kind, build in builds.items()}
    found = steps.compare(made, 2, cpu)
    assert list(found) == list(builds) and next(iter(found)) == "plain"
    assert found["plain"] == [1.0, 1.0, 1.0], "ratios to itself"
    for *ratios, memory in (found[list(builds)[-1]], found[list(builds)[-2]]):
        assert min(ratios) > 0 and memory > 1


def test_a_report_names_every_candidate(capsys):
    steps.report("about", automix.BUILDS, ["--depth", "8", "--width", "4", "--batch", "8", "--rounds", "1"])
    printed = capsys.readouterr().out
    assert all(f"  {kind} " in printed for kind in automix.BUILDS) and "ResNet-8, width 4" in printed


def test_patchmix_is_compared_with_its_five_steps(capsys, monkeypatch):
    monkeypatch.setattr(patches, "CASES", (((4, 3, 8, 8), 2, 2),))
    patches.main(["--rounds", "1", "--threads", "1"])
    printed = capsys.readouterr().out
    assert "cpu, (4, 3, 8, 8), patches of 2, 2 parts: patchmix over copy" in printed
    found = patches.compare((4, 3, 8, 8), 2, 2, 2, torch.device("cpu"))
    assert all(value > 0 for value in found.values())
