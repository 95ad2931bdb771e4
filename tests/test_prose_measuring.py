"""The pages on measuring hold what their cells find, and every public measure is in a cell of some page."""

from __future__ import annotations

import ast
import inspect
import json
import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch

import mixlearn as ml
from mixlearn.page.studio_net import studio_net
from mixlearn.train.records import interval
from tests.page import node
from tests.prose import BOOK, held, prose, run

MEASURING = prose("08_measuring")
load = cache(ml.data.load)  # both pages read Emoji Scenes


@pytest.fixture(scope="module", autouse=True)
def read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ml.data, "load", load)
        yield


@pytest.fixture(scope="module")
def measuring() -> dict[str, Any]:
    return run("08_measuring")


# ------------------------------------------------------------------------------------------ every measure
def used(sources: list[str]) -> set[str]:
    """What cells read from `ml.measure`, as an attribute or by an import."""
    found: set[str] = set()
    for source in sources:
        lines = ("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())
        try:
            parsed = ast.parse("\n".join(lines))
        except (SyntaxError, IndentationError):  # the set-up cell, whose only line was a magic
            continue
        for part in ast.walk(parsed):
            if isinstance(part, ast.Attribute) and ast.unparse(part.value).endswith("measure"):
                found.add(part.attr)
            if isinstance(part, ast.ImportFrom) and part.module == "mixlearn.measure":
                found |= {name.name for name in part.names}
    return found


def test_every_measure_is_in_a_cell() -> None:
    """Functions, sets of corruptions and their list; not the types of results, which functions return."""
    wanted = {"COMMON", "CorruptedSets"}
    wanted |= {name for name in ml.measure.__all__ if inspect.isfunction(getattr(ml.measure, name))}
    pages = [json.loads(path.read_text(encoding="utf-8"))["cells"] for path in BOOK.glob("*.ipynb")]
    sources = ["".join(cell["source"]) for page in pages for cell in page if cell["cell_type"] == "code"]
    assert len(wanted) > 40 and sorted(wanted - used(sources)) == []


def test_a_measure_that_is_missing_is_found() -> None:
    assert used(["x = ml.measure.pgd(net)", "from mixlearn.measure import fog, snow as s"]) == {
        *("pgd", "fog", "snow"),
    }
    assert used(["# ml.measure.pgd", "words = 'ml.measure.pgd'", "pgd = 1", "ml.runs.pgd"]) == set()


# ------------------------------------------------------------------------------------------ accuracy, seeds
def test_one_pair_on_the_test_set(measuring: dict[str, Any]) -> None:
    a, b = (measuring["right"][way][0] for way in ("no mixing", "Mixup"))
    gain, n = float((b - a).mean()), len(a)
    paired, apart = (1.96 * v**0.5 for v in (float((a - b).var()) / n, float(a.var() + b.var()) / n))
    assert held(f"ahead by {100 * gain:.1f} ± {100 * paired:.1f} points", MEASURING)
    assert held(f"the same difference would be {100 * gain:.1f} ± {100 * apart:.1f}", MEASURING)
    assert held(f"on {(a != b).double().mean():.0%}".replace("%", " %") + " of the images only", MEASURING)
    halves = [1.96 * float(p * (1 - p) / n) ** 0.5 for p in (a.mean(), b.mean())]
    assert gain < sum(halves), "the two intervals overlap"


def test_the_gain_of_one_seed_was_luck(measuring: dict[str, Any]) -> None:
    plain, words, changes = measuring["right"]["no mixing"].mean(1), [], {}
    for way in ("Mixup", "smoothing"):
        changes[way] = measuring["right"][way].mean(1) - plain
        change = interval(changes[way].tolist())
        words.append(f"{100 * change.mean:.1f} ± {100 * change.half:.1f}")
        assert not change.clear
    assert held("accuracy by {} points, and smoothing by {}: nothing significant".format(*words), MEASURING)
    together = torch.stack([measuring["right"][way].mean(1) for way in measuring["ways"]])
    assert torch.corrcoef(together)[0, 1:].min() > 0.4, "a good seed is a good seed for the others"


def test_how_many_seeds(measuring: dict[str, Any]) -> None:
    (smooth, alone), (mixed, single) = measuring["spread"].values()
    assert held(f"from {alone:.1f} to {smooth:.1f} points", MEASURING) and 0.5 < smooth / alone < 0.6
    assert held(f"{single:.1f} to {mixed:.1f}. So half", MEASURING) and smooth / alone < mixed / single < 0.8
    need = [measuring["seeds_for"](0.5, sd) for sd in (smooth, mixed, alone, single)]
    said = "half a point takes {} pairs for smoothing and {} for Mixup, and {} and {} runs"
    assert held(said.format(*need), MEASURING)
    for n, sd in zip(need, (smooth, mixed, alone, single), strict=True):
        widths = [interval((sd * torch.linspace(-1, 1, k) / torch.linspace(-1, 1, k).std()).tolist()).half
                  for k in (n - 1, n)]  # fmt: skip
        assert widths[0] > 0.5 >= widths[1]
    reach = [interval((torch.linspace(-1, 1, k) / torch.linspace(-1, 1, k).std()).tolist()).half
             for k in (3, 10)]  # fmt: skip
    assert "reaches {:.1f} standard deviations to each side, with ten {:.1f}.".format(*reach) in MEASURING
    draws = torch.randn(4000, 10, generator=torch.Generator().manual_seed(0)).double()
    half = 2.262 * draws.std(1) / 10**0.5
    assert 0.45 < ((draws.mean(1) + half.mean()).abs() > half).double().mean() < 0.55
    assert "excludes zero in only about half of all attempts" in MEASURING


# ------------------------------------------------------------------------------------------ NLL, ECE
def test_few_images_make_up_the_nll(measuring: dict[str, Any]) -> None:
    shares = {}
    for way, z in measuring["logits"].items():
        losses = torch.nn.functional.cross_entropy(z[0], measuring["test"][1], reduction="none")
        shares[way] = float(losses.sort().values[-len(losses) // 20 :].sum() / losses.sum())
        assert (
            measuring["F"].cross_entropy(z[0].softmax(1).round(decimals=2).log(), measuring["test"][1]) > 1e9
        )
    assert held(f"makes up {100 * shares['no mixing']:.0f} % of the NLL, with smoothing", MEASURING)
    assert held(f"with smoothing {100 * shares['smoothing']:.0f} %", MEASURING)
    assert f"$\\log 10 = {math.log(10):.2f}$" in MEASURING
    for z in measuring["first"]:
        quality = ml.measure.prediction_quality
        assert (
            quality(z, measuring["test"][1], measuring["common"]).said > quality(z, measuring["test"][1]).said
        )


def test_bins_of_the_widget() -> None:
    signed = ml.widgets.bins_lab().predictions
    body = """const values = js.sorted(given), random = js.uniform(0);
        const drawn = Array.from({ length: 40 }, () => js.calibrated(values, random));
        return [1, 15, 100].map((k) => [js.ece(js.binned(values, k, "width")),
            drawn.reduce((sum, one) => sum + js.ece(js.binned(one, k, "width")), 0) / 40]);"""
    (one, _), (fifteen, _), (hundred, chance) = node.in_node(("bins", "mix"), body, signed)
    said = (
        "With one bin its calibration error is {:.1f} %, with fifteen it is {:.1f} %, with a hundred {:.1f} %"
    )
    assert said.format(*(100 * error for error in (one, fifteen, hundred))) in MEASURING
    assert abs(hundred - chance) < 0.003 and "One network, 2,200 predictions" in MEASURING
    assert len(signed) == 2200


def test_the_widget_shows_the_shipped_classifier() -> None:
    found = {name: ml.measure.predict(studio_net(), part) for name, part in load("emoji").tests.items()}
    gaps = {name: ml.measure.calibration(*each).gap for name, each in found.items()}
    over, under = 100 * gaps["concepts"], -100 * gaps["designers"]
    assert held(f"unseen concepts the network is overconfident by {over:.1f} points", MEASURING)
    assert held(f"on unseen designers underconfident by {under:.1f}. ", MEASURING)
    sure = torch.cat([each.logits.double().softmax(1).amax(1) for each in found.values()])
    right = torch.cat([each.logits.argmax(1) == each.labels for each in found.values()])
    shown = torch.tensor(ml.widgets.bins_lab().predictions).double()
    assert (shown.sort().values - torch.where(right, sure, -sure).sort().values).abs().max() < 2e-3


def test_bins_and_images_of_the_page(measuring: dict[str, Any]) -> None:
    z, labels, words = measuring["z"], measuring["labels"], []
    z = measuring["logits"]["Mixup"][0]
    for n in (5000, 500):
        found = ml.measure.calibration(z[:n], labels[:n], 15).ece, measuring["chance"](z[:n], 15)
        words += [f"{100 * error:.1f} %" for error in found]
        for bins in (1, 5, 15, 50, 100):
            both = (
                measuring["by_mass"](z[:n], labels[:n], bins),
                ml.measure.calibration(z[:n], labels[:n], bins).ece,
            )
            assert abs(both[0] - both[1]) < 0.015, "bins of equal mass give similar values"
    said = (
        "this Mixup network gets {}, a calibrated one {}. With 500 images it gets {}, and a calibrated one {}"
    )
    assert held(said.format(*words), MEASURING)
    useless = ml.measure.calibration(measuring["always"], labels)
    assert useless.ece < 0.01 and measuring["hits"].mean() < 0.12


def test_a_shift_leaves_the_ranking(measuring: dict[str, Any]) -> None:
    z, both = measuring["z"], measuring["both"]
    here, moved = (ml.measure.multilabel(z + shift, both) for shift in (0.0, -2.0))
    assert abs(here.mean_average_precision - moved.mean_average_precision) < 1e-4
    assert abs(here.f1 - moved.f1) > 0.05 and abs(here.subset_accuracy - moved.subset_accuracy) > 0.01


# ------------------------------------------------------------------------------------------ robustness
ROBUST = prose("08_robustness")


@pytest.fixture(scope="module")
def robust() -> dict[str, Any]:
    return run("08_robustness")


def test_corruptions_by_family(robust: dict[str, Any]) -> None:
    worst = robust["worst"]
    low, high = min(worst, key=worst.get), max(worst, key=worst.get)
    said = f"from {100 * worst[low]:.0f} % ({low.replace('_', ' ')}) to {100 * worst[high]:.0f} %"
    assert held(f"{said} ({high.replace('_', ' ')}) is left", ROBUST)
    assert robust["found_fog"].mean == pytest.approx(worst["fog"])
    for values in robust["table"].values():
        assert robust["clean"] > values[-1]


def test_the_loader_of_the_published_files(robust: dict[str, Any], tmp_path: Any) -> None:
    """50 images of each severity; another severity and another label are not taken."""
    pixels = torch.arange(5).byte().repeat_interleave(50)[:, None, None, None].expand(250, 32, 32, 3)
    robust["np"].save(tmp_path / "fog.npy", pixels.numpy())
    robust["np"].save(tmp_path / "labels.npy", torch.arange(50).repeat(5).numpy())
    clean = torch.zeros(1, 3, 32, 32).byte()
    like = ml.data.ImageSet(clean, torch.zeros(1).long(), (0.4,) * 3, (0.2,) * 3)
    for severity in (1, 3, 5):
        part = robust["cifar_c"](tmp_path, "fog", severity, like)
        assert part.images.shape == (50, 3, 32, 32) and part.mean == (0.4,) * 3
        assert part.images.unique().tolist() == [severity - 1]
        assert part.labels.tolist() == list(range(50))


def test_masking_hides_what_an_attack_carried_over_finds(robust: dict[str, Any]) -> None:
    at = robust["sizes"].index(8)
    shown = {name: f"{100 * line[at]:.0f} %" for name, line in robust["fooled"].items()}
    assert held(
        f"A standard attack (PGD, 8/255) leaves a network right in {shown['PGD']} of the cases", ROBUST
    )
    assert held(f"the same attack now leaves it right in {shown['masked, PGD']}", ROBUST)
    assert held(f"seems to be right in {shown['masked, PGD']} of the cases", ROBUST)
    assert held(f"it is right in {shown['masked, PGD carried over']}, as the plain one is", ROBUST)
    assert robust["fooled"]["PGD"][-1] == 0 < 0.8 < robust["fooled"]["masked, PGD"][-1]
    assert held(f"only {8 * robust['scale']:.1f}/255 in pixels", ROBUST)
    plain = robust["net"](robust["images"]).argmax(1)
    assert torch.equal(plain, robust["masked"](robust["images"]).argmax(1))


def test_other_images(robust: dict[str, Any]) -> None:
    found = {name: f"{one.auroc:.2f}" for name, one in robust["tables"]["no mixing"].items()}
    said = "uniform noise has the AUROC {noise}, photographs have {photographs}, and garments upside down {}"
    assert held(said.format(found["upside down"], **found), ROBUST)
    assert held(f"its AUROC is {found['noise, not normalised']}", ROBUST)
    score = robust["scores"]["largest logit"]
    best = ml.measure.detection(score(robust["known"]), score(robust["flipped"])).auroc
    assert held(f"the largest logit reaches {best:.2f}", ROBUST)


def test_hidden_and_in_between(robust: dict[str, Any]) -> None:
    plain = [seen for (way, _), seen in robust["covered"].items() if way == "no mixing"]
    assert held(f"by {100 * (max(plain) - min(plain)):.0f} points", ROBUST)
    assert robust["covered"]["no mixing", "mean colour"] == max(plain)
    half = {way: f"{100 * one.at(0.5)['misses']:.0f} %" for way, one in robust["between"].items()}
    assert held(f"misses in {half['no mixing']} of the pairs, with Mixup in {half['Mixup']}", ROBUST)


# ------------------------------------------------------------------------------------------ representations
FEATURES = prose("08_representations")


@pytest.fixture(scope="module")
def features() -> dict[str, Any]:
    return run("08_representations")


def found_share(space: dict[str, Any], maps: torch.Tensor, boxes: torch.Tensor) -> str:
    return f"{100 * ml.measure.localization(maps, boxes, thresholds=space['tries']).best:.0f} %"


def test_boxes(features: dict[str, Any]) -> None:
    test, share = features["test"], features["found"]
    middle = max(share(features["middle"](test.images, s), test.boxes) for s in (0.5, 0.8, 1.0))
    trained = found_share(features, features["maps"], test.boxes)
    untrained = found_share(features, features["others"], test.boxes)
    assert held(f"finds the object in {100 * middle:.0f} % of our test images", FEATURES)
    assert held(f"class activation maps of a trained network find {trained}.", FEATURES)
    assert held(f"maps of an untrained network find {untrained}, the best of the three", FEATURES)
    assert held(f"the best of the three middle boxes {100 * middle:.0f} %", FEATURES)
    kept = features["kept"]
    carried, forgotten = (
        found_share(features, features["heat"], boxes[kept]) for boxes in (features["carried"], test.boxes)
    )
    assert held(f"carried boxes give {carried}, forgotten ones {forgotten}", FEATURES)
    assert torch.equal(ml.box_area(features["carried"]) > 0.5 * ml.box_area(test.boxes), kept)


def test_labels_and_lines(features: dict[str, Any]) -> None:
    errors = features["errors"]
    assert errors["Mixup"] < 1e-3 < errors["CutMix"] < errors["ResizeMix"]
    assert held(f"off by {errors['CutMix']:.0f} points on average", FEATURES)
    share = features["share"][0]
    assert held(f"anything from {share.min():.0%} to {share.max():.0%}".replace("%", " %"), FEATURES)
    trained, untrained = (features["lines"][name].means() for name in ("trained", "untrained"))
    assert trained["logits"] < untrained["logits"] and trained["features"] < untrained["features"]


def test_neighbours_probes_and_transfer(features: dict[str, Any]) -> None:
    scores, moved, spread = features["scores"], features["moved"], features["spread"]
    for measure in ("linear", 1, 20):
        assert scores["trained"][measure] > max(
            scores[other][measure] for other in ("untrained", "raw pixels")
        )
    blank, pixels = scores["untrained"], scores["raw pixels"]
    assert pixels[1] > blank[1] and pixels[20] > blank[20] and pixels["linear"] < blank["linear"]
    known = ml.measure.principal_plane(features["bank"]["trained"][2]).share.sum()
    assert held(f"here it holds {100 * known:.0f} % of the variance", FEATURES)
    assert spread["untrained"][0] == min(one[0] for one in spread.values())
    assert spread["untrained"][1] == max(one[1] for one in spread.values())
    linear = {name: f"{100 * one['linear']:.0f} %" for name, one in moved.items()}
    said = (
        "A linear layer on the trained features is right in {trained}, on raw pixels in {raw}, on untrained"
    )
    assert held(said.format(trained=linear["trained"], raw=linear["raw pixels"]), FEATURES)
    assert held(f"on untrained features in {linear['untrained']}", FEATURES)
