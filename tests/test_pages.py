"""No page of the book is longer than a reader bears, and no line of its code is cut off."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

BOOK = Path(__file__).resolve().parents[1] / "book"
sys.path.append(str(BOOK / "_ext"))

import questions  # noqa: E402

WORDS, CELLS, LINES, COLUMNS = 2000, 12, 25, 79
HIDDEN = {"hide-input", "remove-input", "hide-cell", "remove-cell"}
NOTEBOOKS = sorted([*BOOK.glob("*.ipynb"), *BOOK.glob("solutions/*.ipynb")])


def parts(page: Path) -> tuple[str, list[str]]:
    """The text of a page and its visible cells."""
    if page.suffix == ".md":
        return page.read_text(encoding="utf-8"), []
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    shown = [cell for cell in code if not HIDDEN & set(cell["metadata"].get("tags", []))]
    return text, ["".join(cell["source"]) for cell in shown]


@pytest.mark.parametrize("page", [*NOTEBOOKS, *sorted(BOOK.glob("*.md"))], ids=lambda page: page.stem)
def test_page_is_short(page: Path) -> None:
    text, shown = parts(page)
    answers = "solutions" in page.parts  # read one at a time
    # questions have limits of their own (test_questions.py): most of their words are met after a click alone
    assert len(questions.BLOCK.sub("", text).split()) <= WORDS
    assert answers or len(shown) <= CELLS
    for code in shown:
        assert answers or code.count("\n") < LINES, code[:200]
        long = [line for line in code.splitlines() if len(line) > COLUMNS]
        assert not long, long
