"""The mask film on a bare page, offline, by mouse and keyboard, light and dark, wide and narrow."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

import mixlearn as ml
from mixlearn.page.film import film_facts
from tests.browser.alone import OpenPage, bare, with_kernel
from tests.browser.drive import read_canvas
from tests.browser.drive_film import check_film, epoch_of
from tests.browser.drive_studio import painted


@pytest.fixture(scope="module")
def film() -> Any:
    return ml.widgets.mask_film()


def test_nothing_moves_by_itself_for_who_asks(tmp_path: Path, open_page: OpenPage) -> None:
    with open_page(bare(tmp_path, ml.widgets.mask_film(epoch=0))) as page:
        page.wait_for_selector("[data-ready]")
        root, play = page.locator("[id^=mixlearn-mask-film]"), page.locator("[data-name=play]")
        play.click()
        assert play.inner_text() == "Pause"
        page.emulate_media(reduced_motion="reduce")
        expect(play).to_have_text("Next epoch")
        before = epoch_of(root)
        page.wait_for_timeout(1300)
        assert epoch_of(root) == before
        for _ in range(2):
            play.click()
        epochs = film_facts().epochs
        assert epoch_of(root) == epochs[epochs.index(before) + 2] and play.inner_text() == "Next epoch"
        check_film(root)


def test_another_theme_repaints_the_heat_map(tmp_path: Path, open_page: OpenPage, film: Any) -> None:
    with open_page(bare(tmp_path, film)) as page:
        page.wait_for_selector("[data-ready]")
        heat = page.locator("[data-name=heat-picture]")
        before = read_canvas(heat)
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
        page.wait_for_selector(".mlw[data-mode=dark]")
        assert (read_canvas(heat).int() - before.int()).abs().max() > 20
        check_film(page.locator("[id^=mixlearn-mask-film]"))


def test_a_kernel_and_the_page_agree(tmp_path: Path, open_page: OpenPage, film: Any) -> None:
    """The module with a model that notes what it is sent, as a kernel would have it."""
    with open_page(bare(tmp_path)) as page:
        with_kernel(page, "mask_film", film)
        root = page.locator("#mixlearn-kernel")

        def check() -> dict[str, Any]:
            found, sent = check_film(root), page.evaluate("sent.at(-1)")
            assert sent["epoch"] == epoch_of(root)
            for name, key in (("score", "score"), ("block_score", "blockScore"), ("block_mean", "blockMean")):
                assert abs(sent[name] - found[key]) < 1e-9
            assert base64.b64decode(sent["mask"]) == bytes(painted(root).flatten().tolist())
            return dict(sent)

        assert abs(check()["block_mean"] - film.block_mean) < 1e-5
        epochs, even = film_facts().epochs, base64.b64encode(bytes([51] * 1024)).decode()
        for key, value in (("epoch", epochs[2]), ("lam", 0.25), ("swapped", True), ("mask", even)):
            page.evaluate("([key, value]) => model.set(key, value)", [key, value])  # what a kernel sets
            assert check()[key] == value
        before = page.evaluate("sent.length")
        root.locator("[data-name=swap]").click()
        sent = check()
        assert (sent["swapped"], sent["lam"]) == (False, 0.75)
        assert page.evaluate("sent.length") == before + 1, "a swap is sent as one"
        assert page.troubles == []
