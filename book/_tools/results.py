"""The results page: the run records of each experiment in a table, chapter by chapter."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from html import escape

from mixlearn.train.records import Interval, Record, all, shown

# the heading of a chapter, and the page that discusses its runs
CHAPTERS = {
    2: ("Chapter 2: Mixup", "02_mixup_results"),
    3: ("Chapter 3: CutMix", "03_cutmix_results"),
    4: ("Chapter 4: masks", "04_masks_results"),
    5: ("Chapter 5: AutoMix", "05_automix_results"),
    6: ("Chapter 6: MixSKD", "06_mixskd_results"),
    7: ("Chapter 7: PatchMix", "07_patchmix_results"),
    9: ("Chapter 9: practice", "09_practice"),
    10: ("Chapter 10: few, wrong and uneven labels", "10_labels"),
}
# how names begin, the chapter and the title of the table, and the experiment that trains it
GROUPS = {
    "fashion": (2, "Does Mixup help on Fashion-MNIST?", "embedded"),
    "emoji": (2, "Does Mixup help on Emoji Scenes?", "embedded"),
    "sweep-fashion": (2, "How many images, epochs, channels?", "sweep"),
    "boxes-fashion": (3, "Does CutMix help on Fashion-MNIST?", "boxes"),
    "boxes-emoji": (3, "Does CutMix help on Emoji Scenes?", "boxes"),
    "wrong": (3, "What do wrong labels do?", "wrong"),
    "masks-fashion": (4, "Which mask helps on Fashion-MNIST?", "masks"),
    "masks-emoji": (4, "Which mask helps on Emoji Scenes?", "masks"),
    "truth-emoji": (4, "How true are the labels?", "truth"),
    "judge-offcentre": (
        4,
        "Does a frozen classifier see both classes? (also chapter 5)",
        "judging",
    ),
    "again": (5, "Does a second classifier see both classes?", "again"),
    "automix-fashion": (5, "Does AutoMix help on Fashion-MNIST?", "automix"),
    "automix-emoji": (5, "Does AutoMix help on Emoji Scenes?", "automix"),
    "transfer-emoji": (5, "Is it a better start for detection?", "transfer"),
    "pilot-masks": (
        5,
        "Are learned masks as good as true ones?",
        "pilot_masks",
    ),
    "mixskd-fashion": (6, "Does MixSKD help on Fashion-MNIST?", "mixskd"),
    "mixskd-emoji": (6, "Does MixSKD help on Emoji Scenes?", "mixskd"),
    "dense-emoji": (
        6,
        "Is it a better start for detection and segmentation?",
        "dense",
    ),
    "confirmed": (
        6,
        "Does its distillation help on other seeds?",
        "confirmed",
    ),
    "contrast-fashion": (7, "How good are features of garments?", "contrast"),
    "contrast-emoji": (
        7,
        "How good are features of Emoji Scenes?",
        "contrast",
    ),
    "contrast-garments": (
        7,
        "How good are features of garments on black?",
        "contrast",
    ),
    "kin-emoji": (7, "Which images have similar features?", "kin"),
    "cifar10": (9, "Which method helps on CIFAR-10?", "cifar"),
    "pilot-cifar10": (9, "Where does mixing pay on CIFAR-10?", "pilot_cifar"),
    "curve": (9, "How much, how often, how long to mix?", "curves"),
    "practice": (9, "What goes well with mixing?", "practice"),
    "scenes": (10, "Is mixing worth it to a detector, a segmenter?", "scenes"),
    "few": (10, "What do images without labels bring?", "few"),
    "divide": (10, "Does it help to find the wrong labels?", "divided"),
    "uneven": (10, "What helps rare classes?", "uneven"),
}
OTHER = (0, "Other records", "")
# the answer on the lid of a table, and the differences that fill it: a record, what it is compared with, the measure
ACC, TUNED = "accuracy", "detected tuned/map"
ANSWERS: dict[str, tuple[str, tuple[tuple[str, str, str], ...]]] = {
    "fashion": ("{}", (("mixup", "plain", ACC),)),
    "emoji": ("{}", (("mixup", "plain", ACC),)),
    "sweep-fashion": (
        "Mixup, 2,000 images: {} after 10 epochs, {} after 40",
        (
            ("n2000-e10-w8-mixup", "n2000-e10-w8-plain", ACC),
            ("n2000-e40-w8-mixup", "n2000-e40-w8-plain", ACC),
        ),
    ),
    "boxes-fashion": ("{}", (("cutmix", "plain", ACC),)),
    "boxes-emoji": ("{}", (("cutmix", "plain", ACC),)),
    "wrong": (
        "With half of them wrong, CutMix {}, Mixup {}",
        (("50-cutmix", "50-plain", ACC), ("50-mixup", "50-plain", ACC)),
    ),
    "masks-fashion": ("9 of 12 gain significantly", ()),
    "masks-emoji": ("None of 11 gains, 4 lose significantly", ()),
    "truth-emoji": ("Mixup's most, ResizeMix's least", ()),
    "judge-offcentre": ("Most often with true masks", ()),
    "again": ("Again most often with true masks", ()),
    "kin-emoji": ("Those of one concept, and without training already", ()),
    "confirmed": ("{}", (("mixskd", "labels-and-mixed", ACC),)),
    "cifar10": ("CutMix {}", (("cutmix", "plain", ACC),)),
    "pilot-cifar10": (
        "CutMix {} with a ResNet-8, {} with a ResNet-18",
        (
            ("r8w16s-n2500-e60-cutmix", "r8w16s-n2500-e60-plain", ACC),
            ("r18w16s-n2500-e100-cutmix", "r18w16s-n2500-e100-plain", ACC),
        ),
    ),
    "automix-fashion": ("{}", (("automix", "plain", ACC),)),
    "automix-emoji": ("{}", (("automix", "plain", ACC),)),
    "transfer-emoji": (
        "AutoMix {} of mAP, tuned",
        (("automix", "plain", TUNED),),
    ),
    "pilot-masks": ("Not decided", ()),
    "mixskd-fashion": ("{}", (("mixskd", "plain", ACC),)),
    "mixskd-emoji": ("{}", (("mixskd", "plain", ACC),)),
    "dense-emoji": (
        "MixSKD {} of mAP, {} of mIoU, tuned",
        (
            ("mixskd", "plain", TUNED),
            ("mixskd", "plain", "segmented tuned/miou"),
        ),
    ),
    "contrast-fashion": (
        "PatchMix {} against SimCLR, linear",
        (("patchmix", "simclr", "linear/accuracy"),),
    ),
    "contrast-emoji": (
        "PatchMix {} against SimCLR, linear",
        (("patchmix", "simclr", "linear/accuracy"),),
    ),
    "contrast-garments": ("One seed each: not decided", ()),
    "curve": (
        "CutMix {} after 10 epochs, {} after 40",
        (
            ("e10-cutmix", "e10-plain", ACC),
            ("centre-cutmix", "centre-plain", ACC),
        ),
    ),
    "practice": (
        "With Cutout, CutMix {}, Mixup {}",
        (
            ("cutout-cutmix", "cutout-plain", ACC),
            ("cutout-mixup", "cutout-plain", ACC),
        ),
    ),
    "scenes": ("No mixture gained significantly", ()),
    "few": (
        "MixMatch: {} with 40 labels, {} with 250",
        (
            ("40-mixmatch", "40-plain", ACC),
            ("250-mixmatch", "250-plain", ACC),
        ),
    ),
    "divide": ("{} against Mixup", (("found", "mixup", ACC),)),
    "uneven": (
        "Class weights {}, Mixup {}",
        (("weighted", "plain", ACC), ("mixup", "plain", ACC)),
    ),
}
# what is compared, the record, and what it is compared with; braces stand for the data set
BOXES, AUTOMIX = "boxes-{}-plain", "automix-{}-plain"
MAIN = (
    ("[Mixup](03_cutmix_results.ipynb)", "boxes-{}-mixup", BOXES),
    ("[CutMix](03_cutmix_results.ipynb)", "boxes-{}-cutmix", BOXES),
    ("[Mixup or CutMix, by coin](which.md)", "boxes-{}-both", BOXES),
    ("[PuzzleMix](04_masks_results.ipynb)", "masks-{}-puzzlemix", BOXES),
    ("[AutoMix](05_automix_results.ipynb)", "automix-{}-automix", AUTOMIX),
    (
        "[MixSKD](06_mixskd_results.ipynb)",
        "mixskd-{}-mixskd",
        "mixskd-{}-plain",
    ),
    ("no mixing, 3 × the epochs", "automix-{}-plain-longer", AUTOMIX),
    (
        "CutMix, both 3 × the epochs",
        "automix-{}-cutmix-longer",
        "automix-{}-plain-longer",
    ),
)
SETS = {"fashion": "Fashion-MNIST", "emoji": "Emoji Scenes"}
REACH = 8  # points to either side of zero
FURTHER = {
    "knn/k=20": "20 neighbours (%)",
    "knn/k=1": "nearest (%)",
    "detected frozen/map": "mAP frozen (%)",
    "detected tuned/map": "mAP tuned (%)",
    "segmented tuned/miou": "mIoU tuned (%)",
    "all/top 2": "both in the top 2 (%)",
    "all/kl": "KL",
    "all/own": "mask on own object (%)",
    "all/partner": "on the partner's (%)",
    "all/background": "on background (%)",
    "drawn/unseen": "named, unseen (%)",
    "drawn/unnamed": "seen, unnamed (%)",
    "drawn/error": "error of the share (%)",
}
TESTS = ("test", "concepts", "designers", "linear", "tuned")
MOST = 6  # columns of numbers that fit the page
NAMES = {"mix": "mixing", "lam": "λ"}
WORDS = {"nll": "NLL", "ece": "ECE (%)", "gap": "gap (%)"}


def headline(records: Sequence[Record]) -> str:
    """What the main methods gain over training without mixing, on both data sets, as dots and numbers."""
    known = {record.name: record for record in records}
    rows = [("compared with no mixing", *SETS.values())]
    for title, way, base in MAIN:
        gains = [
            known[way.format(name)].gain(known[base.format(name)])
            for name in SETS
        ]
        rows.append((title, *map(_dot, gains)))
    return _markdown(rows)


def _dot(gain: Interval) -> str:
    """A gain with its interval, drawn on a line and in points; its dot is full if the interval excludes zero."""
    mean, half = 100 * gain.mean, 100 * gain.half
    sign = "+" if mean > 0 else ""
    full = "full" if gain.clear else "open"
    return (
        f'<svg class="gain" viewBox="{-REACH} -1 {2 * REACH} 2" aria-hidden="true"><path d="M0 -1V1"/>'
        f'<path d="M{mean - half:.2f} 0H{mean + half:.2f}"/>'
        f'<circle cx="{mean:.2f}" r=".4" class="{full}"/></svg> {sign}{gain.percent()}'
    )


def page(records: Sequence[Record]) -> str:
    """The tables in Markdown, each in a fold, under a heading for each chapter."""
    if not records:
        return "There is no run record yet.\n"
    grouped: dict[tuple[int, str, str], list[Record]] = {}
    for group in (*GROUPS.values(), OTHER):
        grouped[group] = []
    for record in records:
        grouped[_group(record.name)].append(record)
    first: dict[str, str] = {}  # by its setting, the record that has it
    parts = []
    chapter = 0
    for (number, *group), many in grouped.items():
        if many and number not in (0, chapter):
            chapter = number
            title, where = CHAPTERS[chapter]
            parts.append(
                f"## {title}\n\n[What these runs show]({where}.ipynb)\n"
            )
        parts.append(_fold(*group, many, first))
    text = "\n".join(part for part in parts if part)
    return re.sub(r"(:::\{dropdown\} .*\n)", r"\1:open:\n", text, count=1)


def _group(name: str) -> tuple[int, str, str]:
    """Chapter, title and experiment of a record: those of the longest beginning."""
    fits = [start for start in GROUPS if f"{name}-".startswith(f"{start}-")]
    return GROUPS[max(fits, key=len)] if fits else OTHER


def _fold(
    title: str, experiment: str, records: list[Record], first: dict[str, str]
) -> str:
    """The table of one experiment, with what most of its rows share above it."""
    if not records:
        return ""
    start = next((k for k, v in GROUPS.items() if v[1] == title), "")
    records = sorted(records, key=lambda r: r.name != f"{start}-plain")
    facts = [_facts(record) for record in records]
    keys = list(dict.fromkeys(key for fact in facts for key in fact))
    usual = {
        key: Counter(fact.get(key) for fact in facts).most_common(1)[0][0]
        for key in keys
    }
    if len({fact.get("mixing") for fact in facts}) > 1:
        usual["mixing"] = None  # each row names its own
    shared = [_plain(f"{k} {v}") for k, v in usual.items() if v is not None]
    lines = [
        f":::{{dropdown}} {title} {_answer(start, records)}".rstrip() + "\n",
        "Unless a row says otherwise: " + "; ".join(shared) + ".",
    ]
    if experiment:
        most = max((record.seeds for record in records), key=len)
        command = f"python -m experiments {experiment} --seeds {' '.join(map(str, most))}"
        lines.append(f"Names begin with `{start}-`. Trained by `{command}`.")
    columns = _columns(records)
    rows = [("record", "settings", *columns.values())]
    for record, fact in zip(records, facts, strict=True):
        own = {k: v for k, v in fact.items() if v != usual[k]}
        words = [
            _plain(v if k == "mixing" else f"{k} {v}") for k, v in own.items()
        ]
        whole = {k: v for k, v in record.settings.items() if k != "examined"}
        earlier = first.setdefault(f"{whole} {record.data}", record.name)
        if earlier != record.name:
            words.append(f"same setting as {_code(earlier)}")
        cells = [
            shown(name, record.summary[name])
            if name in record.summary
            else "–"
            for name in columns
        ]
        name = record.name.removeprefix(f"{start}-")
        rows.append((_code(name), "; ".join(words), *cells))
    return "\n\n".join([*lines, _markdown(rows), ":::\n"])


def _answer(start: str, records: Sequence[Record]) -> str:
    """What the lid of a table answers, with its differences in points; nothing where a record is missing."""
    known = {
        record.name.removeprefix(f"{start}-"): record for record in records
    }
    words, pairs = ANSWERS.get(start, ("", ()))
    if any(name not in known for *names, _ in pairs for name in names):
        return ""
    gains = [known[a].gain(known[b], measure) for a, b, measure in pairs]
    return words.format(
        *(("+" if gain.mean > 0 else "") + gain.percent() for gain in gains)
    )


def _facts(record: Record) -> dict[str, str]:
    """The settings of a record in short words."""
    found = {}
    for key, value in record.settings.items():
        if key not in (
            "examined",
            "parameters",
            "precision",
            "judge",
            "teaching",
        ):
            text = re.sub(r"\s+", " ", str(value))
            if (
                key in ("mix", "block") and len(text) > 50
            ):  # its card has the rest
                text = text.partition("(")[0] + "(…)"
            found[NAMES.get(key, key.replace("_", " "))] = text
    devices = {str(run["environment"].get("device")) for run in record.runs}
    return found | {
        "seeds": str(len(record.seeds)),
        "on": ", ".join(sorted(devices)),
    }


def _columns(records: Sequence[Record]) -> dict[str, str]:
    """The measures that a table shows, and their titles."""
    known = {name: None for record in records for name in record.summary}
    usual = {
        n
        for n in known
        if 2 * sum(n in r.summary for r in records) >= len(records)
    }
    parts = [n.partition("/")[0] for n in known if n.endswith("/accuracy")]
    parts = [
        part for part in parts if f"{part}/accuracy" in usual and part in TESTS
    ]
    found = {n: title for n, title in FURTHER.items() if n in usual}
    for part in parts:
        title = "accuracy" if parts == ["test"] else part
        found[f"{part}/accuracy"] = f"{title} (%)"
    for key, title in WORDS.items():
        if parts and f"{parts[0]}/{key}" in usual:
            found[f"{parts[0]}/{key}"] = title
    return dict(list(found.items())[:MOST])


def _plain(text: object) -> str:
    """A record's text in Markdown: neither HTML nor Markdown nor a formula, whatever it holds."""
    return re.sub(
        r"([\\`*\[\]$'\"])",
        r"\\\1",
        escape(" ".join(str(text).split()), quote=False),
    )


def _code(text: str) -> str:
    """A record's text as code, between more backticks than it has in a row."""
    text = " ".join(text.split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return (
        f"{ticks}{text}{ticks}"
        if len(ticks) == 1
        else f"{ticks} {text} {ticks}"
    )


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already; the first row is its head."""
    lines = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(all()))
