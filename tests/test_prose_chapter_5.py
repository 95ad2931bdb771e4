"""Chapter 5's prose holds what the records hold: each number of a sentence, and each comparison it makes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import mixlearn as ml
from mixlearn.methods.learner import slow_down
from mixlearn.page import studio_net as weights
from mixlearn.page.film import film_facts, recorded_block
from mixlearn.page.host import ASSETS
from mixlearn.page.studio_net import PAIRS, mask_score, studio_net
from mixlearn.train.records import Interval, Record
from tests.prose import gain, prose

HAND_MADE = ("mixup", "cutmix", "puzzlemix")


METHOD, RESULTS, DETAILS = (
    prose(page).replace("\u00a0", " ") for page in ("05_automix", "05_automix_results", "05_automix_details")
)


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
    true, cut, strict = (
        gain(f"pilot-masks-n2000-e40-{way}", "pilot-masks-n2000-e40-mixup", "test/accuracy")
        for way in ("true-masks", "cutmix", "automix-strict")
    )
    assert not any(one.clear for one in (true, cut, strict))
    assert (true.n, cut.n, strict.n) == (4, 4, 3) and "Over four seeds" in RESULTS
    assert f"they gain {words(true, sign=False)} points over Mixup" in RESULTS
    told = f"ten times the mask loss gains {words(strict, sign=False)} there, over three of the seeds"
    assert told in RESULTS
    values = (
        ml.runs.load(f"pilot-masks-n2000-e40-{way}").values("test/accuracy")
        for way in ("true-masks", "mixup")
    )
    changes = [100 * (one - other) for one, other in zip(*values, strict=True)]
    assert f"one seed lost {-min(changes):.1f}, another gained {max(changes):.1f}" in RESULTS
    mixes = [
        ml.runs.load(f"pilot-masks-n2000-e40-{way}").settings["mix"]
        for way in ("mixup", "cutmix", "true-masks")
    ]
    assert all(mix.startswith("Piped(") for mix in mixes)  # "AutoMix's clean loss and twin stay"


# ------------------------------------------------------------------------------------------ the judge
def judge(way: str, measure: str = "top 2") -> float:
    return ml.runs.load(f"judge-offcentre-{way}").measured(f"all/{measure}").mean


def test_judged_mixtures() -> None:
    percent = [round(100 * judge(way)) for way in ("puzzlemix", "samix")]
    assert percent[0] == percent[1] and "does about as well" in RESULTS
    shown = [judge(way) for way in ("true-masks", "puzzlemix", "samix", "automix", "mixup", "cutmix")]
    assert shown == sorted(shown, reverse=True)  # the rows of the figure
    names = [name for name in ml.runs.names() if name.startswith("judge-offcentre-")]
    judges = {one for name in names for one in ml.runs.load(name).values("judge/accuracy")}
    assert len(judges) == 1  # seeds of a judge that was trained again are not comparable


def test_which_masks_find_the_garments() -> None:
    def apart(way: str) -> float:
        return judge(way, "own") - judge(way, "partner")

    found = [
        apart(way) for way in ("true-masks", "puzzlemix", "samix", "attentivemix", "automix", "saliencymix")
    ]
    assert found == sorted(found, reverse=True) and apart("samix") > 0.4
    assert all(abs(apart(way)) < 0.1 for way in ("automix", "saliencymix", "cutmix", "fmix"))


def test_learned_masks_against_a_flat_one() -> None:
    """As on the page of verdicts."""
    flat, changes = "judge-offcentre-mixup", {}
    for way in ("automix", "samix"):
        of = f"judge-offcentre-{way}"
        top, changes[way] = (gain(of, flat, f"all/{one}") for one in ("top 2", "kl"))
        told = "finds both classes in {}{} points more of the mixtures{}"
        told = told.format(
            *("only ", words(top, sign=False), "")
            if way == "automix"
            else ("", words(top, sign=False), " than with Mixup")
        )
        assert top.clear and told in RESULTS
    assert changes["automix"].clear and changes["automix"].mean > 0 and not changes["samix"].clear
    assert f"further from the label, by {words(changes['automix'], 2, 1, sign=False)} nats" in RESULTS


# ------------------------------------------------------------------------------------------ accuracy
def test_fashion_accuracy() -> None:
    whole, plain, longer = fashion("automix"), fashion("plain"), fashion("plain-longer")
    bought, cut = whole.gain(plain), fashion("cutmix").gain(plain)
    said(bought, sign=False)
    assert cut.clear and f"{100 * cut.mean:.1f}" == f"{100 * bought.mean:.1f}"  # "as much for a third"
    even = size(whole.gain(fashion("cutmix")))
    assert not even.clear and f"AutoMix and CutMix differ by {words(even, sign=False)} points" in RESULTS
    ahead = whole.gain(longer)
    assert ahead.clear and f"AutoMix stays {words(ahead, sign=False)} points ahead" in RESULTS
    samix = fashion("samix").gain(whole)  # "just significant"
    assert f"SAMix is {words(samix, sign=False)} points better than AutoMix" in RESULTS
    assert samix.clear and samix.mean - samix.half < 0.001
    assert not fashion("cutmix-longer").gain(whole).clear
    sizes = [
        len(ml.data.load(data).test) if data == "fashion" else len(ml.data.load(data).tests["concepts"])
        for data in ("fashion", "emoji")
    ]
    rates = (one("plain").measured("accuracy").mean for one in (fashion, emoji))
    errors = [100 * (p * (1 - p) / n) ** 0.5 for p, n in zip(rates, sizes, strict=True)]
    assert "{:.1f} points on Fashion-MNIST and {:.1f} on the {:,} images".format(*errors, sizes[1]) in RESULTS


def test_emoji_accuracy() -> None:
    plain = emoji("plain")
    said(emoji("automix").gain(plain), sign=False, clear=False)
    epochs = emoji("cutmix-longer").gain(emoji("cutmix"))
    assert epochs.clear and f"raise CutMix by {words(epochs, sign=False)} points" in RESULTS
    assert emoji("plain-longer").gain(plain).clear  # "More epochs do help there"
    images = {run("automix").settings["images"] for run in (fashion, emoji)}
    assert images == {2000, 7200} and "2,000 images of Fashion-MNIST or on the 7,200 of Emoji" in RESULTS
    assert not any(
        emoji(way).gain(plain).clear and emoji(way).gain(plain).mean > 0
        for way in (*HAND_MADE, "automix", "samix")
    )


# ------------------------------------------------------------------------------------------ the table
COLUMNS = ("ece", "corrupted/accuracy", "attacked/pgd 2")
ROWS = {"no mixing": "plain", "Mixup": "mixup", "CutMix": "cutmix"}


@pytest.mark.parametrize(
    ("row", "way"), [*ROWS.items(), ("AutoMix", "automix"), ("AutoMix, no masks", "no-masks")]
)
def test_table_of_other_measures(row: str, way: str) -> None:
    cells = []
    for measure in COLUMNS:
        shown = f"{100 * fashion(way).measured(measure).mean:.1f}"
        change = fashion(way).gain(fashion("automix"), measure)
        assert way != "no-masks" or abs(change.mean) < 0.02  # "by less than two points"
        cells.append(f"**{shown}**" if change.clear else shown)
    assert f"| {row} | {' | '.join(cells)} |" in RESULTS


# ------------------------------------------------------------------------------------------ confidence
def test_confidence() -> None:
    whole, other = fashion("automix"), fashion("cutmix")
    assert whole.gain(other, "ece").clear
    whole = emoji("automix")
    for way in HAND_MADE:
        gain = whole.gain(emoji(way), "ece")
        assert gain.clear and gain.mean > 0
    gain = whole.gain(emoji("plain"), "ece")
    assert gain.mean > 0 and not gain.clear


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


def test_the_eight_other_changes() -> None:
    """The figure has five; the test above holds all."""
    controls = {"automix", "plain", "mixup", "cutmix", "puzzlemix", "samix", "plain-longer", "cutmix-longer"}
    start = "automix-fashion-"
    names = {name.removeprefix(start) for name in ml.runs.names() if name.startswith(start)} - controls
    assert names == {*PARTS, *SMALL, "own-buffers"} and len(names) == 5 + 8
    assert "nor are the eight others" in RESULTS


def test_parts_under_attack() -> None:
    whole, attack = fashion("automix"), "attacked/pgd 2"
    flat = fashion("no-masks").gain(whole)
    said(flat, clear=False)
    assert f"they may bring up to {100 * (flat.half - flat.mean):.1f} points" in RESULTS
    said(fashion("no-clean").gain(whole, attack), sign=False)
    sure, unsure = (100 * one.measured("gap").mean for one in (whole, fashion("no-clean")))
    told = f"is {sure:.1f} points above its accuracy", f"its confidence is {-unsure:.1f} points too low"
    assert all(words in RESULTS for words in told)


def test_which_variant() -> None:
    shares = [run("samix").gain(run("automix")) for run in (fashion, emoji)]
    first, second = (words(share) for share in shares)
    assert f"by {first} points on Fashion-MNIST (95 % interval, just significant) and {second} on" in DETAILS
    assert [share.clear for share in shares] == [True, False]
    plain = arithmetic(ml.learners.Plain())
    costs = {"AutoMix": (ml.learners.AutoMix, [0]), "SAMix": (ml.learners.SAMix, [0])}
    costs["AdAutoMix"] = (ml.learners.AdAutoMix, [0, 1])  # hard and easy mixtures in turn
    for name, (make, before) in costs.items():
        cost = sum(arithmetic(make, steps) for steps in before) / len(before) / plain
        row = next(line for line in DETAILS.splitlines() if line.startswith(f"| {name} |"))
        assert abs(cost - float(row.split("|")[4])) < 0.06, (name, cost)


def arithmetic(learner: Any, before: int = 0) -> int:
    """What a step's convolutions and matrix products cost, after so many others."""
    net = ml.nets.resnet(8, 10, width=8, channels=1, generator=torch.Generator().manual_seed(0))
    if isinstance(learner, type):
        learner = learner(net, stage="stage2", image_size=28)
    for _ in range(before):
        learner.after_step(net)
    images, draws = torch.randn(32, 1, 28, 28), torch.Generator().manual_seed(4)
    with FlopCounterMode(display=False) as counter:
        for terms in learner.in_parts(net, images, torch.arange(32) % 10, generator=draws):
            sum(terms.values()).backward()
    return int(counter.get_total_flops())


