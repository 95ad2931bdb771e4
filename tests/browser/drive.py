"""A reader at the widgets: by mouse and by keyboard, on any page that holds them."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import torch
from playwright.sync_api import expect

import mixlearn as ml

READ_CANVAS = """node => [...node.getContext('2d').getImageData(0, 0, node.width, node.height).data]"""


def _widget(page: Any, kind: str) -> Any:
    root = page.locator(f"[id^=mixlearn-{kind}][data-ready]").first
    root.wait_for(state="attached", timeout=20_000)
    root.scroll_into_view_if_needed()
    return root


def run_code(code: str, **names: Any) -> tuple[dict[str, Any], str]:
    """Run what *Copy as Python* gave; return its variables and what it printed."""
    printed = io.StringIO()
    space: dict[str, Any] = dict(names)
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "<copied>", "exec"), space)
    return space, printed.getvalue().strip()


def copied(root: Any) -> str:
    root.locator("[data-name=copy]").click()
    root.locator("pre.mlw-code").wait_for(state="visible")
    return root.locator("pre.mlw-code").inner_text()


def check_mixture(root: Any) -> tuple[dict[str, Any], str]:
    """Pixels, label and code of the view equal those of the package; returns what `run_code` returned."""
    code = copied(root)
    space, printed = run_code(code)
    mixed = space["mixed"]
    expected = (mixed.images[0] * 255).round().permute(1, 2, 0)
    canvas = root.locator("[data-name=mixture]")
    shown = torch.tensor(canvas.evaluate(READ_CANVAS)).view(*expected.shape[:2], 4)
    assert (shown[..., :3] - expected).abs().max() <= 1, "a pixel is off by more than one grey level"
    assert bool((shown[..., 3] == 255).all())
    assert root.locator(".mlw-sentence").first.inner_text() == printed.splitlines()[0]
    share = (
        float(root.locator(".mlw-bar .mlw-own").first.evaluate("node => parseFloat(node.style.width)")) / 100
    )
    assert abs(share - float(mixed.targets[0, 0])) < 1e-6
    return space, printed


def drive_lambda_mixer(page: Any) -> None:
    """Drag, type, choose, swap, point and draw; after each step the view must be the package's."""
    root = _widget(page, "lambda-mixer")
    slider = root.locator("[data-name=lam]")
    check_mixture(root)

    slider.scroll_into_view_if_needed()  # by mouse
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    dragged = float(slider.input_value())
    assert 0.15 < dragged < 0.35, dragged
    check_mixture(root)

    slider.focus()  # by keyboard
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert abs(float(slider.input_value()) - dragged - 0.03) < 1e-9
    page.keyboard.press("End")
    assert float(slider.input_value()) == 1.0
    check_mixture(root)
    page.keyboard.press("Home")
    check_mixture(root)

    root.locator("[data-name=own]").select_option("owl")
    root.locator('.mlw-thumbs button[aria-label$="0.4"]').click()
    assert float(slider.input_value()) == 0.4
    check_mixture(root)
    root.locator("[data-name=swap]").focus()
    page.keyboard.press("Enter")
    assert root.locator("[data-name=partner]").input_value() == "owl"
    check_mixture(root)

    before = root.locator(".mlw-sentence").first.inner_text()  # whose λ?
    root.locator("[data-name=whose] input").nth(1).check()
    assert root.locator(".mlw-sentence").first.inner_text() != before
    check_mixture(root)
    root.locator("[data-name=whose] input").nth(0).check()

    canvas = root.locator("[data-name=mixture]")  # one pixel's sum
    canvas.scroll_into_view_if_needed()
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    place = root.locator("[data-name=where]").inner_text()
    column, row = (int("".join(filter(str.isdigit, part))) for part in place.split(".")[0].split(","))
    mixed = run_code(copied(root))[0]["mixed"]
    for channel, text in enumerate(root.locator(".mlw-sum tr td").all_inner_texts()[:3]):
        total = int(text.rsplit("=", 1)[1])
        assert abs(total - float(mixed.images[0, channel, row, column]) * 255) <= 1
    heard = root.locator("[aria-live=polite]")
    expect(heard).to_contain_text(f"Column {column}, row {row}. red ")
    canvas.scroll_into_view_if_needed()
    canvas.hover(position={"x": 5, "y": 5})
    assert root.locator("[data-name=where]").inner_text() != place

    root.locator("[data-name=draw100]").click()  # draws
    assert root.locator("[data-name=tally]").inner_text().startswith("100 draws from Beta")
    root.locator("[data-name=draw1]").focus()
    page.keyboard.press("Enter")
    assert root.locator("[data-name=tally]").inner_text().startswith("101 draws")
    page.mouse.move(0, 0)
    check_mixture(root)
    root.locator("[data-name=alpha]").focus()
    page.keyboard.press("ArrowLeft")
    assert root.locator("[data-name=tally]").inner_text().startswith("Draw λ"), "draws of another α were kept"

    option = root.locator(".mlw-predict button").nth(2)  # the prediction explains itself
    option.click()
    assert root.locator(".mlw-answer").inner_text().startswith("✓")


