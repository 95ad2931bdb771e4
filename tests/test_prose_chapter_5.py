"""Chapter 5's prose holds what the records hold: each number of a sentence, and each comparison it makes."""

from __future__ import annotations

import pytest
import torch

import mixlearn as ml
from mixlearn.page.film import film_facts, recorded_block
from mixlearn.page.studio_net import PAIRS
from mixlearn.train.records import Interval, Record, interval
from tests.prose import prose

HAND_MADE = ("mixup", "cutmix", "puzzlemix")


RESULTS, DETAILS = prose("05_automix_results"), prose("05_automix_details")


def fashion(way: str) -> Record:
    return ml.runs.load(f"automix-fashion-{way}")


def emoji(way: str) -> Record:
    return ml.runs.load(f"automix-emoji-{way}")


def words(gain: Interval, digits: int = 1, scale: float = 100, *, sign: bool = True) -> str:
    """A difference as the page prints it, such as "+2.1 ± 0.8"."""
    mean = f"{scale * gain.mean:{'+' if sign else ''}.{digits}f}".replace("-", "−")
    return f"{mean} ± {scale * gain.half:.{digits}f}"


def said(
    gain: Interval, digits: int = 1, scale: float = 100, *, sign: bool = True, clear: bool = True
) -> None:
    assert words(gain, digits, scale, sign=sign) in RESULTS, words(gain, digits, scale, sign=sign)
    assert gain.clear == clear


def size(gain: Interval) -> Interval:
    return Interval(abs(gain.mean), gain.half, gain.n)


# ------------------------------------------------------------------------------------------ where masks pay
def test_masks_in_the_same_pipeline() -> None:
    def of_seeds(way: str) -> dict[int, float]:
        record = ml.runs.load(f"pilot-masks-n2000-e40-{way}")
        return dict(zip(record.seeds, record.values("test/accuracy"), strict=True))

    first = {way: f"{100 * of_seeds(way)[0]:.1f}" for way in ("true-masks", "cutmix", "mixup", "plain")}
    assert first == {"true-masks": "50.8", "cutmix": "47.3", "mixup": "45.7", "plain": "42.4"}
    assert all(f"{percent} %" in RESULTS for percent in first.values())
    strict, mixup = of_seeds("automix-strict"), of_seeds("mixup")
    assert sorted(strict) == [1, 2, 3]
    gain = interval([strict[seed] - mixup[seed] for seed in strict])
    assert f"gains {words(gain, sign=False)} points over Mixup" in RESULTS and not gain.clear


# ------------------------------------------------------------------------------------------ the judge
def judge(way: str, measure: str = "top 2") -> float:
    return ml.runs.load(f"judge-offcentre-{way}").measured(f"all/{measure}").mean


def test_judged_mixtures() -> None:
    percent = {way: round(100 * judge(way)) for way in ("true-masks", "cutmix", "mixup", "saliencymix")}
    assert percent == {"true-masks": 30, "cutmix": 11, "mixup": 15, "saliencymix": 12}
    assert round(100 * judge("puzzlemix")) == 21 and round(100 * judge("gridmix")) == 4
    assert round(100 * judge("automix")) == 16 and round(100 * judge("samix")) == 21
    assert judge("samix", "cost") < judge("puzzlemix", "cost") / 2
    assert len(ml.runs.load("judge-offcentre-automix").seeds) == 3
    names = [name for name in ml.runs.names() if name.startswith("judge-offcentre-")]
    worst = min(names, key=lambda name: ml.runs.load(name).measured("all/top 2").mean)
    assert worst == "judge-offcentre-gridmix"
    puzzle = ml.runs.load("judge-offcentre-puzzlemix")
    assert round(puzzle.measured("all/own").mean, 2) == 0.76
    assert round(puzzle.measured("all/partner").mean, 2) == 0.24


def test_what_true_labels_and_true_masks_bring() -> None:
    assert round(judge("cutmix", "kl") - judge("true-labels", "kl"), 2) == 0.06
    assert round(judge("cutmix", "kl") - judge("true-masks", "kl"), 2) == 0.34


# ------------------------------------------------------------------------------------------ accuracy
def test_fashion_accuracy() -> None:
    whole, plain, longer = fashion("automix"), fashion("plain"), fashion("plain-longer")
    said(whole.gain(plain), sign=False)
    said(fashion("cutmix").gain(plain), sign=False)
    said(size(whole.gain(fashion("cutmix"))), sign=False, clear=False)
    said(whole.gain(longer))
    said(fashion("samix").gain(whole))
    assert not fashion("cutmix-longer").gain(whole).clear


def test_emoji_accuracy() -> None:
    plain = emoji("plain")
    said(emoji("automix").gain(plain), clear=False)
    said(size(emoji("mixup").gain(plain)), sign=False)
    said(emoji("plain-longer").gain(plain), sign=False)
    said(emoji("cutmix-longer").gain(plain), sign=False)
    assert not any(
        emoji(way).gain(plain).clear and emoji(way).gain(plain).mean > 0
        for way in (*HAND_MADE, "automix", "samix")
    )


def test_sampling_errors() -> None:
    def error(p: float, n: int) -> float:
        return round(100 * (p * (1 - p) / n) ** 0.5, 1)

    assert len(ml.data.load("fashion").test) == 10_000 and len(ml.data.load("emoji").test) == 1_100
    assert error(fashion("automix").measured("accuracy").mean, 10_000) == 0.4
    assert error(emoji("automix").measured("accuracy").mean, 1_100) == 1.5
    assert round(error(fashion("automix").measured("attacked/pgd 2").mean, 500)) == 2
    assert error(judge("cutmix"), 2_000) == 0.7


