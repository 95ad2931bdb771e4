"""Chapter 3's prose holds what the records hold: each number of a sentence, and each comparison it makes."""

from __future__ import annotations

import re

import torch

import mixlearn as ml
from benchmarks import whose_lam
from mixlearn.methods.saliency import feature_attention
from mixlearn.page.studio_net import studio_net
from mixlearn.train.records import Interval, Record
from tests.prose import BOOK, prose

WAYS = ("plain", "cutout", "mixup", "cutmix", "both")


METHOD, BUGS, RESULTS = prose("03_cutmix"), prose("03_cutmix_bugs"), prose("03_cutmix_results")


def run(data: str, way: str) -> Record:
    return ml.runs.load(f"boxes-{data}-{way}")


def gain(data: str, way: str, measure: str = "accuracy", base: str = "plain") -> Interval:
    return run(data, way).gain(run(data, base), measure)


def words(found: Interval, digits: int = 1, scale: float = 100, *, sign: bool = False) -> str:
    """A difference as the page prints it, such as "2.1 ± 0.9"."""
    mean = scale * (found.mean if sign else abs(found.mean))
    return f"{mean:.{digits}f} ± {scale * found.half:.{digits}f}".replace("-", "−")


def holds(found: Interval, before: str = "", *, clear: bool, sign: bool = False) -> None:
    assert before + words(found, sign=sign) in RESULTS, words(found, sign=sign)
    assert found.clear == clear


# ------------------------------------------------------------------------------------------ accuracy
def test_accuracy() -> None:
    assert f"CutMix gains {words(gain('fashion', 'cutmix'))} points of test accuracy" in METHOD
    holds(gain("fashion", "cutmix"), "CutMix gains ", clear=True)
    holds(gain("fashion", "mixup"), "Mixup gains ", clear=True)
    holds(gain("fashion", "both"), "for each batch ", clear=True)
    holds(gain("fashion", "cutout"), "Cutout gains ", clear=False)
    holds(gain("emoji", "cutmix"), "changes accuracy by ", clear=False, sign=True)
    holds(gain("emoji", "mixup"), "Mixup loses ", clear=True)
    assert gain("emoji", "mixup").mean < 0
    assert not any(gain("emoji", way).clear for way in ("cutout", "cutmix", "both"))
    for way in WAYS[1:]:
        assert not any(gain("fashion", way, base=other).clear for other in WAYS[1:] if other != way)


def test_settings() -> None:
    for data, images, epochs, loss in (("fashion", 2000, 40, "0.02"), ("emoji", 7200, 15, "0.69")):
        settings = run(data, "plain").settings
        assert (settings["images"], settings["epochs"]) == (images, epochs)
        ends = [seed["epochs"][-1]["loss"] for seed in run(data, "plain").runs]
        assert f"{sum(ends) / len(ends):.2f}" == loss and f"ends at {loss}" in RESULTS
        assert "p=0.5" in run(data, "cutmix").settings["mix"]
        assert "p=0.5" not in run(data, "mixup").settings["mix"] + run(data, "both").settings["mix"]


# ------------------------------------------------------------------------------------------ confidence
def test_confidence() -> None:
    for data in ("fashion", "emoji"):
        assert run(data, "plain").measured("gap").mean > 0.05
        for way in ("mixup", "cutmix"):
            assert gain(data, way, "ece").mean < 0
            holds(gain(data, way, "ece"), clear=True)
        assert gain(data, "plain-smoothed", "ece").clear and gain(data, "plain-smoothed", "ece").mean < 0
    more = gain("fashion", "cutmix-smoothed", "ece", "cutmix")
    holds(more, "the ECE rises by ", clear=True)
    assert run("fashion", "cutmix-smoothed").measured("gap").mean < -0.05
    assert run("emoji", "cutmix").measured("gap").mean > 0.05
    change = gain("emoji", "cutmix-smoothed", "ece", "cutmix")
    holds(change, "changes the ECE by ", clear=False, sign=True)


# ------------------------------------------------------------------------------------------ other images
def test_corruptions() -> None:
    measure = "corrupted/accuracy"
    holds(gain("fashion", "mixup", measure), "Mixup gains ", clear=True)
    holds(gain("fashion", "cutmix", measure), "CutMix ", clear=False)
    assert not any(gain("emoji", way, measure).clear for way in WAYS[1:])


def test_out_of_distribution() -> None:
    measure = "foreign photographs/auroc"
    change, loss = gain("fashion", "cutmix", measure), gain("emoji", "cutmix", measure)
    assert words(change, 2, 1, sign=True) in RESULTS and not change.clear
    assert f"loses a little, {words(loss, 2, 1)}" in RESULTS and loss.clear and loss.mean < 0
    for way in WAYS:
        noise = [
            run("emoji", way).measured(f"foreign {kind} noise/auroc").mean for kind in ("uniform", "normal")
        ]
        assert sum(noise) / 2 < 0.5


