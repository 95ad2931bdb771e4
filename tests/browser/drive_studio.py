"""A reader at the mask studio: by mouse and by keyboard, on any page that holds it."""

from __future__ import annotations

import base64
import json
import re
from functools import cache
from typing import Any

import torch
from playwright.sync_api import expect

import mixlearn as ml
from mixlearn.page.studio_net import scored
from tests.browser.drive import copied, open_widget, read_canvas, run_code

SIDE = 32


@cache
def designers() -> Any:
    """The images that the widget shows, read once."""
    return ml.data.load("emoji").tests["designers"]


def painted(root: Any) -> torch.Tensor:
    """The mask on the page: its picture's grey levels, (32, 32) uint8, the partner's share."""
    return read_canvas(root.locator("[data-name=mask-picture]"))[..., 0]


def check_studio(root: Any, code: bool = False) -> tuple[float, float]:
    """The view is what Python makes of the same mask: pixels, λ, p, score, words; returns λ and score."""
    part = designers()
    words = root.locator("[data-name=pair]").input_value().split(" + ")
    code_text = copied(root)
    places = [int(place) for place in re.search(r"batch\(\[(\d+), (\d+)\]\)", code_text).groups()]
    assert [part.names[place] for place in places] == words
    mask, pixels, labels = painted(root), part.images[places], part.labels[places]
    mixture, lam, score = scored(pixels, labels, mask)
    shown = read_canvas(root.locator("[data-name=mixture]"))
    assert (shown[..., :3].permute(2, 0, 1) - mixture).abs().max() <= 0.5 + 1e-9
    found = json.loads(root.locator(".mlw").evaluate("node => JSON.stringify(node.dataset)"))
    assert abs(float(found["lam"]) - lam) < 1e-9
    assert abs(float(found["score"]) - score) < 1e-4
    sentence = root.locator(".mlw-sentence").inner_text()
    assert sentence == f"λ = {lam:.2f}, score {score:.1f}", sentence
    share = float(root.locator(".mlw-bar .mlw-own").evaluate("node => parseFloat(node.style.width)")) / 100
    assert abs(share - lam) < 1e-4
    assert run_code_mask(code_text) == mask.flatten().tolist()
    if code:
        space, printed = run_code(code_text)
        assert abs(float(space["score"]) - score) < 1e-4
        assert printed == f"λ {lam:.3f}, score {score:.1f}"
        p = space["logits"].softmax(1)[0]
        for name, label in zip(("own", "partner"), labels.tolist(), strict=True):
            value = root.locator(f"[data-name=p-{name}]").get_attribute("data-value")
            assert abs(float(value) - float(p[label])) < 1e-6
        p[labels] = 0
        other = root.locator("[data-name=p-other]")
        assert abs(float(other.get_attribute("data-value")) - float(p.max())) < 1e-6
    return lam, score


def run_code_mask(text: str) -> list[int]:
    """The bytes of the mask in the copied code."""
    return list(base64.b64decode(re.search(r'b64decode\(\s*"([^"]+)"', text)[1]))


def paint_line(page: Any, root: Any, start: tuple[int, int], end: tuple[int, int]) -> None:
    """Drag from one pixel of the picture to another."""
    canvas = root.locator("[data-name=mixture]")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    points = [
        (box["x"] + (x + 0.5) * box["width"] / SIDE, box["y"] + (y + 0.5) * box["height"] / SIDE)
        for x, y in (start, end)
    ]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=6)
    page.mouse.up()


