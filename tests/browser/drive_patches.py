"""A reader at the patch groups: by mouse and by keyboard, on any page that holds them."""

from __future__ import annotations

import json
import re
from typing import Any

import torch
from playwright.sync_api import expect

from tests.browser.drive import copied, open_widget, read_canvas, run_code
from tests.methods.test_patchmix import published_targets

LAST = 5  # the step at which the mixtures stand
ROWS = """node => [...node.tBodies[0].rows].map(row =>
    [...row.cells].slice(1).map(cell => ({ ...cell.dataset, text: cell.textContent })))"""


def settled(root: Any, step: int) -> None:
    """Wait until the animation has come to a step."""
    expect(root.locator("[data-name=stage]")).to_have_attribute("data-at", str(step), timeout=20_000)
    expect(root.locator(f"[data-name=step{step}]")).to_have_attribute("aria-current", "step")


def check_table(root: Any, name: str, expected: torch.Tensor, right: torch.Tensor) -> None:
    """Values, the text of each cell, row sums, and which of them are marked as wrong."""
    rows = root.locator(f"[data-name={name}]").evaluate(ROWS)
    shown = torch.tensor([[float(cell["value"]) for cell in row[:-1]] for row in rows])
    torch.testing.assert_close(shown, expected, rtol=0, atol=1e-6)
    for i, row in enumerate(rows):
        assert abs(float(row[-1]["sum"]) - float(expected[i].sum())) < 1e-6
        assert row[-1]["wrong"] == str(abs(float(expected[i].sum()) - 1) > 1e-6).lower()
        for j, cell in enumerate(row[:-1]):
            assert abs(float(cell["text"]) - float(expected[i, j])) < 0.0051
            assert cell["wrong"] == str(abs(float(expected[i, j] - right[i, j])) > 1e-6).lower()


