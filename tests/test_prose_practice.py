"""The pages on practice hold what their cells find and what the run records hold."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import mixlearn as ml
from mixlearn.train.records import Interval
from mixlearn.train.schedules import one_cycle
from tests.prose import cells, held, prose, run, words

DEBUG, PROJECT, PRACTICE = prose("09_debugging"), prose("09_project"), prose("09_practice")
RECIPE = "".join("".join(cell["source"]) for cell in cells("09_practice", "code"))


def gain(name: str, base: str, measure: str = "accuracy") -> Interval:
    return ml.runs.load(name).gain(ml.runs.load(base), measure)


# ------------------------------------------------------------------------------------- when it does not work
@pytest.fixture(scope="module")
def debugging() -> dict[str, Any]:
    return run("09_debugging")


def means(debugging: dict[str, Any], k: int) -> dict[str, float]:
    """The mean over the seeds: test accuracy in points (k = 1) or the last training loss (k = 2), by bug."""
    scale = 100 if k == 1 else 1
    return {bug: scale * sum(one[k] for one in three) / 3 for bug, three in debugging["runs"].items()}


def test_accuracy_shows_few_bugs(debugging: dict[str, Any]) -> None:
    accuracy = means(debugging, 1)
    right = accuracy.pop("correct")
    assert len(accuracy) == 7 and "seven bugs" in DEBUG
    lost = {bug: right - value for bug, value in accuracy.items()}
    assert held(f"accuracy falls by {lost['tested']:.0f} points", DEBUG)
    assert "Two change it by less than a point" in DEBUG and "four cost between 2 and 5 points" in DEBUG
    assert {bug for bug, loss in lost.items() if abs(loss) < 1} == {"never", "repeats"}
    costly = [loss for bug, loss in lost.items() if bug not in ("never", "repeats", "tested")]
    assert len(costly) == 4 and min(costly) > 2 and max(costly) < 5
    assert lost["never"] < 0 and "Mixup does not beat no mixing" in DEBUG


def test_loss_shows_bugs_of_labels(debugging: dict[str, Any]) -> None:
    loss = means(debugging, 2)
    for bug in ("double", "shuffle"):  # "stays far above its floor", "stays above 1.46"
        assert loss[bug] > loss["correct"] + 0.5
    assert loss["integer"] < 0.1 and loss["never"] < 0.3  # "near zero", both below the floor
    assert loss["correct"] > 0.6 and "ends above its floor too" in DEBUG
    assert abs(loss["tested"] - loss["correct"]) < 0.01  # the same training


def test_checks_tell_right_from_wrong(debugging: dict[str, Any]) -> None:
    part = debugging.__getitem__
    images, labels = part("images"), part("labels")
    assert part("draws")(part("mix"), images, labels) == "50 of 50 changed, 50 differ"
    assert part("draws")(part("seeded"), images, labels) == "50 of 50 changed, 1 differ"
    assert part("draws")(part("never"), images, labels).startswith("0 of 50 changed")
    error = part("label_error")
    assert error(part("mix")) < 1e-6 and error(part("cut")) < 1e-6
    assert error(part("asked")) > 0.1 and error(part("shuffled")) > 0.3
    assert part("row_fault")(part("mix"), images, labels) == "no fault"
    for name, fault in (("integer", "torch.int64"), ("hidden", "misses 1 by")):
        assert fault in part("row_fault")(part(name), images, labels)
    assert part("lowest_loss")(part("loss")) == 0 and part("lowest_loss")(part("twice")) > 1.4
    assert part("gives_logits")(part("net"), images)
    assert not part("gives_logits")(lambda x: part("net")(x).softmax(1), images)
    untouched, evaluate, dataset = part("untouched"), part("evaluate"), part("test_set")
    assert untouched(evaluate, dataset)
    assert not untouched(lambda net: evaluate(net, part("mixing")), dataset)
    assert part("modes")(evaluate) == ["evaluation"] and part("modes")(part("forgets")) == ["training"]
    average = part("correct")[1].running_mean.clone()
    assert part("moved")(part("correct"), part("x")[:50], False) < 1e-4
    assert part("moved")(part("correct"), part("x")[:50], True) > 0.1
    assert torch.equal(average, part("correct")[1].running_mean)  # "It works on a copy"
    gap = {name: part("order_gap")(way, part("normal"), part("raw")) for name, way in part("ways").items()}
    assert gap["mixup"] < 1e-5 and gap["cutmix"] < 1e-5 and gap["cutout"] > 1


def test_averages_of_mixtures_do_no_harm(debugging: dict[str, Any]) -> None:
    x, y = debugging["x"], debugging["y"]
    right = [
        float((debugging[name].eval()(x).argmax(1) == y).float().mean()) for name in ("correct", "clean")
    ]
    assert abs(right[0] - right[1]) < 0.01 and "the accuracies by less than a point" in DEBUG


def test_floors_and_ceilings(debugging: dict[str, Any]) -> None:
    sure = 1e3 * F.one_hot(torch.arange(10), 10)
    twice = F.cross_entropy(sure.softmax(1), torch.arange(10))
    assert f"= {twice:.2f}$" in DEBUG and f"stays above {twice:.2f}" in DEBUG
    lam = (torch.arange(1000) + 0.5) / 1000
    half = (torch.special.entr(lam) + torch.special.entr(1 - lam)).mean()
    assert abs(half - 0.5) < 1e-3 and f"the floor is {0.9 * half:.2f}" in DEBUG
    assert abs((lam**2 + (1 - lam) ** 2).mean() - 2 / 3) < 1e-3
    assert abs(float(debugging["spread"]) - 1.5) < 0.1 and "about the predicted 3/2" in DEBUG
    for alpha, mix in ((1.0, "mix"), (0.2, "weak")):
        found = debugging["floor"](debugging[mix], debugging["images"], debugging["labels"])
        assert abs(found - debugging["intended"](alpha)) < 0.025 and "by a hundredth or two" in DEBUG
    assert abs(debugging["intended"](1.0) - 0.45) < 1e-5


def test_every_row_of_the_table_leads_to_a_check() -> None:
    rows = re.findall(r"^\| \[(\d+)\]\(#(sec-debug-\w+)\) \|", DEBUG, re.M)
    assert [int(number) for number, _ in rows] == list(range(1, 11))
    assert all(f"({label})=" in DEBUG for _, label in rows)


# ------------------------------------------------------------------------------------------ a project
@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return run("09_project")


def test_counts_of_the_project(project: dict[str, Any]) -> None:
    counts = project["counts"].tolist()
    assert f"It has {sum(counts)}, unevenly spread: {counts[0]} faces, but {counts[-1]} meals" in PROJECT
    assert ml.data.load("emoji").classes[:5:4] == ("face", "meal")
    weight = project["weight"]
    assert abs((weight * project["counts"]).sum() / sum(counts) - 1) < 1e-6  # "mean 1 over the images"
    held, known, train = (set(project[part].names) for part in ("held", "known", "train"))
    assert not held & train and known <= train
    meals = {name for name, k in zip(project["train"].names, project["train"].labels, strict=True) if k == 4}
    assert f"The 11 meals to train with show {len(meals)} concepts" in PROJECT


def test_what_the_project_says_of_its_training(project: dict[str, Any]) -> None:
    """Signs with room to spare: how large the effects are depends on the processor."""
    fit = {
        name: sum(project["by_class"](net, project["train"]) for net in five) / 5
        for name, five in project["nets"].items()
    }
    assert fit["plain"].mean() > 0.95 and "The network fits its images" in PROJECT
    assert fit["CutMix"][4] < 0.8 and fit["both"][4] > 0.95  # "did not even fit its 11 meals"
    mean = {name: found.mean(0) for name, found in project["scores"].items()}
    assert mean["plain"][4] < 0.2 and "hardly any meal" in PROJECT
    known = sum(project["by_class"](net, project["known"]) for net in project["nets"]["plain"]) / 5
    assert 0 < known.mean() - mean["plain"].mean() < 0.12  # "a little better"
    rare = {name: project["gain"](name, project["rare"]) for name in project["learners"]}
    whole = {name: project["gain"](name, project["every"]).mean for name in project["learners"]}
    assert abs(rare["CutMix"].mean + 0.1) < 0.04 and "loses ten points on the two rarest" in PROJECT
    assert rare["CutMix"].clear and rare["both"].clear and rare["both"].mean > 0
    assert "that loss becomes a gain" in PROJECT
    said = "CutMix alone lost about ten points on the two rarest. With {}eights it gained there"
    assert said.format("class w") in PRACTICE and said.format("w") in prose("09_methods")
    assert rare["weights"].mean < 0 and "weights without CutMix did not help" in PRACTICE
    assert "Why do weights alone do harm?" in PROJECT
    assert abs(whole["CutMix"]) < 0.03 and "mean accuracy by a point or so" in PROJECT
    assert mean["plain"][0] - mean["both"][0] > 0.03 and "find fewer faces" in PROJECT


def test_longer_training_of_the_project(project: dict[str, Any]) -> None:
    fits = [float(project["by_class"](net, project["train"])[4]) for net in project["longer"]["CutMix"]]
    assert sum(fits) / 5 > 0.9 and "Now CutMix fits its meals" in PROJECT
    rarest = {
        name: [one[name][:, project["rare"]].mean() for one in (project["scores"], project["later"])]
        for name in ("plain", "CutMix")
    }
    assert abs(rarest["plain"][1] - rarest["plain"][0]) < 0.03 < rarest["CutMix"][1] - rarest["CutMix"][0]
    both = project["gain"]("both", project["rare"], project["later"])
    assert 0 < both.mean < 2 * both.half and "about as large as its interval" in PROJECT
    better = project["better"]
    lost = -project["gain"]("CutMix", project["rare"]).mean
    assert (
        better.clear
        and better.mean > lost / 2
        and "most of its loss on the rarest classes is gone" in PROJECT
    )


def test_rule_of_the_project(project: dict[str, Any]) -> None:
    """The margin, and the earlier rule, which the page says chose the same candidate."""
    assert project["margin"] == 0.05 and "loses less than five points over all" in PROJECT
    found = {
        name: [project["gain"](name, project[part]) for part in ("every", "rare")]
        for name in project["learners"]
    }
    fair = {
        name: rarest.mean
        for name, (whole, rarest) in found.items()
        if rarest.clear and rarest.mean > 0 and not (whole.clear and whole.mean < 0)
    }
    assert max(fair, key=lambda name: fair[name]) == project["choice"] == "both"
    assert project["TRAINED"] == project["counts"].tolist()  # the titles of the first figure


# ------------------------------------------------------------------------------------------ in a recipe
@pytest.fixture(scope="module")
def practice() -> dict[str, Any]:
    return run("09_practice")


def test_recipe_is_that_of_the_record(practice: dict[str, Any]) -> None:
    """The loop's network, data and options are those of the runs whose gain the page prints."""
    record = ml.runs.load("boxes-fashion-cutmix")
    asked = record.settings
    assert asked["parameters"] == ml.nets.parameter_count(practice["net"]) and asked["augment"] == "none"
    assert asked["images"] == len(practice["few"]) and asked["batch_size"] == practice["loader"].batch_size
    assert asked["mix"] == "RandomMix([cutmix(alpha=1.0)], p=0.5)" and "< 0.5:  # p" in RECIPE
    sgd = ", ".join(f"{key}={practice['sgd'][key]}" for key in ("lr", "momentum", "weight_decay", "nesterov"))
    assert asked["optimizer"] == f"sgd({sgd})" and asked["schedule"] == "one_cycle"
    assert f"epochs = 5  # {asked['epochs']} in the runs" in RECIPE
    ends = [
        100 * ml.runs.load(f"boxes-fashion-{way}").measured("accuracy").mean for way in ("cutmix", "plain")
    ]
    said = "after {} epochs CutMix reached {:.1f} %, and training without mixing {:.1f} %"
    assert said.format(asked["epochs"], *ends) in PRACTICE
    total = 5 * len(practice["loader"])
    assert practice["rate"].total_steps == practice["rate"].last_epoch == total
    assert float(practice["right"].float().mean()) > 0.5 and len(practice["right"]) == 10_000
    net, total = torch.nn.Linear(1, 1), asked["epochs"] * len(practice["loader"])
    optimizer = torch.optim.SGD(net.parameters(), **practice["sgd"])
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=total, cycle_momentum=False)
    for step in range(total - 1):  # the same schedule as ours
        assert abs(rate.get_last_lr()[0] / 0.1 - one_cycle(step, total)) < 0.01
        optimizer.step()
        rate.step()


