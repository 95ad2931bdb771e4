"""The effects of a page's own rows as one figure: a lane for each claim about accuracy, in HTML.

On a page `@FOREST@` stands for it. A row is `claim (paper)|verdict|[F +2.1 ± 0.9, E −1.4 ± 6.1](page)`.
"""

from __future__ import annotations

import re

# in points: the left end of the axis, and what each of its columns spans
LOW, STEP, STEPS = -8, 2, 9
ROW = re.compile(
    r"^(?P<claim>[^|\n]*?(?:more accurate|beats)[^|\n]*?) \((?P<paper>[\d.]+ → [\d.]+)\)[^|]*\|[^|]*\|"
    r"\[(?P<here>F [^\]]*)\]",
    re.M,
)
EFFECT = re.compile(r"\b([FEC]) ([+−]?[\d.]+) ± ([\d.]+)")
KINDS = {"F": "here", "E": "there", "C": "photo"}


def place(points: float) -> float:
    """Where on the axis, in % of its width; what lies beyond is put at the end.

    >>> place(-8), place(0), place(20)
    (0.0, 44.44444444444444, 100.0)
    """
    return 100 * min(max((points - LOW) / (STEP * STEPS), 0), 1)


def lanes(
    text: str,
) -> list[tuple[str, float, list[tuple[str, float, float]]]]:
    """Of each claim its words, the paper's effect, and ours: the set, the mean, the half width; in points."""
    found = []
    for row in ROW.finditer(text.replace("\u00a0", " ")):
        without, with_it = map(float, row["paper"].split(" → "))
        ours = [
            (one, float(mean.replace("−", "-")), float(half))
            for one, mean, half in EFFECT.findall(row["here"])
        ]
        found.append((row["claim"].strip(), with_it - without, ours))
    return found


def forest(text: str) -> str:
    """The figure for the rows of a page."""
    ticks = [f"{LOW + STEP * k:+}".replace("-", "−") for k in range(STEPS)]
    ticks = ["0" if tick == "+0" else tick for tick in ticks]
    drawn, said = "", []
    for claim, paper, ours in lanes(text):
        marks = ""
        for row, (one, mean, half) in enumerate(ours):
            left, right = place(mean - half), place(mean + half)
            marks += (
                f'<u class="{KINDS[one]}" style="left:{left:.1f}%;width:{right - left:.1f}%;--row:{row}"></u>'
                f'<i class="{KINDS[one]}" style="left:{place(mean):.1f}%;--row:{row}"></i>'
            )
        marks += f'<i class="paper" style="left:{place(paper):.1f}%;--row:{(len(ours) - 1) / 2}"></i>'
        words = ", ".join(
            f"{one} {mean:+} ± {half}" for one, mean, half in ours
        )
        said.append(f"{claim}: paper {paper:+.1f}, here {words}")
        drawn += (
            f'<div><span>{claim}</span><div class="track change" style="--rows:{len(ours)}">'
            f"{marks}</div></div>"
        )
    axis = f'<div class="years"><span></span><div>{"".join(f"<span>{tick}</span>" for tick in ticks)}</div></div>'
    label = "; ".join(said).replace("-", "−")
    return f'<div class="field" role="img" aria-label="Change of accuracy in points. {label}.">{axis}{drawn}{axis}</div>'