def test_luck_of_the_best_of_four() -> None:
    """The largest of four standard normal numbers is 1.0294 on average."""
    for images, (low, high) in ((10_000, ("0.13", "0.29")), (50_000, ("0.06", "0.13"))):
        spread = 1.0294 * 100 * math.sqrt(0.8 * 0.2 / images)
        found = [spread * math.sqrt(1 - common) for common in (0.9, 0.5)]
        assert abs(found[0] - float(low)) < 0.005 and abs(found[1] - float(high)) < 0.005
        assert f"{low} to {high}" in DETAILS


def test_running_means() -> None:
    gain = fashion("own-buffers").gain(fashion("automix"), "ece")
    assert f"higher by {words(gain, sign=False)} points" in DETAILS and gain.clear


# ------------------------------------------------------------------------------------------ robustness
def test_corruptions_and_attacks() -> None:
    whole = fashion("automix")
    better = whole.gain(fashion("cutmix"), "corrupted/accuracy")
    assert better.clear and better.mean > 0
    assert not any(whole.gain(fashion(way), "corrupted/accuracy").clear for way in ("mixup", "plain"))
    for way, sign in (("plain", 1), *((way, -1) for way in HAND_MADE)):
        gain = whole.gain(fashion(way), "attacked/pgd 2")
        assert gain.clear and gain.mean * sign > 0


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
    said(start["automix"].gain(start["plain"], tuned), sign=False)
    said(start["cutmix"].gain(start["plain"], frozen), sign=False)
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
    films = [ml.widgets.mask_film(0.7, pairs=[pair]) for pair in PAIRS]
    assert sum(film.block_score < film.score for film in films) == 4 and len(films) == 5


