"""A reader at the plane lab: by mouse and by keyboard, on any page that holds it."""

from __future__ import annotations

import re
from typing import Any

import torch
from playwright.sync_api import expect

from tests.browser.drive import copied, open_widget, read_canvas, run_code

SAID = re.compile(
    r"(.+): (\d+) of (\d+) points on the side of their class; less than 90 % sure on (\d+) % of"
)
LANDS = re.compile(r"Intrusion: (\d+) % of mixtures of .* land among the (\w+)\.")
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 20))))"


def places(root: Any) -> list[list[float]]:
    """Where the points are, in [−1, 1]."""
    found: list[list[float]] = root.locator("[data-point]").evaluate_all(
        "nodes => nodes.map(n => [n.getAttribute('cx') / 200 - 1, 1 - n.getAttribute('cy') / 200])"
    )
    return found


def check_plane(root: Any) -> tuple[str, int, int]:
    """Points, sentence and surface are those of the code; returns what is said."""
    root.page.evaluate(DRAWN)
    space, printed = run_code(copied(root))
    said = SAID.match(root.locator(".mlw-sentence").inner_text())
    assert said is not None
    way, right, count, unsure = said.groups()
    heard = printed.splitlines()
    assert heard[0] == f"{right} of {count} {unsure} %"
    if lands := LANDS.search(root.locator(".mlw-sentence").inner_text()):
        share = {int(line[0]): float(line[1:-1]) for line in heard[1:]}
        assert lands[2] == ("circles", "squares", "triangles")[max(share, key=lambda c: (share[c], c))]
        assert abs(max(share.values()) - int(lands[1])) <= 1
    assert torch.allclose(torch.tensor(places(root)).double(), space["points"], atol=1e-6)
    for c in range(3):
        assert root.locator(f".mlw-mark.mlw-class{c}").count() == int((space["labels"] == c).sum())
    shown = read_canvas(root.locator("[data-name=surface]"))[..., :3].double()
    tints = ["--own", "--partner", "--third", "--ground"]
    *own, ground = (
        torch.tensor([int(word[i : i + 2], 16) for i in (1, 3, 5)]).double()
        for word in root.locator(".mlw").evaluate(
            "(n, names) => names.map(name => getComputedStyle(n).getPropertyValue(name).trim())", tints
        )
    )
    p, best = space["p"].view(81, 81, -1).transpose(0, 1).flip(0).max(2)  # rows from above
    kinds = space["p"].shape[1]
    depth = 0.72 * (kinds * p - 1) / (kinds - 1)
    expected = ground + depth[..., None] * (torch.stack(own)[best] - ground)
    off = (shown - expected).abs().amax(2) > 1.5
    assert off.double().mean() < 1e-3, "the colours are not the model's"  # but where two classes tie
    return way, int(right), int(unsure)


