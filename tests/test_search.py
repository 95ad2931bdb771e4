"""The index of the search, read from a small book, and links to headings."""

from __future__ import annotations

import json
import re
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from sphinx.application import Sphinx

from tests.prose import BOOK

sys.path.append(str(BOOK / "_ext"))

import search

PAGES = {
    "index": "# Small\n\n```{toctree}\n01_one\nwords\n```\n",
    "01_one": """# One

Before, the loss.

(sec-loss)=
## The loss of $\\lambda$

With $\\tilde x_i$ and $a \\le b$, **as** `ml.mixup` says:

$$\\tilde x = \\lambda \\odot x$$

```python
blend = 1
```

```{py:function} mixlearn.blend(lam)
Blends two images.
```

### Below

Text.
""",
    "words": """# Words

See [the loss](01_one.md#the-loss-of-lambda) and [its label](01_one.md#sec-loss).

```{glossary}
momentum encoder
EMA
  A slow copy.
```
""",
}


class Small:
    """A book of Markdown pages, built by plain Sphinx."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warnings = ""
        for name, text in PAGES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        (self.folder / f"{name}.md").write_text(text, encoding="utf-8")

    def build(self) -> dict[str, Any]:
        told = StringIO()
        settings = {
            "extensions": ["myst_parser", "search", "links"],
            "myst_enable_extensions": ["dollarmath"],
            "html_theme": "basic",
        }
        out = self.folder / "_build"
        app = Sphinx(self.folder, None, out, out / "doctrees", "html", settings, status=None, warning=told)
        app.build()
        self.warnings = told.getvalue()
        index = (out / "_static" / "search" / "index.js").read_text(encoding="utf-8")
        return dict(json.loads(index.removeprefix(search.HEAD)))


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


def test_sections_have_anchors_titles_text_and_code(small: Small) -> None:
    pages = small.build()["pages"]
    assert small.warnings == ""
    assert pages["01_one"]["title"] == "1 One" and pages["words"]["title"] == "Words"
    found = {anchor: (title, text, code) for anchor, title, text, code in pages["01_one"]["sections"]}
    assert found["one"] == ("One", "Before, the loss.", "")
    text = "With x̃_i and a ≤ b, as ml.mixup says: x̃ = λ ⊙ x"
    assert found["the-loss-of-lambda"] == ("The loss of λ", text, "blend = 1")
    assert found["mixlearn.blend"] == ("ml.blend", "Blends two images.", "")
    assert found["below"] == ("Below", "Text.", "")
    entry = ["term-momentum-encoder", "momentum encoder, EMA", "A slow copy.", ""]
    assert entry in pages["words"]["sections"]
    site = small.folder / "_build"
    for name, page in pages.items():
        for anchor, *_ in page["sections"]:
            assert f'id="{anchor}"' in (site / f"{name}.html").read_text(encoding="utf-8")
    assert not (site / "searchindex.js").exists() and (site / "search.html").exists()


def test_pages_that_did_not_change_stay_in_the_index(small: Small) -> None:
    before = small.build()["pages"]
    assert small.build()["pages"] == before
    small.write("words", "# Words\n\nChanged.\n")
    after = small.build()["pages"]
    assert after["words"]["sections"] == [["words", "Words", "Changed.", ""]]
    assert after["01_one"] == before["01_one"]
    (small.folder / "words.md").unlink()
    assert "words" not in small.build()["pages"]


def test_links_lead_to_headings_and_labels_or_are_warned_of(small: Small) -> None:
    small.build()
    page = (small.folder / "_build" / "words.html").read_text(encoding="utf-8")
    for place in ("the-loss-of-lambda", "sec-loss"):
        assert page.count(f'href="01_one.html#{place}"') == 1
    small.write("words", "# Words\n\n[Nowhere](01_one.md#the-los).\n")
    small.build()
    assert "the-los" in small.warnings


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"\lambda x_i + (1-\lambda)\, x_{\pi(i)}", "λ x_i + (1-λ) x_(π(i))"),
        (r"\mathbb{E}\max(\lambda, 1-\lambda) = \tfrac34", "Emax(λ, 1-λ) = 3/4"),
        (r"\frac{a + b}{HW} \ne \binom{m}{k}", "(a + b)/HW ≠ (m over k)"),
        (r"\mathrm{KL}(u \,\|\, p) \sim \bar\theta", "KL(u ‖ p) ∼ θ̅"),
    ],
)
def test_formulas_are_readable(tex: str, text: str) -> None:
    assert search.readable(tex) == text


def test_synonyms_name_what_the_book_has() -> None:
    pages = [*BOOK.glob("*.md"), *BOOK.glob("*.ipynb")]
    text = " ".join(" ".join(path.read_text(encoding="utf-8").lower() for path in pages).split())
    rows = [row.split(", ") for row in search.SYNONYMS.strip().splitlines()]
    phrases = [phrase.lower() for row in rows for phrase in row]
    assert len(phrases) == len(set(phrases))
    for row in rows:
        assert len(row) > 1 and any(re.search(rf"\b{re.escape(one.lower())}", text) for one in row), row


def test_questions_are_few_and_have_short_answers() -> None:
    page = (BOOK / "questions.md").read_text(encoding="utf-8")
    rows = re.findall(r"^- .*(?:\n  .*)*", page, re.M)
    assert 25 <= len(rows) <= 40
    for row in rows:
        found = re.fullmatch(r"- \[[^]]+\?\]\([\w.]+(?:#[\w-]+)?\)\\ (.+)", " ".join(row.split()))
        assert found, row
        answer = re.sub(r"\]\(\S+\)", "]", found[1])
        assert 3 <= len(answer.split()) <= 12, (len(answer.split()), row)
