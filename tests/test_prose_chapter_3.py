"""Chapter 3's prose holds what the records hold: each number of a sentence, and each comparison it makes."""

from __future__ import annotations

import json
import re

import pytest
import torch
from torch.nn import functional as F

import mixlearn as ml
from benchmarks import whose_lam
from mixlearn.methods.saliency import feature_attention
from mixlearn.page.host import ASSETS
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


# ------------------------------------------------------------------------------------------ the table
SUMMARY = {
    "test accuracy": ("accuracy", 1, 1),
    "calibration error": ("ece", 1, -1),
    "accuracy on corrupted images": ("corrupted/accuracy", 1, 1),
    "AUROC against photographs, × 100": ("foreign photographs/auroc", 0, 1),
    "photographs rejected (TNR)": ("foreign photographs/tnr", 1, 1),
    "detection accuracy of photographs": ("foreign photographs/accuracy", 1, 1),
    "accuracy with the middle hidden": ("hidden/middle 0.5", 1, 1),
    "at least one class of a pasted pair is named": ("between/box", 1, -1),
}


@pytest.mark.parametrize("name", SUMMARY)
def test_summary(name: str) -> None:
    measure, digits, good = SUMMARY[name]
    shown = []
    for data in ("fashion", "emoji"):
        found = gain(data, "cutmix", measure)
        mean = -found.mean if measure == "between/box" else found.mean  # the record holds the opposite
        text = f"{100 * mean:+.{digits}f} ± {100 * found.half:.{digits}f}".replace("-", "−")
        verdict = "better" if good * found.mean > 0 else "worse"
        shown.append(f"**{text}** {verdict}" if found.clear else text)
    assert f"| {name} | {shown[0]} | {shown[1]} |" in RESULTS, shown


# ------------------------------------------------------------------------------------------ accuracy
def test_accuracy() -> None:
    assert f"CutMix gains {words(gain('fashion', 'cutmix'))} points of test accuracy" in METHOD
    holds(gain("fashion", "cutmix"), "accuracy on Fashion-MNIST, by ", clear=True)
    for way in ("mixup", "cutmix", "both"):  # "Mixup, CutMix and their combination help"
        assert gain("fashion", way).clear and gain("fashion", way).mean > 0
    assert not gain("fashion", "cutout").clear
    assert gain("emoji", "mixup").clear and gain("emoji", "mixup").mean < 0
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
        assert not any("p=0.5" in run(data, way).settings["mix"] for way in ("cutout", "mixup", "both"))


# ------------------------------------------------------------------------------------------ confidence
def test_confidence() -> None:
    for data in ("fashion", "emoji"):
        assert run(data, "plain").measured("gap").mean > 0.05
        for way in ("mixup", "cutmix"):
            assert gain(data, way, "ece").clear and gain(data, way, "ece").mean < 0
        assert gain(data, "plain-smoothed", "ece").clear and gain(data, "plain-smoothed", "ece").mean < 0
    alone = gain("emoji", "plain-smoothed", "ece").mean / gain("emoji", "cutmix", "ece").mean
    assert 0.8 < alone < 1.25  # "on Emoji Scenes it lowers the ECE about as much as CutMix"
    more = gain("fashion", "cutmix-smoothed", "ece", "cutmix")
    holds(more, "the ECE is ", clear=True)
    assert (
        not gain("fashion", "cutmix-smoothed", "ece").clear and "about as high as without mixing" in RESULTS
    )
    assert run("fashion", "cutmix-smoothed").measured("gap").mean < -0.05
    assert run("emoji", "cutmix").measured("gap").mean > 0.05
    assert not gain("emoji", "cutmix-smoothed", "ece", "cutmix").clear
    assert run("fashion", "both").measured("gap").mean < -0.05
    both = gain("fashion", "both", "ece", "cutmix")
    assert both.clear and both.mean > 0


def test_how_often_matters_more_than_how() -> None:
    half = ml.runs.load("curve-centre-mixup"), run("fashion", "cutmix")
    every = run("fashion", "mixup"), ml.runs.load("curve-p100-cutmix"), run("fashion", "both")
    settings = [{**record.settings, "mix": "", "examined": ""} for record in (*half, *every)]
    assert all(one == settings[0] for one in settings)
    assert ["p=0.5" in record.settings["mix"] for record in (*half, *every)] == [True] * 2 + [False] * 3
    ece = [f"{100 * record.measured('ece').mean:.1f}" for record in (run("fashion", "plain"), *half, *every)]
    assert f"has a calibration error of {ece[0]} points" in RESULTS
    assert f"falls to {ece[1]} with Mixup and {ece[2]} with CutMix" in RESULTS
    assert f"all of them mixed it is {ece[3]} and {ece[4]}." in RESULTS
    for one, other in zip(every[:2], half, strict=True):  # from half of the batches to all
        assert one.gain(other, "ece").clear and one.gain(other, "ece").mean > 0
        assert not one.gain(other, "accuracy").clear
        assert one.measured("gap").mean < -0.05 and abs(other.measured("gap").mean) < 0.015
    assert f"by {words(every[1].gain(half[1], 'ece'))} points with CutMix" in RESULTS
    assert not half[0].gain(half[1], "ece").clear and not every[0].gain(every[1], "ece").clear
    assert not every[0].gain(every[1]).clear and not half[0].gain(half[1]).clear
    more = every[1].gain(run("fashion", "plain"))
    assert more.clear and f"it gains {words(more)} points" in RESULTS
    assert f"an ECE of {100 * run('emoji', 'plain').measured('ece').mean:.1f} points" in RESULTS


