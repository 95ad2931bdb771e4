"""The mask studio on a bare page, offline, by mouse, keyboard and finger, light and dark, wide and narrow."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import torch

import mixlearn as ml
from mixlearn.page.studio_net import scored
from tests.browser.alone import OpenPage, bare, with_kernel
from tests.browser.drive import drag_finger
from tests.browser.drive_studio import check_studio, designers, painted


@pytest.fixture(scope="module")
def studio() -> Any:
    return ml.widgets.mask_studio()


def test_a_finger_paints_and_scrolls_beside(tmp_path: Path, browser: Any, studio: Any) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 700}, has_touch=True, offline=True)
    page = context.new_page()
    page.goto(bare(tmp_path, studio).as_uri())
    page.wait_for_selector("[data-ready]")
    root, easel = page.locator("[id^=mixlearn-mask-studio]"), page.locator("[data-name=easel]")
    root.locator("[data-name=clear]").click()
    easel.scroll_into_view_if_needed()
    scrolled, box = page.evaluate("scrollY"), easel.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 4
    drag_finger(page, x, y, 0, box["height"] / 2)
    mask = painted(root)
    assert bool((mask[9:24, 16] == 255).all()) and page.evaluate("scrollY") == scrolled
    check_studio(root)
    assert box["x"] >= 20 and box["x"] + box["width"] <= 370, "room beside the picture, to scroll"
    context.close()


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


def test_a_kernel_and_the_page_agree(tmp_path: Path, open_page: OpenPage, studio: Any) -> None:
    """The module with a model that notes what it is sent, as a kernel would have it."""
    with open_page(bare(tmp_path)) as page:
        with_kernel(page, "mask_studio", studio)
        part, names = designers(), [pair["name"] for pair in studio.pairs]

        def check(pair: str) -> None:
            sent = page.evaluate("sent.at(-1)")
            name, text, lam, score = (sent[key] for key in ("pair", "mask", "lam", "score"))
            mask = torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8).view(32, 32)
            places = studio.pairs[names.index(pair)]["places"]
            _, share, expected = scored(part.images[places], part.labels[places], mask)
            assert name == pair and torch.equal(mask, painted(page))
            assert abs(lam - share) < 1e-9 and abs(score - expected) < 1e-4

        check(names[0])
        even = base64.b64encode(bytes([51] * 1024)).decode()
        page.evaluate("mask => model.set('mask', mask)", even)  # what a kernel sets
        assert bool((painted(page) == 51).all())
        check(names[0])
        page.evaluate("name => model.set('pair', name)", names[2])
        assert page.locator("[data-name=pair]").input_value() == names[2]
        check(names[2])
        page.evaluate("model.set('target', 0.25)")
        assert page.locator("[data-name=target]").input_value() == "0.25"

        easel, before = page.locator("[data-name=easel]"), page.evaluate("sent.length")
        easel.scroll_into_view_if_needed()
        box = easel.bounding_box()
        page.mouse.move(box["x"] + 30, box["y"] + 30)
        page.mouse.down()
        page.mouse.move(box["x"] + 200, box["y"] + 90, steps=8)
        assert page.evaluate("sent.length") == before, "a stroke is sent when it ends"
        page.mouse.up()
        assert page.evaluate("sent.length") == before + 1
        check(names[2])
        assert page.troubles == []
