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
    assert held(f"ahead by {100 * gain:.2f} ± {100 * paired:.2f} points", MEASURING)
    assert held(f"the same difference would be {100 * gain:.2f} ± {100 * apart:.2f}", MEASURING)
    assert abs(gain / apart - 1) < 0.05, "at the edge"
    assert held(f"on only {100 * (a != b).double().mean():.0f} % of them is one right", MEASURING)
    halves = [1.96 * float(p * (1 - p) / n) ** 0.5 for p in (a.mean(), b.mean())]
    assert gain < sum(halves), "the two intervals overlap"


def test_the_gain_of_one_seed_was_luck(measuring: dict[str, Any]) -> None:
    plain, words = measuring["right"]["no mixing"].mean(1), []
    for way in ("Mixup", "smoothing"):
        other = measuring["right"][way].mean(1)
        change = interval((other - plain).tolist())
        words.append(f"{100 * change.mean:.1f} ± {100 * change.half:.1f}")
        assert not change.clear
    assert held("accuracy by {} points, and smoothing by {}: nothing significant".format(*words), MEASURING)


def test_how_many_seeds(measuring: dict[str, Any]) -> None:
    (smooth, alone), (mixed, single) = measuring["spread"].values()
    said = "from {:.1f} to {:.1f} points for smoothing, and from {:.1f} to {:.1f} for Mixup"
    assert (
        held(said.format(alone, smooth, single, mixed), MEASURING)
        and 0.5 < smooth / alone < mixed / single < 0.8
    )
    low, high = measuring["factors"]
    assert held(f"from {low:.1f} to {high:.1f} times the estimate", MEASURING)
    draws = torch.randn(20_000, 10, generator=torch.Generator().manual_seed(0)).std(1)
    inside = (low < 1 / draws) & (1 / draws < high)  # the true deviation is 1
    assert abs(inside.double().mean() - 0.95) < 0.01
    need = [measuring["seeds_for"](0.5, *each) for each in ((smooth,), (mixed,), (alone, 2), (single, 2))]
    reach = [measuring["seeds_for"](0.5, f * sd) for sd in (smooth, mixed) for f in (low, high)]
    said = "takes about {} pairs for smoothing ({} to {}, since $s$ is uncertain) and {} for Mixup ({} to {})"
    assert held(said.format(need[0], *reach[:2], need[1], *reach[2:]), MEASURING)
    assert held("Without pairing it takes about {} and {} runs".format(*need[2:]), MEASURING)
    short = (BOOK / "questions.md").read_text(encoding="utf-8")
    assert held("For half a point: {} (smoothing) or {} (Mixup) pairs, not three".format(*need[:2]), short)
    reach = [interval((torch.linspace(-1, 1, k) / torch.linspace(-1, 1, k).std()).tolist()).half
             for k in (3, 10)]  # fmt: skip
    assert "reaches {:.1f} standard deviations to each side, with ten {:.1f}.".format(*reach) in MEASURING


def power(effect: float, n: int, groups: int) -> float:
    """The share of simulated experiments with sd 1 a difference whose 95 % interval excludes zero."""
    draws = torch.randn(groups, 20_000, n, generator=torch.Generator().manual_seed(0)).double()
    draws /= groups**0.5
    mean = effect + draws[0].mean(1) - (draws[1].mean(1) if groups == 2 else 0)
    error = (draws.var(2).sum(0) / n).sqrt()
    quantile = interval([*torch.linspace(-1, 1, groups * (n - 1) + 1).tolist()])
    freedom = len(range(groups * (n - 1) + 1))
    t = quantile.half / (float(torch.linspace(-1, 1, freedom).double().std()) / freedom**0.5)
    return float((mean.abs() > t * error).double().mean())


def test_power_is_as_planned(measuring: dict[str, Any]) -> None:
    """By simulation, and at the half width of the interval about one half."""
    for n, groups in ((10, 1), (31, 1), (45, 2)):
        assert abs(power(measuring["smallest"](1, n, groups), n, groups) - 0.8) < 0.025
        assert abs(power(measuring["smallest"](1, n, groups, power=0.5), n, groups) - 0.5) < 0.03
    assert "falls below δ, and then the interval includes zero" in MEASURING


