"""The benchmarks run, and the memory that Mixup takes is that of its result alone."""

import subprocess
import sys

import torch

from benchmarks import automix, mixing


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


def test_help_says_what_the_limit_is():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.mixing", "--help"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and "copy limit" in done.stdout


def test_automix_is_compared_with_plain_training():
    found = automix.compare(8, 4, 8, 2, torch.device("cpu"))
    assert list(found) == ["plain", "automix as published", "automix"]
    assert found["plain"] == [1.0, 1.0, 1.0], "ratios to itself"
    for *ratios, memory in (found["automix"], found["automix as published"]):
        assert min(ratios) > 0 and memory > 1
