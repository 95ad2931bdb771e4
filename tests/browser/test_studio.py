"""The mask studio on a bare page, offline, by mouse, keyboard and finger, light and dark, wide and narrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mixlearn as ml
from tests.browser.drive_studio import check_studio, drive_mask_studio, painted
from tests.browser.test_widgets import OpenPage, bare


@pytest.fixture(scope="module")
def studio() -> Any:
    return ml.widgets.mask_studio()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_mask_studio_answers(
    tmp_path: Path, open_page: OpenPage, studio: Any, width: int, theme: str
) -> None:
    with open_page(bare(tmp_path, studio, theme=theme), width=width, theme=theme) as page:
        drive_mask_studio(page)
        assert page.locator(f".mlw[data-mode={theme}]").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.troubles == []


def test_a_finger_paints_and_scrolls_beside(tmp_path: Path, browser: Any, studio: Any) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 700}, has_touch=True, offline=True)
    page = context.new_page()
    page.goto(bare(tmp_path, studio).as_uri())
    page.wait_for_selector("[data-ready]")
    root, easel = page.locator("[id^=mixlearn-mask-studio]"), page.locator("[data-name=easel]")
    root.locator("[data-name=clear]").click()
    easel.scroll_into_view_if_needed()
    scrolled, box, finger = page.evaluate("scrollY"), easel.bounding_box(), context.new_cdp_session(page)

    def drag(x: float, y: float, down: float) -> None:
        for kind, step in (("touchStart", 0), *(("touchMove", i) for i in range(1, 6)), ("touchEnd", 5)):
            points = [] if kind == "touchEnd" else [{"x": x, "y": y + down * step / 5}]
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    drag(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4, box["height"] / 2)
    mask = painted(root)
    assert bool((mask[9:24, 16] == 255).all()) and page.evaluate("scrollY") == scrolled
    check_studio(root)
    assert box["x"] >= 20 and box["x"] + box["width"] <= 370, "room beside the picture, to scroll"
    context.close()


def test_what_a_finger_presses_is_large_and_labelled(
    tmp_path: Path, open_page: OpenPage, studio: Any
) -> None:
    with open_page(bare(tmp_path, studio), width=390) as page:
        page.wait_for_selector("[data-ready]")
        controls = page.locator(".mlw button, .mlw input, .mlw select, .mlw summary").evaluate_all(
            """nodes => nodes.filter(node => node.offsetParent).map(node => {
                const box = node.getBoundingClientRect(), labels = [...(node.labels || [])];
                const words = node.getAttribute("aria-label") || labels.map(l => l.textContent).join("")
                    || node.textContent;
                return [Math.min(box.width, box.height), words.trim()]; })"""
        )
        assert len(controls) >= 18 and min(side for side, _ in controls) >= 44
        assert all(words for _, words in controls)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_keyboard_focus_is_seen(tmp_path: Path, open_page: OpenPage, studio: Any, theme: str) -> None:
    with open_page(bare(tmp_path, studio, theme=theme), theme=theme) as page:
        page.wait_for_selector("[data-ready]")
        stops = []
        for _ in range(40):
            page.keyboard.press("Tab")
            tag, outline = page.evaluate(
                "(n => [n.tagName, getComputedStyle(n).outlineStyle])(document.activeElement)"
            )
            if tag == "BODY":
                break
            stops.append(tag)
            assert outline != "none", f"{tag} has the focus and does not show it"
        assert {"BUTTON", "SELECT", "INPUT", "svg", "SUMMARY"} <= set(stops)


def test_one_score_is_fast_enough_to_paint(tmp_path: Path, open_page: OpenPage, studio: Any) -> None:
    """A stroke of many moves is scored as it goes: the sentence has changed before the pointer is lifted."""
    with open_page(bare(tmp_path, studio)) as page:
        page.wait_for_selector("[data-ready]")
        root, easel = page.locator("[id^=mixlearn-mask-studio]"), page.locator("[data-name=easel]")
        easel.scroll_into_view_if_needed()
        box, before = easel.bounding_box(), root.locator(".mlw-sentence").inner_text()
        page.mouse.move(box["x"] + 20, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + 200, box["y"] + 120, steps=10)
        page.wait_for_function(
            "before => document.querySelector('.mlw-sentence').textContent !== before", arg=before
        )
        page.mouse.up()
        check_studio(root)
