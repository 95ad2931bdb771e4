"""A reader at the box lab: by mouse and by keyboard, on any page that holds it."""

from __future__ import annotations

import json
from typing import Any

import torch
from playwright.sync_api import expect

import mixlearn as ml
from tests.browser.drive import check_mixture, copied, open_widget, read_canvas, run_code


def _rect(root: Any, name: str) -> list[int]:
    """x, y, width and height of a rectangle on the stage, in pixels of the picture."""
    return root.locator(f"[data-name={name}]").evaluate(
        "node => ['x', 'y', 'width', 'height'].map(key => Number(node.getAttribute(key)))"
    )


def check_box(root: Any) -> list[int]:
    """The view is the package's, and both boxes and all three rules agree; returns the asked box."""
    space, _ = check_mixture(root)
    plan, (x, y, w, h) = space["mixed"].plan, _rect(root, "asked-box")
    height, width = plan.size
    x0, y0, x1, y1 = plan.boxes[0].tolist()
    assert _rect(root, "pasted-box") == [x0, y0, x1 - x0, y1 - y0]
    assert [x0, y0, x1, y1] == [max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)]
    names = [root.locator(f"[data-name={name}]").input_value() for name in ("own", "partner")]
    shares = {"asked": 1 - w * h / (height * width), "pixels": float(plan.lam[0])}
    for name, share in shares.items():
        said = root.locator(f"[data-name=rule-{name}]").inner_text().split(": ")[1]
        described = ml.MixPlan.pair(torch.tensor([1, 0]), torch.full((2,), share)).describe(0, names)
        assert said == described
    larger = names[0] if shares["pixels"] >= 0.5 else names[1]
    assert root.locator("[data-name=rule-majority]").inner_text().endswith(f"100 % {larger}")
    for name, key in (("asked", "asked"), ("pasted", "pixels")):
        assert root.locator(f"[data-name={name}-sum]").inner_text().endswith(f"= {shares[key]:.3f}")
    return [x, y, w, h]


