"""Chapter 10: what its pages say of methods, cells and run records, and the exercises, hold."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import torch

import mixlearn as ml
from mixlearn.train.records import interval, names
from tests.prose import cells, gain, prose, run, words

PAGE, LABELS = prose("10_scenes"), prose("10_labels")


@pytest.fixture(scope="module")
def scenes() -> dict[str, Any]:
    return run("10_scenes")


def default(function: Any, name: str) -> Any:
    return inspect.signature(function).parameters[name].default


def test_defaults_are_those_of_the_text() -> None:
    assert default(ml.mosaic, "middle") == (0.25, 0.75) and "over the middle half of each side" in PAGE
    assert default(ml.mosaic, "scale") == 0.5 and default(ml.DetectionCollate, "least") == 0.1
    assert "less than 10 % is left" in PAGE and "threshold is `least=0.1`" in PAGE
    assert default(ml.segmentation_consistency, "confidence") == 0.97 and "is at least 0.97" in PAGE
    assert default(ml.cutmix_seg, "share") == 0.5 and "cover half of the image" in PAGE


def test_what_the_cells_make_is_what_the_text_says(scenes: dict[str, Any]) -> None:
    assert (scenes["seg"].plan.lam - 0.5).abs().max() < 0.03
    assert scenes["boxes"][0].shape[0] == 2 == int((scenes["maps"][1].unique() > 0).sum())
    kept = scenes["below"].source.tolist()
    assert kept.count(1) == 2, "Copy-Paste drew both objects of scene 1"
    own = scenes["classes"].plan.masks[0, 0, 0].bool()  # scene 0 is left where scene 1 has objects
    assert torch.equal(own, scenes["masks"][1].any(0)), "ClassMix drew the background"
    assert sum(share < 0.1 for share in scenes["share"].tolist()) == 1
    assert all(loss.isfinite() for loss in scenes["losses"].values())
    assert scenes["batch"]["bboxes"].min() >= 0 and scenes["batch"]["bboxes"].max() <= 1


def test_two_methods_say_not_where_a_pixel_is_from() -> None:
    images = torch.rand(2, 3, 8, 8)
    boxes, labels = [torch.zeros(0, 4)] * 2, [torch.zeros(0).long()] * 2
    assert "every method here but MoEx and AlignMix" in PAGE
    for mix in (ml.alignmix, ml.moex):
        with pytest.raises(TypeError, match="which pixel each pixel shows"):
            ml.mix_objects(mix(images).plan, boxes, labels)


def test_published_numbers_agree_with_each_other() -> None:
    for old, new in ((43.3, 43.9), (43.5, 45.1)):
        assert f"{old} to {new}" in PAGE or f"from {old} to {new}" in PAGE
    assert f"adds {43.9 - 43.3:.1f} points of box AP in 90,000 iterations and {45.1 - 43.5:.1f}" in PAGE


def test_exercises_are_solved_and_no_result_is_promised() -> None:
    asked = re.findall(r":label: (ex-\S+)", PAGE + LABELS)
    solved = re.findall(r":::\{solution\} (\S+)", prose("solutions/10_beyond"))
    assert asked == [label for label in solved if not label.startswith("ex-other")]
    assert len(cells("solutions/10_beyond", "code")) == len(solved) + 2
    assert len(PAGE.split()) <= 1600


# ------------------------------------------------------------------------------------------ labels
@pytest.fixture(scope="module")
def labels() -> dict[str, Any]:
    return run("10_labels")


def said(pattern: str, way: str, base: str, measure: str = "accuracy") -> None:
    """The text holds this, "±" being a difference with its interval, "+±" one with its sign."""
    found = gain(way, base, measure)
    filled = pattern.replace("±", words(found, sign="+±" in pattern)).replace("+−", "−").replace("++", "+")
    assert filled in LABELS, filled


def test_few_labels_are_those_of_the_records() -> None:
    said("MixMatch gains ± points over no mixing", "few-40-mixmatch", "few-40-plain")
    said("and ± over Mixup", "few-40-mixmatch", "few-40-mixup")
    said("already gains ±.", "few-40-mixup", "few-40-plain")
    said("ICT does not beat it (+±)", "few-40-ict", "few-40-mixup")
    said("Nothing gains: MixMatch +±,", "few-250-mixmatch", "few-250-plain")
    said("Mixup +±. ICT *loses*", "few-250-mixup", "few-250-plain")
    said("ICT *loses* ±.", "few-250-ict", "few-250-plain")
    clear = {
        (count, way): (found.clear, found.mean > 0)
        for count in (40, 250)
        for way in ("mixup", "ict", "mixmatch")
        if (found := gain(f"few-{count}-{way}", f"few-{count}-plain", "accuracy"))
    }
    assert [key for key, one in clear.items() if one == (True, True)] == [(40, "mixup"), (40, "mixmatch")]
    assert [key for key, one in clear.items() if one == (True, False)] == [(250, "ict")]
    gap = ml.runs.load("few-250-ict").measured("gap")
    assert gap.mean < 0 and f"is {words(gap)} points below their accuracy" in LABELS
    for name in names():
        if re.match(r"few-|uneven-|divide-|wrong-50-(plain|mixup|cutmix)", name):
            record = ml.runs.load(name)
            assert record.seeds == (0, 1, 2) and record.settings["network"].startswith("ResNet-8, ")


def test_wrong_labels_are_those_of_the_records() -> None:
    said("CutMix gains ± points over no mixing", "wrong-50-cutmix", "wrong-50-plain")
    said("Mixup with α = 8 only ±.", "wrong-50-mixup-8", "wrong-50-plain")
    said("found split beats Mixup by ± points", "divide-found", "divide-mixup")
    said("but not no mixing (+±)", "divide-found", "divide-plain")
    said("The true split would gain ±:", "divide-true", "divide-plain")
    assert gain("divide-true", "divide-plain", "accuracy").clear
    assert not gain("divide-found", "divide-plain", "accuracy").clear
    for way in ("mixup", "mixup-8"):
        found = gain(f"wrong-50-{way}", "wrong-50-plain", "accuracy")
        assert not found.clear, "Mixup's gains are not significant"


def test_uneven_labels_are_those_of_the_records() -> None:
    rare, common = "rarest/accuracy", "commonest/accuracy"
    said("three rarest classes Mixup lost ± points", "uneven-mixup", "uneven-plain", rare)
    said("takes one line, gained ±.", "uneven-weighted", "uneven-plain", rare)
    said("yet loses ± points on rare classes", "uneven-mixup", "uneven-plain", rare)
    said("CutMix loses ± points on the three rarest classes", "uneven-cutmix", "uneven-plain", rare)
    said("classes, ± over all", "uneven-cutmix", "uneven-plain")
    said("CutMix's damage there (+±)", "uneven-remix-cutmix", "uneven-cutmix", rare)
    half = gain("uneven-remix-cutmix", "uneven-cutmix", rare).mean
    assert 0.4 < half / -gain("uneven-cutmix", "uneven-plain", rare).mean < 0.6, "half of CutMix's damage"
    said("balanced partners help**: +±", "uneven-unimix", "uneven-plain", rare)
    said(" and +± over no mixing", "uneven-balanced", "uneven-plain", rare)
    said("nothing measurable on the three commonest (+±)", "uneven-unimix", "uneven-plain", common)
    said("balanced partners ±.", "uneven-balanced", "uneven-plain", common)
    said("help most**, ± points over all classes", "uneven-weighted", "uneven-plain")
    said("They cost ± on the three commonest", "uneven-weighted", "uneven-plain", common)
    for way, lost in (("mixup", 1), ("cutmix", 1), ("unimix", 0), ("balanced", 0), ("weighted", 0)):
        found = gain(f"uneven-{way}", "uneven-plain", rare)
        assert found.clear and (found.mean < 0) == bool(lost)


def test_cells_on_labels_find_what_the_text_says(labels: dict[str, Any]) -> None:
    right, kept = labels["right"], labels["kept"]
    assert 0.43 < 1 - right.float().mean() < 0.47 and "45 % are wrong" in LABELS
    assert right[kept].float().mean() > 0.75 and right[~kept].float().mean() < 0.3
    mass, sixfold = labels["mass"], labels["mass"]["balanced partners"] / labels["mass"]["Mixup"]
    assert mass["Remix"] < 1.4 * mass["Mixup"] and 5.5 < sixfold < 6.6 and "sixfold" in LABELS
    mixed = ["Mixup", "CutMix", "Remix", "UniMix", "balanced partners", "class weights"]
    means = [labels["found_rare"][name].mean for name in mixed]
    assert means == sorted(means), "the more label mass, the more accuracy"
    plain, mixup = labels["rare"]["no mixing"], labels["rare"]["Mixup"]
    assert plain[0] > 0.75 and mixup[0] < plain[0] - 0.15, "many of the rare training images"
    assert mixup[2] > plain[1] and plain[2] > plain[1] + 0.1, "the shift brings all back, and helps both"
    verdicts = {line[0]: line[3] for line in labels["lines"]}
    assert verdicts["CutMix helps rare classes"] == verdicts["Remix beats class weights"] == "**opposite**"
    assert [labels["counts"][k] for k in (0, 7, 8, 9)] == [1000, 28, 17, 10]


def test_defaults_are_those_of_the_text_on_labels() -> None:
    assert default(ml.remix, "kappa") == 3 and default(ml.remix, "tau") == 0.5
    assert (default(ml.unimix, "alpha"), default(ml.unimix, "power")) == (0.8, 0.5)
    assert default(ml.learners.ICT, "weight") == 100 and default(ml.learners.ICT, "ramp") == 0.25
    mixmatch = ml.learners.MixMatch
    assert [default(mixmatch, name) for name in ("views", "temperature", "weight")] == [2, 0.5, 75]


def test_worth_to_a_detector_and_a_segmenter() -> None:
    change = {}
    for name, measure in (("scenes-detected", "map"), ("scenes-segmented-few", "miou")):
        record = ml.runs.load(name)
        ways = [key.partition("/")[0] for key in record.summary if key.endswith(f"/{measure}")]
        for way in ways:
            pairs = zip(record.values(f"{way}/{measure}"), record.values(f"plain/{measure}"), strict=True)
            change[measure, way] = interval([a - b for a, b in pairs])
    found = {key: words(one) for key, one in change.items()}
    lost = [("map", "mosaic"), ("map", "mixup"), ("map", "copy-paste"), ("miou", "cutmix")]
    assert all(change[key].clear and change[key].mean < 0 for key in lost)
    told = f"mAP by {found[lost[0]]} points, Mixup by {found[lost[1]]} and Copy-Paste by {found[lost[2]]}"
    assert f"{told}; CutMix changed it by {words(change['map', 'cutmix'], sign=True)}." in PAGE
    assert f"lost {found[lost[3]]} points of mIoU with boxes" in PAGE
    others = [("map", "cutmix"), ("miou", "classmix"), ("miou", "copy-paste")]
    assert not any(one.clear and one.mean > 0 for one in change.values()), "as the lid of the table says"
    assert not any(change[key].clear for key in others) and "gained from neither ClassMix nor" in PAGE
