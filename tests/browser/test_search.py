"""The search of the built book: sections with excerpts, by keyboard, from disk and over http."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.test_access import AXE, examined
from tests.browser.test_book import WIDER_THAN_THE_PAGE
from tests.browser.test_fonts import drawn, foreign, lacking

OpenPage = Callable[..., Any]
RESULTS = "ol.found:visible a"
FOCUS = "document.activeElement"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    """The address of the built book on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(params=["disk", "http"])
def visit(request: Any, site: Path, browser: Browser) -> Iterator[Callable[..., Any]]:
    """Opens a page of the book; whatever leaves the book is refused and kept in `page.troubles`."""
    root = f"{site.as_uri()}/" if request.param == "disk" else request.getfixturevalue("served")
    contexts = []

    def opened(name: str, width: int = 1280, theme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=theme)
        context.set_default_timeout(120_000)
        contexts.append(context)
        page = context.new_page()
        page.troubles, page.asked = [], []
        page.on("console", lambda m: m.type == "error" and page.troubles.append(f"console: {m.text}"))
        page.on("pageerror", lambda e: page.troubles.append(f"error: {e}"))
        page.on("request", lambda r: page.asked.append(r.url))
        context.route(
            lambda url: not url.startswith((root, "data:", "blob:")),
            lambda route: (page.troubles.append(f"asked: {route.request.url}"), route.abort()),
        )
        page.goto(root + name)
        return page

    yield opened
    for context in contexts:
        context.close()


def found(page: Any, words: str) -> list[str]:
    """Type words into the search that is open: the links of what it finds."""
    box = page.locator("form.bd-search:visible input")
    box.fill(words)
    page.wait_for_function(
        """words => [...document.querySelectorAll("ol.found")].some(list => list.dataset.asked === words)""",
        arg=words,
    )
    return [link.get_attribute("href").rpartition("/")[2] for link in page.locator(RESULTS).all()]


def test_results_as_one_types_by_keyboard(visit: Callable[..., Any]) -> None:
    page = visit("howto.html")
    page.locator(".bd-article a:not(.headerlink)").first.focus()
    assert not [url for url in page.asked if "_static/search/" in url]  # nothing is loaded before
    page.keyboard.press("Control+k")
    page.keyboard.type("mean teacher")
    page.wait_for_selector(RESULTS)
    links = found(page, "mean teacher")
    assert "05_automix.html#the-twin" in links and 3 < len(links) <= 10
    status = page.locator(".search-button__wrapper [role=status]")
    assert re.match(r"\d+ sections", status.inner_text())
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(f"{FOCUS}.href").endswith(links[0])
    page.keyboard.press("ArrowUp")
    assert page.evaluate(f"{FOCUS}.name") == "q"
    page.keyboard.press("Escape")
    assert page.locator(RESULTS).count() == 0
    assert page.evaluate(f"{FOCUS}.closest('article') !== null")  # back where it was
    page.keyboard.press("Control+k")
    for _ in range(1 + links.index("05_automix.html#the-twin")):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/05_automix.html#the-twin")
    assert page.locator("#the-twin h2").is_visible()
    assert page.troubles == []


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_search_page_lists_sections_with_excerpts(
    visit: Callable[..., Any], width: int, theme: str
) -> None:
    page = visit("search.html?q=lambda", width, theme)
    page.wait_for_selector(RESULTS)
    links = found(page, "lambda")
    assert "02_mixup.html#test-your-loss-permute-lambda" in links[:8] and "glossary.html#term-asked" in links
    for words in ("lambda", "E max", "mixup", "x̃", "argmax"):
        found(page, words)
        for text in page.locator(f"{RESULTS} span").all_inner_texts():
            assert "\\" not in text and "$" not in text and len(text) < 190
    found(page, "lambda")
    assert "λ" in page.locator("ol.found mark").all_inner_texts()
    page.keyboard.press("ArrowDown")
    assert page.evaluate(f"{FOCUS}.href").endswith(links[0])
    page.keyboard.press("Escape")
    assert page.evaluate(f"{FOCUS}.name") == "q"
    drawn(page)
    assert page.evaluate(WIDER_THAN_THE_PAGE) == []
    assert foreign(page) == [] and lacking(page) == set()
    page.keyboard.press("Control+k")  # the same field: there is no second one
    assert page.locator("form.bd-search input:visible").count() == 1
    assert page.troubles == []
    page.evaluate(AXE)
    assert examined(page) == []


@pytest.mark.parametrize(("width", "theme"), [(1280, "dark"), (390, "light")])
def test_axe_finds_nothing_in_the_dialog(site: Path, open_page: OpenPage, width: int, theme: str) -> None:
    with open_page(site / "intro.html", width=width, theme=theme) as page:
        page.keyboard.press("Control+k")
        found(page, "calibration")
        page.keyboard.press("ArrowDown")
        drawn(page)
        dialog = page.get_by_role("dialog", name="Search")
        sides = dialog.bounding_box()
        assert sides["x"] >= 0 and sides["y"] >= 0
        assert sides["x"] + sides["width"] <= width and sides["y"] + sides["height"] <= 900
        assert page.evaluate(WIDER_THAN_THE_PAGE) == [] and page.troubles == []
        page.evaluate(AXE)
        assert examined(page) == []


def test_synonyms_spellings_and_slips_find_the_same(site: Path, open_page: OpenPage) -> None:
    with open_page(site / "search.html") as page:
        for one, other in [("colour", "color"), ("optimiser", "Optimizers"), ("labelled", "labeled")]:
            assert found(page, one) == found(page, other) != []
        wanted = {
            "EMA": "glossary.html#term-twin",
            "detach": "glossary.html#term-stop-gradient",
            "kNN": "07_patchmix_results.html#with-a-transformer",
            "OOD": "03_cutmix_results.html#out-of-distribution-images",
            "ECE": "glossary.html#term-expected-calibration-error",
            "NT-Xent": "glossary.html#term-InfoNCE",
            "sample_lam": "plans.html#mixlearn.sample_lam",
            "puzlemix": "04_saliency.html#puzzlemix-a-mask-for-two-images",
            "how do I choose α": "09_curves.html#then-and-the-share-of-mixed-batches",
            "Chapelle": "01_why_mix.html#give-each-example-some-room",
        }
        for words, link in wanted.items():
            assert link in found(page, words)[:12], words
        assert found(page, "qqqqq wwwww") == []
        assert page.get_by_role("status").first.inner_text() == "0 sections."
        assert page.troubles == []


def ids(page: Path) -> set[str]:
    return set(re.findall(r'\bid="([^"]+)"', page.read_text(encoding="utf-8")))


def test_every_section_of_the_index_is_on_its_page(site: Path) -> None:
    text = (site / "_static" / "search" / "index.js").read_text(encoding="utf-8")
    pages = json.loads(text.partition("=")[2])["pages"]
    for name, page in pages.items():
        there = ids(site / f"{name}.html")
        for anchor, title, *texts in page["sections"]:
            assert anchor in there, f"{name}#{anchor}"
            assert not any("\\" in one for one in (title, texts[0])), f"{name}#{anchor}"
    assert sum(len(page["sections"]) for page in pages.values()) > 600


def test_every_question_leads_to_a_section(site: Path) -> None:
    article = (site / "questions.html").read_text(encoding="utf-8").partition('class="bd-article"')[2]
    links = re.findall(r'<li><p><a class="reference internal" href="([^"]+)"', article)
    assert 25 <= len(links) <= 40
    for link in links:
        name, _, anchor = link.partition("#")
        assert (site / name).exists() and (not anchor or anchor in ids(site / name)), link
