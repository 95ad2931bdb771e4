"""Chapter 4's prose holds what the records hold: each number of a sentence, and each comparison it makes."""

from __future__ import annotations

import torch

import mixlearn as ml
from mixlearn.page import studio_net as studio
from mixlearn.page.studio import SHARES, method_masks, shipped_methods
from mixlearn.train.records import Interval, Record
from tests.prose import prose, words
from tests.seeds import seeded

WAYS = (
    "mixup", "cutmix", "resizemix", "gridmix", "fmix", "smoothmix", "saliencymix", "attentivemix", "snapmix",
    "puzzlemix", "comixup",
)  # fmt: skip


def in_text(words: str, page: str = "04_masks_results") -> None:
    assert words in prose(page), words


def trained(way: str, data: str) -> Record:
    kind = "boxes" if way in ("plain", "mixup", "cutmix") else "masks"
    return ml.runs.load(f"{kind}-{data}-{way}")


def truth(way: str) -> Record:
    return ml.runs.load(f"truth-emoji-{way}")


def judge(way: str) -> Record:
    return ml.runs.load(f"judge-offcentre-{way}")


def said(gain: Interval, better: bool | None, page: str = "04_masks_results") -> None:
    """A page prints this difference; it is significantly above or below zero, or neither for None."""
    in_text(words(gain), page)
    assert gain.clear == (better is not None)
    assert better is None or (gain.mean > 0) == better


# ------------------------------------------------------------------------------------------ pages
PAGES = {"04_masks", "04_saliency", "04_masks_results", "04_features", "04_puzzlemix", "04_masks_details"}


# ------------------------------------------------------------------------------------------ labels
def test_errors_of_labels() -> None:
    cut = truth("cutmix")
    errors = {way: truth(way).measured("drawn/error").mean for way in WAYS}
    rounded = {way: round(100 * errors[way]) for way in WAYS}
    looking = ("saliencymix", "attentivemix", "cutmix", "puzzlemix", "resizemix")
    assert [rounded[way] for way in looking] == [17, 22, 12, 6, 40]
    in_text("off by 17 and 22 points, where a blind box is off by 12")
    said(truth("puzzlemix").gain(cut, "drawn/error"), False)
    for way in ("saliencymix", "attentivemix", "snapmix"):
        said(truth(way).gain(cut, "drawn/error"), True)
    said(truth("comixup").gain(cut, "drawn/error"), None)
    assert errors["mixup"] < 1e-6
    assert min((way for way in WAYS if way != "mixup"), key=errors.__getitem__) == "puzzlemix"
    assert {len(truth(way).seeds) for way in WAYS} == {3}
    assert max(errors, key=errors.__getitem__) == "resizemix" and "40 points off" in prose("04_masks_results")


def test_what_is_seen_at_one_half() -> None:
    def half(way: str, measure: str) -> float:
        return 100 * truth(way).measured(f"half/{measure}").mean

    seen = [round(half(way, part)) for way in ("attentivemix", "puzzlemix") for part in ("own", "partner")]
    assert seen == [28, 83, 59, 59]
    in_text("83 % of the partner's object and 28 % of the image's own", "04_saliency")
    in_text("showed 59 % of each", "04_saliency")
    assert half("cutmix", "bias") > 5 and half("gridmix", "bias") > 5
    assert (
        not truth("fmix").measured("half/bias").clear and not truth("puzzlemix").measured("half/bias").clear
    )
    for way in ("saliencymix", "attentivemix"):
        assert half(way, "partner") > 60 > 40 > half(way, "own")


def test_a_whole_object_with_little_label() -> None:
    unnamed = {way: truth(way).measured("drawn/unnamed").mean for way in WAYS}
    assert round(100 * unnamed.pop("resizemix")) == 36 and max(unnamed.values()) < 1e-3
    in_text("in 36 % of the mixtures more than half of an object is visible", "04_masks")


