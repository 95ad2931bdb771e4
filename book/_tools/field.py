"""The map of the field: its timeline, its comparison, its table and its numbers, from book/_data/methods.yml.

On a page `@TIMELINE@`, `@SAME@`, `@INDEX@` and `@METHODS@` stand for them, `@PUBLISHED cutmix@` for one published number,
`@BASELINE cutmix@` and `@REACHED cutmix@` for its two accuracies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).resolve().parents[1] / "_data" / "methods.yml"
OPENMIXUP = "https://github.com/Westlake-AI/openmixup"
BASELINE = "ImageNet, ResNet-50, 300 epochs"
YEARS = range(2017, 2026)
LETTER = 2.3  # the width of a letter, in % of the narrowest timeline
Method = dict[str, Any]


def field() -> tuple[dict[str, dict[str, str]], list[Method]]:
    """The families by their keys, and the methods in order of their dates."""
    data = yaml.safe_load(DATA.read_text(encoding="utf-8"))
    return data["families"], sorted(data["methods"], key=date)


def date(method: Method) -> float:
    """When it was first public: the month of the arXiv number, else the middle of the year."""
    month = int(method["arxiv"][2:4]) if "arxiv" in method else 7
    return float(method["first"] + (month - 0.5) / 12)


def address(method: Method) -> str:
    """Where the paper is."""
    if "arxiv" in method:
        return f"https://arxiv.org/abs/{method['arxiv']}"
    return str(method["link"])


def published(number: Mapping[str, str]) -> dict[str, str]:
    """A number as it is shown, errors as accuracies: `value` as in "76.32 → 78.60", `measure` and `gain`."""
    turned = number["measure"] == "error"
    sign = "−" if "lower is better" in number["measure"] else "+"
    values = [Decimal(number[key]) for key in ("from", "to") if key in number]
    values = [100 - value for value in values] if turned else values
    gain = number.get("gain") or (
        abs(values[1] - values[0]) if values[1:] else ""
    )
    return {
        "value": "\u00a0→\u00a0".join(map(str, values)),
        "measure": "accuracy" if turned else number["measure"],
        "gain": f"**{sign}{gain}**" if gain else "",
    }


def baselines(methods: list[Method]) -> list[str]:
    """The accuracies of a ResNet-50 after 300 epochs on ImageNet without the method of the row."""
    numbers = [method["number"] for method in methods if "number" in method]
    same = [n for n in numbers if n["setting"] == BASELINE and "from" in n]
    return sorted({published(one)["value"].split("\u00a0")[0] for one in same})


def when(method: Method) -> str:
    """When it was first public and where it appeared, as in "2019-05, ICCV 2019"."""
    month = f"-{method['arxiv'][2:4]}" if "arxiv" in method else ""
    venue = re.sub(r"^arXiv \d+$", "arXiv", method["venue"])
    return f"{method['first']}{month}, {venue}"


def _cell(method: Method) -> str:
    """The gain, the number with a link to where it was read, and the setting."""
    if "number" not in method:
        return "–"
    number = method["number"]
    known = {"paper": address(method), "openmixup": OPENMIXUP}
    link = known.get(number["source"], number["source"])
    shown = published(number)
    value = shown["value"] and f"[{shown['value']}]({link})"
    gain = shown["gain"] if value else f"[{shown['gain']}]({link})"
    other = shown["measure"] != "accuracy"
    words = " ".join(filter(None, (gain, value, other and shown["measure"])))
    mark = ", *OpenMixup*" if number["source"] == "openmixup" else ""
    return f"{words}, {number['setting']}{mark}"


def taught(method: Method) -> bool:
    """Whether a chapter teaches it; others of this book are in the gallery or the reference alone."""
    return str(method.get("page", ""))[:1].isdigit()


def _row(method: Method) -> str:
    here, page = "", method.get("page")
    dated = when(method).replace("-", "\u2011")  # no line ends inside a date
    if page:
        kind = "md" if page.startswith("reference/") else "ipynb"
        here = f", [**in this book**]({page}.{kind})"
    cells = (
        f'**{method["name"]}**<span id="m-{method["key"]}"></span> '
        f"[{method['authors']}]({address(method)}), {dated}{here}",
        *(method[key] for key in ("who", "where", "much")),
        _cell(method),
    )
    return "* - " + "\n  - ".join(cells)


def table() -> str:
    """Each family with a table of its methods, in Markdown."""
    families, methods = field()
    parts = []
    for key, family in families.items():
        rows = [_row(method) for method in methods if method["family"] == key]
        parts.append(
            f"## {family['title']}\n\n{family['says']}\n\n"
            ":::{list-table}\n:header-rows: 1\n:widths: 26 16 18 17 23\n:class: field\n\n"
            "* - Method\n  - Who\n  - Where\n  - How much\n  - Published\n"
            + "\n".join(rows)
            + "\n:::\n"
        )
    return "\n".join(parts)


def index() -> str:
    """The names from A to Z, each a jump to its row of the table, in HTML."""
    names = sorted(field()[1], key=lambda method: method["name"].casefold())
    return ", ".join(
        f'<a href="#m-{method["key"]}">{escape(method["name"])}</a>'
        for method in names
    )


def _row_of(
    taken: list[list[tuple[float, float]]], ends: tuple[float, float]
) -> int:
    """The first row in which nothing is in the way from one end to the other, in % of the width."""
    for row, spans in enumerate(taken):
        if all(ends[1] < left or right < ends[0] for left, right in spans):
            spans.append(ends)
            return row
    taken.append([ends])
    return len(taken) - 1


def _lane(methods: list[Method]) -> str:
    """The dots of one family, one above the other where they would touch; the best known and taught have names."""
    taken: list[list[tuple[float, float]]] = []
    dots = []
    for method in sorted(methods, key=lambda method: not method.get("lead")):
        left = 100 * (date(method) - YEARS[0]) / len(YEARS)
        short = method["name"].partition(" (")[0]
        named = taught(method) or method.get("lead")
        wide = 3 + LETTER * len(short) if named else 1.4
        before = left > 60 or left + wide > 100
        ends = (
            (left - wide, left + 1.4) if before else (left - 1.4, left + wide)
        )
        row = _row_of(taken, ends)
        kind = "here" if "page" in method else "there"
        name = escape(f"{method['name']}, {when(method)}")
        side = "before" if before else "after"
        label = f"<b class={side}>{escape(short)}</b>" if named else ""
        dots.append(
            f'<i class="{kind}" style="left:{left:.1f}%;--row:{row}" title="{name}">{label}</i>'
        )
    return (
        f'<div class="track" style="--rows:{len(taken)}">{"".join(dots)}</div>'
    )


def timeline() -> str:
    """The families as lanes over the years, in HTML."""
    families, methods = field()
    years = "".join(f"<span>{year}</span>" for year in YEARS)
    lanes = "".join(
        f"<div><span>{escape(family['title'])}</span>"
        f"{_lane([method for method in methods if method['family'] == key])}</div>"
        for key, family in families.items()
    )
    axis = f'<div class="years"><span></span><div>{years}</div></div>'
    label = (
        f"{len(methods)} methods from {YEARS[0]} to {YEARS[-1]}, a lane for each family. "
        "Blends and boxes come first, generated images last."
    )
    return (
        f'<div class="field" role="img" aria-label="{label}">'
        f"{axis}{lanes}{axis}</div>"
    )


def gains() -> list[tuple[Method, list[Decimal]]]:
    """The methods of OpenMixup's table, and what each adds to plain training: with a ResNet-50, with a ResNet-18."""
    plain = yaml.safe_load(DATA.read_text(encoding="utf-8"))["plain"]
    return [
        (
            one,
            [
                Decimal(a) - Decimal(b)
                for a, b in zip(one["same"], plain, strict=False)
            ],
        )
        for one in field()[1]
        if "same" in one
    ]


