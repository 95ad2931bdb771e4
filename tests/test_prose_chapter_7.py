"""What the text of chapter 7 says of its run records."""

from __future__ import annotations

import re

import pytest

import mixlearn as ml
from mixlearn.train.records import Interval, Record, interval
from tests.prose import cells, prose, words

JUDGES = ("knn/k=20", "knn/k=1", "linear/accuracy", "tuned/accuracy")
FROZEN = JUDGES[:3]
PAGE = prose("07_patchmix_results").replace("\u00a0", " ")
LEARNED = ("simclr", "moco", "patchmix")


def record(data: str, way: str) -> Record:
    return ml.runs.load(f"contrast-{data}-{way}")


def gain(data: str, way: str, base: str, judge: str = "knn/k=20") -> Interval:
    return record(data, way).gain(record(data, base), judge)


def test_networks_on_fashion() -> None:
    ways = (*LEARNED, "labels")
    at = [record("fashion", way).measured("knn/k=20").percent(1) for way in ways]
    assert at == ["79.0 ± 1.3", "78.0 ± 2.2", "76.5 ± 3.2", "83.8 ± 0.3"]
    pixels = record("fashion", "pixels").measured("knn/k=20").mean
    assert record("fashion", "labels").measured("knn/k=20").mean > pixels and "only labels beat" in PAGE
    assert f"PatchMix ends {words(gain('fashion', 'patchmix', 'moco'))} points behind MoCo v3" in PAGE
    assert gain("fashion", "patchmix", "moco").mean < 0 and not gain("fashion", "patchmix", "moco").clear
    assert max(LEARNED, key=lambda way: record("fashion", way).measured("knn/k=20").mean) == "simclr"


@pytest.mark.parametrize("judge", FROZEN)
def test_raw_pixels_beat_every_contrastive_network_on_fashion(judge: str) -> None:
    pixels = record("fashion", "pixels").measured(judge).mean
    for way in (*LEARNED, "vit-moco", "vit-patchmix"):
        assert record("fashion", way).measured(judge).mean < pixels
    if judge == "knn/k=20":
        assert round(100 * pixels, 1) == 82.0


def test_raw_pixels_on_emoji_lead_by_neighbours_and_lose_under_the_probe() -> None:
    pixels = record("emoji", "pixels")
    for way in LEARNED:
        assert record("emoji", way).measured("knn/k=20").mean < pixels.measured("knn/k=20").mean
        probe = "linear/accuracy"
        for network in (way, "scratch"):
            assert record("emoji", network).measured(probe).mean > pixels.measured(probe).mean


def test_raw_pixels_fail_on_garments_off_centre() -> None:
    """More seeds and methods change what the page says: its words follow the records."""
    ways = ("pixels", "scratch", *LEARNED)
    pixels, untrained, simclr, moco, patchmix = (record("garments", way) for way in ways)
    vote, probe, few = "knn/k=20", "linear/accuracy", "linear 1%/accuracy"

    def ahead(one: Record, other: Record, measure: str = vote) -> str:
        found = 100 * (one.measured(measure).mean - other.measured(measure).mean)
        assert found > 0
        return f"{found:.1f}"

    assert f"82.0 to {100 * pixels.measured(vote).mean:.1f} %" in PAGE
    assert ahead(simclr, pixels) and ahead(moco, pixels) and "SimCLR and MoCo v3 overtake them" in PAGE
    told = f"{ahead(pixels, patchmix)} points behind the pixels and {ahead(moco, patchmix)} behind MoCo v3"
    assert told in PAGE and ahead(patchmix, untrained)
    assert all(ahead(one, pixels, probe) for one in (simclr, moco, patchmix))
    assert "ranks all three above the pixels there" in PAGE
    for measure in (vote, probe, few, "linear 10%/accuracy"):
        assert "PatchMix is again the last of the three" in PAGE
        assert all(ahead(rival, patchmix, measure) for rival in (simclr, moco))
    assert ("trained each network once" in PAGE) == all(one.seeds == (0,) for one in (simclr, moco, patchmix))
    code = " ".join("".join(cell["source"]) for cell in cells("07_patchmix_results", "code"))
    known = {name.removeprefix("contrast-garments-") for name in ml.runs.names() if "-garments-" in name}
    assert all(f'"{way}"' in code for way in known), "a record without a line in the figure"
    few_seeds = any(len(record("garments", way).seeds) < 3 for way in known if way in LEARNED)
    assert ("too few to rank the networks" in PAGE) == few_seeds
    assert untrained.measured(vote).mean < pixels.measured(vote).mean
    assert pixels.measured(probe).mean < untrained.measured(probe).mean < simclr.measured(probe).mean
    assert all(
        one.settings["epochs"] == 30 and one.settings["images"] == 4000 for one in (simclr, moco, patchmix)
    )
    assert "for 30 epochs on 4,000 of these images" in PAGE