def check_heat(root: Any) -> None:
    """The heat map on the screen against 100 000 boxes of the package: no pixel is five deviations off."""
    canvas = root.locator("[data-name=heat]")
    scale = json.loads(canvas.get_attribute("data-scale"))
    seen = read_canvas(canvas)[..., :3].double()
    height, width = seen.shape[:2]
    start, end = (torch.tensor(scale[key]).double() for key in ("from", "to"))
    line = end - start
    shown = ((seen - start) @ line) / (line @ line) * scale["max"]
    tally = root.locator("[data-name=tally]").inner_text()
    thrown = int(tally.split(" boxes")[0].replace("\u00a0", "").replace(" ", ""))
    alpha = float(tally.split("α = ")[1].split(":")[0])
    g = torch.Generator().manual_seed(0)
    boxes = ml.sample_boxes(ml.sample_lam(100_000, alpha, generator=g), height, width, generator=g)
    x0, y0, x1, y1 = (corner[:, None] for corner in boxes.unbind(1))
    down, across = torch.arange(height), torch.arange(width)
    down, across = ((down >= y0) & (down < y1)).float(), ((across >= x0) & (across < x1)).float()
    often = (down.T @ across).double() / 100_000
    deviation = (often * (1 - often) * (1 / thrown + 1 / 100_000)).sqrt()
    grain = scale["max"] / float(line.abs().max())  # one grey level
    assert ((shown - often).abs() < 5 * deviation + grain).all()
    assert scale["max"] > 0 and float(often[height // 2, width // 2]) > 2 * float(often[0, 0])


def drive_box_lab(page: Any) -> None:
    """Drag, resize, push past the border, change the canvas, throw; the view must stay the package's."""
    root = open_widget(page, "box-lab")
    stage = root.locator("[data-name=stage]")
    x, y, w, h = check_box(root)

    def drag(node: Any, across: int, down: int) -> list[int]:
        """Drag by pixels of the picture."""
        stage.scroll_into_view_if_needed()
        at, picture = node.bounding_box(), root.locator("[data-name=mixture]").bounding_box()
        columns = root.locator("[data-name=mixture]").evaluate("node => node.width")
        dot = picture["width"] / columns
        start = at["x"] + at["width"] / 2, at["y"] + at["height"] / 2
        page.mouse.move(*start)
        page.mouse.down()
        page.mouse.move(start[0] + across * dot, start[1] + down * dot, steps=5)
        page.mouse.up()
        return check_box(root)

    assert drag(root.locator("[data-name=body]"), 9, -7) == [x + 9, y - 7, w, h]  # by mouse
    assert drag(root.locator("[data-corner='3']"), -12, 6) == [x + 9, y - 7, w - 12, h + 6]
    assert drag(root.locator("[data-corner='0']"), 4, 5) == [x + 13, y - 2, w - 16, h + 1]
    box = _rect(root, "asked-box")

    stage.focus()  # by keyboard
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Alt+ArrowRight")
    page.keyboard.press("Alt+ArrowUp")
    assert check_box(root) == [box[0] + 1, box[1] - 7, box[2] + 1, box[3] - 1]
    stage.focus()
    for _ in range(20):  # past the border, until the centre is the first column
        page.keyboard.press("Shift+ArrowLeft")
    box = check_box(root)
    assert box[0] == -(box[2] // 2) and _rect(root, "pasted-box")[2] == box[2] - box[2] // 2
    expect(root.locator("[aria-live=polite]")).to_contain_text("By the pixels: ")
    asked, realised = (
        root.locator(f"[data-name={name}-sum]").inner_text().split("= ")[-1] for name in ("asked", "pasted")
    )
    assert float(realised) > float(asked)

    root.locator("[data-name=own]").select_option("owl")
    root.locator("[data-name=swap]").click()
    assert root.locator("[data-name=partner]").input_value() == "owl"
    check_box(root)
    stage.scroll_into_view_if_needed()
    centre = stage.bounding_box()
    stage.click(position={"x": 0.7 * centre["width"], "y": 0.3 * centre["height"]})  # the box comes here
    assert check_box(root)[0] > 0

    lam = root.locator("[data-name=lam]")
    for shape in ("127×127", "96×128", "33×33", "128×128"):
        root.locator("[data-name=shape]").select_option(shape)
        check_box(root)
        height, width = (int(side) for side in shape.split("×"))
        for share in (0.75, 0.5, 0.04, 0.0, 1.0):
            lam.fill(str(share))
            side = torch.tensor([width, height]).double() * (1 - share) ** 0.5
            assert check_box(root)[2:] == side.round().int().tolist()  # halves to even, as in sample_boxes
    lam.fill("0.6")
    lam.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert lam.input_value() == "0.65", "the slider sticks"

    assert "No box" in root.locator("[data-name=tally]").inner_text()
    expect(root.locator(".mlw-plots")).to_be_hidden()  # no empty frames
    root.locator("[data-name=shape]").select_option("33×33")
    root.locator("[data-name=draw1]").focus()
    page.keyboard.press("Enter")
    assert root.locator("[data-name=tally]").inner_text().startswith("1 box at")
    expect(root.locator(".mlw-plots")).to_be_visible()
    check_box(root)
    for shape in ("96×128", "127×127"):
        root.locator("[data-name=shape]").select_option(shape)
        root.locator("[data-name=throw]").click()
        tally = root.locator("[data-name=tally]").inner_text()
        assert tally.replace("\u00a0", " ").startswith("1 000 boxes at"), "throws of another canvas were kept"
        check_heat(root)
        for name in ("dots", "means", "theory", "diagonal"):
            assert root.locator(f"[data-name=scatter] [data-name={name}]").count() == 1
        _, printed = run_code(copied(root))
        here, there = (
            [float(word.split()[-1].rstrip(".")) for word in text.split(", ")]
            for text in (tally.split(": ")[1], printed.splitlines()[1])
        )
        assert max(abs(a - b) for a, b in zip(here, there, strict=True)) < 0.06  # 1 000 throws each
    root.locator("[data-name=alpha]").focus()
    page.keyboard.press("ArrowRight")
    assert "No box" in root.locator("[data-name=tally]").inner_text(), "throws of another α were kept"
    root.locator("[data-name=throw]").click()
    root.locator("[data-name=throw]").click()
    check_heat(root)
    root.locator("[data-name=reset]").click()
    assert "No box" in root.locator("[data-name=tally]").inner_text()
    assert check_box(root) == [x, y, w, h]
    root.locator(".mlw-predict button").nth(2).click()
    assert root.locator(".mlw-answer").inner_text().startswith("✓ Yes. It is 0.68")
