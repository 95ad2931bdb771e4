"""The built book, opened from disk with the network off: what a reader finds there."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.browser.drive import drive_beta_explorer, drive_lambda_mixer
from tests.browser.drive_bins import drive_bins_lab
from tests.browser.drive_box import drive_box_lab
from tests.browser.drive_film import drive_mask_film
from tests.browser.drive_ledger import drive_loss_ledger
from tests.browser.drive_mosaic import drive_mosaic_lab
from tests.browser.drive_patches import drive_patch_groups
from tests.browser.drive_plane import drive_intrusion, drive_plane_lab
from tests.browser.drive_studio import drive_mask_studio
from tests.browser.test_fonts import foreign, lacking, resized, settled

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "book" / "_tools"))

import address  # noqa: E402
import toc  # noqa: E402

PAGES = [*toc.pages(), "search", "genindex"]
NOTEBOOKS = [path.relative_to(ROOT / "book").with_suffix("").as_posix() for path in address.notebooks()]

# what makes the page scroll sideways, leaving out what scrolls in a box of its own
WIDER_THAN_THE_PAGE = """() => {
    if (document.documentElement.scrollWidth <= innerWidth) return [];
    const boxed = e => {
        for (let a = e.parentElement; a && a !== document.body; a = a.parentElement)
            if (getComputedStyle(a).overflowX !== "visible") return true;
        return false;
    };
    return [...document.querySelectorAll("body *")]
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !boxed(e))
        .slice(0, 5).map(e => e.outerHTML.slice(0, 200));
}"""

# formulas on lines of their own that are wider than the page and would have to be pushed to be read
WIDE_FORMULAS = """() =>
    [...document.querySelectorAll("mjx-container[display=true]")]
        .filter(e => e.scrollWidth > e.clientWidth + 1)
        .map(e => `${e.scrollWidth} of ${e.clientWidth} pixels, under ` +
            `${e.closest("section")?.querySelector("h1, h2, h3")?.textContent}`)"""

GROUND = "getComputedStyle(document.body).backgroundColor"
OpenPage = Callable[..., Any]


@pytest.mark.parametrize("name", PAGES)
def test_page_stands_alone(site: Path, open_page: OpenPage, name: str) -> None:
    """No error, no request to any host, formulas drawn, nothing wider than a telephone or a desktop.

    Every character, in each font, style and weight, is the book's own; of code, widgets, drawings too.
    """
    with open_page(site / f"{name}.html", width=390, height=844) as page:
        settled(page)
        assert page.locator("mjx-merror, mjx-container [data-mml-node=merror]").count() == 0
        for width, height in ((390, 844), (1280, 900)):
            resized(page, width, height)
            assert page.evaluate(WIDE_FORMULAS) == [], width
            assert page.evaluate(WIDER_THAN_THE_PAGE) == [], width
        assert page.troubles == []
        assert foreign(page) == []
        assert lacking(page) == set()  # no machine has a font for some: they are drawn as empty boxes


CLIPPED = """() => [...document.querySelectorAll("dl.py dt.sig, dl.py pre")]
    .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"""
SUMMARIES = """all => all.map(a => [a.hash, document.getElementById(a.hash.slice(1))?.matches("dt.sig")])"""


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("reference/")])
def test_reference_page_is_short_and_begins_with_summaries(
    site: Path, open_page: OpenPage, name: str
) -> None:
    """Summaries that lead to the entries, at most twelve screens, no signature or example cut off."""
    with open_page(site / f"{name}.html") as page:
        settled(page)
        assert page.locator(".bd-article").evaluate("e => e.scrollHeight") <= 12 * 900
        links = page.locator("table.autosummary a").evaluate_all(SUMMARIES)
        assert links and all(entry for _, entry in links), links
        for width in (1280, 390):
            resized(page, width, 844)
            assert page.evaluate(CLIPPED) == [], width


class Pictures(HTMLParser):
    """The sources and alternative texts of the pictures in a page's article."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inside |= tag == "article" and "bd-article" in (given.get("class") or "").split()
        if tag == "img" and self.inside:
            self.found.append(((given.get("src") or "")[:80], given.get("alt") or ""))

    def handle_endtag(self, tag: str) -> None:
        self.inside &= tag != "article"


def pictures(page: str) -> list[tuple[str, str]]:
    reader = Pictures()
    reader.feed(page)
    return reader.found


def test_pictures_are_found_in_the_article_alone() -> None:
    told = '<img src="logo"><article class="bd-article"><p><img src="a" alt="b"></p></article><img src="c">'
    assert pictures(told) == [("a", "b")]


@pytest.mark.parametrize("name", toc.pages())
def test_every_picture_says_what_it_shows(site: Path, name: str) -> None:
    page = (site / f"{name}.html").read_text(encoding="utf-8")
    assert 'class="bd-article"' in page
    for source, alt in pictures(page):
        assert len(alt) >= 20, f"{source} has the alt text {alt!r}"
        assert not re.fullmatch(r"\S*[0-9a-f]{16,}\S*", alt), f"{source} has a hash for alt text"