def test_cosines_of_kin() -> None:
    gaps = {}
    for way in ("pixels", "scratch", *LEARNED):
        found = ml.runs.load(f"kin-emoji-{way}")
        each = [found.values(f"kin/{kind}") for kind in ("same thing", "same class", "other class")]
        means = [sum(values) / len(values) for values in each]
        assert means == sorted(means, reverse=True), "The order is right in every row"
        gaps[way] = interval([a - b for a, b in zip(*each[1:], strict=True)])
    for way, base in [*((way, "scratch") for way in LEARNED), ("patchmix", "moco")]:
        pairs = zip(*(ml.runs.load(f"kin-emoji-{one}").runs for one in (way, base)), strict=True)
        of = [[run["final"]["kin"] for run in both] for both in pairs]
        change = [a["same class"] - a["other class"] - b["same class"] + b["other class"] for a, b in of]
        assert not interval(change).clear, (way, base)
    told = [f"{gaps[way].mean:.2f} ± {gaps[way].half:.2f}" for way in ("patchmix", "scratch")]
    assert f"PatchMix's gap is {told[0]}, not significantly" in PAGE
    assert f"Before training the gap is {told[1]}:" in PAGE


def test_hours_of_training() -> None:
    names = [name for name in ml.runs.names() if name.startswith("contrast-")]
    hours = sum(ml.runs.load(name).seconds for name in names) / 3600
    assert f"All training together took {hours:.1f} hours" in PAGE


def test_table_of_differences() -> None:
    """PatchMix minus untrained network, raw pixels, MoCo v3 and SimCLR, significant differences in bold."""
    lines = re.findall(r"^\| (Fashion-MNIST|Emoji Scenes), ([^|]*) \| (.*) \|$", PAGE, re.MULTILINE)
    judges = {"20 neighbours": JUDGES[0], "linear probe": JUDGES[2], "fine-tuning": JUDGES[3]}
    rows = [(data, judge) for data in ("Fashion-MNIST", "Emoji Scenes") for judge in judges]
    assert [line[:2] for line in lines] == rows, lines
    halves, marked = [], 0
    for data, judge, row in lines:
        for base, cell in zip(("scratch", "pixels", "moco", "simclr"), row.split(" | "), strict=True):
            if cell == "–":
                assert (base, judge) == ("pixels", "fine-tuning")  # nothing to tune
                continue
            found = gain({"Fashion-MNIST": "fashion"}.get(data, "emoji"), "patchmix", base, judges[judge])
            text = re.sub(r"^[+−](?=0\.0 )", "", words(found, sign=True))
            assert cell == (f"**{text}**" if found.clear else text)
            halves += [round(100 * found.half, 1)] * (base in LEARNED)
            marked += found.clear and base in LEARNED
            if base == "pixels":
                assert found.clear and (found.mean > 0) == ((data, judge) == ("Emoji Scenes", "linear probe"))
            assert not (judge == "fine-tuning" and base == "scratch" and found.clear)
    assert f"reach {min(halves)} to {max(halves)} points to each side" in PAGE
    assert len(halves) == 12 and "twelve comparisons with rivals" in PAGE
    assert marked == 2 and "in all six rows of the folded table, twice significantly" in PAGE


def test_gains_over_the_untrained_network_and_of_labels() -> None:
    low, *_, high = sorted(100 * gain("fashion", way, "scratch").mean for way in LEARNED)
    assert f"{low:.0f} to {high:.0f} points" in PAGE
    labels = [100 * gain(data, "labels", "patchmix").mean for data in ("fashion", "emoji")]
    assert (
        f"another {labels[0]:.0f} points over PatchMix on Fashion-MNIST, and {labels[1]:.0f} on Emoji Scenes"
        in PAGE
    )


@pytest.mark.parametrize(
    ("data", "way", "base", "judge", "text"),
    [
        ("emoji", "patchmix", "pixels", "linear/accuracy", "9.5 ± 4.0"),
        ("fashion", "vit-patchmix", "vit-scratch", "knn/k=20", "21.5 ± 5.6"),
        ("fashion", "vit-patchmix", "vit-scratch", "tuned/accuracy", "2.5 ± 1.1"),
        ("fashion", "patchmix-alone", "patchmix", "linear/accuracy", "0.8 ± 0.6"),
        ("emoji", "simclr", "scratch", "tuned/accuracy", "2.7 ± 1.6"),
    ],
)
def test_difference(data: str, way: str, base: str, judge: str, text: str) -> None:
    assert gain(data, way, base, judge).percent(1) == text
    found = gain(data, way, base, judge)
    assert found.clear and text.removeprefix("−") in PAGE


def test_patchmix_does_not_beat_its_baselines() -> None:
    significant = []
    for data in ("fashion", "emoji"):
        for judge in JUDGES:
            assert not gain(data, "patchmix", "moco", judge).clear
            beside = gain(data, "patchmix", "simclr", judge)
            assert beside.mean < 0
            significant += [(data, judge)] * beside.clear
            if judge != "tuned/accuracy":
                assert gain(data, "simclr", "scratch", judge).mean > 0
            assert not gain(data, "vit-patchmix", "vit-moco", judge).clear
    for training in ("vit-patchmix", "vit-moco"):
        assert gain("fashion", training, "vit-scratch", "tuned/accuracy").clear
    assert significant == [("fashion", "linear/accuracy"), ("emoji", "tuned/accuracy")]


