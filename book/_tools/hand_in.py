"""Makes the notebooks to hand in: the exercises of a chapter, without solutions, and a score sheet.

python book/_tools/hand_in.py      writes book/hand_in/*.ipynb

Functions come from `mixlearn.course`, the other exercises from the chapter's pages: each text is typed once.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from mixlearn import course

sys.path.append(str(Path(__file__).resolve().parent))

import address
import toc

BLOCK = re.compile(
    r"^:::\{exercise\} ([^\n]+)\n:label: (\S+)\n\n(.+?)\n:::$", re.M | re.S
)
HEAD = re.compile(r"\*(\w+), level ([123])\.\* ")
LEVELS = {1: "a few lines", 2: "half an hour", 3: "an afternoon"}
IMPORTS = """\
import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

import mixlearn as ml
from mixlearn import course

sheet = course.Sheet(student="")  # your name"""
INTRO = """\
# {title}: exercises to hand in

[Open in Colab]({colab}/book/hand_in/{page}.ipynb). Exercises of [chapter \
{number}]({book}/{page}.ipynb), from level 1 ({1}) over level 2 ({2}) to \
level 3 ({3}).

- **Functions.** Replace `raise NotImplementedError` by your own lines, and \
run the check below. It names what is wrong. After a check `v = _` keeps its \
verdict: `v.hints()` tells more, `v.picture()` draws what can be drawn, and \
`v.inputs` has the arguments. A function needs torch alone. It may call \
others of this notebook; the grader does not import `mixlearn`. Functions to \
*repair* have bugs. Write down which lines you suspect before you run them.
- **Questions.** Write the answer between the quotation marks, and code \
above it if you need some. Compare with the \
[solutions]({book}/solutions/{page}.ipynb) afterwards: each ends in a check \
that you can run. Where you are to predict, write that down first.
- **Hand in** this notebook, and the file that its last cell writes."""


URL, BRANCH = address.address(), address.branch()
BOOK = f"{URL}/blob/{BRANCH}/book"
SLUG = "/".join(URL.split("/")[-2:])
COLAB = f"https://colab.research.google.com/github/{SLUG}/blob/{BRANCH}"


class Question(NamedTuple):
    """An exercise of a page."""

    title: str
    label: str
    kind: str
    level: int
    text: str
    page: str


def pages(number: int) -> list[str]:
    """The pages of a chapter, in their order."""
    return [one for one in toc.pages() if one.startswith(f"{number:02}_")]


def title(page: str) -> str:
    """What a page is called."""
    return next(iter(markdown(page))).partition("\n")[0].lstrip("# ")


def markdown(page: str) -> list[str]:
    """The Markdown cells of a page."""
    path = address.ROOT / "book" / f"{page}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [
        "".join(one["source"])
        for one in cells
        if one["cell_type"] == "markdown"
    ]


def questions(page: str) -> list[Question]:
    """The exercises of a page.

    Raises:
        ValueError: one begins without its kind and level.
    """
    found = []
    for name, label, text in BLOCK.findall("\n".join(markdown(page))):
        head = HEAD.match(text)
        if not head:
            raise ValueError(f"{label} must begin with *Kind, level 1–3.*")
        rest = elsewhere(text[head.end() :], page)
        found.append(Question(name, label, head[1], int(head[2]), rest, page))
    return found


def elsewhere(text: str, page: str) -> str:
    """A page's text with links that work wherever the notebook is."""
    text = re.sub(r" \(\[Solution\]\([^)]*\)\.\)", "", text)
    text = re.sub(r"\]\(#", f"]({page}.ipynb#", text)
    text = re.sub(r"\]\((?!https?:)", f"]({BOOK}/", text)
    whole = "\n".join(markdown(page))
    for label in re.findall(r"\{eq\}`([\w-]+)`", text):
        formula = re.search(rf"\$\$([^$]+)\$\$ \({label}\)", whole)
        link = f"[he equation below]({BOOK}/{page}.ipynb#{label})"
        first = "[T" if text.startswith("{eq}") else "[t"
        text = text.replace(f"{{eq}}`{label}`", first + link[1:])
        text += f"\n\n$${formula[1]}$$"
    return text