def test_pages_ask_for_nothing_outside(site: Path) -> None:
    """No script, style, picture, font or frame in any built page comes from another host."""
    asks = re.compile(
        r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=[\"'](?:https?:)?//[^\"']+"
        r"|<link\b(?=[^>]*\brel=[\"'](?:stylesheet|preload|icon|modulepreload|preconnect))"
        r"[^>]*\bhref=[\"'](?:https?:)?//[^\"']+"
        r"|@import\s+[\"'(](?:https?:)?//\S+|url\([\"']?https?://[^)]+"
    )
    found = {
        f"{path.relative_to(site)}: {match[0][:120]}"
        for pattern in ("**/*.html", "_static/**/*.css")
        for path in site.glob(pattern)
        for match in asks.finditer(path.read_text(encoding="utf-8"))
    }
    assert not found


def test_search_opens_by_keyboard_and_finds_beta(site: Path, open_page: OpenPage) -> None:
    with open_page(site / "intro.html") as page:
        page.keyboard.press("Control+k")
        page.keyboard.type("Beta")
        page.keyboard.press("Enter")
        page.wait_for_url("**/search.html?q=Beta*")
        page.wait_for_selector("ol.found li a[href*='02_mixup'] mark")
        assert page.troubles == []


def brightness(colour: str) -> int:
    return max(int(value) for value in re.findall(r"\d+", colour)[:3])


def test_dark_mode_by_button_and_kept(site: Path, open_page: OpenPage) -> None:
    with open_page(site / "intro.html") as page:
        light = page.evaluate(GROUND)
        assert brightness(light) > 200, "the theme follows the system"
        button = page.locator("button.theme-switch-button:visible").first
        for _ in range(3):
            if page.locator("html[data-mode=dark]").count():
                break
            button.click()
        assert page.locator("html[data-theme=dark]").count() == 1
        page.wait_for_function(f"before => {GROUND} !== before", arg=light)
        page.goto((site / "howto.html").as_uri())
        assert page.locator("html[data-theme=dark]").count() == 1
        assert page.troubles == []


def test_print_is_light_unfolded_and_without_furniture(site: Path, open_page: OpenPage) -> None:
    with open_page(site / f"{NOTEBOOKS[0]}.html", theme="dark") as page:
        assert page.locator("html[data-theme=dark]").count() == 1
        assert brightness(page.evaluate(GROUND)) < 80, "the theme follows the system"
        folded = page.locator("details:not([open])").count()
        assert folded > 0
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        assert not page.locator(".bd-sidebar-primary").is_visible()
        assert page.locator("h1:visible").count() == 1
        assert page.locator("html[data-theme=light]").count() == 1
        assert page.locator("details:not([open])").count() == 0
        page.emulate_media(media="screen")
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator("html[data-theme=dark]").count() == 1
        assert page.locator("details:not([open])").count() == folded


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1280, "light")])
def test_figures_follow_the_theme_and_stay_legible(
    site: Path, open_page: OpenPage, width: int, theme: str
) -> None:
    with open_page(site / "02_mixup_results.html", width=width, theme=theme) as page:
        figures = page.locator(".bd-article img:is(.on-light, .on-dark)")
        assert figures.count() > 4 and figures.count() % 2 == 0
        shown = figures.locator("visible=true")
        assert shown.count() == figures.count() // 2
        assert page.locator(f"img.on-{theme}:visible").count() == shown.count()
        sizes = shown.evaluate_all("all => all.map((image) => [image.naturalWidth, image.clientWidth])")
        assert {700, 1400} == {natural for natural, _ in sizes}  # narrow figures, and as wide as the text
        # letters of 9 points at the figure's own width, half of its file's, are 9.8 pixels at 550 of 700
        assert all(width >= 550 / 1400 * natural for natural, width in sizes), sizes
        assert page.evaluate(WIDER_THAN_THE_PAGE) == []


def test_footer_names_the_version(site: Path) -> None:
    import mixlearn

    assert f"mixlearn {mixlearn.__version__}" in (site / "intro.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1280, "light")])  # test_alone has the others
@pytest.mark.parametrize(
    ("kind", "drive"),
    [
        ("lambda-mixer", drive_lambda_mixer),
        ("beta-explorer", drive_beta_explorer),
        ("box-lab", drive_box_lab),
        ("mask-studio", drive_mask_studio),
        ("mask-film", drive_mask_film),
        ("loss-ledger", drive_loss_ledger),
        ("patch-groups", drive_patch_groups),
        ("bins-lab", drive_bins_lab),
        ("mosaic-lab", drive_mosaic_lab),
        ("plane-lab", drive_plane_lab),
        ("plane-lab", drive_intrusion),
    ],
)
def test_widget_answers_in_the_built_page(
    site: Path, open_page: OpenPage, kind: str, drive: Callable[[Any], None], width: int, theme: str
) -> None:
    holding = [name for name in NOTEBOOKS if f'id="mixlearn-{kind}' in (site / f"{name}.html").read_text()]
    assert holding, f"no chapter holds a {kind}"
    name = holding[0 if drive is drive_plane_lab else -1]
    with open_page(site / f"{name}.html", width=width, theme=theme) as page:
        drive(page)
        assert page.evaluate(WIDER_THAN_THE_PAGE) == []
        assert page.troubles == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_offers_colab(site: Path, name: str) -> None:
    slug = "/".join(address.address().split("/")[-2:])
    link = f"https://colab.research.google.com/github/{slug}/blob/{address.branch()}/book/{name}.ipynb"
    assert link in (site / f"{name}.html").read_text(encoding="utf-8")


def test_the_build_executed_every_notebook(site: Path) -> None:
    """As it now stands: the checksum of each source is that of the page."""
    made = json.loads((site.parent / "executed.json").read_text(encoding="utf-8"))["notebooks"]
    assert sorted(made) == sorted(NOTEBOOKS)
    for name, outcome in made.items():
        assert outcome["succeeded"], name
        source = (ROOT / "book" / f"{name}.ipynb").read_bytes()
        assert outcome["sha256"] == hashlib.sha256(source).hexdigest(), f"{name} changed: run make book"