def test_box_of_the_recipe(practice: dict[str, Any]) -> None:
    """Its labels state the shares of the pixels, and its boxes are as large as the package's."""
    g, kept = torch.Generator().manual_seed(0), []
    x, t = torch.eye(8)[:, :, None, None].expand(8, 8, 28, 28), torch.eye(8)
    for _ in range(400):
        mixed, rows = practice["cutmix"](x, t, g)
        assert torch.allclose(mixed.mean((2, 3)), rows, atol=1e-5)
        kept.append(float(rows.diagonal().min()))
    ours = ml.cutmix(torch.zeros(4000, 1, 28, 28), per_image=True, generator=g).plan.lam.mean()
    assert abs(sum(kept) / 400 - float(ours)) < 0.05


def test_first_table(practice: dict[str, Any]) -> None:
    found = re.findall(
        r"^\| ([^|]+) \| [^|]+ \| (\S+ ± [^| ]+) \| (\S+ ± [^| ]+) \| ([^|]+) \|$", PRACTICE, re.M
    )
    pairs = {name: [one.format("cutmix") for one in pair] for name, pair in practice["PAIRS"].items()}
    assert [part.split(",")[0] for part, *_ in found[1:5]] == list(pairs)[1:5]  # the rows of the figure
    for (part, *typed), (name, pair) in zip(found, pairs.items(), strict=True):
        changes = [gain(*pair, measure) for measure in ("accuracy", "ece")]
        if typed[2] != "–":
            changes.append(gain(*(one.format("plain") for one in practice["PAIRS"][name]), "ece"))
        told = [f"**{words(one, sign=True)}**" if one.clear else words(one, sign=True) for one in changes]
        assert typed == told + ["–"] * (3 - len(told)), part
    assert [row[-1] != "–" for row in found] == [False, True, True, True, True, False]
    every = [gain("curve-p100-cutmix", "curve-centre-cutmix", one) for one in ("accuracy", "ece")]
    turns = [gain("boxes-fashion-both", "boxes-fashion-cutmix", one) for one in ("accuracy", "ece")]
    said = "accuracy by {} points and [raised the ECE](09_curves.ipynb) by {}."
    assert said.format(*map(words, every)) in PRACTICE and every[1].mean > 0
    said = "from CutMix in accuracy ({}), and raised the ECE by {}."
    assert said.format(words(turns[0], sign=True), words(turns[1])) in PRACTICE
    assert not turns[0].clear and turns[1].clear