def test_the_early_block_shows_the_partner_at_every_share() -> None:
    designers, generator = ml.data.load("emoji").tests["designers"], torch.Generator().manual_seed(0)
    pictures, _ = designers.batch(torch.randperm(len(designers), generator=generator)[:400])
    others = torch.arange(400).roll(1)
    early, late = (recorded_block(epoch) for epoch in (2, film_facts().epochs[-1]))
    for share, mean in ((0.3, 0.24), (0.5, 0.49), (0.7, 0.74)):
        assert abs(float(early(pictures, share, others).mean()) - 0.24) < 0.015
        assert abs(float(late(pictures, share, others).mean()) - mean) < 0.01
        assert 0.035 < float(late(pictures, share, others).std((1, 2, 3)).mean()) < 0.06
    assert "the standard deviation is only .04 to .06" in METHOD


def test_strip_of_a_block_that_its_judge_rates_well() -> None:
    facts, kept = weights.read((ASSETS / "mask_strip.safetensors").read_bytes())
    found = facts["found"]
    first, last = found["samix"]["0"], found["samix"]["2000"]
    assert f"ends at {100 * last:.0f} %, from {100 * first:.0f} % before" in METHOD
    told = (found[way] for way in ("cutmix", "puzzlemix", "true-masks"))
    words = "CutMix reaches {:.0f} %, PuzzleMix {:.0f} %, true masks {:.0f} %".format(
        *(100 * one for one in told)
    )
    assert words in METHOD and last > found["puzzlemix"]
    own = found["automix"]
    assert f"own block stays at {100 * own['2000']:.0f} %" in METHOD and abs(own["2000"] - own["0"]) < 0.01
    assert (
        facts["judge"] != ml.runs.load("judge-offcentre-samix").measured("judge/accuracy").mean
    )  # "another judge"
    assert len(kept["images"]) == 4 and all(mask.std() > 0.1 for name, mask in kept.items() if "2000" in name)


