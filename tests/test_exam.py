"""The exam: each number of its answers is computed again."""

from __future__ import annotations

import re

import pytest
import torch
from torch.nn import functional as F

import mixlearn as ml
from mixlearn.methods.distill import distillation
from mixlearn.train.records import Interval, Record, interval
from tests.prose import BOOK, words

EXAM = (BOOK / "exam.md").read_text(encoding="utf-8")
ANSWERS = dict(
    re.findall(
        r"^\*\*(\d+)\.\*\* (.*?)(?=^\*\*\d|\Z)",
        (BOOK / "solutions/exam.md").read_text(encoding="utf-8"),
        re.M | re.S,
    )
)


def holds(question: int, *numbers: str) -> None:
    """The answer to a question has these numbers."""
    for number in numbers:
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", ANSWERS[str(question)]), number


def buggy_cutmix() -> dict[str, object]:
    """What question 3's code defines."""
    space: dict[str, object] = {"torch": torch}
    exec(next(code for code in re.findall(r"```python\n(.*?)```", EXAM, re.S) if "def cutmix" in code), space)
    return space


def test_ten_questions_have_an_answer_each_and_no_link_to_them() -> None:
    asked = re.findall(r"^\*\*(\d+)\. ", EXAM, re.M)
    assert asked == list(ANSWERS) == [str(k) for k in range(1, 11)]
    assert "solutions" not in EXAM and len(EXAM.split()) <= 900
    for text, answer in zip(re.split(r"^\*\*\d+\. ", EXAM, flags=re.M)[1:], ANSWERS.values(), strict=True):
        asked = re.findall(r"^\(([a-d])\) ", text, re.M)  # a part a line, and each has its answer
        assert asked == list("abcd"[: len(asked)]) and all(f"({one}) " in answer for one in asked)


def test_1_clipping() -> None:
    centre = (torch.arange(100_000) + 0.5) / 100_000
    side = ((centre + 0.25).clamp(max=1) - (centre - 0.25).clamp(min=0)).mean().item()
    assert side == pytest.approx(7 / 16, abs=1e-5)
    holds(1, f"{1 - side**2:.3f}", "0.75")


def test_2_accuracy_of_a_perfect_network() -> None:
    g = torch.Generator().manual_seed(0)
    lam, own = torch.rand(400_000, generator=g), torch.rand(400_000, generator=g) < 0.1
    shown = torch.where(own, 1.0, torch.maximum(lam, 1 - lam)).mean().item()
    alone = (own | (lam > 0.5)).float().mean().item()
    assert shown == pytest.approx(0.775, abs=2e-3) and alone == pytest.approx(0.55, abs=3e-3)
    holds(2, "0.775", "0.55")


def test_3_cutmix_that_pastes_nothing() -> None:
    images, rows, partner, box = torch.rand(2, 3, 4, 8), torch.eye(2), torch.tensor([1, 0]), (4, 0, 8, 2)
    mixed, targets = buggy_cutmix()["cutmix"](images, rows, box, partner, 0.6)  # type: ignore[operator]
    assert torch.equal(mixed, images) and targets[0].tolist() == pytest.approx([0.6, 0.4])
    share = ml.cutmix(images, rows, boxes=torch.tensor([box]), partner=partner).plan.lam[0].item()
    holds(3, f"{share:.2f}")


def test_4_two_losses() -> None:
    losses = torch.tensor([[1.0, 3.0], [3.0, 1.0]])
    for lam, right in (([0.9, 0.1], "1.2"), ([0.1, 0.9], "2.8")):
        weights = torch.stack([torch.tensor(lam), 1 - torch.tensor(lam)], 1)
        holds(4, right, f"{(weights * losses.mean(0)).sum(1).mean():.1f}")
        assert f"{(weights * losses).sum(1).mean():.1f}" == right


def test_5_table() -> None:
    def run(way: str) -> Record:
        return ml.runs.load(f"automix-fashion-{way}")

    significant = 0
    for name, way in (("no mixing", "plain"), ("Mixup", "mixup"), ("CutMix", "cutmix")):
        gains: list[Interval] = [
            run("automix").gain(run(way), measure) for measure in ("accuracy", "ece", "corrupted/accuracy")
        ]
        row = " | ".join(
            words(gain, sign=True).replace("+0.0", "0.0").replace("−0.0", "0.0") for gain in gains
        )
        assert f"| {name} | {row} |" in EXAM, row
        significant += sum(gain.clear for gain in gains)
    assert significant == 4
    holds(5, f"{9 * 0.05:.2f}", f"{1 - 0.95**9:.2f}")


def test_6_intervals() -> None:
    for seeds in (3, 5, 10):
        pattern = torch.linspace(-1, 1, seeds, dtype=torch.float64)
        half = interval((pattern / pattern.std()).tolist()).half
        holds(6, f"{half:.2f}")
        assert f"{half * seeds**0.5:.3f}" in EXAM


def test_7_gap() -> None:
    sure, right = 70, 76
    holds(7, str(abs(sure - right)), str(abs(62 - right)))


def test_8_targets() -> None:
    shares = F.one_hot(torch.stack([torch.arange(4), (torch.arange(4) + 1) % 4]), 4).double().mean(0)
    common = shares @ shares.T
    assert shares[0].tolist() == [0.5, 0.5, 0, 0] and common[0].tolist() == [0.5, 0.25, 0, 0.25]
    holds(8, *(f"{torch.special.entr(one[0]).sum():.3f}" for one in (shares, common)))


def test_9_two_teachers() -> None:
    slopes = []
    for temperature in (1.0, 4.0):
        z, teacher = torch.zeros(1, 2, requires_grad=True), torch.tensor([[1.0, 0.0]])
        loss = distillation(z, teacher, temperature=temperature, scaled=False)
        slopes.append(torch.autograd.grad(loss, z)[0][0, 0].item())
    holds(9, f"{-slopes[0]:.3f}", f"{-slopes[1]:.4f}", f"{slopes[0] / slopes[1]:.1f}")
    holds(9, *(f"{(teacher[0] / T).softmax(0)[0]:.4f}" for T in (1, 4)))
    after = before = network = 0.0
    for weight in (1.0, 2.0):
        before = 0.9 * before + 0.1 * network
        network = weight
        after = 0.9 * after + 0.1 * network
    holds(9, f"{after:.2f}", f"{before:.1f}")


def test_10_excess() -> None:
    means = torch.tensor([0.55, 0.9, 0.1])
    wrong = ((means.mean() - 0.5).abs() - 0.1).clamp(min=0)
    right = ((means - 0.5).abs() - 0.1).clamp(min=0).mean()
    assert wrong == 0
    holds(10, f"{means.mean():.3f}", f"{right:.1f}")