def tiles(root: Any, count: int, size: int) -> list[torch.Tensor]:
    """(size, size, 3) each: what stands in the tiles where their patches lie side by side."""
    stage = root.locator("[data-name=stage]")
    layout, shown = json.loads(stage.get_attribute("data-layout")), read_canvas(stage)
    k, side = layout["k"], size * layout["k"]
    places = [slice(at, at + side) for xy in layout["tiles"][:count] for at in xy]
    each = [shown[y, x, :3] for x, y in zip(places[::2], places[1::2], strict=True)]
    return [one[k // 2 :: k, k // 2 :: k].int() for one in each]


def check_patches(root: Any, **names: Any) -> dict[str, Any]:
    """W, W·Wᵀ, the released targets and the words are those of the plan that the code makes."""
    space, printed = run_code(copied(root), **names)
    mixed, images = space["mixed"], space["images"]
    plan, batch, parts = mixed.plan, len(mixed.plan), mixed.plan.sources.shape[0]
    shares = plan.source_matrix()
    check_table(root, "W", shares, shares)
    check_table(root, "WW", shares @ shares.T, shares @ shares.T)
    if root.locator("[data-name=released]").get_attribute("aria-pressed") == "true":
        origin, mixes = published_targets(batch, parts)
        check_table(root, "W-released", origin, shares)
        check_table(root, "WW-released", mixes, shares @ shares.T)
        said = root.locator("[data-name=mass]").inner_text()
        lost = 1 - float(mixes[0].sum())
        told = re.search(r"(0\.\d\d) of the label is lost", said)
        assert (told is not None) == (batch < 2 * parts - 1) == (lost > 1e-6)
        assert told is None or abs(float(told[1]) - lost) < 0.0051
        assert ("left over" in said) == (len(plan.groups) % parts > 0 and parts > 1)
        assert ("M is larger than B" in said) == (parts > batch)
    words = [f"mixture {i}: {line}" for i, line in enumerate(printed.splitlines()[-batch:])]
    assert root.locator("[data-name=stage]").get_attribute("aria-label").endswith("; ".join(words))
    return {"mixed": mixed, "images": images, "shares": shares}


def check_pictures(root: Any, **names: Any) -> dict[str, Any]:
    """At the first step the batch, at the last its mixtures, to one grey level; marks must be off."""
    found = check_patches(root, **names)
    root.page.mouse.move(0, 0)
    stage, marks = root.locator("[data-name=stage]"), root.locator("[data-name=marks]")
    if root.locator("[data-name=about]").get_attribute("data-place") != "-1":
        stage.press("Escape")
    if marks.get_attribute("aria-pressed") == "true":
        marks.click()
    step = float(stage.get_attribute("data-at"))
    assert step in (0, LAST)
    images = found["images"] if step == 0 else found["mixed"].images
    for one, image in zip(tiles(root, len(images), images.shape[-1]), images, strict=True):
        assert (one - (image * 255).round().permute(1, 2, 0)).abs().max() <= 1
    marks.click()
    return found


def check_looked(root: Any, found: dict[str, Any]) -> tuple[int, int]:
    """What is said of the patch looked at is what the plan says; returns mixture and place."""
    about = root.locator("[data-name=about]")
    mixture, place = (int(about.get_attribute(f"data-{name}")) for name in ("mixture", "place"))
    plan, shares = found["mixed"].plan, found["shares"]
    if place >= 0:
        source = (mixture + int(plan.groups[place])) % len(plan)
        assert int(about.get_attribute("data-source")) == source
        across = round(len(plan.groups) ** 0.5)
        where = f"Mixture {mixture}, patch {place} (row {place // across + 1}, column {place % across + 1}):"
        assert about.inner_text().startswith(where) and f"from image {source}, " in about.inner_text()
        assert root.locator(".mlw-thumb[data-source=true]").get_attribute("data-image") == str(source)
    if mixture >= 0:
        for name in ("W", "WW"):
            lit = root.locator(f"[data-name={name}] tr.mlw-lit")
            assert lit.evaluate_all("nodes => nodes.map(n => n.dataset.row)") == [str(mixture)]
        shared = [
            [
                i != mixture and bool(shares[mixture, j] > 0) and bool(shares[i, j] > 0)
                for j in range(len(plan))
            ]
            for i in range(len(plan))
        ]
        rows = root.locator("[data-name=W]").evaluate(ROWS)
        assert [[cell["shared"] == "true" for cell in row[:-1]] for row in rows] == shared
        held = root.locator(".mlw-thumb:visible").evaluate_all("nodes => nodes.map(n => n.dataset.held)")
        assert [word == "true" for word in held] == (shares[mixture] > 0).tolist()
    return mixture, place


def spot(root: Any, mixture: int, place: int, across: int, size: int = 96) -> dict[str, float]:
    """Where in the stage, in the page's pixels, the middle of a patch is at the last step."""
    stage = root.locator("[data-name=stage]")
    layout, wide = json.loads(stage.get_attribute("data-layout")), stage.evaluate("n => n.width")
    scale, patch = stage.bounding_box()["width"] / wide, layout["k"] * size // across
    x, y = layout["tiles"][mixture]
    return {
        "x": scale * (x + (place % across + 0.5) * patch),
        "y": scale * (y + (place // across + 0.5) * patch),
    }


def drive_patch_groups(page: Any) -> None:
    """Step, play, shuffle, choose B, M and the patch, look at patches and images, turn to the released."""
    root = open_widget(page, "patch-groups")
    root.locator(".mlw-predict button").nth(2).click()
    assert root.locator(".mlw-answer").inner_text().startswith("✓")
    button = {
        name: root.locator(f"[data-name={name}]")
        for name in ("back", "next", "play", "shuffle", "released", *(f"step{i}" for i in range(6)))
    }
    pick = {name: root.locator(f"select[data-name={name}]") for name in ("batch", "parts", "patch")}
    for name, value in (("batch", "4"), ("patch", "32"), ("parts", "3")):
        pick[name].select_option(value)
    button["step0"].click()
    settled(root, 0)
    check_pictures(root)
    assert button["back"].is_disabled()

    said = set()  # forward by keyboard, one step after the other
    for step in range(1, 6):
        button["next"].focus()
        page.keyboard.press("Enter")
        settled(root, step)
        said.add(root.locator(".mlw-sentence").inner_text())
    assert len(said) == 5 and button["next"].is_disabled()
    expect(root.locator("[aria-live=polite]")).to_have_text(root.locator(".mlw-sentence").inner_text())
    found = check_pictures(root)
    button["back"].click()
    settled(root, 4)
    button["next"].click()
    settled(root, LAST)

    stage = root.locator("[data-name=stage]")  # a patch by mouse
    stage.scroll_into_view_if_needed()
    stage.click(position=spot(root, 2, 4, 3))
    assert check_looked(root, found) == (2, 4)
    stage.focus()  # and by keyboard
    page.keyboard.press("ArrowRight")
    assert check_looked(root, found) == (2, 5)
    expect(root.locator("[aria-live=polite]")).to_have_text(root.locator("[data-name=about]").inner_text())
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    assert check_looked(root, found) == (2, 7)
    page.keyboard.press("ArrowUp")
    assert check_looked(root, found) == (2, 4)
    for _ in range(2):  # over the border of the image, to the mixture beside it
        page.keyboard.press("ArrowRight")
    assert check_looked(root, found) == (3, 3)
    page.keyboard.press("Escape")
    assert check_looked(root, found) == (-1, -1)

    thumb = root.locator(".mlw-thumb")  # an image by mouse and by keyboard
    thumb.nth(1).click()
    page.mouse.move(0, 0)
    assert check_looked(root, found) == (1, -1)
    assert thumb.nth(1).get_attribute("aria-pressed") == "true"
    page.keyboard.press("Tab")  # the next image: looked at while it has the focus
    assert check_looked(root, found) == (2, -1)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    thumb.nth(1).blur()
    assert check_looked(root, found) == (-1, -1)
    row = root.locator("[data-name=WW] tbody tr").nth(3)  # a row of a matrix
    row.scroll_into_view_if_needed()
    row.hover()
    assert check_looked(root, found) == (3, -1)
    page.mouse.move(0, 0)

    if button["released"].get_attribute("aria-pressed") == "false":
        button["released"].focus()
        page.keyboard.press("Space")
    choices = [("6", "3", "32"), ("6", "5", "24"), ("2", "6", "24"), ("3", "4", "12"), ("2", "2", "48")]
    for batch, parts, patch in choices:
        for name, value in (("batch", batch), ("patch", patch), ("parts", parts)):
            pick[name].select_option(value)
        settled(root, LAST)
        check_pictures(root)
    assert pick["parts"].locator("option:disabled").all_inner_texts() == ["5", "6"]  # of four patches
    order = copied(root)
    for _ in range(30):  # 24 orders of four patches
        button["shuffle"].click()
        if copied(root) != order:
            break
    assert copied(root) != order
    check_pictures(root)
    pick["parts"].select_option("4")
    check_pictures(root)
    pick["patch"].select_option("32")
    button["released"].click()
    assert root.locator("[data-name=WW-released]").is_hidden()
    check_patches(root)