# ------------------------------------------------------------------------------------------ other images
def test_corruptions() -> None:
    measure = "corrupted/accuracy"
    holds(gain("fashion", "mixup", measure), "Mixup gains ", clear=True)
    both = gain("fashion", "both", measure)
    assert f"“Mixup or CutMix” {words(both)}, and CutMix nothing measurable" in RESULTS and both.clear
    holds(gain("fashion", "cutmix", measure), "nothing measurable (", clear=False)
    assert not any(gain("emoji", way, measure).clear for way in WAYS[1:])


def test_out_of_distribution() -> None:
    measure = "foreign photographs/auroc"
    assert not any(gain("fashion", way, measure).clear for way in WAYS[1:])
    for way in ("cutmix", "both"):
        assert gain("emoji", way, measure).clear and gain("emoji", way, measure).mean < 0
    assert not any(gain("emoji", way, measure).clear for way in ("cutout", "mixup"))
    for way in WAYS:
        noise = [
            run("emoji", way).measured(f"foreign {kind} noise/auroc").mean for kind in ("uniform", "normal")
        ]
        assert sum(noise) / 2 < 0.5


def test_rejected_photographs() -> None:
    def told(measure: str, ways: tuple[str, ...] = ("plain", "cutmix", "mixup")) -> list[str]:
        return [f"{100 * run('emoji', way).measured(measure).mean:.0f} %" for way in ways]

    rejected, right = told("foreign photographs/tnr"), told("foreign photographs/accuracy")
    page = RESULTS.replace("\u00a0", " ")
    assert f"only {rejected[0]} of the photographs are rejected without mixing" in page
    assert f"{rejected[1]} with CutMix and {rejected[2]} with Mixup (the *TNR*)" in page
    assert f"weighted equally, is {right[0]}, {right[1]} and {right[2]}" in page
    found = [run("emoji", way).measured("foreign photographs/auroc").mean for way in ("plain", "cutmix")]
    assert f"from {found[0]:.2f} to {found[1]:.2f}" in page
    assert 0.75 < 1 - run("emoji", "plain").measured("foreign photographs/tnr").mean < 0.85  # four of five


def test_hidden_parts_and_boxed_pairs() -> None:
    hidden = "hidden/middle 0.5"
    for data in ("fashion", "emoji"):
        gains = {way: gain(data, way, hidden) for way in WAYS[1:]}
        assert max(gains, key=lambda way: gains[way].mean) == "cutout" and gains["cutout"].clear
        assert not gains["cutmix"].clear
    holds(gain("fashion", "cutmix", hidden), "the seeds differ too much to tell: ", clear=False)
    holds(gain("fashion", "both", hidden), "“Mixup or CutMix” gains ", clear=True)
    holds(gain("fashion", "cutout", hidden), "gains most: ", clear=True)
    boxed = gain("fashion", "cutmix", "between/box")
    assert boxed.clear and boxed.mean < 0
    neither = [f"{run('fashion', way).measured('between/box').mean:.0%}" for way in ("cutmix", "plain")]
    told = f"names neither class in {neither[0]} of such images, against {neither[1]} without mixing"
    assert told.replace("%", " %") in RESULTS


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
    pair = labels, labels[partner]
    left, right = (feature_attention(net, boxed, "stage3", each)[two] for each in pair)
    own = (left[..., :16].sum((1, 2, 3)).mean() + right[..., 16:].sum((1, 2, 3)).mean()) / 2
    assert 0.53 < own < 0.65 and hits["cutmix"] > hits["mixup"] + 0.05


