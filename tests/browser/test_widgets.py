"""The widgets on a bare page, offline, by mouse and keyboard, light and dark, wide and narrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import mixlearn as ml
from tests.browser.alone import EVIL, OpenPage, bare
from tests.browser.drive import focus_stops


def test_a_finger_moves_the_box_and_scrolls_beside_it(tmp_path: Path, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 375, "height": 700}, has_touch=True, offline=True)
    page = context.new_page()
    page.goto(bare(tmp_path, ml.widgets.box_lab((-24, 40, 60, 112))).as_uri())
    page.wait_for_selector("[data-ready]")
    body, stage = page.locator("[data-name=body]"), page.locator(".mlw-stage")
    stage.scroll_into_view_if_needed()
    box, asked = body.bounding_box(), page.locator("[data-name=asked-box]")
    before, scrolled = asked.bounding_box(), page.evaluate("scrollY")
    finger = context.new_cdp_session(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for kind, step in (("touchStart", 0), *(("touchMove", i) for i in range(1, 6)), ("touchEnd", 5)):
        points = [] if kind == "touchEnd" else [{"x": x + 8 * step, "y": y - 6 * step}]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    after = asked.bounding_box()
    assert abs(after["x"] - before["x"] - 40) < 3 and abs(after["y"] - before["y"] + 30) < 3
    assert page.evaluate("scrollY") == scrolled
    assert stage.evaluate("node => getComputedStyle(node).touchAction") == "pan-y"
    context.close()


BOTH_THAT_SHOW_PICTURES = pytest.mark.parametrize("make", [ml.widgets.lambda_mixer, ml.widgets.box_lab])


@BOTH_THAT_SHOW_PICTURES
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_have_contrast(tmp_path: Path, open_page: OpenPage, theme: str, make: Any) -> None:
    """Text against the widget's ground: at least 4.5 to 1, in the theme that the page names."""
    ratio = """root => {
        const part = v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
        const light = colour => { const [r, g, b] = colour.match(/[\\d.]+/g).map(Number);
            return .2126 * part(r) + .7152 * part(g) + .0722 * part(b); };
        const ground = light(getComputedStyle(root).backgroundColor);
        return [...root.querySelectorAll("p, label, legend, button, summary, th, td, figcaption, output")]
            .filter(node => node.textContent.trim() && node.offsetParent)
            .map(node => { const ink = light(getComputedStyle(node).color);
                return (Math.max(ink, ground) + .05) / (Math.min(ink, ground) + .05); });
    }"""
    with open_page(bare(tmp_path, make(), theme=theme), theme="light") as page:
        page.wait_for_selector("[data-ready]")
        assert page.locator(f".mlw[data-mode={theme}]").count() == 1
        assert min(page.locator(".mlw").evaluate(ratio)) >= 4.5
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
        page.wait_for_selector(".mlw[data-mode=dark]")


def test_fingers_find_what_they_press(tmp_path: Path, open_page: OpenPage) -> None:
    three = ml.widgets.lambda_mixer(), ml.widgets.beta_explorer(), ml.widgets.box_lab()
    with open_page(bare(tmp_path, *three), width=390) as page:
        page.wait_for_function("document.querySelectorAll('[data-ready]').length === 3")
        sizes = page.locator(
            ".mlw button, .mlw input[type=range], .mlw select, .mlw summary, .mlw-radios label"
        ).evaluate_all(
            "nodes => nodes.filter(n => n.offsetParent).map(n => n.getBoundingClientRect())"
            ".map(box => Math.min(box.width, box.height))"
        )
        assert len(sizes) > 20 and min(sizes) >= 44


@BOTH_THAT_SHOW_PICTURES
def test_keyboard_focus_is_seen_and_nothing_moves_for_who_asks(
    tmp_path: Path, open_page: OpenPage, make: Any
) -> None:
    with open_page(bare(tmp_path, make())) as page:
        page.wait_for_selector("[data-ready]")
        page.emulate_media(reduced_motion="reduce")
        picture = "CANVAS" if make is ml.widgets.lambda_mixer else "svg"
        assert {"BUTTON", "SELECT", "INPUT", picture, "SUMMARY"} <= focus_stops(page)
        assert page.locator(".mlw *").evaluate_all(
            "nodes => nodes.every(n => getComputedStyle(n).transitionDuration === '0s')"
        )


def test_two_on_one_page_do_not_touch_each_other(tmp_path: Path, open_page: OpenPage) -> None:
    widget = ml.widgets.beta_explorer(0.4)
    with open_page(bare(tmp_path, widget, widget)) as page:
        page.wait_for_function("document.querySelectorAll('[data-ready]').length === 2")
        page.locator("[data-name=draw100]").first.click()
        bars = [
            page.locator("[data-name=density]").nth(i).locator("rect[data-count]").count() for i in range(2)
        ]
        assert bars[0] > 0 and bars[1] == 0


@BOTH_THAT_SHOW_PICTURES
def test_hostile_names_are_shown_as_text(tmp_path: Path, open_page: OpenPage, make: Any) -> None:
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    widget = make(images=images, names=[EVIL, "dog"], pair=(EVIL, "dog"))
    with open_page(bare(tmp_path, widget)) as page:
        page.wait_for_selector("[data-ready]")
        assert page.locator("figcaption").first.inner_text() == f"image: {EVIL}"
        assert page.locator(".mlw img").count() == 0 and page.title() == "bare"
        page.locator("[data-name=copy]").click()
        code = page.locator("pre.mlw-code").inner_text()
        compile(code, "copied", "exec")
        assert page.troubles == []


def test_a_strict_page_is_told_in_words(tmp_path: Path, open_page: OpenPage) -> None:
    """A Content-Security-Policy without blob: stops the module; the still picture and a sentence remain."""
    policy = (
        '<meta http-equiv="Content-Security-Policy" content="script-src \'unsafe-inline\'; img-src data:">'
    )
    with open_page(bare(tmp_path, ml.widgets.lambda_mixer(), head=policy)) as page:
        page.wait_for_selector("text=could not start here")
        assert page.locator(".mixlearn-widget img").is_visible()


def test_without_scripts_the_picture_stays(tmp_path: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(bare(tmp_path, ml.widgets.lambda_mixer()).as_uri())
    assert page.locator(".mixlearn-widget img").is_visible()
    assert "still picture" in page.locator("noscript").inner_text()
    context.close()
