"""A reader at the bins lab: by mouse and by keyboard, on any page that holds it."""

from __future__ import annotations

import re
from typing import Any

import torch
from playwright.sync_api import expect

from tests.browser.drive import copied, open_widget, run_code

SAID = re.compile(r"(\d+) bins? .*: ECE ([\d.]+) %\. A calibrated network .* get ([\d.]+) % on average\.")


def check_bins(root: Any) -> tuple[int, float, float]:
    """Sentence and diagram are those of the code; returns bins, error, and that of a calibrated network."""
    said = SAID.fullmatch(root.locator(".mlw-sentence").inner_text())
    assert said is not None
    space, printed = run_code(copied(root))
    assert printed == f"ECE {said[2]} %" and int(said[1]) == space["bins"]
    held = torch.bincount(space["which"], minlength=space["bins"])
    bars = root.locator("[data-bin]").evaluate_all("nodes => nodes.map(n => Number(n.dataset.bin))")
    assert bars == held[held > 0].tolist()
    right = torch.bincount(space["which"], space["right"], minlength=space["bins"])
    height = root.locator("[data-name=diagram] circle").evaluate_all(
        "nodes => nodes.map(n => 1 - (n.getAttribute('cy') - 8) / 300)"
    )
    assert torch.allclose(torch.tensor(height).double(), (right / held)[held > 0], atol=1e-6)
    assert said[0] in root.locator("[data-name=diagram]").get_attribute("aria-label")
    return int(said[1]), float(said[2]), float(said[3])


def drive_bins_lab(page: Any) -> None:
    """Drag, type and switch: one network looks good with one bin, and bad with a hundred."""
    root = open_widget(page, "bins-lab")
    assert root.locator("[data-name=diagram]").evaluate("n => n.getBoundingClientRect().width") > 240
    bins, used = root.locator("[data-name=bins]"), root.locator("[data-name=used]")
    count, start, _ = check_bins(root)
    assert count == 15

    bins.press("Home")  # by keyboard
    assert check_bins(root)[:2] == (1, 0.5)
    bins.press("ArrowRight")
    assert check_bins(root)[0] == 2
    bins.press("End")
    count, worst, chance = check_bins(root)
    assert count == 100 and worst > 1.5 * start and abs(worst - chance) < 0.5
    expect(root.locator("[aria-live=polite]")).to_contain_text("100 bins of equal width: ECE")

    root.locator("[data-name=kind] input").nth(1).check()
    _, mass, _ = check_bins(root)
    assert mass != worst
    used.press("Home")  # ten predictions, a bin each, and ninety empty ones
    assert check_bins(root)[0] == 100 and root.locator("[data-bin]").count() == 10
    used.press("End")
    assert check_bins(root)[1] == mass

    bins.scroll_into_view_if_needed()  # by mouse
    box = bins.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    count, middle, _ = check_bins(root)
    assert 20 < count < 40 and middle < mass