# ------------------------------------------------------------------------------------------ NLL, ECE
def test_few_images_make_up_the_nll(measuring: dict[str, Any]) -> None:
    shares = {}
    for way, z in measuring["logits"].items():
        losses = [measuring["F"].cross_entropy(one, measuring["test"][1], reduction="none") for one in z]
        parts = [float(some.sort().values[-len(some) // 20 :].sum() / some.sum()) for some in losses]
        shares[way] = sum(parts) / len(parts)
    plain, smooth = (100 * shares[way] for way in ("no mixing", "smoothing"))
    assert held(f"makes up {plain:.0f} % of the NLL, with smoothing {smooth:.0f} %", MEASURING)
    assert f"$\\log 10 = {math.log(10):.2f}$" in MEASURING
    for pairs in measuring["said"].values():
        assert (
            interval([same - own for own, same in pairs]).mean > 0.01
            and interval([same - own for own, same in pairs]).clear
        )
    plain = measuring["said"]["no mixing"]
    for way in ("smoothing", "Mixup"):
        for a, b in zip(plain, measuring["said"][way], strict=True):
            assert min(a[0] - b[0], a[1] - b[1]) > 0.05


def test_temperature_turns_the_verdict(measuring: dict[str, Any]) -> None:
    labels, score = measuring["test"][1], measuring["F"].cross_entropy
    nll = {kind: {way: [float(score(z, labels)) for z in measuring[kind][way]] for way in measuring["ways"]}
           for kind in ("logits", "cooled")}  # fmt: skip
    means = {way: sum(each) / len(each) for way, each in nll["logits"].items()}
    assert held(f"{means['Mixup']:.3f} against {means['no mixing']:.3f} nats", MEASURING)

    def change(values: dict[str, list[float]], way: str) -> Any:
        return interval([b - a for a, b in zip(values["no mixing"], values[way], strict=True)])

    mixed, smooth = (change(nll["cooled"], way) for way in ("Mixup", "smoothing"))
    said = "by {:.3f} ± {:.3f}, and of smoothing by {:.3f} ± {:.3f}"
    assert held(said.format(mixed.mean, mixed.half, smooth.mean, smooth.half), MEASURING)
    assert mixed.clear and smooth.clear and min(mixed.mean, smooth.mean) > 0.01
    ece = {kind: {way: [measuring["ece"](z, labels) for z in measuring[kind][way]]
                  for way in measuring["ways"]} for kind in ("logits", "cooled")}  # fmt: skip
    before, after = change(ece["logits"], "Mixup"), change(ece["cooled"], "Mixup")
    assert held(f"ECE is {-100 * before.mean:.1f} ± {100 * before.half:.1f} points smaller", MEASURING)
    assert abs(after.mean) < 0.01 < 0.03 < -before.mean
    assert held(
        f"the difference, {-100 * after.mean:.2f} ± {100 * after.half:.2f} points, is not significant",
        MEASURING,
    )
    assert not after.clear
    cool, warm = interval(ece["cooled"]["no mixing"]).mean, interval(ece["logits"]["Mixup"]).mean
    assert held(f"brings the plain network to the {100 * cool:.1f} %", MEASURING) and abs(cool - warm) < 0.005
    for way in measuring["ways"]:
        null = interval(measuring["by_chance"]["at the best T", way]).mean
        assert 0 < 100 * interval(ece["cooled"][way]).mean - null < 1.3


def test_bins_of_the_widget() -> None:
    signed = ml.widgets.bins_lab().predictions
    body = """const values = js.sorted(given), random = js.uniform(1);
        const drawn = Array.from({ length: 400 }, () => js.calibrated(values, random));
        return [1, 15, 100].map((k) => [js.ece(js.binned(values, k, "width")),
            drawn.reduce((sum, one) => sum + js.ece(js.binned(one, k, "width")), 0) / 400]);"""
    (one, _), (fifteen, _), (hundred, chance) = node.in_node(("bins", "mix"), body, signed)
    said = (
        "With one bin its calibration error is {:.1f} %, with fifteen it is {:.1f} %, with a hundred {:.1f} %"
    )
    assert said.format(*(100 * error for error in (one, fifteen, hundred))) in MEASURING
    assert abs(hundred - chance) < 0.004 and "made 2,200 test predictions" in MEASURING
    assert (
        f"would get {100 * chance:.1f} % on average, so {100 * hundred:.1f} %" in MEASURING
        and len(signed) == 2200
    )
    shown = torch.tensor(signed).double()
    drawn = torch.rand(300, len(shown), generator=torch.Generator().manual_seed(0)) < shown.abs()
    bins = (15 * shown.abs()).long().clamp(max=14)
    gaps = (shown.abs() - drawn.double()) @ torch.nn.functional.one_hot(bins).double()
    null = 100 * gaps.abs().sum(1) / len(shown)
    said = (
        f"With fifteen it would get {null.mean():.1f} % on average, and more than {null.quantile(0.95):.1f} %"
    )
    assert held(said, MEASURING) and 100 * fifteen > null.quantile(0.95) + 0.3
    gap, low = shown.abs() - (shown > 0).double(), shown.abs() < 0.5
    said = f"right {-100 * float(gap[low].mean()):.1f} points more often than it says, above it "
    assert f"{said}{100 * float(gap[~low].mean()):.1f} points less often" in MEASURING


def test_the_widget_shows_the_shipped_classifier() -> None:
    found = {name: ml.measure.predict(studio_net(), part) for name, part in load("emoji").tests.items()}
    gaps = {name: ml.measure.calibration(*each).gap for name, each in found.items()}
    over, under = 100 * gaps["concepts"], -100 * gaps["designers"]
    assert held(f"unseen concepts the network is overconfident by {over:.0f} points", MEASURING)
    assert held(f"on unseen designers underconfident by {under:.0f}. ", MEASURING)
    sure = torch.cat([each.logits.double().softmax(1).amax(1) for each in found.values()])
    right = torch.cat([each.logits.argmax(1) == each.labels for each in found.values()])
    shown = torch.tensor(ml.widgets.bins_lab().predictions).double()
    assert (shown.sort().values - torch.where(right, sure, -sure).sort().values).abs().max() < 2e-3


def test_bins_and_images_of_the_page(measuring: dict[str, Any]) -> None:
    z, labels, words = measuring["logits"]["Mixup"][0], measuring["labels"], []
    for n, significant in ((5000, True), (500, False)):
        got, (_, most) = measuring["ece"](z[:n], labels[:n]), measuring["chance"](z[:n])
        assert (got > most) == significant and abs(got - most) > 0.002
        words += [f"{100 * got:.1f} %", f"{100 * most:.1f} %"]
    said = "Mixup network gets {}; 95 % of the draws for a calibrated one are below {}. With 500 images the "
    assert held(
        said.format(*words[:2]) + "same network gets {}, and the quantile is {}".format(*words[2:]), MEASURING
    )
    useless = ml.measure.calibration(measuring["always"], labels)
    assert useless.ece < 0.01 and measuring["hits"].mean() < 0.12


def test_a_shift_leaves_the_ranking(measuring: dict[str, Any]) -> None:
    z, both = measuring["pasted"], measuring["both"]
    here, moved = (ml.measure.multilabel(z + shift, both) for shift in (0.0, -2.0))
    assert abs(here.mean_average_precision - moved.mean_average_precision) < 1e-4
    assert abs(here.f1 - moved.f1) > 0.05 and abs(here.subset_accuracy - moved.subset_accuracy) > 0.01


# ------------------------------------------------------------------------------------------ robustness
ROBUST = prose("08_robustness")


@pytest.fixture(scope="module")
def robust() -> dict[str, Any]:
    return run("08_robustness")


def test_corruptions_by_family(robust: dict[str, Any]) -> None:
    worst = {name: float(hits.mean()) for name, hits in robust["worst"].items()}
    low, high = min(worst, key=worst.get), max(worst, key=worst.get)
    assert held(f"from {100 * worst[low]:.0f} % ({low}) to {100 * worst[high]:.0f} % ({high})", ROBUST)
    mild, (noise, blur) = robust["mild"], (robust["by_family"][name][0] for name in ("noise", "blur"))
    halves = [1.96 * float(d.std()) / 10 for d in (noise, blur, mild)]
    assert mild.mean() < sum(halves[:2]), "the two intervals overlap"
    assert held(f"blur costs {100 * mild.mean():.0f} ± {100 * halves[2]:.0f} points more", ROBUST)
    assert mild.mean() > halves[2]
    found = robust["sets"].robustness(robust["judge"])
    assert torch.allclose(found.accuracy, robust["every"].mean(2))


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


def test_masking_hides_what_other_attacks_find(robust: dict[str, Any]) -> None:
    at, half = robust["sizes"].index(8), robust["sizes"].index(128)
    left = {name: [100 * float(hits.mean()) for hits in line] for name, line in robust["left"].items()}
    shown = {name: f"{line[at]:.0f} %" for name, line in left.items()}
    assert held(f"A standard attack leaves a network right in {shown['PGD']} of the cases", ROBUST)
    assert held(f"the same attack now leaves it right in {shown['masked, PGD']}", ROBUST)
    assert held(f"seems to be right in {shown['masked, PGD']} of the cases", ROBUST)
    assert held(f"with the plain network it is right in {shown['masked, carried over']}", ROBUST)
    assert held(f"its network is right in {shown['Mixup, PGD']} of the cases, and at 32/255 in none", ROBUST)
    clean = 100 * float(robust["plain"].mean())
    assert held(f"cases, nearly the {clean:.0f} % without attack", ROBUST)
    assert left["Mixup, PGD"][robust["sizes"].index(32)] < 1
    assert left["PGD"][half] == 0 < 80 < left["masked, PGD"][half]
    tried = {name: [float(hits.mean()) for hits in both] for name, both in robust["tried"].items()}
    assert min(tried["FGSM"][1], tried["PGD"][1]) > tried["FGSM"][0] + 0.2, "on the mask both fail"
    for hits in robust["withstood"]:  # right under every attack
        assert held(f"leaves both networks {100 * float(hits.mean()):.0f} %", ROBUST)
    assert tried["PGD"][1] - tried["ten random restarts"][1] < 0.03
    plain, masked = tried["PGD on the margin"]
    assert plain == masked and held(
        f"The margin ends the illusion at once, with {100 * masked:.0f} %", ROBUST
    )
    plain, masked = tried["squares, no gradient"]
    assert abs(plain - masked) < 0.005 and tried["PGD"][0] + 0.1 < masked < tried["PGD"][1] - 0.1
    change = (robust["squares"](robust["masked"], 8 / 255, tries=20) - robust["images"]) * robust["scale"]
    assert change.abs().max() < 8 / 255 + 1e-5


def test_attacks_of_the_page(robust: dict[str, Any]) -> None:
    assert robust["alike"].double().mean() > 0.999, "the page's attack is the package's"
    assert robust["package"] == pytest.approx(float(robust["one_step"].mean()), abs=0.003)
    wrong, one = (100 * float(robust[name].mean()) for name in ("wrong_units", "one_step"))
    said = (
        f"accuracy is {wrong:.0f} instead of {one:.0f} %. The attack was only {8 * robust['scale']:.1f}/255"
    )
    assert held(said, ROBUST)
    assert robust["wrong_units"].mean() > robust["one_step"].mean() + 0.1
    plain = robust["nets"]["no mixing"](robust["images"])
    assert torch.equal(plain.argmax(1), robust["masked"](robust["images"]).argmax(1))


def test_the_masked_gradient_is_zero_where_the_answer_is_right(robust: dict[str, Any]) -> None:
    images, labels = robust["images"].clone().requires_grad_(), robust["labels"]
    logits = robust["masked"](images)
    loss = robust["F"].cross_entropy(logits, labels, reduction="sum")
    (slope,) = torch.autograd.grad(loss, images)
    right, moved = logits.argmax(1) == labels, slope.flatten(1).abs().amax(1) > 0
    assert moved[right].double().mean() < 0.03 and moved[~right].double().mean() > 0.97


def test_other_images(robust: dict[str, Any]) -> None:
    found = {name: f"{mean:.2f}" for name, (mean, _) in robust["by_kind"].items()}
    said = "noise has the AUROC {uniform noise}, photographs have {photographs}, and bags and ankle boots "
    assert held(said.format(**found) + f"{found['bags and boots']}:", ROBUST)
    assert held(f"forgot to normalise: {found['uniform noise, not normalised']}.", ROBUST)
    gain, half = robust["ahead"]
    assert gain > half and held(f"does better, by {gain:.2f} ± {half:.2f}", ROBUST)
    assert robust["largest"] == pytest.approx(float(robust["second"].mean()), abs=1e-6)
    assert held(f"so {robust['largest']:.2f} is too good", ROBUST)
    draws, pairs = torch.Generator().manual_seed(0), []
    for _ in range(400):  # the interval of an AUROC, by simulation
        a, b = torch.randn(80, generator=draws) + 1, torch.randn(50, generator=draws)
        pairs.append(robust["over_pairs"](robust["wins"](a, b)))
    scatter = torch.tensor([one[0] for one in pairs]).std()
    assert abs(sum(one[1] for one in pairs) / 400 / (1.96 * scatter) - 1) < 0.15


def test_hidden(robust: dict[str, Any]) -> None:
    plain = {fill: float(hits[0].mean()) for fill, hits in robust["covered"].items()}
    assert plain.pop("none") > max(plain.values()) == plain["mean"]
    assert held(f"by {100 * (max(plain.values()) - min(plain.values())):.0f} points", ROBUST)


# ------------------------------------------------------------------------------------------ representations
FEATURES = prose("08_representations").replace("\xa0", " ")


@pytest.fixture(scope="module")
def features() -> dict[str, Any]:
    return run("08_representations")


def test_boxes(features: dict[str, Any]) -> None:
    share, hits, test = features["found"], features["finds"], features["test"]
    told = {
        least: {name: 100 * float(hit.mean()) for name, hit in rows.items()} for least, rows in hits.items()
    }
    trained, best, whole = (told[0.5][name] for name in ("trained", "middle box", "whole image"))
    assert held(f"find {trained:.0f} % of the objects in our test images", FEATURES)
    assert held(f"the same for every image, finds {best:.0f} %.", FEATURES)
    blank = sorted(value for name, value in told[0.5].items() if name.startswith("untrained"))
    said = f"finds {blank[0]:.0f} or {blank[-1]:.0f} %, about as many as the whole image"
    assert held(said, FEATURES) and held(f"as a box ({whole:.0f} %)", FEATURES)
    row = f"| {trained:.0f} % | untrained {blank[0]:.0f} to {blank[-1]:.0f} %, "
    assert held(row + f"**box in the middle {best:.0f} %** |", FEATURES)
    assert f"box in the middle, {features['side'][0.5]} pixels wide, finds" in FEATURES
    assert f"(chosen: τ = {features['tau']['trained', 0.5]:.1f})" in FEATURES
    gain, late = (100 * features["gain"][least].double() for least in (0.5, 0.7))
    half, wide = (1.96 * float(one.std()) / len(one) ** 0.5 for one in (gain, late))
    assert held(f"pixels wide, finds {float(gain.mean()):.0f} ± {half:.0f} points more", FEATURES)
    assert gain.mean() > half and 0 < late.mean() < wide, "not significant at 0.7"
    said = "They find {trained:.0f} %, and the box, now {side} pixels wide, {middle:.0f} %, which is not"
    late_told = {"trained": told[0.7]["trained"], "middle": told[0.7]["middle box"]}
    assert held(said.format(side=features["side"][0.7], **late_told), FEATURES)
    large, hit = features["large"], features["hit"]
    parts = [100 * float(each.double().mean()) for each in (large, hit[large], hit[~large])]
    said = "Of the trained boxes {:.0f} % are nearly the whole image. These find the object in "
    assert held((said + "{:.0f} %, the smaller ones in {:.0f} %.").format(*parts), FEATURES)
    assert (
        min(float(features["wide"][name].double().mean()) for name in features["wide"] if name != "trained")
        > 0.8
    )
    maps = features["maps"]["trained"]
    ours = features["cam"](features["nets"]["trained"], *test.batch(slice(None)))
    ours = ours - ours.amin((1, 2), keepdim=True)
    ours = torch.nn.functional.interpolate(ours[:, None], size=32, mode="bilinear")
    assert torch.allclose(ours / ours.sum((1, 2, 3), keepdim=True), maps, atol=1e-5)
    assert features["same_boxes"] > 0.98
    place = ml.measure.localization(maps, test.boxes, thresholds=[0.5], fixed=features["tau"]["trained", 0.5])
    assert place.fixed == pytest.approx(trained / 100) and float(share(test.boxes, test.boxes).mean()) == 1


def test_mixup_bends_logits_and_straightens_probabilities(features: dict[str, Any]) -> None:
    told = {}
    for word in ("logits", "probabilities"):
        plain, mixed = (features["bent"][word, way] for way in ("no mixing", "Mixup"))
        told[word] = interval([b - a for a, b in zip(plain, mixed, strict=True)])
        assert told[word].clear
    said = "become straighter, by {:.2f} ± {:.2f}, and the logits *less* straight, by {:.2f} ± {:.2f}."
    straight, bent = told["probabilities"], told["logits"]
    assert held(said.format(-straight.mean, straight.half, bent.mean, bent.half), FEATURES)
    plain, mixed = (interval(features["bent"]["probabilities", way]).mean for way in ("no mixing", "Mixup"))
    assert held(f"| {mixed:.2f} (0 is straight) | without mixing {plain:.2f} |", FEATURES)
    steps = {way: z.mean((0, 2)).diff() for way, z in features["odds"].items()}
    words = {way: (float(step[4:6].mean()), float(step[[0, 9]].mean())) for way, step in steps.items()}
    assert held("{:.1f} per step in the middle, {:.1f} at the ends".format(*words["no mixing"]), FEATURES)
    assert held("it is {:.1f} in the middle and {:.1f} at the ends".format(*words["Mixup"]), FEATURES)
    assert words["Mixup"][1] / words["Mixup"][0] > 1.5 and words["no mixing"][1] < words["no mixing"][0]
    assert f"asks for {math.log(0.6 / 0.4):.2f} in the middle" in FEATURES
    p = {way: z.softmax(3)[:, :, features["nth"]] for way, z in features["logits"].items()}
    nth, a, b = (features[name] for name in ("nth", "class_a", "class_b"))
    first, second = ({way: z[:, :, nth, at].mean((0, 2)) for way, z in p.items()} for at in (a, b))
    said = "end at {:.2f} without mixing and at {:.2f} with Mixup"
    assert held(said.format(*(each[-1] for each in first.values())), FEATURES)
    assert all(abs(1 - first[way][5] - second[way][5] - 1 / 3) < 0.05 for way in first)
    net, few = features["five"][0], features["garments"].test.take(range(500))  # the last way: Mixup
    theirs = ml.measure.between(net, few, count=400, generator=torch.Generator().manual_seed(0))
    assert theirs.means()["logits"] == pytest.approx(features["bent"]["logits", "Mixup"][0], abs=0.02)


def test_probes_and_transfer(features: dict[str, Any]) -> None:
    here, moved = ({name: 100 * float(hits.mean()) for name, hits in features[key].items()}
                   for key in ("emoji_right", "moved"))  # fmt: skip
    blanks = [name for name in here if name.startswith("untrained")]
    lead = min(here["trained"] - other for name, other in here.items() if name != "trained")
    near = features["emoji_near"]
    close = min(100 * (near["trained"] - other) for name, other in near.items() if name != "trained")
    said = f"every control by {lead:.0f} points or more, and with 20 neighbours by {close:.0f} or more"
    assert held(said, FEATURES)
    blank = sorted(here[name] for name in blanks)
    said = f"| {here['trained']:.0f} % | raw pixels {here['raw pixels']:.0f} %, untrained {blank[0]:.0f} to "
    assert held(said + f"{blank[-1]:.0f} % |", FEATURES)
    own = f"{here['trained'] / 100:.2f} of the probe is about what its own last layer gets"
    assert held(f"{own} ({features['accuracy']:.2f})", FEATURES)
    blank = sorted(moved[name] for name in blanks)
    assert held(f"features is right in {moved['trained']:.0f} %.", FEATURES)
    said = f"{blank[0]:.0f} to {blank[-1]:.0f} %, "
    assert held(f"Untrained features get {said[:-2]} (and", FEATURES)
    assert held(f"But raw pixels get {moved['raw pixels']:.0f} %.", FEATURES)
    row = f"| {moved['trained']:.0f} % | untrained {said}**raw pixels {moved['raw pixels']:.0f} %** |"
    assert held(row, FEATURES)
    near = features["moved_near"]
    low, *_, high = sorted(near[name] for name in blanks)
    assert held(f"(and {low:.2f} to {high:.2f} with neighbours), so training on emoji brought", FEATURES)
    assert held(f"they do worse, {near['trained']:.2f} against {near['48 random']:.2f}.", FEATURES)
    gain = 100 * (features["moved"]["48 principal"] - features["moved"]["trained"])
    half = 1.96 * float(gain.std()) / len(gain) ** 0.5
    assert held(f"still ahead, by {gain.mean():.0f} ± {half:.0f} points", FEATURES) and gain.mean() > half
    for other in (*blanks, "48 random"):
        gain = features["moved"]["trained"] - features["moved"][other]
        assert abs(gain.mean()) < 1.96 * gain.std() / len(gain) ** 0.5


def test_a_probe_is_least_squares_with_a_penalty(features: dict[str, Any]) -> None:
    draws = torch.Generator().manual_seed(0)
    known, rows = (torch.randn(30, n, generator=draws).double() for n in (5, 3))
    normal = known.T @ known + 2 * torch.eye(5).double()
    assert torch.allclose(features["fit"](known, rows, 2.0), torch.linalg.solve(normal, known.T @ rows))


def test_neighbours_on_concepts_that_nobody_taught(features: dict[str, Any]) -> None:
    same = {name: 100 * interval(values).mean for name, values in features["same"].items()}
    assert held(f"Yes, for {same['trained']:.0f} % of the images", FEATURES)
    assert held(f"a guess would be right in {100 * features['mean_guess']:.0f} %", FEATURES)
    lead = {name: interval([100 * (a - b) for a, b in zip(features["same"]["trained"], values, strict=True)])
            for name, values in features["same"].items() if name != "trained"}  # fmt: skip
    assert all(one.clear and one.mean > 10 for one in lead.values())
    best = max(lead, key=lambda name: same[name])
    assert best in ("raw pixels", "48 principal") and abs(same["raw pixels"] - same["48 principal"]) < 2
    assert held(f"But raw pixels are right in {same['raw pixels']:.0f} %: of the", FEATURES)
    above = [same[name] - 100 * features["mean_guess"] for name in ("trained", "raw pixels")]
    said = "the {:.0f} points above a guess, they reach {:.0f} without".format(*above)
    blank = [value for name, value in same.items() if name.startswith("untrained")]
    assert held(said, FEATURES) and held(
        f"features are right in {min(blank):.0f} to {max(blank):.0f} %.", FEATURES
    )
    leads = [lead[name] for name in ("raw pixels", "48 principal")]
    said = "features over raw pixels is {0.mean:.0f} ± {0.half:.0f} points, and over 48 principal components "
    assert held((said + "{1.mean:.0f} ± {1.half:.0f}.").format(*leads), FEATURES)
    assert held(f"| {same['trained']:.0f} % | raw pixels {same['raw pixels']:.0f} % |", FEATURES)
    concepts, designer = features["concepts"], features["designer"]
    assert len(features["words"]) == 96 and int(designer.max()) == 6
    assert not set(concepts.names) & set(load("emoji").train.names)
    for close in features["near"].values():
        assert (designer[close] != designer[:, None]).all()
        assert (concepts.labels[close] == concepts.labels[:, None]).all()


def test_alignment_and_uniformity(features: dict[str, Any]) -> None:
    raw, centred = ({name: each[k] for name, each in features["spread"].items()} for k in range(2))
    blanks = [name for name in raw if name.startswith("untrained")]
    rest = [name for name in raw if name not in blanks]
    assert max(raw[name][0] for name in blanks) < min(raw[name][0] for name in rest)
    assert min(raw[name][1] for name in blanks) > max(raw[name][1] for name in rest)
    assert centred["trained"][0] < 1.4 < 1.7 < min(a for name, (a, _) in centred.items() if name != "trained")
    assert centred["raw pixels"][1] < centred["trained"][1]
    others = [a for name, (a, _) in centred.items() if name != "trained"]
    said = f"({centred['trained'][0]:.2f}; all others {min(others):.2f} to {max(others):.2f})"
    assert held(said, FEATURES)
    said = f"(−{-centred['raw pixels'][1]:.2f} against −{-centred['trained'][1]:.2f})"
    assert held(said, FEATURES)
    z = torch.nn.functional.normalize(torch.randn(600, 48, generator=torch.Generator().manual_seed(0)), dim=1)
    assert features["alignment"](z, torch.zeros(600)) == pytest.approx(2, abs=0.01)
    assert -4 < features["uniformity"](z) < -3.7
