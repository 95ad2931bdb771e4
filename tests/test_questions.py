"""The questions of the pages: one right answer, a reason for every choice, few words, text elsewhere."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import markdown_it
import pytest

from tests.test_pages import NOTEBOOKS, parts

BOOK = Path(__file__).resolve().parents[1] / "book"
sys.path += [str(BOOK / "_ext"), str(BOOK / "_tools")]

import hand_in  # noqa: E402
import questions  # noqa: E402

METHOD = [BOOK / path.name for path in sorted(BOOK.glob("hand_in/0[1-7]*.ipynb"))]  # of each method
GOOD = """\
:::{choose}
Which λ?

1. Asked
2. Counted

<details><summary>Answers</summary>

1. **No.** Too much.
2. **Right.** What is there.

</details>
:::"""


def blocks(page: Path) -> list[tuple[str, str]]:
    """Kind and text of each question of a page, of which every one that begins must end."""
    text = parts(page)[0]
    found = questions.BLOCK.findall(text)
    assert len(found) == sum(text.count(f":::{{{kind}}}") for kind in questions.VERDICTS)
    return found


@pytest.mark.parametrize("page", [*NOTEBOOKS, *sorted(BOOK.glob("*.md"))], ids=lambda page: page.stem)
def test_questions_are_whole_few_and_short(page: Path) -> None:
    found = [questions.read(*block) for block in blocks(page)]  # refuses all but one right answer
    assert len(found) <= 3
    assert len(found) >= 2 or page not in METHOD
    for one in found:
        assert len(" ".join([one.prompt, *one.choices]).split()) <= 60, one.prompt
        assert max(len(why.split()) for why in one.why) <= 40, one.why


def test_each_kind_comes_up_four_times_and_no_place_is_always_right() -> None:
    found = [block for page in METHOD for block in blocks(page)]
    assert min(Counter(kind for kind, _ in found)[kind] for kind in questions.VERDICTS) >= 4
    right = [questions.read(*block).verdicts.index("Right") for block in found if block[0] == "choose"]
    assert max(Counter(right).values()) <= len(right) / 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("**No.**", "**Right.**"),  # two right answers
        ("**Right.**", "**No.**"),  # none
        ("**Right.**", "**Fine.**"),  # a word of another kind
        ("1. **No.** Too much.\n", ""),  # a choice without a reason
        ("**No.** Too much.", "**No.**"),
        ("2. Counted\n", ""),
        ("</details>", ""),
        ("Asked", "$a$"),
        ("{choose}", "{order}"),
    ],
)
def test_a_broken_question_is_refused(old: str, new: str) -> None:
    def read(text: str) -> questions.Question:
        return questions.read(*questions.BLOCK.fullmatch(text).groups())

    assert read(GOOD).choices == ["Asked", "Counted"]
    assert old in GOOD
    with pytest.raises(ValueError, match=r"needs|formulas|verdicts"):
        read(GOOD.replace(old, new))


def test_an_order_is_not_in_order() -> None:
    steps = GOOD.split("\n", 1)[1].removesuffix("\n:::").replace("Right", "First")
    assert questions.read("order", steps.replace("No", "Second")).verdicts == ["Second", "First"]
    for verdict in ("First", "Third", "Last"):
        with pytest.raises(ValueError, match="verdicts"):
            questions.read("order", steps.replace("No", verdict))
    with pytest.raises(ValueError, match="verdicts"):
        questions.read("order", steps.replace("First", "Second").replace("No", "First"))


def test_a_notebook_shows_questions_as_text_with_a_fold() -> None:
    """As Colab, GitHub and JupyterLab draw Markdown, which know no directives."""
    for page in METHOD:
        for kind, text in blocks(page):
            html = markdown_it.MarkdownIt("commonmark").render(f":::{{{kind}}}\n{text}\n:::")
            shown, fold, answers = html.partition("<details><summary>Answers</summary>")
            assert fold and answers.index("<ol>") < answers.index("</ol>") < answers.index("</details>")
            assert answers.count("<li>") == len(questions.read(kind, text).why)
            assert ("<pre>" in shown) == (kind == "wrong-line") and "<pre>" not in answers


def test_notebooks_to_hand_in_hold_no_questions() -> None:
    for text in hand_in.made().values():
        assert not any(f"{{{kind}}}" in text for kind in questions.VERDICTS)
