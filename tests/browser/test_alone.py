"""Each widget on a bare page, offline, by mouse and keyboard, light and dark, wide and narrow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import mixlearn as ml
from tests.browser.alone import EVIL, OpenPage, bare
from tests.browser.drive import copied, drag_finger, drive_beta_explorer, drive_lambda_mixer, focus_stops
from tests.browser.drive_bins import drive_bins_lab
from tests.browser.drive_box import drive_box_lab
from tests.browser.drive_film import drive_mask_film, facts
from tests.browser.drive_ledger import drive_loss_ledger
from tests.browser.drive_mosaic import drive_mosaic_lab
from tests.browser.drive_patches import LAST, check_pictures, drive_patch_groups
from tests.browser.drive_plane import drive_intrusion, drive_plane_lab, places
from tests.browser.drive_studio import designers, drive_mask_studio
from tests.browser.test_fonts import drawn

GROUPS = partial(ml.widgets.patch_groups, 2, 1, released=True)
CLUSTERS = torch.tensor([[-0.65, -0.1]] * 10 + [[0.65, -0.1]] * 10 + [[0.0, 0.6]] * 4)
clusters = partial(
    ml.widgets.plane_lab,
    "Mixup",
    points=(CLUSTERS + 0.1 * torch.randn(24, 2, generator=torch.Generator().manual_seed(1))).tolist(),
    labels=[0] * 10 + [1] * 10 + [2] * 4,
    together=True,
)
PRESSED = (
    ".mlw button, .mlw input:not([type=radio]), .mlw select, .mlw summary, .mlw [role=button], "
    ".mlw-radios label"
)
SIZES = """nodes => nodes.filter(node => node.getClientRects().length).map(node => {
    const box = (node.ownerSVGElement ? node.querySelector("rect") : node).getBoundingClientRect();
    const words = node.getAttribute("aria-label")
        || [...(node.labels || [])].map(label => label.textContent).join("") || node.textContent;
    return [Math.min(box.width, box.height), words.trim()]; })"""
CONTRAST = """root => {
    const part = v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
    const own = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = () => [...own.getImageData(0, 0, 1, 1).data];
    const light = ([r, g, b]) => .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
    const fill = colour => { own.fillStyle = colour; own.fillRect(0, 0, 1, 1); };
    const words = "p, label, legend, button, summary, th, td, caption, figcaption, output, h4";
    return [...root.querySelectorAll(words)]
        .filter(node => node.textContent.trim() && node.offsetParent && !node.disabled)
        .map(node => {
            fill(getComputedStyle(root).backgroundColor); fill(getComputedStyle(node).backgroundColor);
            const ground = light(rgb());
            fill(getComputedStyle(node).color);
            const ink = light(rgb());
            return [(Math.max(ink, ground) + .05) / (Math.min(ink, ground) + .05), node.textContent]; });
}"""


@pytest.mark.parametrize(("narrow", "theme"), [(True, "light"), (False, "dark")])  # the book has the others
@pytest.mark.parametrize(
    ("make", "drive", "width"),
    [
        (ml.widgets.lambda_mixer, drive_lambda_mixer, 390),
        (ml.widgets.beta_explorer, drive_beta_explorer, 390),
        (ml.widgets.box_lab, drive_box_lab, 375),
        (ml.widgets.mask_studio, drive_mask_studio, 390),
        (ml.widgets.mask_film, drive_mask_film, 390),
        (ml.widgets.loss_ledger, drive_loss_ledger, 390),
        (ml.widgets.patch_groups, drive_patch_groups, 390),
        (ml.widgets.bins_lab, drive_bins_lab, 390),
        (ml.widgets.mosaic_lab, drive_mosaic_lab, 390),
        (ml.widgets.plane_lab, drive_plane_lab, 390),
        (clusters, drive_intrusion, 390),
    ],
)
def test_it_answers(
    tmp_path: Path,
    open_page: OpenPage,
    make: Callable[[], Any],
    drive: Callable[[Any], None],
    width: int,
    narrow: bool,
    theme: str,
) -> None:
    width = width if narrow else 1280
    with open_page(bare(tmp_path, make(), theme=theme), width=width, theme=theme) as page:
        drive(page)
        assert page.locator(f".mlw[data-mode={theme}]").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.troubles == []


@pytest.mark.parametrize(
    ("make", "stops", "least", "room"),
    [
        (ml.widgets.lambda_mixer, {"BUTTON", "SELECT", "INPUT", "CANVAS", "SUMMARY"}, 8, 44),
        (ml.widgets.beta_explorer, {"BUTTON", "INPUT", "SUMMARY"}, 8, 44),
        (ml.widgets.box_lab, {"BUTTON", "SELECT", "INPUT", "svg", "SUMMARY"}, 8, 44),
        (ml.widgets.mask_studio, {"BUTTON", "SELECT", "INPUT", "svg", "SUMMARY"}, 18, 44),
        (ml.widgets.mask_film, {"BUTTON", "SELECT", "INPUT", "svg", "SUMMARY"}, 18, 44),
        (ml.widgets.loss_ledger, {"BUTTON", "g", "SUMMARY"}, 20, 43.5),
        (GROUPS, {"BUTTON", "SELECT", "CANVAS", "SUMMARY"}, 20, 43.5),
        (ml.widgets.bins_lab, {"BUTTON", "INPUT", "SUMMARY"}, 6, 44),
        (ml.widgets.mosaic_lab, {"BUTTON", "SELECT", "INPUT", "svg", "SUMMARY"}, 8, 43.5),
        (partial(ml.widgets.plane_lab, "Mixup"), {"BUTTON", "INPUT", "svg", "SUMMARY"}, 8, 44),
    ],
)
def test_words_have_contrast_focus_is_seen_and_fingers_have_room(
    tmp_path: Path, open_page: OpenPage, make: Callable[[], Any], stops: set[str], least: int, room: float
) -> None:
    """Text against what is painted behind it: at least 4.5 to 1; tinted cells at their strongest."""
    with open_page(bare(tmp_path, make(), theme="light"), theme="dark") as page:
        page.wait_for_selector("[data-ready]")
        page.emulate_media(reduced_motion="reduce")
        for theme in ("light", "dark"):  # the page's, whatever the system's
            page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
            page.wait_for_selector(f".mlw[data-mode={theme}]")
            found = page.locator(".mlw").evaluate(CONTRAST)
            texts = 12 if page.locator("[data-point], [data-bin]").count() else 20  # two labs say little
            assert len(found) > texts and min(found)[0] >= 4.5, (theme, min(found))
            stops = stops - focus_stops(page)
        assert not stops, "the Tab key does not stop there"
        assert page.locator(".mlw *").evaluate_all(
            "nodes => nodes.every(n => getComputedStyle(n).transitionDuration === '0s')"
        )
        page.set_viewport_size({"width": 375, "height": 800})
        drawn(page)
        controls = page.locator(PRESSED).evaluate_all(SIZES)
        assert len(controls) >= least and min(side for side, _ in controls) >= room
        assert all(words for _, words in controls)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        assert page.troubles == []


@pytest.mark.parametrize("kind", ["lambda_mixer", "box_lab", "mask_studio", "mask_film", "patch_groups"])
def test_hostile_names_are_shown_as_text_and_other_images_work(
    tmp_path: Path, open_page: OpenPage, kind: str
) -> None:
    make, given = getattr(ml.widgets, kind), {}
    if kind.startswith("mask"):
        part = dataclasses.replace(designers().take([630, 621]), names=(EVIL, "two\nlines"))
        given = {"images": part, "pairs": [(0, 1)]}
        given |= {"methods": {EVIL: ml.cutmix}} if kind == "mask_studio" else {}
    else:
        images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        given = {"images": images, "names": [EVIL, "dog"]}
        given |= {"patch": 4} if kind == "patch_groups" else {"pair": (EVIL, "dog")}
    if kind == "patch_groups":
        given |= {"batch": 2, "parts": 2, "step": LAST}
    widget = make(**given)
    with open_page(bare(tmp_path, widget)) as page:
        page.wait_for_selector("[data-ready]")
        root = page.locator("[id^=mixlearn-]")
        assert page.locator(".mlw img").count() == 0 and page.title() == "bare"
        if kind == "patch_groups":
            assert EVIL in root.locator("[data-name=stage]").get_attribute("aria-label")
            check_pictures(root, images=given["images"])
        else:
            assert root.locator("figcaption", has_text="image: ").first.inner_text() == f"image: {EVIL}"
        if kind == "mask_studio":
            assert page.locator("[data-name=card] b").first.inner_text() == EVIL
        if kind == "mask_film":
            assert abs(facts(root)["blockMean"] - widget.block_mean) < 1e-5
        compile(copied(root), "copied", "exec")
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
    page, widget = context.new_page(), ml.widgets.lambda_mixer()
    page.goto(bare(tmp_path, widget).as_uri())
    still = page.locator(".mixlearn-widget img")
    assert still.is_visible() and still.get_attribute("alt") == widget.alt
    assert "still picture" in page.locator("noscript").inner_text()
    context.close()


def test_two_on_one_page_do_not_touch_each_other(tmp_path: Path, open_page: OpenPage) -> None:
    widget = ml.widgets.beta_explorer(0.4)
    with open_page(bare(tmp_path, widget, widget)) as page:
        page.wait_for_function("document.querySelectorAll('[data-ready]').length === 2")
        page.locator("[data-name=draw100]").first.click()
        densities = page.locator("[data-name=density]")
        bars = [densities.nth(i).locator("rect[data-count]").count() for i in range(2)]
        assert bars[0] > 0 and bars[1] == 0


def test_a_finger_moves_the_box_and_scrolls_beside_it(tmp_path: Path, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 375, "height": 700}, has_touch=True, offline=True)
    page = context.new_page()
    page.goto(bare(tmp_path, ml.widgets.box_lab((-24, 40, 60, 112))).as_uri())
    page.wait_for_selector("[data-ready]")
    body, stage = page.locator("[data-name=body]"), page.locator(".mlw-stage")
    stage.scroll_into_view_if_needed()
    box, asked = body.bounding_box(), page.locator("[data-name=asked-box]")
    before, scrolled = asked.bounding_box(), page.evaluate("scrollY")
    drag_finger(page, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, 40, -30)
    after = asked.bounding_box()
    assert abs(after["x"] - before["x"] - 40) < 3 and abs(after["y"] - before["y"] + 30) < 3
    assert page.evaluate("scrollY") == scrolled
    assert stage.evaluate("node => getComputedStyle(node).touchAction") == "pan-y"
    context.close()


def test_a_finger_moves_the_nearest_point(tmp_path: Path, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, offline=True)
    page = context.new_page()
    page.goto(bare(tmp_path, ml.widgets.plane_lab("Mixup")).as_uri())
    page.wait_for_selector("[data-ready]")
    root = page.locator("[id^=mixlearn-]")
    stage = root.locator("[data-name=stage]")
    stage.scroll_into_view_if_needed()
    before, side = places(root), stage.bounding_box()["width"] / 2
    box = root.locator("[data-point='7']").bounding_box()
    scrolled = page.evaluate("scrollY")
    drag_finger(page, box["x"] + box["width"] / 2 + 3, box["y"] + box["height"] / 2, 40, -30)
    after = places(root)
    assert abs(after[7][0] - before[7][0] - 40 / side) < 0.03
    assert abs(after[7][1] - before[7][1] - 30 / side) < 0.03
    assert after[:7] + after[8:] == before[:7] + before[8:] and page.evaluate("scrollY") == scrolled
    assert (
        box["width"] >= 44
        and stage.evaluate("node => getComputedStyle(node.parentNode).touchAction") == "pan-y"
    )
    context.close()