@pytest.mark.parametrize("judge", ["knn/k=20", "linear/accuracy"])
@pytest.mark.parametrize(
    "part", [*(f"no-{loss}" for loss in ("origin", "mix-to-origin", "mix-to-mix")), "three", "four"]
)
def test_no_single_part_matters_measurably(part: str, judge: str) -> None:
    assert not gain("fashion", f"patchmix-{part}", "patchmix", judge).clear
    assert not gain("fashion", "mixco", "patchmix", judge).clear


def test_which_networks_gain_from_pre_training_before_labels() -> None:
    nets = [(data, net) for data in ("fashion", "emoji") for net in ("", "vit-")]
    ways = [(data, net + way) for data, net in nets for way in LEARNED if net + way != "vit-simclr"]
    base = {way: "vit-scratch" if "vit" in way else "scratch" for _, way in ways}
    tuned = [one for one in ways if gain(*one, base[one[1]], "tuned/accuracy").clear]
    assert tuned == [("fashion", "vit-moco"), ("fashion", "vit-patchmix"), ("emoji", "simclr")]
    assert "only the transformer on Fashion-MNIST, and the ResNet on Emoji Scenes if pre-trained with" in PAGE


def test_origin_is_the_loss_that_costs_most() -> None:
    parts = ("no-origin", "no-mix-to-origin", "no-mix-to-mix", "three", "four")
    lost = {part: gain("fashion", f"patchmix-{part}", "patchmix", "linear/accuracy") for part in parts}
    assert max(lost, key=lambda part: abs(lost[part].mean)) == "no-origin" and lost["no-origin"].mean < 0
    assert f"The largest, {words(lost['no-origin'])} points, is lost without *origin*" in PAGE


def test_raw_pixels_beat_every_variant() -> None:
    names = [name for name in ml.runs.names() if name.startswith("contrast-fashion-patchmix")]
    best = max(ml.runs.load(name).measured("linear/accuracy").mean for name in names)
    assert len(names) == 7 and best < record("fashion", "pixels").measured("linear/accuracy").mean


def test_labels_of_patches(capsys: pytest.CaptureFixture[str]) -> None:
    """What the cells print of the patches off the centre, as the text repeats it."""
    space = {"display": lambda *pictures: None, "fashion": ml.data.load("fashion")}
    for cell in cells("07_patchmix_results", "code"):
        if cell["id"] not in ("setup", "5c90c0d1"):  # the second is slow: neighbours of all pixels
            exec("".join(cell["source"]), space)
    printed = capsys.readouterr().out
    empty, ours, box = re.findall(r"(\d+)(?:%| points)", printed)[:3]
    assert f"{empty} % of the patches are empty" in PAGE
    assert f"labels are off by only {ours} points, CutMix's by {box}" in PAGE
    assert 2 * int(ours) < int(box)


def test_chapter_reports_no_gain_from_mixtures() -> None:
    page = prose("07_patchmix").replace("\u00a0", " ")
    behind = gain("fashion", "patchmix", "moco")
    assert behind.mean < 0 and not behind.clear
    assert f"PatchMix is {words(behind)} points behind MoCo v3 by 20 neighbours" in page
    untrained = gain("fashion", "patchmix", "scratch")
    assert untrained.clear and f"{words(untrained)} points better than those of an untrained" in page
    simclr = gain("fashion", "simclr", "patchmix")
    assert (
        not simclr.clear and f"its features {words(simclr)} points better, which is not significant" in page
    )
    assert behind.mean + behind.half > 0.03 and "could not have seen a gain of three points" in page
    ran = record("fashion", "patchmix").settings
    assert f"After {ran['epochs']} epochs on {ran['images']:,} images of Fashion-MNIST" in page
    for part in ("no-mix-to-origin", "no-mix-to-mix"):
        assert not any(gain("fashion", f"patchmix-{part}", "patchmix", judge).clear for judge in FROZEN)
    ways = [("fashion", ""), ("emoji", ""), ("fashion", "vit-")]
    ahead = [gain(data, f"{net}patchmix", f"{net}moco", judge) for data, net in ways for judge in JUDGES]
    assert not any(one.clear for one in ahead) and "no significant gain from mixing" in page


def test_cost_in_the_text() -> None:
    """Forward passes, a backward pass counted as two: of PatchMix, MoCo v3 and SimCLR."""
    labels, simclr, moco, patchmix = (3 * asked + kept for asked, kept in ((1, 0), (2, 0), (2, 2), (2, 3)))
    assert (labels, simclr, moco, patchmix) == (3, 6, 8, 9) and simclr / patchmix == 2 / 3