def test_calibration_with_and_without_mixing() -> None:
    pairs = [("boxes-fashion-{}-smoothed", "boxes-fashion-{}"), ("curve-crops-{}", "curve-centre-{}")]
    pairs += [("automix-fashion-{}", "boxes-fashion-{}"), ("practice-cutout-{}", "curve-centre-{}")]
    worse = []
    for one, base in pairs:
        alone, mixed = (gain(one.format(way), base.format(way), "ece") for way in ("plain", "cutmix"))
        assert alone.clear and alone.mean < 0, one
        assert not (mixed.clear and mixed.mean < 0), one
        worse.append(mixed.clear)
    assert "four parts lower it, EMA only just" in PRACTICE and "none of the four lowers it" in PRACTICE
    assert worse == [True, True, False, False] and "and crops and smoothing raise it" in PRACTICE
    ends = [
        100 * ml.runs.load(f"boxes-fashion-{way}").measured("ece").mean
        for way in ("plain", "cutmix", "cutmix-smoothed")
    ]
    said = "error from {:.1f} to {:.1f} points. Label smoothing on top raised it to {:.1f}"
    assert said.format(*ends) in PRACTICE
    assert f"Without mixing the ECE is {ends[0]:.1f} points" in PRACTICE
    assert f"With CutMix it is already {ends[1]:.1f}" in PRACTICE
    assert not gain("boxes-fashion-cutmix-smoothed", "boxes-fashion-cutmix").clear