# ------------------------------------------------------------------------------------------ the judge
def test_judged_mixtures() -> None:
    top = {way: judge(way).measured("all/top 2").mean for way in (*WAYS, "true-masks")}
    percent = {way: round(100 * top[way]) for way in ("cutmix", "gridmix", "true-masks", "puzzlemix")}
    assert percent == {"cutmix": 11, "gridmix": 4, "true-masks": 30, "puzzlemix": 21}
    in_text("11 % of CutMix's mixtures and for 4 % of GridMix's", "04_masks")
    assert min(top, key=top.__getitem__) == "gridmix" and max(top, key=top.__getitem__) == "true-masks"
    cut = judge("cutmix")
    gains = {way: judge(way).gain(cut, "all/top 2") for way in WAYS}
    for way in ("puzzlemix", "comixup", "attentivemix"):
        said(gains[way], True)
    said(gains["gridmix"], False)
    said(gains["saliencymix"], None)
    assert 1.8 < top["puzzlemix"] / top["cutmix"] < 2.1
    assert 0.45 < (top["puzzlemix"] - top["cutmix"]) / (top["true-masks"] - top["cutmix"]) < 0.6


def test_costs_of_a_call() -> None:
    whole = judge("cutmix").measured("all/cost").mean
    cost = {way: judge(way).measured("all/cost").mean / whole for way in WAYS}
    rounded = {way: round(cost[way]) for way in WAYS}
    assert [round(cost[way], 1) for way in ("resizemix", "gridmix", "fmix", "smoothmix")] == [
        1.5,
        1.5,
        1.7,
        1.2,
    ]
    assert [rounded[way] for way in ("saliencymix", "attentivemix", "snapmix")] == [13, 23, 23]
    assert (rounded["puzzlemix"], rounded["comixup"]) == (76, 154)
    for number in ("13 times", "23 times", "76 times", "154 times"):
        in_text(number, "04_saliency")
    for number in ("one and a half times", "1.7 times", "1.2 times"):
        in_text(number, "04_masks")


# ------------------------------------------------------------------------------------------ accuracy
def test_accuracy_on_fashion() -> None:
    plain, cut = trained("plain", "fashion"), trained("cutmix", "fashion")
    better = {way for way in WAYS if trained(way, "fashion").gain(plain).clear}
    better &= {way for way in WAYS if trained(way, "fashion").gain(plain).mean > 0}
    assert better == {*WAYS} - {"snapmix", "comixup"}
    assert all(0.016 < trained(way, "fashion").gain(plain).mean < 0.028 for way in better)
    gains = {way: trained(way, "fashion").gain(cut) for way in WAYS if way != "cutmix"}
    assert {way for way, gain in gains.items() if gain.clear} == {"smoothmix", "comixup"}
    said(gains["smoothmix"], True)
    said(gains["comixup"], False)
    said(gains["puzzlemix"], None)


def test_accuracy_on_emoji() -> None:
    plain, cut = trained("plain", "emoji"), trained("cutmix", "emoji")
    gains = {way: trained(way, "emoji").gain(plain) for way in WAYS}
    assert not any(gain.clear and gain.mean > 0 for gain in gains.values())
    against = {way: trained(way, "emoji").gain(cut) for way in WAYS if way != "cutmix"}
    assert {way for way, gain in against.items() if gain.clear} == {"comixup", "gridmix", "snapmix"}
    for way in ("comixup", "gridmix", "snapmix"):
        said(against[way], False)
    assert against["smoothmix"].mean > 0
    found = [
        [truth(way).measured("drawn/error").mean, trained(way, "emoji").measured("accuracy").mean]
        for way in WAYS
    ]
    r = float(torch.corrcoef(torch.tensor(found).T)[0, 1])
    in_text(f"r = {r:.2f}".replace("-", "−"))


def test_calibration() -> None:
    for data in ("fashion", "emoji"):
        plain = trained("plain", data)
        for way in WAYS:
            gain = trained(way, data).gain(plain, "ece")
            assert (gain.clear and gain.mean < 0) or (way, data) == ("comixup", "fashion")
    fashion = {way: 100 * trained(way, "fashion").measured("ece").mean for way in WAYS}
    assert round(100 * trained("plain", "fashion").measured("ece").mean, 1) == 8.7
    others = {*WAYS} - {"mixup", "snapmix", "comixup"}
    assert all(1 < fashion[way] < 4 for way in others)
    assert all(fashion[way] > 4 for way in {*WAYS} - others)


