"""A reader at the widgets: by mouse and by keyboard, on any page that holds them."""

from __future__ import annotations

import base64
import contextlib
import io
import json
from typing import Any

import torch
from playwright.sync_api import expect

import mixlearn as ml

BYTES = """node => {
    const bytes = node.getContext('2d').getImageData(0, 0, node.width, node.height).data;
    let text = '';
    for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    return [node.height, node.width, btoa(text)];
}"""


def open_widget(page: Any, kind: str) -> Any:
    root = page.locator(f"[id^=mixlearn-{kind}][data-ready]").first
    root.wait_for(state="attached", timeout=20_000)
    root.scroll_into_view_if_needed()
    return root


def read_canvas(canvas: Any) -> torch.Tensor:
    """What a canvas shows: (height, width, 4) uint8. As one text: numbers one by one would take seconds."""
    height, width, text = canvas.evaluate(BYTES)
    pixels = torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
    return pixels.view(height, width, 4)


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
    shown = read_canvas(root.locator("[data-name=mixture]"))
    assert shown.shape[:2] == expected.shape[:2]
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
    root = open_widget(page, "lambda-mixer")
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
    root = open_widget(page, "beta-explorer")
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


def focus_stops(page: Any) -> set[str]:
    """What the Tab key stops at, by its tag; each stop must show that it has the focus."""
    stops = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        tag, outline = page.evaluate(
            "(n => [n.tagName, getComputedStyle(n).outlineStyle])(document.activeElement)"
        )
        if tag == "BODY":
            break
        stops.add(tag)
        assert outline != "none", f"{tag} has the focus and does not show it"
    return stops


def drag_finger(page: Any, x: float, y: float, across: float, down: float) -> None:
    """Press a finger on the page, move it in five steps, and lift it."""
    finger = page.context.new_cdp_session(page)
    for kind, step in (("touchStart", 0), *(("touchMove", i) for i in range(1, 6)), ("touchEnd", 5)):
        points = [] if kind == "touchEnd" else [{"x": x + across * step / 5, "y": y + down * step / 5}]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