def test_what_did_not_help() -> None:
    better = gain("boxes-fashion-plain-smoothed", "boxes-fashion-plain", "ece")
    assert (
        f"smoothing lowered the calibration error by {words(better)} points" in PRACTICE and better.mean < 0
    )
    assert ml.runs.load("boxes-fashion-plain").measured("gap").mean > 0  # "the network was too confident"
    ways = ("cutmix", "cutmix-smoothed", "mixup", "mixup-smoothed")
    gaps = [-100 * ml.runs.load(f"boxes-fashion-{way}").measured("gap").mean for way in ways]
    said = "mean confidence was {:.1f} points below its accuracy"
    assert said.format(gaps[0]) in PRACTICE and f"fell to {gaps[1]:.1f} points below" in PRACTICE
    assert "With Mixup it fell from {:.1f} to {:.1f} points below".format(*gaps[2:]) in PRACTICE


def test_crops_and_flips() -> None:
    for name, row in {
        "centre": "no crops",
        "crops": "the same with crops and flips",
        "few-crops": "epochs, crops and flips",
    }.items():
        gains = [gain(f"curve-{name}-{way}", f"curve-{name}-plain") for way in ("mixup", "cutmix")]
        assert {one.clear for one in gains} == {name == "centre"}
        told = [words(one, sign=True) for one in gains]
        told = [f"**{one}**" for one in told] if name == "centre" else told
        assert "{} | {} | {} |".format(row, *told) in PRACTICE, name
    for name, row in {
        "crops": "{:,} images, {} epochs, no crops",
        "few-crops": "{} images, {} epochs, crops",
    }.items():
        asked = ml.runs.load(f"curve-{name}-plain").settings
        assert row.format(asked["images"], asked["epochs"]) in PRACTICE
    calm = gain("curve-few-crops-cutmix", "curve-few-crops-plain", "ece")
    assert f"CutMix lowered the ECE by {words(calm)} points" in PRACTICE and calm.clear and calm.mean < 0
    ends = [
        sum(one["epochs"][-1]["loss"] for one in ml.runs.load(f"curve-{name}-plain").runs) / 3
        for name in ("crops", "centre")
    ]
    assert "at a training loss of {:.2f}, not {:.2f}".format(*ends) in PRACTICE