def test_features_and_attention() -> None:
    page = "04_features"
    for way, better in (("alignmix", True), ("manifold", None)):
        said(trained(way, "fashion").gain(trained("mixup", "fashion")), better, page)
        assert not trained(way, "emoji").gain(trained("mixup", "emoji")).clear
    plain, cut, trans = (trained(f"vit-{way}", "fashion") for way in ("plain", "cutmix", "transmix"))
    said(cut.gain(plain), True, page)
    said(trans.gain(cut), None, page)
    plain, cut, trans = (trained(f"vit-{way}", "emoji") for way in ("plain", "cutmix", "transmix"))
    assert not cut.gain(plain).clear and not trans.gain(cut).clear and not trans.gain(plain).clear


# ------------------------------------------------------------------------------------------ the studio
TARGETS = (0.3, 0.4, 0.5, 0.6, 0.7)


def scores(pixels: torch.Tensor, labels: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """The studio's scores of masks (K, H, W) in bytes, the partner's share, for one pair."""
    share = masks.double()[:, None] / 255
    mixed = torch.lerp(pixels[0].double(), pixels[1].double(), share)
    lam, rows = 1 - share.mean((1, 2, 3)), torch.zeros(len(masks), 10, dtype=torch.float64)
    rows[:, labels] = torch.stack([lam, 1 - lam], 1)
    with torch.no_grad():
        return studio.mask_score(studio.studio_net().double()(mixed), rows)


def test_a_random_cloud_beats_puzzlemix_in_fifteen_of_25_cases() -> None:
    part, methods, wins, lucky, farthest = studio.designers(), shipped_methods(), 0, [], 0.0
    names = list(methods)
    for pair in studio.PAIRS:
        labels = part.labels[list(pair)]
        pixels = studio.normalised(part.images[list(pair)]).float()
        masks = method_masks(pixels, labels, methods, SHARES, 54).flatten(2).unflatten(2, (32, 32))
        for lam in TARGETS:
            of = masks[:, SHARES.index(lam)]
            found = dict(zip(names, scores(pixels, labels, of), strict=True))
            wins += bool(found["Fourier"] > found["PuzzleMix"])
            missed = 1 - of[names.index("PuzzleMix")].double().mean() / 255 - lam
            farthest = max(farthest, abs(float(missed)))
            fields = ml.fmix(
                pixels[:1].expand(100, -1, -1, -1),
                num_classes=10,
                lam=lam,
                per_image=True,
                generator=seeded(),
            ).plan.masks[0, :, 0]
            others = scores(pixels, labels, (255 * (1 - fields)).round().byte())
            lucky.append((others > found["PuzzleMix"]).double().mean())
    assert wins == 15 and round(farthest, 1) == 0.2
    assert abs(float(torch.stack(lucky).mean()) - 0.37) < 0.02
    in_text("win 37 % of the time", "04_masks")


def test_on_many_pairs_puzzlemix_scores_above_clouds() -> None:
    part, net = studio.designers(), studio.studio_net()
    chosen = torch.randperm(len(part), generator=seeded())[:400]
    pixels, labels, others = studio.normalised(part.images[chosen]).float(), part.labels[chosen], None
    others = torch.arange(400).roll(1)
    differ = labels != labels[others]
    assert int(differ.sum()) == 362
    saliency = ml.gradient_saliency(net, pixels, labels)
    given = {"num_classes": 10, "lam": 0.5, "partner": others}
    puzzle = ml.puzzlemix(
        pixels, labels, saliency=saliency, blocks=[16], move=None, generator=seeded(1), **given
    )
    cloud = ml.fmix(pixels, labels, per_image=True, generator=seeded(1), **given)
    with torch.no_grad():
        means = [studio.mask_score(net(m.images), m.targets)[differ].mean() for m in (puzzle, cloud)]
    assert abs(means[0] - 34.9) < 0.5 and abs(means[1] - 31.6) < 0.5
    in_text("it scores 34.9 on average, and clouds score 31.6", "04_masks")
