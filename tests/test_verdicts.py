"""The page of verdicts: each effect is the records', each verdict follows from it, and the counts add up."""

from __future__ import annotations

import re
from collections import Counter

import pytest

import mixlearn as ml
from mixlearn.train.records import Interval
from tests.prose import BOOK, words

PAGE = (BOOK / "verdicts.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())
SETS = {
    "F": "fashion",
    "E": "emoji",
    "O": "offcentre",
    "E₁": "transfer-emoji",
    "E₂": "dense-emoji",
}
UNTESTED = "not tested"

# claim: (its sign, a record, what it is compared with, the measure, the sets); braces stand for the set
Claim = tuple[int, str, str, str, str]


def same(sign: int, of: str, way: str, base: str, measure: str = "accuracy", sets: str = "F E") -> Claim:
    """Two records of one experiment."""
    return sign, of + way, of + base, measure, sets


BOXES, AUTOMIX, MIXSKD, JUDGE = "boxes-{}-", "automix-{}-", "mixskd-{}-", "judge-{}-"
TRUTH, CONTRAST, DENSE, AUROC = "truth-{}-", "contrast-{}-", "dense-{}-", "foreign photographs/auroc"
CLAIMS: dict[str, Claim | None] = {
    "Mixup: more accurate": same(1, BOXES, "mixup", "plain"),
    "Mixup: better calibrated": same(-1, BOXES, "mixup", "plain", "ece"),
    "Mixup: withstands FGSM": same(1, AUTOMIX, "mixup", "plain", "attacked/fgsm 8"),
    "Mixup: names no third class in blends": same(-1, BOXES, "mixup", "plain", "between/blend"),
    "Mixup: wrong labels do less harm": same(1, "wrong-50-", "mixup-8", "plain", sets="F"),
    "Mixup: steadier GANs": None,
    "CutMix: more accurate": same(1, BOXES, "cutmix", "plain"),
    "CutMix beats Mixup": same(1, BOXES, "cutmix", "mixup"),
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
    "Learned masks show both objects": same(1, JUDGE, "automix", "cutmix", "all/top 2", "O"),
    "One call is cheaper than PuzzleMix's (a training is not)": same(
        -1, JUDGE, "automix", "puzzlemix", "all/cost", "O"
    ),
    "Without masks (plain Mixup): worse": same(-1, AUTOMIX, "no-masks", "automix", sets="F"),
    "Without attention: worse": same(-1, AUTOMIX, "no-attention", "automix", sets="F"),
    "Without mask loss: worse": same(-1, AUTOMIX, "no-mask-loss", "automix", sets="F"),
    "One joint update: worse": same(-1, AUTOMIX, "joint", "automix", sets="F"),
    "MixSKD: more accurate": same(1, MIXSKD, "mixskd", "plain"),
    "MixSKD beats Mixup": same(1, MIXSKD, "mixskd", "mixup"),
    "MixSKD beats CutMix": same(1, MIXSKD, "mixskd", "cutmix"),
    "MixSKD beats DDGSD": same(1, MIXSKD, "mixskd", "ddgsd"),
    "MixSKD beats CS-KD": same(1, MIXSKD, "mixskd", "cskd", sets="F"),
    "DDGSD: more accurate": same(1, MIXSKD, "ddgsd", "augmented", sets="F"),
    "Without distillation: worse": same(-1, MIXSKD, "labels-and-mixed", "mixskd"),
    "Without self-teacher: worse": same(-1, MIXSKD, "no-teacher", "mixskd"),
    "Without features: worse": same(-1, MIXSKD, "no-features", "mixskd"),
    "Names a third class less than Mixup": same(-1, MIXSKD, "mixskd", "mixup", "between/misses"),
    "Mistakes are less sure": same(-1, MIXSKD, "mixskd", "plain", "quality/said"),
    "Better start: detection": same(1, DENSE, "mixskd", "plain", "detected tuned/map50", "E"),
    "Better start: segmentation": same(1, DENSE, "mixskd", "plain", "segmented tuned/miou", "E"),
    "Neighbours: beats earlier methods": same(1, CONTRAST, "vit-patchmix", "vit-moco", "knn/k=20"),
    "Linear probe: beats earlier methods": same(1, CONTRAST, "vit-patchmix", "vit-moco", "linear/accuracy"),
    "Fine-tuned: beats earlier methods": same(1, CONTRAST, "vit-patchmix", "vit-moco", "tuned/accuracy"),
    "Four images, not two, help": same(1, CONTRAST, "patchmix-four", "patchmix", "knn/k=20", "F"),
    "Without mix to mix: worse": same(-1, CONTRAST, "patchmix-no-mix-to-mix", "patchmix", "knn/k=20", "F"),
    "Better start: COCO": None,
}


def effects(claim: Claim) -> dict[str, Interval]:
    """The effect on each set."""
    _, way, base, measure, sets = claim
    load = ml.runs.load
    return {
        one: load(way.format(SETS[one])).gain(load(base.format(SETS[one])), measure) for one in sets.split()
    }


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
    """By claim: the paper's figure, our effects and the verdict of the page's tables."""
    lines = [line.split(" | ") for line in page.splitlines() if line.count(" | ") == 2]
    found = {}
    for claim, judged, here in lines:
        name, paper = re.fullmatch(r"(.*?)(?: \(([+\d][^)]*)\))?(?: [¹²³⁴⁵⁶⁷])?", claim).groups()
        if name != "claim (paper)":
            found[name] = [paper or "", here, judged]
    return found


def printed(claim: Claim, text: str) -> str:
    """The effects as the page prints them, with as many digits as it gives each."""
    scale = 1 if claim[3].endswith("/cost") else 100
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
    assert (BOOK / page.partition("#")[0]).is_file()


def test_no_effect_is_rounded_to_its_interval() -> None:
    assert not [row for row in rows().values() if re.search(r"(\d+\.\d+)\s±\s\1\b", row[1])]


def test_counts() -> None:
    sections = [(part.partition("\n")[0], part) for part in PAGE.split("\n## ")[1:]]
    for title, part in [*((title, part) for title, part in sections if rows(part)), ("**All**", PAGE)]:
        judged = [row[2] for row in rows(part).values()]
        kinds = Counter("both" if ";" in one else one.strip("✓✗*, ₁₂EFO") for one in judged)
        order = ("seen", "opposite", "both", "not seen", UNTESTED)
        line = f"{title} | {' | '.join(str(kinds[one]) for one in order)}\n"
        assert line in PAGE, line
    assert f"Of {len(CLAIMS)} claims about a third came out as claimed" in TEXT
    assert (kinds["opposite"], kinds["not seen"]) == (6, 30) and "and six the other way. Half" in TEXT
    assert abs(kinds["seen"] / len(CLAIMS) - 1 / 3) < 0.05
    answer = f"{kinds['seen']} of {len(CLAIMS)}; {kinds['opposite']} came out opposite, "
    answer += f"and {kinds['not seen']} stayed open"
    assert answer in (BOOK / "questions.md").read_text(encoding="utf-8")
    found = [effect.n for claim in CLAIMS.values() if claim for effect in effects(claim).values()]
    clear = sum(effect.clear for claim in CLAIMS.values() if claim for effect in effects(claim).values())
    assert set(found) == {3} and f"{clear} of our {len(found)} effects exclude zero" in TEXT
    assert f"by chance about {0.05 * len(found):.0f} would" in TEXT
    parts = [name for name in CLAIMS if name.startswith(("Without ", "One joint ", "Four images"))]
    seen = [name for name in parts if verdict(CLAIMS[name]) != "not seen"]
    assert len(parts) == 9 and "Of nine ablations" in TEXT
    assert seen == ["Without distillation: worse"] and "only one makes a difference" in TEXT
    assert ml.runs.load("boxes-fashion-cutmix").settings["parameters"] == 19810


def test_claims_that_stay_open_in_a_setting() -> None:
    left = Counter(
        rows()[name][2].strip("✓✗* ").split()[0].rstrip("*")
        for name, claim in CLAIMS.items()
        if claim and ";" not in verdict(claim) and not all(one.clear for one in effects(claim).values())
    )
    assert f"Of the 19 claims that are seen, {left['seen']} have a second setting that stays open" in TEXT, (
        left
    )


def test_what_the_page_concludes() -> None:
    """Accuracy: gains on one set alone, and 13 comparisons of methods, three of them seen on one set."""
    plain = [verdict(CLAIMS[f"{name}: more accurate"]) for name in ("Mixup", "CutMix", "AutoMix", "MixSKD")]
    assert plain == ["✓ seen F; ✗ **opposite** E", *["✓ seen F"] * 3]
    assert "On Emoji Scenes none does, and Mixup loses." in TEXT
    beats = [name for name, claim in CLAIMS.items() if " beats " in name and claim[3] == "accuracy"]
    seen = [name for name in beats if "seen" in verdict(CLAIMS[name]).partition("not")[0]]
    assert {verdict(CLAIMS[name]) for name in seen} == {"✓ seen F"}
    most = max(100 * effects(CLAIMS[name])["F"].mean for name in seen)
    assert f"Of {len(beats)} claims that one method is more accurate than another, three are" in TEXT
    assert len(seen) == 3 and f"by at most {most:.1f} points" in TEXT


def test_claims_seen_in_both_settings() -> None:
    both = [name for name, row in rows().items() if row[2] == "✓ seen F, E"]
    assert both == [
        "Mixup: better calibrated",
        "Mixup: withstands FGSM",
        "CutMix: withstands FGSM",
        "Mistakes are less sure",
    ]
    assert "Four claims hold in both of our settings: Mixup is better calibrated, Mixup and" in TEXT


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
        "ten epochs loses too: {+}.",
        [("sweep-fashion-n2000-e10-w8-mixup", "sweep-fashion-n2000-e10-w8-plain", "test/accuracy")],
    ),
    (
        "garments ({+}) and uniform noise ({+})",
        [
            ("boxes-emoji-cutmix", "boxes-emoji-plain", f"foreign {kind}/auroc")
            for kind in ("fashion", "uniform noise")
        ],
    ),
    (
        "the gain is {+} (E₂) and {+} (E₁)",
        [(f"{of}-emoji-mixup", f"{of}-emoji-plain", "detected frozen/map50") for of in ("dense", "transfer")],
    ),
    ("than CutMix's, by {} points", [("judge-offcentre-comixup", "judge-offcentre-cutmix", "all/top 2")]),
    ("than CutMix's ({+})", [("judge-offcentre-snapmix", "judge-offcentre-cutmix", "all/top 2")]),
    ("another {} points", [("automix-fashion-no-clean", "automix-fashion-automix", "ece")]),
    ("agrees: {+} points", [("automix-fashion-automix", "automix-fashion-cutmix", "attacked/pgd 2")]),
    ("FGSM rises by {}.", [("automix-fashion-no-clean", "automix-fashion-automix", "attacked/fgsm 8")]),
]


@pytest.mark.parametrize(("text", "gains"), FURTHER, ids=[text for text, _ in FURTHER])
def test_further_experiments(text: str, gains: list[tuple[str, str, str]]) -> None:
    for way, base, measure in gains:
        effect = ml.runs.load(way).gain(ml.runs.load(base), measure)
        sign = 0 <= text.find("{+}") < (text.find("{}") % 1000)
        assert sign or effect.mean > 0
        text = text.replace("{+}" if sign else "{}", words(effect, sign=sign), 1)
    assert text in TEXT


def test_every_opposite_sign_has_a_further_experiment() -> None:
    """As many paragraphs as rows."""
    section = PAGE.partition("(sec-sign-differs)=")[2].partition("## Where next")[0]
    differing = [name for name, row in rows().items() if "opposite" in row[2]]
    assert len(re.findall(r"^- \*\*", section, flags=re.M)) == len(differing)
