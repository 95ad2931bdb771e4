"""Each widget on a bare page, offline, by mouse and keyboard, light and dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mixlearn as ml
from tests.browser.alone import OpenPage, bare
from tests.browser.drive import drive_beta_explorer, drive_lambda_mixer, focus_stops
from tests.browser.drive_box import drive_box_lab
from tests.browser.drive_film import drive_mask_film
from tests.browser.drive_ledger import drive_loss_ledger
from tests.browser.drive_patches import drive_patch_groups
from tests.browser.drive_studio import drive_mask_studio


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


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("make", "stops"),
    [
        (ml.widgets.mask_studio, {"BUTTON", "SELECT", "INPUT", "svg", "SUMMARY"}),
        (ml.widgets.mask_film, {"BUTTON", "SELECT", "INPUT", "svg", "SUMMARY"}),
        (ml.widgets.loss_ledger, {"BUTTON", "g", "SUMMARY"}),
    ],
)
def test_keyboard_focus_is_seen(
    tmp_path: Path, open_page: OpenPage, make: Callable[[], Any], stops: set[str], theme: str
) -> None:
    with open_page(bare(tmp_path, make(), theme=theme), theme=theme) as page:
        page.wait_for_selector("[data-ready]")
        assert stops <= focus_stops(page)