def test_shakedrop() -> None:
    lost = gain("practice-shakedrop-plain", "practice-deeper-plain")
    mixed = gain("practice-shakedrop-cutmix", "practice-deeper-cutmix")
    assert f"lost {words(lost)} points without mixing and {words(mixed)} with CutMix" in PRACTICE
    assert lost.clear and mixed.clear and lost.mean < 0 and mixed.mean < 0
    runs = ml.runs.load("practice-shakedrop-plain").runs
    assert (
        sum(one["epochs"][-1]["loss"] for one in runs) / 3 > 1 and "far from fitting its images" in PRACTICE
    )


def test_differences_of_deit() -> None:
    tops = ["reaches {} %.* Without Mixup it reached {} %, ", "without CutMix {} %, and without both {} %"]
    found = re.search("".join(tops).replace("{}", r"([\d.]+)"), PRACTICE)
    assert found
    full, *without = map(float, found.groups())
    mixup, cutmix, both = (full - one for one in without)
    said = "cost {:.1f} and {:.1f} points, but both together {:.1f}, more than {:.1f} + {:.1f} = {:.1f}"
    assert (
        said.format(mixup, cutmix, both, mixup, cutmix, mixup + cutmix) in PRACTICE and both > mixup + cutmix
    )


def test_binarised_targets_are_those_of_timm() -> None:
    loss = pytest.importorskip("timm.loss").BinaryCrossEntropy(smoothing=0.0, target_threshold=0.2)
    logits, rows = torch.randn(2, 4), torch.tensor([[0.85, 0.15, 0, 0], [0.6, 0.4, 0, 0]])
    assert torch.allclose(loss(logits, rows), ml.soft_bce(logits, (rows > 0.2).float()))


