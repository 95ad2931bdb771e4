"""The patch groups on a bare page, offline, by mouse and keyboard, light and dark, wide and narrow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import mixlearn as ml
from tests.browser.alone import OpenPage, bare, with_kernel
from tests.browser.drive import copied, read_canvas
from tests.browser.drive_patches import (
    LAST,
    check_looked,
    check_patches,
    check_pictures,
    settled,
    spot,
)

BOXES = """nodes => nodes.filter(node => node.offsetParent).map(node => {
    const box = node.getBoundingClientRect();
    const over = node.scrollWidth - node.clientWidth;
    return [box.left, box.top, box.right, box.bottom, node.textContent, over]; })"""


@pytest.fixture(scope="module")
def widget() -> Any:
    return ml.widgets.patch_groups()


def test_it_plays_and_pauses(tmp_path: Path, open_page: OpenPage) -> None:
    with open_page(bare(tmp_path, ml.widgets.patch_groups(2, 2, 48))) as page:
        root = page.locator("[id^=mixlearn-patch-groups][data-ready]")
        root.wait_for()
        play, stage = root.locator("[data-name=play]"), root.locator("[data-name=stage]")
        play.click()
        page.wait_for_function("Number(document.querySelector('[data-name=stage]').dataset.at) > 0")
        assert play.inner_text() == "Pause"
        play.click()
        settled(root, 1)  # the step begun is gone to, and no further
        page.wait_for_timeout(1000)
        assert stage.get_attribute("data-at") == "1" and play.inner_text() == "Play"
        places = set()
        root.locator("[data-name=step4]").click()
        while (at := stage.get_attribute("data-at")) != "4":
            places.add(at)
        assert any(not float(at).is_integer() for at in places)  # patches on their way
        play.click()
        settled(root, LAST)
        assert play.inner_text() == "Play"
        play.click()  # from the beginning
        page.wait_for_function("Number(document.querySelector('[data-name=stage]').dataset.at) < 2")
        settled(root, LAST)
        check_pictures(root)
        assert page.troubles == []


def test_nothing_moves_for_who_asks(tmp_path: Path, open_page: OpenPage, widget: Any) -> None:
    with open_page(bare(tmp_path, widget)) as page:
        page.emulate_media(reduced_motion="reduce")
        root = page.locator("[id^=mixlearn-patch-groups][data-ready]")
        root.wait_for()
        assert root.locator("[data-name=play]").is_hidden()
        for step in (5, 3, 0):
            root.locator(f"[data-name=step{step}]").click()
            assert root.locator("[data-name=stage]").get_attribute("data-at") == str(step)


def test_marks_are_more_than_colour(tmp_path: Path, open_page: OpenPage) -> None:
    """Each group wears a letter of its own, in white; what is left over is struck through."""
    images = torch.full((2, 3, 96, 96), 0.2)
    four = ml.widgets.patch_groups(2, 4, 48, order=range(4), images=images, step=LAST)
    three = ml.widgets.patch_groups(2, 3, 48, order=range(4), images=images, step=LAST)
    white = []
    with open_page(bare(tmp_path, four, three)) as page:
        page.wait_for_function("document.querySelectorAll('[data-ready]').length === 2")
        for k in range(2):
            stage = page.locator("[data-name=stage]").nth(k)
            layout = json.loads(stage.get_attribute("data-layout"))
            (x, y), side = layout["tiles"][0], 48 * layout["k"]
            shown = read_canvas(stage)[y : y + 2 * side, x : x + 2 * side, :3]
            grid = shown.unfold(0, side, side).unfold(1, side, side)  # (2, 2, 3, side, side)
            white.append((grid.amin(2) > 200).flatten(0, 1))
        words = page.locator("[data-name=stage]").nth(0).get_attribute("aria-label")
        assert "mixture 0: 50 % image 0 + 50 % image 1" in words
    letters, with_rest = white
    assert all(0.001 < float(each.float().mean()) < 0.05 for each in letters)
    for i in range(4):
        assert all(bool((letters[i] != letters[j]).sum() > 20) for j in range(i))
    assert torch.equal(letters[:3], with_rest[:3])
    corner = slice(side // 2, None)  # far from the letter: strokes
    assert bool(with_rest[3][corner, corner].any()) and not bool(letters[3][corner, corner].any())


@pytest.mark.parametrize("width", [340, 390, 1280])
def test_nothing_overlaps_or_is_cut(tmp_path: Path, open_page: OpenPage, width: int) -> None:
    with open_page(bare(tmp_path, ml.widgets.patch_groups(6, 4, 12, released=True)), width=width) as page:
        page.wait_for_selector("[data-ready]")
        page.locator(".mlw-thumb").nth(1).click()
        every = "button, select, canvas[data-name=stage], .mlw-matrix, h4, p:not(.mlw-heard)"
        boxes = page.locator(".mlw").locator(every).evaluate_all(BOXES)
        assert len(boxes) > 30
        for i, (left, top, right, bottom, words, over) in enumerate(boxes):
            assert left >= 0 and right <= width and over <= 0, words
            for *box, other, _ in boxes[i + 1 :]:
                across, down = min(right, box[2]) - max(left, box[0]), min(bottom, box[3]) - max(top, box[1])
                assert across <= 0.5 or down <= 0.5, (words, other)
        cells = page.locator(".mlw-matrix th, .mlw-matrix td").evaluate_all(BOXES)
        assert len(cells) == 4 * 7 * 8 and all(over <= 0 for *_, over in cells)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_finger_looks_at_a_patch(tmp_path: Path, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, offline=True)
    page = context.new_page()
    page.goto(bare(tmp_path, ml.widgets.patch_groups(6, 3, 24, step=LAST)).as_uri())
    page.wait_for_selector("[data-ready]")
    root, stage = page.locator("[id^=mixlearn-patch-groups]"), page.locator("[data-name=stage]")
    stage.scroll_into_view_if_needed()
    stage.tap(position=spot(root, 1, 6, 4))
    assert check_looked(root, check_patches(root)) == (1, 6)
    context.close()


def test_a_kernel_and_the_page_agree(tmp_path: Path, open_page: OpenPage, widget: Any) -> None:
    """The module with a model that notes what it is sent, as a kernel would have it."""
    with open_page(bare(tmp_path)) as page:
        page.emulate_media(reduced_motion="reduce")
        with_kernel(page, "patch_groups", widget)
        root = page.locator("#mixlearn-kernel")

        def given(key: str, value: Any) -> None:
            page.evaluate("([key, value]) => model.set(key, value)", [key, value])

        given("step", LAST)
        given("order", list(range(8, -1, -1)))
        assert f"order=[{', '.join(map(str, range(8, -1, -1)))}]" in page.evaluate(
            "document.querySelector('[data-name=copy]').click() || document.querySelector('pre').textContent"
        )
        check_pictures(root)
        given("batch", 2)
        given("released", True)
        found = check_pictures(root)
        given("mixture", 1)
        given("place", 8)
        assert check_looked(root, found) == (1, 8)
        given("parts", 6)
        given("patch", 48)  # an order of four patches, and no more groups than that
        sent = page.evaluate("sent.at(-1)")
        assert sorted(sent["order"]) == [0, 1, 2, 3] and (sent["parts"], sent["place"]) == (4, -1)
        check_pictures(root)
        before = page.evaluate("sent.length")
        root.locator("select[data-name=patch]").select_option("24")
        assert page.evaluate("sent.length") == before + 1, "a patch and its order are sent as one"
        sent = page.evaluate("sent.at(-1)")
        assert sent["patch"] == 24 and sorted(sent["order"]) == list(range(16))
        assert f"order={json.dumps(sent['order'])}" in root.locator("pre.mlw-code").inner_text()
        root.locator("[data-name=stage]").focus()
        page.keyboard.press("ArrowRight")
        sent = page.evaluate("sent.at(-1)")
        assert (sent["mixture"], sent["place"]) == check_looked(root, check_patches(root))
        root.locator("[data-name=step2]").click()
        assert page.evaluate("sent.at(-1)")["step"] == 2
        assert page.troubles == []


def test_two_shuffle_apart_and_by_their_seeds(tmp_path: Path, open_page: OpenPage) -> None:
    one, same, other = (ml.widgets.patch_groups(seed=seed) for seed in (1, 1, 2))
    with open_page(bare(tmp_path, one, same, other)) as page:
        page.wait_for_function("document.querySelectorAll('[data-ready]').length === 3")
        roots = [page.locator("[id^=mixlearn-patch-groups]").nth(k) for k in range(3)]

        def order(k: int) -> str:
            return copied(roots[k]).split("order=[")[1].split("]")[0]

        first = [order(k) for k in range(3)]
        assert first[0] == first[1] == ", ".join(map(str, one.order)) and first[0] != first[2]
        roots[0].locator("[data-name=shuffle]").click()
        assert order(0) != first[0] and order(1) == first[1]
        roots[1].locator("[data-name=shuffle]").click()
        assert order(1) == order(0)