def test_where_four_networks_look() -> None:
    found = json.loads((ASSETS / "cams.json").read_text(encoding="utf-8"))
    seed, test = found["seeds"]["0"], ml.data.load("emoji").test
    assert test.masks is not None and len(test) == 1100 and list(found["seeds"]) == ["0"]
    assert abs(found["object"] - float(test.masks.float().mean() / 255)) < 1e-4
    for way in ("plain", "cutout", "mixup", "cutmix"):  # the networks of the records, trained once more
        known = run("emoji", way).runs[0]["final"]["concepts"]["accuracy"]
        assert abs(seed[way]["accuracy"] - known) < 0.04
    share = {way: f"{100 * seed[way]['share'][0]:.1f} %" for way in ("plain", "cutout", "cutmix")}
    page = RESULTS.replace("\u00a0", " ")
    assert "{plain} without mixing, {cutout} with Cutout and {cutmix} with CutMix".format(**share) in page
    for way, differs in (("cutout", False), ("mixup", True), ("cutmix", False), ("untrained", True)):
        mean, half = seed[way]["minus plain"]
        assert (abs(mean) > half) == differs
    less = seed["mixup"]["minus plain"]
    assert less[0] < 0 and f"it is {-100 * less[0]:.1f} ± {100 * less[1]:.1f} points less" in page
    even, fresh = found["object"], seed["untrained"]["share"][0]
    assert f"network has {100 * fresh:.0f} %, an even map {100 * even:.0f} %" in page
    # the figure's images: of four classes, and each map mostly on the object
    assert len({int(test.labels[at]) for at in found["places"]}) == len(found["places"]) == 4
    masks = F.adaptive_avg_pool2d(test.masks[found["places"]].float() / 255, 8)[:, 0]
    for maps in found["maps"].values():
        heat = torch.tensor(maps).float()
        assert ((heat * masks).sum((1, 2)) / heat.sum((1, 2)) > masks.mean((1, 2))).all()


# ------------------------------------------------------------------------------------------ the method
def test_drawn_partners_and_patch() -> None:
    g = torch.Generator().manual_seed(325)
    torch.rand((), generator=g)
    assert torch.randperm(4, generator=g).tolist() == [1, 2, 3, 0]
    assert "its own partner is the owl" in METHOD and "mostly pink cloth" in METHOD
    cat = ml.data.photos(size=128).pick("cat").images[0, :, 65:128, 2:93]
    assert (cat[0] > 1.5 * cat[1:].amax(0)).float().mean() > 0.6


# ------------------------------------------------------------------------------------------ bugs
def test_rows_and_columns_swapped_are_wrong_by_a_sixth() -> None:
    generator = torch.Generator().manual_seed(1)
    errors = []
    boxes = ml.sample_boxes(ml.sample_lam(4000, 1.0, generator=generator), 96, 192, generator=generator)
    for x0, y0, x1, y1 in boxes.tolist():
        pasted = (min(x1, 96) - min(x0, 96)) * (min(y1, 192) - min(y0, 192))
        errors.append(abs(pasted - (x1 - x0) * (y1 - y0)) / (96 * 192))
    assert abs(sum(errors) / len(errors) - 0.16) < 0.006 and "wrong by 0.16 on average" in BUGS


def test_epochs_turn_a_loss_into_a_gain() -> None:
    short = ml.runs.load("curve-e10-cutmix").gain(ml.runs.load("curve-e10-plain"))
    long = gain("fashion", "cutmix")
    assert short.clear and short.mean < 0 and long.clear and long.mean > 0
    assert f"loses {words(short)} points after 10 epochs and gains {words(long)} after 40" in BUGS
    errors = torch.tensor([15.29, 14.66, 15.28, 15.04, 14.52])  # CutMix-PyTorch issue 7
    assert f"scatter by {errors.std():.2f} points" in BUGS and f"a mean of {errors.mean():.2f}" in BUGS


def test_folding_shrinks_the_smaller_part() -> None:
    generator = torch.Generator().manual_seed(1)
    lam = ml.sample_lam(20_000, 1.0, generator=generator)
    smaller = []
    for asked in (lam, torch.maximum(lam, 1 - lam)):
        area = ml.box_area(ml.sample_boxes(asked, 224, 224, generator=generator)) / 224**2
        smaller.append(float(torch.minimum(area, 1 - area).mean()))
    assert smaller[0] > smaller[1] + 0.08 and "the smaller part of a mixture shrinks" in BUGS


def test_table_of_libraries() -> None:
    text = (BOOK / "as_released.md").read_text(encoding="utf-8").partition("(cutmix)=")[2]
    table: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("| "):  # of two tables
            name, *cells = line.strip("|").split(" | ")
            table.setdefault(name.strip(), []).extend(re.sub(r"[`$*]", "", cell).strip() for cell in cells)
    rows = {
        "mixlearn cutmix": "this book, `ml.cutmix`",
        "torchvision v2.CutMix": "torchvision 0.29",
        "timm Mixup, CutMix": "timm 1.0",
        "kornia RandomCutMixV2": "kornia 0.9",
        "kornia RandomCutMixV2, use_correct_lambda": "kornia 0.9, correct λ",
    }
    calls, kept = whose_lam.libraries(), {"clipped": 0.68, "inside": 0.5}
    assert "a share of 0.68 on average if the box is clipped, and ½ if it is not" in text
    assert f"with {kept['clipped'] - kept['inside']:.2f} of the label too much" in text  # λ before clipping
    for name, row in rows.items():
        seen = ml.measure.probe(calls[name][1], rounds=60)
        weighs, partner, each, box, source, changes = table[row]
        facts = [seen.lam_weighs, seen.partner.replace("−", "-"), seen.lam_for_each]
        facts += [seen.draws_from.replace("its own", "your generator"), "yes" if seen.changes_input else "no"]
        assert [weighs, partner, each, source, changes] == facts, row
        assert abs(kept[box] - seen.own_share) < 0.12, row