def drive_beta_explorer(page: Any) -> None:
    """Move α, compare, draw; the numbers must be those of the package's draws."""
    root = _widget(page, "beta-explorer")
    slider = root.locator("[data-name=alpha]")
    slider.focus()
    start = root.locator(".mlw-sentence").inner_text()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    assert root.locator(".mlw-sentence").inner_text() != start
    alpha = float(root.locator(".mlw-slider output").first.inner_text())
    lam = ml.sample_lam(200_000, alpha, generator=torch.Generator().manual_seed(0))
    smaller = torch.minimum(lam, 1 - lam)

    def shown(name: str) -> float:
        return float(root.locator(f"[data-name={name}]").inner_text().split()[0]) / 100

    assert abs(shown("first-mean") - float(smaller.mean())) < 0.005
    assert abs(shown("first-unmixed") - float((smaller <= 0.05).float().mean())) < 0.006

    for name, count in (("draw1", 1), ("draw100", 101), ("draw1000", 1000)):
        root.locator(f"[data-name={name}]").click()
        bars = root.locator("[data-name=density] rect[data-count]").evaluate_all(
            "nodes => nodes.map(node => Number(node.dataset.count))"
        )
        assert sum(bars) == count
    _, printed = run_code(copied(root))
    numbers, counts = printed.splitlines()
    mean, unmixed = (float(word) for word in numbers.split())
    assert [count for count in json.loads(counts) if count] == bars
    assert abs(shown("drawn-mean") - mean) < 6e-4 and abs(shown("drawn-unmixed") - unmixed) < 2e-3

    slider.scroll_into_view_if_needed()  # by mouse, which throws the draws away
    box = slider.bounding_box()
    page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2)
    assert float(root.locator(".mlw-slider output").first.inner_text()) > alpha
    assert root.locator("[data-name=density] rect[data-count]").count() == 0

    compare = root.locator("[data-name=compare]")
    if compare.get_attribute("aria-pressed") == "false":
        compare.focus()
        page.keyboard.press("Enter")
    assert root.locator("[data-name=density] path").count() == 2
    root.locator("[data-name=other]").focus()
    page.keyboard.press("ArrowRight")
    assert root.locator("[data-name=second-mean]").count() == 1
    root.locator(".mlw-predict button").nth(1).click()
    assert root.locator(".mlw-answer").inner_text().startswith("✓")


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
    width, height = canvas.evaluate("node => [node.width, node.height]")
    seen = torch.tensor(canvas.evaluate(READ_CANVAS)).view(height, width, 4)[..., :3].double()
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
    root = _widget(page, "box-lab")
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
    root.locator("[data-name=shape]").select_option("33×33")
    root.locator("[data-name=draw1]").focus()
    page.keyboard.press("Enter")
    assert root.locator("[data-name=tally]").inner_text().startswith("1 box at")
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