def test_how_much_of_an_object_lies_over_its_partners() -> None:
    designers, generator = ml.data.load("emoji").tests["designers"], torch.Generator().manual_seed(0)
    chosen, others = torch.randperm(len(designers), generator=generator)[:400], torch.arange(400).roll(1)
    assert designers.masks is not None
    objects, labels = (designers.masks[chosen] > 127).float(), designers.labels[chosen]
    differ = labels != labels[others]
    over = (objects * objects[others])[differ].sum() / objects[differ].sum()
    assert f"{100 * over.item():.0f} % of an object's pixels lie over its partner's" in METHOD


def test_the_early_mask_scores_better_at_one_share_and_worse_at_another() -> None:
    designers, generator = ml.data.load("emoji").tests["designers"], torch.Generator().manual_seed(0)
    pictures, classes = designers.batch(torch.randperm(len(designers), generator=generator)[:400])
    others, net, rows = torch.arange(400).roll(1), studio_net(), ml.one_hot(classes, 10)
    for share, scores in ((0.3, ("28.8", "32.6")), (0.7, ("27.7", "19.2"))):
        targets = share * rows + (1 - share) * rows[others]
        for epoch, score in zip((0, 2), scores, strict=True):
            mask = recorded_block(epoch)(pictures, share, others)
            with torch.no_grad():
                logits = net(mask * pictures + (1 - mask) * pictures[others])
            found = mask_score(logits, targets)[classes != classes[others]].mean()
            assert abs(float(found) - float(score)) < 0.15 and score in METHOD


def test_what_the_mask_loss_and_the_label_cost_after_two_epochs() -> None:
    mean, share, delta = 0.25, 0.7, 0.1
    weight = 0.1 * (1 + math.cos(math.pi * 2 / film_facts().epochs[-1])) / 2
    assert f"{weight * (share - mean - delta):.2f}" == "0.03" and "it adds only .03" in METHOD
    entropy = -sum(p * math.log(p) for p in (share, 1 - share))
    assert f"{entropy:.2f}" == "0.61" and "is at least .61" in METHOD


def test_what_a_short_published_schedule_leaves_of_the_first_weights() -> None:
    left = math.prod(slow_down(step / 1000) for step in range(1000))
    assert f"the twin {100 * left:.0f} % of its initial weights" in METHOD
