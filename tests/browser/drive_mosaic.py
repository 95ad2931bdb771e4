"""A reader at the mosaic lab: by mouse and by keyboard, on any page that holds it."""

from __future__ import annotations

import re
from typing import Any

import torch
from playwright.sync_api import expect

from tests.browser.drive import copied, open_widget, read_canvas, run_code

SAID = re.compile(
    r"Centre \((\d+), (\d+)\)\. Of (\d+) boxes: (\d+) whole, (\d+) cut, (\d+) dropped, (\d+) out of sight\."
)


def check_mosaic(root: Any) -> list[int]:
    """Picture, boxes, table and sentence are those of the code; returns centre, total and the four fates."""
    space, printed = run_code(copied(root))
    objects, size = space["objects"], space["mixed"].images.shape[-1]
    shown = read_canvas(root.locator("[data-name=mosaic]"))
    edge = (len(shown) - size) // 2
    expected = (space["mixed"].images[0] * 255).round().permute(1, 2, 0)
    assert (shown[edge:-edge, edge:-edge, :3] - expected).abs().max() <= 1
    rows = root.locator("[data-fate]").evaluate_all(
        "all => all.map(row => [row.dataset.fate, ...[...row.cells].map(cell => cell.textContent)])"
    )
    kept = [row for row in rows if row[0] in ("whole", "cut")]
    assert [row[1] for row in kept] == [line.partition(":")[0] for line in printed.splitlines()]
    for (_, _, share, corners), visible, box in zip(kept, objects.visible, objects.boxes, strict=True):
        assert abs(float(share.rstrip(" %")) - 100 * visible) < 0.51
        assert (torch.tensor([float(v) for v in corners.split(", ")]) - box).abs().max() < 0.51
    boxes = root.locator(".mlw-kept").evaluate_all(
        """all => all.map(n => ["x", "y", "width", "height"].map(key => Number(n.getAttribute(key))))"""
    )
    corners = torch.tensor(boxes).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    assert torch.allclose(corners, objects.boxes, atol=1e-3)
    found = SAID.fullmatch(root.locator(".mlw-sentence").inner_text())
    assert found is not None
    told = [int(number) for number in found.groups()]
    fates = [row[0] for row in rows]
    assert told[2:] == [len(rows), *(fates.count(w) for w in ("whole", "cut", "dropped", "out of sight"))]
    assert told[3] + told[4] == len(objects.boxes) and told[:2] == space["centre"]
    assert found[0] == root.locator("[data-name=stage]").get_attribute("aria-label")
    return told


def drive_mosaic_lab(page: Any) -> None:
    """Drag, type, point and choose: boxes are cut at the border, and dropped below the threshold."""
    root = open_widget(page, "mosaic-lab")
    stage, least, scale = (root.locator(f"[data-name={name}]") for name in ("stage", "least", "scale"))
    start = check_mosaic(root)

    stage.focus()  # by keyboard
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    assert check_mosaic(root)[:2] == [start[0] + 1, start[1] - 8]
    expect(root.locator("[aria-live=polite]")).to_contain_text(f"Centre ({start[0] + 1}, {start[1] - 8})")

    stage.scroll_into_view_if_needed()  # by mouse
    box = root.locator("[data-name=centre]").bounding_box()
    at, pixel = (
        (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2),
        stage.bounding_box()["width"] / 192,
    )
    page.mouse.move(*at)
    page.mouse.down()
    page.mouse.move(at[0] - 16 * pixel, at[1] + 8 * pixel, steps=3)
    page.mouse.up()
    dragged = check_mosaic(root)
    assert abs(dragged[0] - start[0] + 15) <= 1 and abs(dragged[1] - start[1]) <= 1
    stage.click(position={"x": 32 * pixel, "y": 32 * pixel})  # the mosaic's own corner
    corner = check_mosaic(root)
    assert max(corner[:2]) <= 1 and corner[6] > 0, "three of the images lie outside"
    stage.click(position={"x": 80 * pixel, "y": 112 * pixel})

    least.press("Home")
    every = check_mosaic(root)
    assert every[5] == 0 and every[4] > 0
    least.press("End")
    none = check_mosaic(root)
    assert none[4] == 0 and none[5] == every[4] and none[3] == every[3]
    scale.press("End")
    assert check_mosaic(root)[3] < every[3], "larger images lose more of their objects"
    scale.press("Home")
    assert check_mosaic(root)[3] > every[3]
    root.locator("[data-name=place0]").select_option("scene 5")
    assert check_mosaic(root)[2] != 0 and run_code(copied(root))[0]["order"][0] == 5
