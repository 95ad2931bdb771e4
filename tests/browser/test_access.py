"""The pages, examined by axe: what stands in the way of readers with a screen reader or weak eyes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest

from tests.browser.test_fonts import ROOT, drawn, settled

sys.path.append(str(ROOT / "book" / "_ext"))

import access

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
ALSO = ("heading-order", "empty-table-header")  # axe rates these lower
NAMES = ["intro", "02_mixup", "03_cutmix", "07_patchmix", "reference/plans"]

OpenPage = Callable[..., Any]


def examined(page: Any, rules: list[str] | None = None, within: list[str] | None = None) -> list[str]:
    """What axe finds that is serious or critical, or one of ALSO, in the page or in these parts of it."""
    only = {"runOnly": {"type": "rule", "values": rules}} if rules else {}
    found = page.evaluate(
        "([part, options]) => axe.run(part ? { include: part } : document, options)",
        [within, {"resultTypes": ["violations"], **only}],
    )
    return [
        f"{fault['id']}, {fault['impact']}: {node['target']} {node['html'][:150]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical") or fault["id"] in ALSO
        for node in fault["nodes"]
    ]


def unfold(page: Any) -> None:
    """Open every fold and have everything drawn at once, without transitions."""
    page.emulate_media(reduced_motion="reduce")
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")


@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_nothing_serious(site: Path, open_page: OpenPage, name: str) -> None:
    with open_page(site / f"{name}.html") as page:
        settled(page)
        page.evaluate(AXE)
        assert examined(page, ["summary-name", "aria-allowed-attr"]) == []  # folds, as the page opens
        unfold(page)
        assert examined(page) == []
        page.emulate_media(color_scheme="dark")
        page.wait_for_selector("html[data-theme=dark]")
        drawn(page)
        assert page.locator(".mlw:not([data-mode=dark])").count() == 0
        assert examined(page) == []


def test_axe_notices_what_it_should(site: Path, open_page: OpenPage) -> None:
    with open_page(site / "intro.html") as page:
        settled(page)
        page.evaluate(AXE)
        page.evaluate(
            """document.querySelector('.bd-article h1').insertAdjacentHTML('afterend',
            '<h4>skipped</h4><p style="color: #999; background: #fff">pale</p>'
            + '<details><summary></summary>x</details>'
            + '<table><tr><th></th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>')"""
        )
        noticed = " ".join(examined(page))
        for rule in ("heading-order", "color-contrast", "summary-name", "empty-table-header"):
            assert rule in noticed


@pytest.mark.parametrize("name", NAMES)
def test_folds_are_named_by_their_words(site: Path, name: str) -> None:
    assert "Toggle hidden content" not in (site / f"{name}.html").read_text(encoding="utf-8")


def test_empty_headers_become_cells() -> None:
    head = '<tr><th class="head"><p></p></th><th scope="col"></th><th>loss</th></tr>'
    assert access.mended(head) == '<tr><td class="head"></td><td></td><th>loss</th></tr>'