def test_parts_before_and_after_mixing(practice: dict[str, Any]) -> None:
    def wrong(name: str, after: bool, method: Any = ml.cutmix) -> float:
        found: float = practice["label_error"](practice["parts"][name], after, method, 60)
        return found

    assert wrong("flip", False) < 1e-6 and wrong("flip", True) < 1e-6
    assert wrong("crop", False) < 1e-6 and wrong("crop", True) > 0.05
    assert min(wrong("erasing", False), wrong("erasing", True)) > 0.02  # "in either order"
    assert max(wrong(name, True, ml.mixup) for name in practice["parts"]) < 1e-6  # "none of the three harms"
    assert wrong("erasing", False, ml.mixup) > 0.005 and "before Mixup it leaves a small one" in PRACTICE


def test_figure_has_every_recorded_part(practice: dict[str, Any]) -> None:
    assert [name for name, way, *_ in practice["changes"] if way == "cutmix"] == list(practice["PAIRS"])
    assert sum(way == "plain" for _, way, *_ in practice["changes"]) == 4


def test_weights_or_even_partners(practice: dict[str, Any]) -> None:
    mass = {name: found.mean(0) for name, found in practice["rows"].items()}
    plain, even = mass["random partners"], mass["even partners"]
    assert (plain - torch.tensor([0.90, 0.09, 0.01])).abs().max() < 0.005
    assert (even - (torch.tensor([0.90, 0.09, 0.01]) + 1 / 3) / 2).abs().max() < 0.02
    weight = practice["weight"]
    assert abs((weight * practice["counts"]).sum() / practice["counts"].sum() - 1) < 1e-6
    assert (weight * plain - 1 / 3).abs().max() < 0.05
    ratio = float((weight * even)[2] / (weight * even)[0])
    assert abs(ratio - 25) < 1.5 and "counts some 25 times as much as the common one" in PRACTICE
    smooth = torch.tensor(0.2 - 0.01) / 0.9  # of ten classes, ε = 0.1
    assert f"must exceed {smooth:.2f} in place of 0.2" in PRACTICE


@pytest.mark.parametrize("name", ["08_measuring", "08_robustness", "08_representations"])
def test_every_exercise_of_measuring_is_solved(name: str) -> None:
    asked = re.findall(r":label: (ex-\S+)", prose(name))
    assert 3 <= len(asked) <= 4 and set(asked) <= set(
        re.findall(r":::\{solution\} (\S+)", prose("solutions/08_measuring"))
    )


@pytest.mark.parametrize("name", ["09_curves", "09_debugging", "09_methods", "09_practice", "09_project"])
def test_every_exercise_is_solved(name: str) -> None:
    asked = re.findall(r":label: (ex-\S+)", prose(name))
    solved = re.findall(r":::\{solution\} (\S+)", prose("solutions/09_practice"))
    assert (len(asked) == 1 if name == "09_methods" else 3 <= len(asked) <= 4) and set(asked) <= set(solved)
    assert len(cells("solutions/09_practice", "code")) == len(solved) + 2  # each ends in a check