def test_hidden_parts_and_boxed_pairs() -> None:
    hidden = "hidden/middle 0.5"
    holds(gain("fashion", "cutout", hidden), "Cutout gains ", clear=True)
    holds(gain("emoji", "cutout", hidden), clear=True)
    holds(gain("fashion", "cutmix", hidden), clear=False)
    holds(gain("emoji", "cutmix", hidden), clear=False)
    boxed = gain("fashion", "cutmix", "between/box")
    holds(boxed, "less often, by ", clear=True)
    assert boxed.mean < 0


# ------------------------------------------------------------------------------------------ where it looks
def test_located_boxes() -> None:
    found = {
        way: ml.runs.load(f"automix-emoji-{way}").measured("located concepts/best").mean
        for way in ("plain", "mixup", "cutmix")
    }
    shown = (
        "{plain:.0%} of the images without mixing, for {mixup:.0%} with Mixup and {cutmix:.0%} with CutMix"
    )
    assert shown.format(**found).replace("%", " %") in RESULTS
    scenes = ml.data.load("emoji").test
    middle = torch.zeros(1, 1, 32, 32)
    middle[..., 4:28, 4:28] = 1
    boxed = ml.measure.localization(
        middle.expand(len(scenes), -1, -1, -1), scenes.boxes, overlap=0.5, thresholds=[0.5]
    )
    assert f"every image gets {boxed.best:.0%}".replace("%", " %") in RESULTS


def test_activation_maps_prefer_the_right_half() -> None:
    net, test = studio_net(), ml.data.load("emoji").tests["designers"]
    images, labels = test.batch(torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[:400])
    partner = torch.arange(400).roll(1)
    two = labels != labels[partner]
    classes = torch.stack([labels, labels[partner]], 1).sort(1).values
    hits = {}
    boxed = ml.cutmix(images, boxes=[16, 0, 32, 32], partner=partner).images
    for name, mixed in (("cutmix", boxed), ("mixup", ml.mixup(images, lam=0.5, partner=partner).images)):
        with torch.no_grad():
            hits[name] = (net(mixed).topk(2).indices.sort(1).values == classes).all(1)[two].float().mean()
    own = feature_attention(net, boxed, "stage3", labels)[..., :16].sum((1, 2, 3))[two].mean()
    assert 0.53 < own < 0.65 and hits["cutmix"] > hits["mixup"] + 0.05
    # the pairs of the figure: both classes are likely under CutMix, and each map lies on its own half
    for pair in ([554, 792], [630, 539]):
        x, y = test.batch(torch.tensor(pair))
        mixed = ml.cutmix(x, boxes=[16, 0, 32, 32], partner=[1, 0]).images[:1]
        with torch.no_grad():
            assert net(mixed).softmax(1)[0, y].min() > 0.2
        left, right = (feature_attention(net, mixed, "stage3", y[k : k + 1]) for k in (0, 1))
        assert left[..., :16].sum() > 0.6 and right[..., 16:].sum() > 0.6
        assert y.tolist() == [1, 5]  # mammal, ground vehicle


# ------------------------------------------------------------------------------------------ bugs
def test_rows_and_columns_swapped_are_wrong_by_a_sixth() -> None:
    generator = torch.Generator().manual_seed(1)
    errors = []
    boxes = ml.sample_boxes(ml.sample_lam(4000, 1.0, generator=generator), 96, 192, generator=generator)
    for x0, y0, x1, y1 in boxes.tolist():
        pasted = (min(x1, 96) - min(x0, 96)) * (min(y1, 192) - min(y0, 192))
        errors.append(abs(pasted - (x1 - x0) * (y1 - y0)) / (96 * 192))
    assert abs(sum(errors) / len(errors) - 0.16) < 0.006 and "wrong by 0.16 on average" in BUGS


def test_table_of_libraries() -> None:
    text = (BOOK / "as_released.md").read_text(encoding="utf-8").partition("(cutmix)=")[2]
    lines = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    table = {
        re.sub(r"[`$]", "", row[0]).strip(): [re.sub(r"[`$]", "", cell) for cell in row[1:]] for row in lines
    }
    rows = {
        "mixlearn cutmix": "ml.cutmix",
        "torchvision v2.CutMix": "torchvision v2.CutMix",
        "torchvision v2.MixUp": "torchvision v2.MixUp",
        "timm Mixup, CutMix": "timm Mixup(cutmix_alpha=1)",
        "timm Mixup": "timm Mixup(mixup_alpha=1)",
        "kornia RandomCutMixV2": "kornia RandomCutMixV2",
        "kornia RandomCutMixV2, use_correct_lambda": "kornia RandomCutMixV2(use_correct_lambda=True)",
        "kornia RandomMixUpV2": "kornia RandomMixUpV2",
    }
    calls = whose_lam.libraries()
    for name, row in rows.items():
        seen = ml.measure.probe(calls[name][1], rounds=60)
        changed = "yes" if seen.changes_input else "no"
        facts = [seen.lam_weighs, seen.partner.replace("−", "-"), seen.lam_for_each, seen.draws_from, changed]
        assert table[row][:5] == facts, row
        assert abs(float(table[row][5]) - seen.own_share) < 0.12, row
