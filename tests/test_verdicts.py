"""The page of verdicts: each effect is the records', each verdict follows from it, and the counts add up."""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict

import pytest
from scipy.special import stdtr, stdtrit

import mixlearn as ml
from mixlearn.train.records import Interval
from tests.prose import BOOK, gain, words

sys.path.append(str(BOOK / "_tools"))

import forest

PAGE = (BOOK / "verdicts.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())
AGAIN = (BOOK / "second_attempts.md").read_text(encoding="utf-8")
SETS = {
    "F": "fashion",
    "E": "emoji",
    "O": "offcentre",
    "E₁": "transfer-emoji",
    "E₂": "dense-emoji",
    "F₂₀": "wrong-20",
    "F₅₀": "wrong-50",
    "Fₛ": "wrong-50-steps",
    "F₈₀": "wrong-80",
}
UNTESTED = "not tested"
MARKED = defaultdict(lambda: "not seen", {"✓": "✓ seen F", "✗": "✗ **opposite** F"})

# claim: (its sign, a record, what it is compared with, the measure, the sets); braces stand for the set
Claim = tuple[int, str, str, str, str]


def same(sign: int, of: str, way: str, base: str, measure: str = "accuracy", sets: str = "F E") -> Claim:
    """Two records of one experiment."""
    return sign, of + way, of + base, measure, sets


BOXES, AUTOMIX, MIXSKD, JUDGE = "boxes-{}-", "automix-{}-", "mixskd-{}-", "judge-{}-"
TRUTH, CONTRAST, DENSE, AUROC = "truth-{}-", "contrast-{}-", "dense-{}-", "foreign photographs/auroc"
GARMENTS = "foreign fashion/auroc"
CENTRE, CENTRE_CUT = "curve-centre-mixup", "curve-centre-cutmix"  # the same training, mixed to the end
CLAIMS: dict[str, Claim | None] = {
    "Mixup: more accurate": same(1, BOXES, "mixup", "plain", sets="F E C"),
    "Mixup: better calibrated": same(-1, BOXES, "mixup", "plain", "ece", "F E C"),
    "Mixup: withstands FGSM": same(1, AUTOMIX, "mixup", "plain", "attacked/fgsm 8"),
    "Mixup: names no third class in blends": same(-1, BOXES, "mixup", "plain", "between/blend"),
    "Mixup: wrong labels do less harm": same(1, "{}-", "mixup-8", "plain", sets="F₂₀ F₅₀ Fₛ F₈₀"),
    "Mixup: steadier GANs": None,
    "CutMix: more accurate": same(1, BOXES, "cutmix", "plain", sets="F E C"),
    "CutMix beats Mixup": same(1, BOXES, "cutmix", "mixup", sets="F E C"),
    "CutMix: withstands FGSM": same(1, AUTOMIX, "cutmix", "plain", "attacked/fgsm 8"),
    "CutMix: detects other images": same(1, BOXES, "cutmix", "plain", AUROC),
    "Mixup: detects fewer of them": same(-1, BOXES, "mixup", "plain", AUROC),
    "CutMix: withstands corruptions": same(1, BOXES, "cutmix", "plain", "corrupted/accuracy"),
    "CutMix: copes with a hidden middle": same(1, BOXES, "cutmix", "plain", "hidden/middle 0.5"),
    "CutMix: better boxes around objects": same(1, AUTOMIX, "cutmix", "plain", "located concepts/best", "E"),
    "Mixup: worse boxes": same(-1, AUTOMIX, "mixup", "plain", "located concepts/best", "E"),
    "CutMix: a better start for a detector": same(
        1, "{}-", "cutmix", "plain", "detected tuned/map50", "E₁ E₂"
    ),
    "Mixup: a worse start": same(-1, "{}-", "mixup", "plain", "detected tuned/map50", "E₁ E₂"),
    "Mixup, off in the last quarter (should gain)": (1, "practice-early-mixup", CENTRE, "accuracy", "F"),
    "CutMix, off in the last quarter (should gain)": (
        1,
        "practice-early-cutmix",
        CENTRE_CUT,
        "accuracy",
        "F",
    ),
    "CutMix of features (should lose)": (-1, "practice-inside-cutmix", CENTRE_CUT, "accuracy", "F"),
    "ShakeDrop under CutMix (should gain 0.7)": (
        1,
        "practice-shakedrop-cutmix",
        "practice-deeper-cutmix",
        "accuracy",
        "F",
    ),
    "SaliencyMix beats CutMix": (1, "masks-{}-saliencymix", "boxes-{}-cutmix", "accuracy", "F E"),
    "PuzzleMix (every batch) beats CutMix (half)": (
        1,
        "masks-{}-puzzlemix",
        "boxes-{}-cutmix",
        "accuracy",
        "F E",
    ),
    "Co-Mixup (every batch) beats CutMix (half)": (
        1,
        "masks-{}-comixup",
        "boxes-{}-cutmix",
        "accuracy",
        "F E",
    ),
    "Manifold Mixup beats Mixup": (1, "masks-{}-manifold", "boxes-{}-mixup", "accuracy", "F E"),
    "AlignMix beats Mixup": (1, "masks-{}-alignmix", "boxes-{}-mixup", "accuracy", "F E"),
    "TransMix beats CutMix (ViT)": same(1, "masks-{}-vit-", "transmix", "cutmix"),
    "SnapMix (by features): truer labels": same(-1, TRUTH, "snapmix", "cutmix", "drawn/error", "E"),
    "PuzzleMix: both objects can be seen": same(1, JUDGE, "puzzlemix", "cutmix", "all/top 2", "O"),
    "AutoMix: more accurate": same(1, AUTOMIX, "automix", "plain"),
    "AutoMix beats CutMix": same(1, AUTOMIX, "automix", "cutmix"),
    "SAMix beats AutoMix": same(1, AUTOMIX, "samix", "automix"),
    "Helps a ResNet-18 on ImageNet": None,
    "Better calibrated than CutMix": same(-1, AUTOMIX, "automix", "cutmix", "ece"),
    "Withstands corruptions better than CutMix": same(1, AUTOMIX, "automix", "cutmix", "corrupted/accuracy"),
    "Withstands FGSM better than CutMix": same(1, AUTOMIX, "automix", "cutmix", "attacked/fgsm 8"),
    "Better boxes than CutMix": same(1, AUTOMIX, "automix", "cutmix", "located concepts/best", "E"),
    "Better start than CutMix": same(1, "{}-", "automix", "cutmix", "detected tuned/map50", "E₁"),
    "Learned masks beat a flat mask: top-2": same(1, JUDGE, "automix", "mixup", "all/top 2", "O"),
    "Learned masks beat a flat mask: KL": same(-1, JUDGE, "automix", "mixup", "all/kl", "O"),
    "One call is cheaper than PuzzleMix's (a training is not)": same(
        -1, JUDGE, "automix", "puzzlemix", "all/cost", "O"
    ),
    "Without masks (plain Mixup)": same(-1, AUTOMIX, "no-masks", "automix", sets="F"),
    "Without attention": same(-1, AUTOMIX, "no-attention", "automix", sets="F"),
    "Without mask loss": same(-1, AUTOMIX, "no-mask-loss", "automix", sets="F"),
    "One joint update": same(-1, AUTOMIX, "joint", "automix", sets="F"),
    "Without EMA": same(-1, AUTOMIX, "no-average", "automix", sets="F"),
    "Without clean loss": same(-1, AUTOMIX, "no-clean", "automix", sets="F"),
    "Without λ in the features": same(-1, AUTOMIX, "no-embedding", "automix", sets="F"),
    "Stage 3, not 2 (should gain)": same(1, AUTOMIX, "stage3", "automix", sets="F"),
    "α = 1, not 2": same(-1, AUTOMIX, "alpha-1", "automix", sets="F"),
    "MixSKD: more accurate": same(1, MIXSKD, "mixskd", "plain"),
    "MixSKD beats Mixup": same(1, MIXSKD, "mixskd", "mixup"),
    "MixSKD beats CutMix": same(1, MIXSKD, "mixskd", "cutmix"),
    "MixSKD beats DDGSD": same(1, MIXSKD, "mixskd", "ddgsd"),
    "MixSKD beats CS-KD": same(1, MIXSKD, "mixskd", "cskd", sets="F"),
    "DDGSD: more accurate": same(1, MIXSKD, "ddgsd", "augmented", sets="F"),
    "Names a third class less than Mixup": same(-1, MIXSKD, "mixskd", "mixup", "between/misses"),
    "Mistakes are less sure": same(-1, MIXSKD, "mixskd", "plain", "quality/said"),
    "Better start: detection": same(1, DENSE, "mixskd", "plain", "detected tuned/map50", "E"),
    "Better start: segmentation": same(1, DENSE, "mixskd", "plain", "segmented tuned/miou", "E"),
    "Without distillation": same(-1, MIXSKD, "labels-and-mixed", "mixskd"),
    "Without self-teacher": same(-1, MIXSKD, "no-teacher", "mixskd"),
    "Without features": same(-1, MIXSKD, "no-features", "mixskd"),
    "Without critic": same(-1, MIXSKD, "no-critic", "mixskd"),
    "Without branches": same(-1, MIXSKD, "no-branches", "mixskd"),
    "Without labels": same(-1, MIXSKD, "no-labels", "mixskd"),
    "Without mixed": same(-1, MIXSKD, "no-mixed", "mixskd"),
    "Neighbours: beats earlier methods": same(1, CONTRAST, "vit-patchmix", "vit-moco", "knn/k=20"),
    "Linear probe: beats earlier methods": same(1, CONTRAST, "vit-patchmix", "vit-moco", "linear/accuracy"),
    "Fine-tuned: beats earlier methods": same(1, CONTRAST, "vit-patchmix", "vit-moco", "tuned/accuracy"),
    "Better start: COCO": None,
    "Three images, not two (should gain)": same(1, CONTRAST, "patchmix-three", "patchmix", "knn/k=20", "F"),
    "Four images, not two (should gain)": same(1, CONTRAST, "patchmix-four", "patchmix", "knn/k=20", "F"),
    "Without mix to mix": same(-1, CONTRAST, "patchmix-no-mix-to-mix", "patchmix", "knn/k=20", "F"),
    "Without mix to origin": same(-1, CONTRAST, "patchmix-no-mix-to-origin", "patchmix", "knn/k=20", "F"),
    "Without origin": same(-1, CONTRAST, "patchmix-no-origin", "patchmix", "knn/k=20", "F"),
}


def effects(claim: Claim) -> dict[str, Interval]:
    """The effect on each set."""
    _, *both, measure, sets = claim
    return {one: gain(*(record_of(text, one) for text in both), measure) for one in sets.split()}


def record_of(text: str, one: str) -> str:
    """The record of a set; those of CIFAR-10 (C) are named by the last word alone."""
    return f"cifar10-{text.rpartition('-')[2]}" if one == "C" else text.format(SETS[one])


def verdict(claim: Claim | None) -> str:
    """The rule of the page. One seed has no interval, and so sees nothing."""
    if claim is None:
        return UNTESTED
    found = {one: claim[0] * effect.mean for one, effect in effects(claim).items() if effect.clear}
    seen = [one for one, mean in found.items() if mean > 0]
    opposite = [one for one, mean in found.items() if mean < 0]
    both = (("✓ seen", seen), ("✗ **opposite**", opposite))
    parts = [f"{name} {', '.join(on)}" for name, on in both if on]
    return "; ".join(parts) or "not seen"


def rows(page: str = PAGE) -> dict[str, list[str]]:
    """By claim: the paper's figure, our effects, the verdict; in a fold a mark stands for the verdict."""
    found = {}
    for line in page.splitlines():
        *claim, here = line.split("|")
        name, paper = re.fullmatch(
            r"(?:[✓✗] )?(.*?)(?: \(([+\d][^)]*)\))?(?: [¹²³⁴⁵⁶⁷])?", claim[0] if claim else ""
        ).groups()
        if len(claim) in (1, 2) and name not in ("claim (paper)", "part", "---"):
            found[name] = [paper or "", here, claim[1] if claim[1:] else MARKED[line[0]]]
    return found


def printed(claim: Claim, text: str) -> str:
    """The effects as the page prints them, with as many digits as it gives each."""
    scale = 1 if claim[3].endswith(("/cost", "/kl")) else 100
    shown = []
    for one, effect in effects(claim).items():
        found = re.search(rf"{one}\s[+−]?\d+\.?(\d*)\s±", text)
        effect_words = words(effect, len(found[1]) if found else 1, scale, sign=True)
        shown.append(re.sub(r"[+−](0\.0+ )", r"\1", f"{one} {effect_words}").replace(" ", "\u00a0"))
    return ", ".join(shown)


def test_every_claim_has_its_row() -> None:
    assert list(rows()) == list(CLAIMS)


@pytest.mark.parametrize("name", CLAIMS)
def test_row(name: str) -> None:
    claim, (_, here, judged) = CLAIMS[name], rows()[name]
    assert judged == verdict(claim)
    if claim is None:
        assert here and not re.search(r"\d\s±\s\d", here)
        return
    text, _, page = here.strip("[)").partition("](")
    assert text == printed(claim, text)
    assert (BOOK / page.partition("#")[0]).exists()


def test_the_figure_has_a_lane_for_each_claim_about_accuracy() -> None:
    lanes = {claim: (paper, ours) for claim, paper, ours in forest.lanes(PAGE)}
    wanted = [name for name, row in rows().items() if CLAIMS[name] and "→" in row[0]]
    wanted = [name for name in wanted if CLAIMS[name][3] == "accuracy"]
    assert list(lanes) == wanted and len(wanted) > 15
    for name, (_, ours) in lanes.items():
        found = effects(CLAIMS[name])
        assert [one for one, *_ in ours] == list(found)
        for one, mean, half in ours:
            assert abs(mean - 100 * found[one].mean) < 0.051 and abs(half - 100 * found[one].half) < 0.051
    inside = [all(abs(paper - mean) <= half for _, mean, half in ours) for paper, ours in lanes.values()]
    assert f"{sum(inside)} of these {len(inside)} gains of the papers lie inside all our intervals" in TEXT
    assert forest.place(0) == pytest.approx(400 / 9)  # where the style sheet draws the line


def test_no_effect_is_rounded_to_its_interval() -> None:
    assert not [row for row in rows().values() if re.search(r"(\d+\.\d+)\s±\s\1\b", row[1])]


def test_counts() -> None:
    sections = [(part.partition("\n")[0], part) for part in PAGE.split("\n## ")[1:]]
    for title, part in [*((title, part) for title, part in sections if rows(part)), ("**All**", PAGE)]:
        judged = [row[2] for row in rows(part).values()]
        kinds = Counter("both" if ";" in one else one.strip("✓✗*, ₁₂CEFO") for one in judged)
        order = ("seen", "opposite", "both", "not seen", UNTESTED)
        line = f"{title}|{'|'.join(str(kinds[one]) for one in order)}\n"
        assert line in PAGE, line
    assert f"Of {len(CLAIMS)} claims about a quarter came out as claimed" in TEXT
    assert kinds["opposite"] == 8 and "and eight the other way. More than half" in TEXT
    assert abs(kinds["seen"] / len(CLAIMS) - 1 / 4) < 0.03 and kinds["not seen"] > len(CLAIMS) / 2
    answer = f"{kinds['seen']} of {len(CLAIMS)}. Opposite: {kinds['opposite']}; both: {kinds['both']}; "
    answer += f"open: {kinds['not seen']}; not tested: {kinds[UNTESTED]}."
    assert answer in (BOOK / "questions.md").read_text(encoding="utf-8")
    found = [effect for claim in CLAIMS.values() if claim for effect in effects(claim).values()]
    clear, left = sum(effect.clear for effect in found), holm(found)
    assert {effect.n for effect in found} == {3}
    assert f"{clear} of our {len(found)} effects exclude zero" in TEXT
    assert f"by chance about {0.05 * len(found):.0f} would" in TEXT
    assert left == [effects(CLAIMS["PuzzleMix: both objects can be seen"])["O"]]
    assert f"Holm's correction for all {len(found)} leaves one: PuzzleMix's top-2 accuracy (O)." in TEXT
    sixth = (BOOK / "06_mixskd_results.ipynb").read_text(encoding="utf-8")
    assert "nor survive a correction for" in sixth  # it is not in `left`
    folds = dict(re.findall(r"parts: (\w+, \w+) seen\n(.*?)\n:::", PAGE, flags=re.S))
    assert {title: len(rows(fold)) for title, fold in folds.items()} == {
        "nine, none": 9,
        "seven, two": 7,
        "five, none": 5,
    }
    parts = [name for fold in folds.values() for name in rows(fold)]
    seen = [name for name in parts if verdict(CLAIMS[name]) != "not seen"]
    assert len(parts) == 21 and "Of 21 ablations two make a difference" in TEXT
    assert seen == ["Without distillation", "Without mixed"]
    assert ml.runs.load("boxes-fashion-cutmix").settings["parameters"] == 19810


def holm(found: list[Interval]) -> list[Interval]:
    """The effects that Holm's step-down correction at 5 % leaves."""

    def p(effect: Interval) -> float:
        freedom = effect.n - 1
        t = abs(effect.mean) * stdtrit(freedom, 0.975) / effect.half
        return float(2 * stdtr(freedom, -t))

    left: list[Interval] = []
    for k, effect in enumerate(sorted(found, key=p)):
        if p(effect) > 0.05 / (len(found) - k):
            break
        left.append(effect)
    return left


def test_what_the_page_concludes() -> None:
    """Accuracy: gains on one set alone, and 13 comparisons of methods, three of them seen on one set."""
    plain = [verdict(CLAIMS[f"{name}: more accurate"]) for name in ("Mixup", "CutMix", "AutoMix", "MixSKD")]
    assert plain == ["✓ seen F, C; ✗ **opposite** E", "✓ seen F, C", *["✓ seen F"] * 2]
    assert "On Emoji Scenes none does, and Mixup loses." in TEXT
    beats = [name for name, claim in CLAIMS.items() if " beats " in name and claim[3] == "accuracy"]
    seen = [name for name in beats if "seen" in verdict(CLAIMS[name]).partition("not")[0]]
    assert {verdict(CLAIMS[name]) for name in seen} == {"✓ seen F"}
    most = max(100 * effects(CLAIMS[name])["F"].mean for name in seen)
    assert f"Of {len(beats)} claims that one method is more accurate than another, three are" in TEXT
    assert len(seen) == 3 and f"by at most {most:.1f} points" in TEXT


def test_claims_seen_in_both_settings() -> None:
    both = [name for name, row in rows().items() if row[2].startswith("✓ seen F, E")]
    assert both == [
        "Mixup: better calibrated",
        "Mixup: withstands FGSM",
        "CutMix: withstands FGSM",
        "Mistakes are less sure",
    ]
    assert (
        "Four claims hold on Fashion-MNIST and on Emoji Scenes: Mixup is better calibrated, Mixup and" in TEXT
    )


def test_claims_not_seen_that_hold_the_papers_effect() -> None:
    """The paper's own effect lies in all our intervals, in some, or in none."""
    holding = {}
    for name, claim in CLAIMS.items():
        paper, _, judged = rows()[name]
        numbers = [float(one) for one in re.findall(r"\d+(?:\.\d+)?", paper)]
        if claim and judged == "not seen" and numbers:
            theirs = (numbers[-1] - (numbers[0] if "→" in paper else 0)) / 100
            holding[name] = [abs(theirs - one.mean) <= one.half for one in effects(claim).values()]
    whole = sum(map(all, holding.values()))
    sentence = f"Of the {len(holding)} such claims with a paper's figure, {whole} have the paper's own effect"
    assert sentence in TEXT, holding
    assert [name for name, one in holding.items() if not any(one)] == list(holding)[-2:]
    partly = [name for name, one in holding.items() if any(one) and not all(one)]
    assert partly == ["Mixup: detects fewer of them"]
    assert list(holding)[-2:] == [f"{way}: beats earlier methods" for way in ("Neighbours", "Linear probe")]


def test_settings() -> None:
    """What the captions say of averages, α and the images of PatchMix."""
    mix = {
        of: str(ml.runs.load(f"{of}-emoji-mixup").settings["mix"]) for of in ("automix", "transfer", "dense")
    }
    assert [one.startswith("Averaged(") for one in mix.values()] == [True, True, False]
    assert "alpha=0.2" in mix["dense"]
    for one in ("fashion", "emoji"):
        settings = ml.runs.load(f"contrast-{one}-vit-moco").settings
        assert (settings["images"], settings["epochs"]) == (3600, 20)


NEIGHBOURS = "knn/k=20"
OWN = {  # the two attempts: the records, and the measure
    "AutoMix's masks": (
        ("F", "automix-fashion-automix", "automix-fashion-no-masks", "accuracy"),
        ("Off", "pilot-masks-n2000-e40-automix-strict", "pilot-masks-n2000-e40-mixup", "accuracy"),
    ),
    "MixSKD's distillation": (
        ("F", "mixskd-fashion-mixskd", "mixskd-fashion-labels-and-mixed", "accuracy"),
        ("E", "mixskd-emoji-mixskd", "mixskd-emoji-labels-and-mixed", "accuracy"),
    ),
    "PatchMix's targets (20 neighbours)": (
        ("ResNet: F", "contrast-fashion-patchmix", "contrast-fashion-moco", NEIGHBOURS),
        ("E", "contrast-emoji-patchmix", "contrast-emoji-moco", NEIGHBOURS),
        ("transformer: F", "contrast-fashion-vit-patchmix", "contrast-fashion-vit-moco", NEIGHBOURS),
        ("E", "contrast-emoji-vit-patchmix", "contrast-emoji-vit-moco", NEIGHBOURS),
    ),
}


def test_parts_against_their_own_control() -> None:
    """Each attempt's effect; the only significant one is bold."""
    section = AGAIN.partition("## Three parts")[2].partition("\n## ")[0].replace("\u00a0", " ")
    bold = []
    for part, attempts in OWN.items():
        line = next(line for line in section.splitlines() if line.startswith(f"{part}|"))
        for place, way, base, measure in attempts:
            effect = gain(way, base, measure)
            assert effect.n == 3 and words(effect, sign=True) in line.replace("*", "") and place in line
            bold += [part] * (effect.clear and f"**{words(effect, sign=True)}**" in line)
        assert line.count("±") == len(attempts) and line.count("**") == 2 * bold.count(part)
    assert bold == ["MixSKD's distillation"] and "No part beats its control reliably." in section
    less = gain("mixskd-fashion-mixskd", "mixskd-fashion-labels-and-mixed", "ece")
    assert less.clear and less.mean < 0 and f"by {words(less)} and " in section
    again = gain("confirmed-mixskd", "confirmed-labels-and-mixed", "accuracy")
    less = gain("confirmed-mixskd", "confirmed-labels-and-mixed", "ece")
    assert not again.clear and again.n == 5 and f"do not repeat it ({words(again, sign=True)})" in section
    assert less.clear and less.mean < 0 and f"and {words(less)} points." in section
    one = {way: ml.runs.load(f"contrast-garments-{way}") for way in ("patchmix", "moco", "pixels")}
    assert len(one["patchmix"].seeds) == 1 and "PatchMix has one run" in section
    shown = [f"{100 * record.measured(NEIGHBOURS).mean:.1f} %" for record in one.values()]
    assert "{}, against {} for MoCo and {} for pixels".format(*shown) in section


# what the section on differing signs says: a text, and the effects in its braces
FURTHER: list[tuple[str, list[tuple[str, str, str]]]] = [
    (
        "by {+} points (width 16), {+} (with an EMA) and {+} (α = 0.2)",
        [
            ("emoji-mixup", "emoji-plain", "accuracy"),
            ("automix-emoji-mixup", "automix-emoji-plain", "accuracy"),
            ("mixskd-emoji-mixup", "mixskd-emoji-plain", "accuracy"),
        ],
    ),
    (
        "ten epochs lose too: {+}.",
        [("sweep-fashion-n2000-e10-w8-mixup", "sweep-fashion-n2000-e10-w8-plain", "test/accuracy")],
    ),
    (
        "the gain is {+} (E₂) and {+} (E₁)",
        [(f"{of}-emoji-mixup", f"{of}-emoji-plain", "detected frozen/map50") for of in ("dense", "transfer")],
    ),
    (
        "with Mixup ({+}) and without mixing ({+})",
        [(f"practice-shakedrop-{way}", f"practice-deeper-{way}", "accuracy") for way in ("mixup", "plain")],
    ),
    (
        "told apart less well: {+} points",
        [("boxes-emoji-cutmix-smoothed", "boxes-emoji-plain-smoothed", AUROC)],
    ),
    (
        "better: {+} points of AUROC, and {+} with smoothing",
        [(f"boxes-emoji-cutmix{s}", f"boxes-emoji-plain{s}", GARMENTS) for s in ("", "-smoothed")],
    ),
    (
        "gains {} points over mixing all",
        [("masks-fashion-comixup-half", "masks-fashion-comixup", "accuracy")],
    ),
    ("ends {+} points from CutMix", [("masks-fashion-comixup-half", "boxes-fashion-cutmix", "accuracy")]),
    ("off by {} points more", [("truth-emoji-snapmix-cam", "truth-emoji-cutmix", "drawn/error")]),
    ("another {} points", [("automix-fashion-no-clean", "automix-fashion-automix", "ece")]),
    ("agrees: {+} points", [("automix-fashion-automix", "automix-fashion-cutmix", "attacked/pgd 2")]),
    ("FGSM rises by {}.", [("automix-fashion-no-clean", "automix-fashion-automix", "attacked/fgsm 8")]),
]


@pytest.mark.parametrize(("text", "gains"), FURTHER, ids=[text for text, _ in FURTHER])
def test_further_experiments(text: str, gains: list[tuple[str, str, str]]) -> None:
    for way, base, measure in gains:
        effect = gain(way, base, measure)
        sign = 0 <= text.find("{+}") < (text.find("{}") % 1000)
        assert sign or effect.mean > 0
        text = text.replace("{+}" if sign else "{}", words(effect, sign=sign), 1)
    assert text in " ".join(AGAIN.split())


def test_every_opposite_sign_has_a_further_experiment() -> None:
    """A paragraph names the further training."""
    section = AGAIN.partition("(sec-sign-differs)=")[2].partition("(sec-own-control)=")[0]
    differing = [name for name, row in rows().items() if "opposite" in row[2]]
    told = re.findall(r"^- \*\*(.*?)\.\*\*", section, flags=re.M)
    assert len(differing) == 9 == len(told) and "All nine have another" in section
    assert told == [
        "Mixup on Emoji Scenes",
        "Mixup as a start",
        "CutMix on other images",
        "SnapMix",
        "Co-Mixup",
        "ShakeDrop",
        "AutoMix's calibration",
        "AutoMix under attack",
        "Learned masks by KL",
    ]
    worse = ml.runs.load("again-automix").gain(ml.runs.load("again-mixup"), "all/kl")
    assert worse.clear and worse.n == 7
    assert f"seven further blocks agrees: +{worse.mean:.2f} ± {worse.half:.2f} nats" in section