# ------------------------------------------------------------------------------------------ confidence
def test_confidence() -> None:
    whole, other = fashion("automix"), fashion("cutmix")
    said(whole.gain(other, "ece"), sign=False)
    said(whole.gain(other, "nll"), 2, 1, sign=False)
    said(size(fashion("samix").gain(whole, "nll")), 2, 1, sign=False)
    whole = emoji("automix")
    for way in HAND_MADE:
        for measure in ("ece", "nll"):
            gain = whole.gain(emoji(way), measure)
            assert gain.clear and gain.mean > 0
    said(whole.gain(emoji("cutmix"), "ece"), sign=False)
    assert whole.gain(emoji("plain"), "ece").mean > 0


# ------------------------------------------------------------------------------------------ parts
PARTS = (
    "no-masks",
    "no-attention",
    "no-embedding",
    "no-mask-loss",
    "no-clean",
    "no-average",
    "joint",
    "stage3",
)
SMALL = ("alpha-1", "small-start", "batch-mean", "held-mask-loss")


@pytest.mark.parametrize("part", [*PARTS, *SMALL, "own-buffers"])
def test_no_part_changes_accuracy_by_more_than_the_interval(part: str) -> None:
    assert not fashion(part).gain(fashion("automix")).clear


def test_parts_under_attack() -> None:
    whole, attack = fashion("automix"), "attacked/fgsm 8"
    said(fashion("no-masks").gain(whole), clear=False)
    for part in ("no-clean", "no-embedding"):
        said(size(fashion(part).gain(whole, attack)), 0, sign=False)
    for part in ("joint", "stage3", "no-average"):
        gain = size(fashion(part).gain(whole, attack))
        assert f"by {words(gain, 0, sign=False)}" in RESULTS and gain.clear
    assert not fashion("no-clean").gain(fashion("mixup"), attack).clear
    said(whole.gain(fashion("no-masks"), "attacked/pgd 2"), sign=False)


def test_running_means() -> None:
    gain = fashion("own-buffers").gain(fashion("automix"), "ece")
    assert f"higher by {words(gain, sign=False)} points" in DETAILS and gain.clear


# ------------------------------------------------------------------------------------------ robustness
def test_corruptions_and_attacks() -> None:
    whole = fashion("automix")
    said(whole.gain(fashion("cutmix"), "corrupted/accuracy"))
    said(fashion("mixup").gain(whole, "corrupted/accuracy"), clear=False)
    said(whole.gain(fashion("plain"), "attacked/pgd 2"), sign=False)
    said(fashion("cutmix").gain(whole, "attacked/pgd 2"), sign=False)
    for way in (*HAND_MADE, "automix", "samix"):
        assert not emoji(way).gain(emoji("plain"), "corrupted/accuracy").clear


# ------------------------------------------------------------------------------------------ where it looks
def test_a_box_in_the_middle_beats_every_network() -> None:
    scenes = ml.data.load("emoji").test
    middle = torch.zeros(1, 1, 32, 32)
    middle[..., 4:28, 4:28] = 1
    boxed = middle.expand(len(scenes), -1, -1, -1)
    found = ml.measure.localization(boxed, scenes.boxes, overlap=0.5, thresholds=[0.5])
    assert round(100 * found.best) == 88
    names = [name for name in ml.runs.names() if name.startswith("automix-emoji-")]
    shares = [100 * ml.runs.load(name).measured("located concepts/best").mean for name in names]
    assert min(shares) > 75 and max(shares) < 80


def test_detectors() -> None:
    start = {way: ml.runs.load(f"transfer-emoji-{way}") for way in ("plain", "mixup", "cutmix", "automix")}
    tuned, frozen = "detected tuned/map50", "detected frozen/map50"
    said(start["automix"].gain(start["plain"], tuned))
    said(start["cutmix"].gain(start["plain"], frozen))
    for measure in (tuned, frozen):
        gains = {way: start[way].gain(start["plain"], measure) for way in ("mixup", "cutmix", "automix")}
        assert all(gain.mean > 0 for gain in gains.values())
        assert {way for way, gain in gains.items() if gain.clear} == {
            "automix" if measure == tuned else "cutmix"
        }
        for one, two in (("automix", "mixup"), ("automix", "cutmix"), ("mixup", "cutmix")):
            assert not start[one].gain(start[two], measure).clear


# ------------------------------------------------------------------------------------------ the film
def test_the_film_loses_to_the_default_cut_in_four_of_five_pairs() -> None:
    films = [ml.widgets.mask_film(0.6, pairs=[pair]) for pair in PAIRS]
    assert sum(film.block_score < film.score for film in films) == 4 and len(films) == 5


def test_the_early_block_shows_the_partner_at_every_share() -> None:
    designers, generator = ml.data.load("emoji").tests["designers"], torch.Generator().manual_seed(0)
    pictures, _ = designers.batch(torch.randperm(len(designers), generator=generator)[:400])
    others = torch.arange(400).roll(1)
    early, late = (recorded_block(epoch) for epoch in (2, film_facts().epochs[-1]))
    for share, mean in ((0.3, 0.24), (0.5, 0.49), (0.7, 0.74)):
        assert abs(float(early(pictures, share, others).mean()) - 0.24) < 0.015
        assert abs(float(late(pictures, share, others).mean()) - mean) < 0.01
