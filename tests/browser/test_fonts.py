"""The book brings its own fonts: its pages are the same on a machine with other fonts, or with none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fontTools.ttLib import TTFont

ROOT = Path(__file__).resolve().parents[2]
FONTS = ROOT / "book" / "_assets" / "fonts"
OpenPage = Callable[..., Any]

# marks one element for each character in each font, style and weight, and says what each is; MathML for
# screen readers is not seen, and so left out
MARK = """() => {
    document.querySelectorAll("details").forEach(e => { e.open = true; });
    const seen = new Set();
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const node = walk.currentNode, e = node.parentElement;
        if (!e.checkVisibility({ visibilityProperty: true })) continue;
        if (e.closest("option, mjx-assistive-mml")) continue;
        const { fontFamily, fontStyle, fontWeight } = getComputedStyle(e);
        const fresh = [...new Set(node.data.replace(/\\s/g, ""))]
            .filter(c => !seen.has(`${c}|${fontFamily}|${fontStyle}|${fontWeight}`));
        if (!fresh.length) continue;
        fresh.forEach(c => seen.add(`${c}|${fontFamily}|${fontStyle}|${fontWeight}`));
        e.dataset.fontProbe = "";
    }
    document.querySelectorAll("select, input").forEach(e => {
        if (e.checkVisibility({ visibilityProperty: true })) e.dataset.fontProbe = "";
    });
    const told = e => [e.tagName, e.className, getComputedStyle(e).fontFamily, e.textContent.slice(0, 80)];
    return document.fonts.ready.then(() =>
        [...document.querySelectorAll("[data-font-probe]")].map(e => told(e).join(", ")));
}"""

# the places and sizes of everything in the article that has a box
BOXES = """() => [...document.querySelectorAll("h1, .bd-article *")]
    .filter(e => !e.closest("svg, mjx-assistive-mml") && e.checkVisibility())
    .map(e => { const { x, y, width, height } = e.getBoundingClientRect();
        return [`${e.tagName} ${e.className} ${e.textContent.slice(0, 40)}`,
            [x, y + scrollY, width, height].map(v => Math.round(v * 8) / 8)]; })"""


def settled(page: Any) -> None:
    """Wait until formulas, widgets and fonts are there."""
    page.wait_for_load_state("load")
    page.wait_for_function(
        "count => document.querySelectorAll('mjx-container svg').length >= count",
        arg=page.locator(".math").count(),
    )
    for root in page.locator("[id^=mixlearn-]").all():
        root.locator(".mlw").first.wait_for()
    page.evaluate("document.fonts.ready")
    drawn(page)


def drawn(page: Any) -> None:
    """Wait until what follows the width has followed it: for two frames, and for transitions to end."""
    frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    page.evaluate(frames)
    page.evaluate(
        """() => Promise.all(document.getAnimations()
            .filter(one => one.effect.getComputedTiming().endTime < Infinity)
            .map(one => one.finished.then(() => null, () => null)))"""
    )
    page.evaluate(frames)


def resized(page: Any, width: int, height: int) -> None:
    """Give the page another width, and wait until it is drawn so."""
    page.set_viewport_size({"width": width, "height": height})
    drawn(page)


def foreign(page: Any) -> list[str]:
    """Texts that are drawn in a font of the machine."""
    shown = page.evaluate(MARK)
    session = page.context.new_cdp_session(page)
    session.send("DOM.enable")
    session.send("CSS.enable")
    root = session.send("DOM.getDocument", {"depth": 0})["root"]["nodeId"]
    found = session.send("DOM.querySelectorAll", {"nodeId": root, "selector": "[data-font-probe]"})["nodeIds"]
    assert len(found) == len(shown) > 10
    wrong = []
    for text, node in zip(shown, found, strict=True):
        for font in session.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]:
            if not font["isCustomFont"]:
                wrong.append(f"{font['familyName']} for {font['glyphCount']} glyphs of {text}")
    return wrong


@cache
def held() -> set[str]:
    """The characters of the book's fonts."""
    fonts = (TTFont(FONTS / f"{name}.woff2") for name in ("text", "text-symbols"))
    return {chr(code) for font in fonts for code in font.getBestCmap()}


def lacking(page: Any) -> set[str]:
    """Characters of the page that the book's fonts do not have."""
    page.evaluate("document.querySelectorAll('mjx-assistive-mml').forEach(e => e.remove())")
    shown = set(page.evaluate("document.body.innerText"))
    return {c for c in shown - held() if c.isprintable() and not c.isspace()}


def test_a_font_of_the_machine_is_noticed(site: Path, open_page: OpenPage) -> None:
    with open_page(site / "intro.html") as page:
        settled(page)
        page.evaluate("document.querySelector('.bd-article h1').style.fontFamily = 'serif'")
        page.evaluate(
            "document.querySelector('.bd-article p').append('\\u0416 \\u8a9e')"
        )  # the first in DejaVu
        wrong = " ".join(foreign(page))
        assert "glyphs of H1, " in wrong and "glyphs of P, " in wrong
        assert lacking(page) == {"\u0416", "\u8a9e"}


@pytest.mark.parametrize("name", ["intro", "02_mixup", "03_cutmix", "06_mixskd", "07_patchmix", "howto"])
def test_layout_does_not_depend_on_the_machine(
    site: Path, open_page: OpenPage, open_bare: OpenPage, name: str
) -> None:
    """On a telephone, then on a desktop."""
    found = []
    for opened in (open_page, open_bare):
        with opened(site / f"{name}.html", width=390, height=844) as page:
            settled(page)
            narrow = page.evaluate(BOXES)
            resized(page, 1280, 900)
            found.append((narrow, page.evaluate(BOXES)))
    for here, bare in zip(*found, strict=True):
        assert len(here) > 50
        assert [pair for pair in zip(here, bare, strict=True) if pair[0] != pair[1]][:5] == []


def test_fonts_are_small_licensed_and_unchanged() -> None:
    lines = (FONTS / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = dict(reversed(line.split("  ")) for line in lines)
    made = {path.name for path in FONTS.iterdir()} - {"README.md", "SHA256SUMS"}
    assert made == set(sums)
    for name, expected in sums.items():
        assert hashlib.sha256((FONTS / name).read_bytes()).hexdigest() == expected, name
    assert sum(path.stat().st_size for path in FONTS.glob("*.woff2")) < 400_000
    for name in ("Source-Sans.md", "Source-Code.md"):
        assert "SIL OPEN FONT LICENSE" in (FONTS / f"LICENSE-{name}").read_text(encoding="utf-8")
    assert "Bitstream Vera" in (FONTS / "LICENSE-DejaVu.txt").read_text(encoding="utf-8")