def narrow(source: str) -> str:
    """A function, its text and signature in lines of 79 columns."""
    head, doc, body = re.split(
        r'(    """.*?"""\n)', source, maxsplit=1, flags=re.S
    )
    if len(head) > 80:
        start, rest = head.split("(", 1)
        inner, end = rest.rsplit(") ->", 1)
        names = re.split(r", (?=\w+: )", inner)
        lines = "".join(f"    {one},\n" for one in names)
        head = f"{start}(\n{lines}) ->{end}"
    parts = []
    for part in doc.rstrip().split("\n\n"):
        free = ">>>" not in part and not re.search(r"^ +- ", part, re.M)
        lines = textwrap.wrap(
            " ".join(part.split()), 75, break_long_words=False
        )
        parts.append(
            textwrap.indent("\n".join(lines), "    ") if free else part
        )
    return f"{head}{(chr(10) * 2).join(parts)}\n{body}".rstrip()


def cell(number: int, source: str, code: bool = False) -> dict[str, Any]:
    """A cell without output."""
    made = {"cell_type": "code" if code else "markdown", "metadata": {}}
    made |= {"id": f"cell-{number}", "source": source.splitlines(True)}
    return made | ({"execution_count": None, "outputs": []} if code else {})


def exercises(number: int) -> list[tuple[int, str, list[str]]]:
    """Of each exercise the level, the heading and the code cells."""
    found = []
    for name in course.exercises():
        task = course.exercise(name)
        if task.chapter == number:
            way = "repair" if task.repair else "write"
            plural = "s" * (task.points > 1)
            marks = f"{task.points} point{plural}"
            marks += f", {len(task.bugs)} bugs" * bool(task.bugs)
            head = f"### {way.title()} `{name}` ({marks})"
            code = ["# The lines that I suspect:\n#"] * bool(task.bugs)
            code.append(narrow(task.repair or task.stub))
            code.append(f'sheet.check("{name}", {name})')
            found.append((task.level, head, code))
    for page in pages(number):
        for one in questions(page):
            place = f"*{one.kind}; from [{title(page)}]({BOOK}/{page}.ipynb#{one.label}).*"
            head = f"### {one.title}\n\n{place} {one.text}"
            first = "# My prediction:\n#\n" * (one.kind == "Predict")
            call = f'sheet.answer(\n    "{one.label}",\n    """\n""",\n)'
            code = [first + call]
            found.append((one.level, head, code))
    return found


def notebook(number: int) -> dict[str, Any]:
    """The notebook of a chapter."""
    page, ids = pages(number)[0], count()
    names = {str(k): one for k, one in LEVELS.items()}
    intro = INTRO
    for key, word in {
        "title": title(page),
        "number": str(number),
        "page": page,
        "book": BOOK,
        "colab": COLAB,
        **names,
    }.items():
        intro = intro.replace(f"{{{key}}}", word)
    cells = [cell(next(ids), intro), address.setup_cell(URL)]
    cells.append(cell(next(ids), IMPORTS, code=True))
    found = exercises(number)
    for level in LEVELS:
        cells.append(cell(next(ids), f"## Level {level}"))
        for _, head, code in (one for one in found if one[0] == level):
            cells.append(cell(next(ids), head))
            cells += [cell(next(ids), one, code=True) for one in code]
    cells.append(cell(next(ids), "## Score sheet"))
    last = f'sheet.save("chapter-{number}.json")\nsheet'
    cells.append(cell(next(ids), last, code=True))
    kernel = {"display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": {**kernel, "name": "python3"}}
    whole = {"cells": cells, "metadata": metadata}
    return {**whole, "nbformat": 4, "nbformat_minor": 5}


def made() -> dict[Path, str]:
    """The text of each notebook by its path."""
    return {
        address.ROOT / "book" / "hand_in" / f"{pages(number)[0]}.ipynb": (
            json.dumps(
                notebook(number), indent=1, ensure_ascii=False, sort_keys=True
            )
            + "\n"
        )
        for number in range(1, 10)
    }


def main() -> None:
    for path, text in made().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