def drive_plane_lab(page: Any) -> None:
    """Switch, drag, type, change a class, reset; the view must be what the copied code trains."""
    root = open_widget(page, "plane-lab")
    stage = root.locator("[data-name=stage]")
    assert stage.evaluate("node => node.getBoundingClientRect().width") > 200
    way, learned, sure = check_plane(root)
    assert way == "No augmentation" and learned == 24

    for index, name, least in ((1, "Jitter", 50), (2, "Mixup", 50)):
        root.locator("[data-name=way] input").nth(index).check()
        way, right, unsure = check_plane(root)
        assert way == name and right <= learned and unsure > least > sure
    expect(root.locator("[aria-live=polite]")).to_contain_text("Mixup: ")
    alpha = root.locator("[data-name=alpha]")
    assert alpha.is_visible() and not root.locator("[data-name=jitter]").is_visible()
    alpha.focus()
    page.keyboard.press("ArrowLeft")
    assert check_plane(root)[0] == "Mixup"

    start = places(root)  # by mouse
    hold = root.locator("[data-point='3']")
    stage.scroll_into_view_if_needed()
    box, side = hold.bounding_box(), stage.bounding_box()["width"] / 2
    at = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*at)
    page.mouse.down()
    page.mouse.move(at[0] + 30, at[1] + 20, steps=4)
    page.mouse.up()
    check_plane(root)
    moved = places(root)
    assert abs(moved[3][0] - start[3][0] - 30 / side) < 0.02
    assert abs(moved[3][1] - start[3][1] + 20 / side) < 0.02
    assert moved[:3] + moved[4:] == start[:3] + start[4:]

    stage.focus()  # by keyboard: the point just dragged is the chosen one
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("PageDown")
    page.keyboard.press("Enter")
    assert root.locator("[data-name=chosen]").inner_text().startswith("Chosen: point 5 of 24, teal circle")
    page.keyboard.press("PageUp")
    check_plane(root)
    there = places(root)[3]
    assert abs(there[0] - moved[3][0] + 0.1) < 1e-9 and abs(there[1] - moved[3][1] - 0.02) < 1e-9
    stage.focus()
    for _ in range(25):  # the edge holds it
        page.keyboard.press("Shift+ArrowRight")
    assert places(root)[3][0] == 1
    root.locator("[data-name=next]").click()
    root.locator("[data-name=turn]").click()
    assert "point 5 of 24, orange square" in root.locator("[data-name=chosen]").inner_text()
    root.locator("[data-name=reset]").click()
    check_plane(root)
    assert places(root) == start
    root.locator("[data-name=way] input").nth(0).check()
    assert check_plane(root)[1:] == (learned, sure), "the fit depends on the way to it"


def drive_intrusion(page: Any) -> None:
    """Move the triangles between the two other clusters, by mouse and by keyboard, and raise α."""
    root = open_widget(page, "plane-lab")
    stage, sentence = root.locator("[data-name=stage]"), root.locator(".mlw-sentence")
    _, learned, _ = check_plane(root)
    kinds = root.locator(".mlw-mark").evaluate_all("n => n.map(m => Number(m.getAttribute('class').at(-1)))")
    assert learned == len(kinds) and "Intrusion: 0 %" in sentence.inner_text()
    start = places(root)

    third = [i for i, kind in enumerate(kinds) if kind == 2]
    stage.scroll_into_view_if_needed()
    box, side = root.locator(f"[data-point='{third[0]}']").bounding_box(), stage.bounding_box()["width"] / 2
    at = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*at)
    page.mouse.down()
    page.mouse.move(at[0], at[1] + 0.5 * side, steps=4)
    page.mouse.up()
    assert "the cluster of triangles" in root.locator("[data-name=chosen]").inner_text()
    moved = places(root)
    for i, kind in enumerate(kinds):
        assert abs(moved[i][0] - start[i][0]) < 0.03
        assert abs(start[i][1] - moved[i][1] - 0.5 * (kind == 2)) < 0.03
    stage.focus()
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    root.page.evaluate(DRAWN)
    lands = LANDS.search(sentence.inner_text())
    assert lands is not None and int(lands[1]) > 10 and lands[2] == "triangles"
    assert check_plane(root)[1] == learned, "at α = 1 the triangles keep their side"

    alpha = root.locator("[data-name=alpha]")
    alpha.focus()
    page.keyboard.press("End")
    assert check_plane(root)[1] <= learned - len(third), "at α = 4 they lose it"
    root.locator("[data-name=way] input").nth(0).check()
    assert check_plane(root)[1] == learned and "Intrusion" not in sentence.inner_text()
    stage.focus()
    page.keyboard.press("PageDown")
    assert "the cluster of circles" in root.locator("[data-name=chosen]").inner_text()
    for _ in range(30):  # the edge holds the whole cluster
        page.keyboard.press("Shift+ArrowLeft")
    first = [place for place, kind in zip(places(root), kinds, strict=True) if kind == 0]
    assert min(x for x, _ in first) == -1 and max(x for x, _ in first) > -0.9
    assert root.locator("[data-name=turn]").count() == 0
    root.locator("[data-name=reset]").click()
    assert places(root) == start
