"""What the tests of prose share: the text of a page, and a difference as pages print it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import mixlearn as ml
from mixlearn.train.records import Interval, interval

BOOK = Path(__file__).resolve().parents[1] / "book"
sys.path.append(str(BOOK / "_ext"))

import questions  # noqa: E402


def cells(name: str, kind: str) -> list[dict[str, Any]]:
    """The cells of one kind of a notebook."""
    found: list[dict[str, Any]] = json.loads((BOOK / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def prose(name: str) -> str:
    """The Markdown of a notebook, without its questions (test_pages.py says why)."""
    return " ".join(questions.BLOCK.sub("", "".join(cell["source"])) for cell in cells(name, "markdown"))


def words(gain: Interval, digits: int = 1, scale: float = 100, *, sign: bool = False) -> str:
    """A difference as pages print it, such as "+1.0 ± 1.5"; without `sign` its size, such as "4.7 ± 0.8"."""
    mean = f"{scale * gain.mean:+.{digits}f}".replace("-", "−")
    return f"{mean if sign else mean[1:]} ± {scale * gain.half:.{digits}f}"


def gain(way: str, base: str, measure: str) -> Interval:
    """One record minus another, on the seeds that both have."""
    mine, other = (
        dict(zip(one.seeds, one.values(measure), strict=True)) for one in map(ml.runs.load, (way, base))
    )
    return interval([value - other[seed] for seed, value in mine.items() if seed in other])


NUMBER = re.compile(r"\d+(?:\.\d+)?")


def held(sentence: str, page: str) -> bool:
    """Whether a page says this, each number right to one unit of its last digit.

    For what cells train: sums round differently on other processors, and training amplifies that.

    >>> held("from 1.18 to 0.65 points", "It falls from 1.18 to 0.64 points."), held("to 0.66", "to 0.64")
    (True, False)
    """
    told = NUMBER.findall(sentence)
    pattern = r"(\d+(?:\.\d+)?)".join(map(re.escape, NUMBER.split(sentence)))
    pattern = r"(?<![\d.])" * bool(NUMBER.match(sentence)) + pattern
    units = [1.01 * 10.0 ** -len(number.partition(".")[2]) for number in told]
    return any(
        all(abs(float(a) - float(b)) < unit for a, b, unit in zip(told, match.groups(), units, strict=True))
        for match in re.finditer(pattern, page)
    )


def run(name: str) -> dict[str, Any]:
    """The names that the cells of a page leave behind."""
    space: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells(name, "code"):
        if "setup" not in cell["metadata"].get("tags", []):
            exec(compile("".join(cell["source"]), f"{name}, {cell['id']}", "exec"), space)
    return space
