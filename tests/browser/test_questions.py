"""The questions of the pages, answered by keyboard, right and wrong; read without a script and on paper."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.test_access import AXE, examined
from tests.browser.test_book import WIDER_THAN_THE_PAGE
from tests.browser.test_fonts import ROOT, drawn, settled

sys.path.append(str(ROOT / "book" / "_ext"))

import questions

PAGES = [path.stem for path in sorted((ROOT / "book").glob("hand_in/0[1-7]*.ipynb"))]  # of each method
WHERE = [(name, *((1280, "light") if k % 2 else (390, "dark"))) for k, name in enumerate(PAGES)]
FOCUSED = "node => node === document.activeElement"
SMALL = """node => [...node.querySelectorAll("button, summary")].filter(e => e.checkVisibility())
    .map(e => e.getBoundingClientRect()).filter(({ width, height }) => Math.min(width, height) < 44).length"""

OpenPage = Callable[..., Any]


def reasons(question: Any) -> list[str]:
    """The explanations in the fold."""
    return [text.strip() for text in question.locator("details li").all_text_contents()]


def said(question: Any) -> str:
    """What a screen reader is told."""
    region = question.get_by_role("status")
    assert region.get_attribute("aria-live") == "polite"
    return str(region.text_content())


def choose(page: Any, question: Any) -> None:
    """Choose each item by keyboard, then try again."""
    buttons = question.locator("li button")
    buttons.first.focus()
    marks = []
    for k, why in enumerate(reasons(question)):
        assert buttons.nth(k).evaluate(FOCUSED)
        page.keyboard.press("Enter" if k % 2 else "Space")
        assert said(question) == why
        pressed = [one.get_attribute("aria-pressed") for one in buttons.all()]
        assert pressed == ["true" if one == k else "false" for one in range(len(pressed))]
        marks.append(buttons.nth(k).get_attribute("data-verdict"))
        assert (marks[-1] == "right") == (why.split(".")[0] in ("Right", "Faulty"))
        page.keyboard.press("Tab")
    assert marks.count("right") == 1 and marks.count("wrong") == len(marks) - 1
    assert question.get_by_role("button", name="Try again").evaluate(FOCUSED)
    page.keyboard.press("Enter")
    assert said(question) == "" and question.locator("[data-verdict]").count() == 0
    assert buttons.first.evaluate(FOCUSED)
    page.keyboard.press("Enter")


def order(page: Any, question: Any) -> None:
    """Check the steps as they are, bring them in order by arrow keys, check again; scramble by buttons."""
    steps, check = question.locator("fieldset li"), question.get_by_role("button", name="Check")
    names = steps.locator("span").all_text_contents()
    places = [questions.VERDICTS["order"].index(why.split(".")[0]) for why in reasons(question)]
    why = dict(zip(names, reasons(question), strict=True))
    wrong = next(k for k, place in enumerate(places) if k != place)
    check.press("Enter")
    assert said(question).startswith(f"Step {wrong + 1} is out of place: {names[wrong]}. It comes ")
    assert said(question).endswith(why[names[wrong]].partition(". ")[2])
    assert not question.locator("details").get_attribute("open")
    sorted_ = [name for _, name in sorted(zip(places, names, strict=True))]
    for place, name in enumerate(sorted_):
        now = steps.locator("span").all_text_contents().index(name)
        button = question.get_by_role("button", name=f"Move up: {name}", exact=True)
        button.focus()
        for step in range(now, place, -1):
            page.keyboard.press("ArrowUp")
            assert button.evaluate(FOCUSED) and said(question) == f"Now step {step} of {len(names)}: {name}."
    assert steps.locator("span").all_text_contents() == sorted_
    check.press("Space")
    assert said(question).startswith("Right.") and question.locator("details").get_attribute("open") == ""
    down = question.get_by_role("button", name=f"Move down: {sorted_[0]}", exact=True)
    down.press("Enter")
    check.press("Enter")
    assert said(question).startswith(f"Step 1 is out of place: {sorted_[1]}. It comes second.")
    question.get_by_role("button", name="Try again").press("Enter")
    assert steps.locator("span").all_text_contents() == names and said(question) == ""
    check.press("Enter")


@pytest.mark.parametrize(("name", "width", "theme"), WHERE)
def test_questions_are_answered_by_keyboard(
    site: Path, open_page: OpenPage, name: str, width: int, theme: str
) -> None:
    """Then, with all of them answered, axe finds nothing, and nothing is too wide or too small."""
    with open_page(site / f"{name}.html", width=width, theme=theme) as page:
        settled(page)
        found = page.locator(".question").all()
        assert len(found) >= 2
        for question in found:
            group = question.get_by_role("group", name=question.locator("legend").inner_text(), exact=True)
            assert group.count() == 1 or question.locator("legend mjx-container").count()
            (order if question.get_attribute("data-kind") == "order" else choose)(page, question)
            assert question.evaluate(SMALL) == 0
        drawn(page)
        assert page.evaluate(WIDER_THAN_THE_PAGE) == []
        assert page.troubles == []
        page.evaluate(AXE)
        assert examined(page, within=[".question"]) == []


def test_questions_without_a_script_are_text_with_a_fold(site: Path, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto((site / "03_cutmix.html").as_uri())
    for question in page.locator(".question").all():
        assert question.locator("button").count() == 0
        items = question.locator(":scope > ol > li, pre")
        assert items.first.is_visible() and question.locator("p").first.is_visible()
        answer = question.locator("details li").first
        assert not answer.is_visible()
        question.locator("summary").press("Enter")
        assert answer.is_visible()
    context.close()


def test_questions_on_paper_have_their_answers_and_no_controls(site: Path, open_page: OpenPage) -> None:
    with open_page(site / "03_cutmix.html") as page:
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        for question in page.locator(".question").all():
            assert question.locator("fieldset li").first.is_visible()
            assert question.locator("details li").last.is_visible()
            assert not question.locator(".question-acts").is_visible()
        assert not page.get_by_role("button", name="Move up").first.is_visible()