def drive_mask_studio(page: Any) -> None:
    """Paint, erase, invert, fill, aim, load cards, change the pair; the view must stay Python's."""
    root = open_widget(page, "mask-studio")
    root.locator(".mlw-predict button").nth(1).click()
    assert root.locator(".mlw-answer").inner_text().startswith("✓")
    button = {name: root.locator(f"[data-name={name}]") for name in ("paint", "erase", "undo", "clear")}
    easel, target = root.locator("[data-name=easel]"), root.locator("[data-name=target]")
    check_studio(root)

    button["clear"].click()  # by mouse
    assert check_studio(root)[0] == 1
    root.locator("[data-name=size]").fill("5")
    paint_line(page, root, (6, 8), (24, 8))
    mask = painted(root)
    assert set(mask.unique().tolist()) == {0, 255}, "a hard brush paints all or nothing"
    assert bool((mask[6:11, 6:25] == 255).all()) and not mask[12:].any()
    lam, _ = check_studio(root)
    assert abs(lam - (1 - float(mask.double().mean()) / 255)) < 1e-9 and lam < 0.92
    button["erase"].click()
    assert button["erase"].get_attribute("aria-pressed") == "true"
    paint_line(page, root, (15, 2), (15, 14))
    assert not painted(root)[2:15, 15].any() and check_studio(root)[0] > lam
    button["undo"].click()
    assert torch.equal(painted(root), mask)
    root.locator("[data-name=blur]").fill("2")
    button["paint"].click()
    paint_line(page, root, (16, 22), (18, 24))
    soft = painted(root)
    assert len(soft.unique()) > 10, "a soft brush has an edge between"
    assert bool((soft >= mask).all())
    check_studio(root, code=True)

    root.locator("[data-name=blur]").fill("0")  # by keyboard
    root.locator("[data-name=size]").fill("1")
    button["clear"].focus()
    page.keyboard.press("Enter")
    paint_line(page, root, (3, 3), (3, 3))
    easel.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "Shift+ArrowRight"):
        page.keyboard.press(key)
    page.keyboard.press("Space")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert {tuple(at) for at in painted(root).nonzero().tolist()} == {(3, 3), (5, 8), (5, 7)}
    assert root.locator(".mlw-brush").evaluate("node => getComputedStyle(node).visibility") == "visible"
    page.keyboard.press("Shift+Space")
    assert {tuple(at) for at in painted(root).nonzero().tolist()} == {(3, 3), (5, 8)}
    lam, score = check_studio(root)
    expect(root.locator("[aria-live=polite]")).to_have_text(f"λ = {lam:.2f}, score {score:.1f}")
    easel.focus()
    page.keyboard.press("ArrowUp")
    expect(root.locator("[aria-live=polite]")).to_have_text("column 7, row 4")
    root.locator("[data-name=invert]").click()
    assert abs(check_studio(root)[0] - (1 - lam)) < 1e-9

    mine = root.locator("[data-method=yours]")  # aiming
    for share in ("0.35", "0.7"):
        target.fill(share)
        assert "near enough" not in root.locator("[data-name=distance]").inner_text()
        assert mine.is_disabled()
        root.locator("[data-name=fill]").click()  # evenly, as Mixup does
        lam, score = check_studio(root)
        assert abs(lam - float(share)) < 0.5 / 255 and len(painted(root).unique()) == 1
        assert "near enough" in root.locator("[data-name=distance]").inner_text()
        assert abs(float(mine.get_attribute("data-score")) - score) < 1e-9
    target.focus()
    page.keyboard.press("ArrowRight")
    assert target.input_value() == "0.71"

    methods = [card.get_attribute("data-method") for card in root.locator("[data-name=card]").all()]
    assert methods[-1] == "yours" and len(methods) > 1
    scores = {}
    for name in methods:  # cards
        card = root.locator(f"[data-method='{name}']")
        card.click()
        lam, score = check_studio(root)
        scores[name] = score
        assert abs(float(card.get_attribute("data-score")) - score) < 1e-4
        assert card.locator(".mlw-note").inner_text() == f"λ {lam:.2f}, {score:.1f}"
        assert abs(lam - 0.7) < 0.3, "the masks are those of the nearest λ"
        assert "near enough" in root.locator("[data-name=distance]").inner_text(), "as free as the cards"
    best = root.locator(".mlw-top").get_attribute("data-method")
    assert scores[best] == max(scores.values())

    pair = root.locator("[data-name=pair]")
    pairs = pair.locator("option").all_inner_texts()
    for name in pairs:
        pair.select_option(name)
        check_studio(root, code=name == pairs[-1])
    assert root.locator("h4").first.inner_text().startswith("At target λ 0.7")