def comparison() -> str:
    """A lane for each of these methods, a dot for each of its gains from -2 to 2.5 points, in HTML."""
    steps = [f"{step / 2:+g}".replace("-", "−") for step in range(-4, 5)]
    steps[4] = "0"
    ticks = "".join(f"<span>{step}</span>" for step in steps)
    lanes, said = "", []
    for method, both in gains():
        dots = ""
        for kind, gain in zip(("here", "there"), both, strict=False):
            side = "before" if -1 < gain < 0 or gain > 1.6 else "after"
            words = f"{gain:+}".replace("-", "−")
            dots += (
                f'<i class="{kind}" style="left:{(float(gain) + 2) / 0.045:.1f}%;--row:0">'
                f"<b class={side}>{words}</b></i>"
            )
        short = method["name"].partition(" (")[0]
        said.append(f"{short} {' and '.join(map(str, both))}")
        lanes += (
            f"<div><span>{short}, {method['first']}</span>"
            f'<div class="track change" style="--rows:1">{dots}</div></div>'
        )
    axis = f'<div class="years"><span></span><div>{ticks}</div></div>'
    label = (
        f"Gains in points with a ResNet-50 and a ResNet-18: {'; '.join(said)}."
    )
    return f'<div class="field" role="img" aria-label="{label}">{axis}{lanes}{axis}</div>'


def fill_in(text: str) -> str:
    """A page's text with all of it in place."""
    _, methods = field()
    numbers = {m["key"]: m["number"] for m in methods if "number" in m}
    text = text.replace("@TIMELINE@", timeline()).replace("@METHODS@", table())
    text = text.replace("@SAME@", comparison()).replace("@INDEX@", index())
    for mark, key in (("BASELINE", "from"), ("REACHED", "to")):
        text = re.sub(
            rf"@{mark} ([\w-]+)@",
            lambda found, key=key: f"{numbers[found[1]][key]} %",
            text,
        )
    text = text.replace("@PUBLISHED many@", str(len(methods)))
    text = text.replace(
        "@PUBLISHED baselines@", f"{' and '.join(baselines(methods))} %"
    )
    here = sum("page" in method for method in methods)
    text = text.replace("@PUBLISHED here@", str(here))
    return re.sub(
        r"@PUBLISHED ([\w-]+)@",
        lambda found: "{measure} {value} %".format(
            **published(numbers[found[1]])
        ),
        text,
    )
