"""A reader at the mask film: by mouse and by keyboard, on any page that holds it."""

from __future__ import annotations

import json
import re
from typing import Any

import torch

from mixlearn.page.film import film_facts, recorded_block
from mixlearn.page.studio_net import judged
from tests.browser.drive import copied, open_widget, read_canvas, run_code
from tests.browser.drive_studio import designers, paint_line, painted, run_code_mask

TONES = """root => ["--partner", "--ground", "--own"].map(name =>
    getComputedStyle(root).getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi).map(v => parseInt(v, 16)))"""


def facts(root: Any) -> dict[str, float]:
    """What the widget says in its attributes."""
    found = json.loads(root.locator(".mlw").evaluate("node => JSON.stringify(node.dataset)"))
    return {name: float(found[name]) for name in ("blockScore", "blockMean", "score", "mean")}


def epoch_of(root: Any) -> int:
    """The epoch that the slider stands at."""
    return film_facts().epochs[int(root.locator("[data-name=epoch]").input_value())]


def heat_colours(root: Any, own: torch.Tensor) -> torch.Tensor:
    """The image's share of each pixel in the theme's colours: (H, W, 3)."""
    tones = torch.tensor(root.locator(".mlw").evaluate(TONES)).double()
    share = own.double()[..., None]
    low, high = torch.lerp(tones[0], tones[1], 2 * share), torch.lerp(tones[1], tones[2], 2 * share - 1)
    return torch.where(share < 0.5, low, high)


def check_film(root: Any, code: bool = False) -> dict[str, float]:
    """The view is what Python makes of the same pair, λ, epoch and mask; returns the widget's numbers."""
    part, text = designers(), copied(root)
    places = [int(place) for place in re.search(r"batch\(\[(\d+), (\d+)\]\)", text).groups()]
    lam, epoch = float(root.locator("[data-name=lam]").input_value()), epoch_of(root)
    assert f"recorded_block({epoch})" in text and f"lam, partner = {lam:g}," in text
    images, labels = part.batch(places)
    own = recorded_block(epoch)(images, lam, torch.tensor([1, 0]))[0, 0]
    mixture, score = judged(part.images[places], labels, 1 - own, lam)
    found = facts(root)
    assert abs(found["blockMean"] - float(own.mean())) < 1e-5
    assert abs(found["blockScore"] - score) < 0.01
    shown = read_canvas(root.locator("[data-name=block-mixture-picture]"))[..., :3]
    assert (shown.permute(2, 0, 1) - mixture).abs().max() < 0.52
    heat = read_canvas(root.locator("[data-name=heat-picture]"))[..., :3]
    assert (heat - heat_colours(root, own)).abs().max() < 0.52

    mask = painted(root)
    mine, my_score = judged(part.images[places], labels, mask / 255, lam)
    assert abs(found["score"] - my_score) < 1e-3
    assert abs(found["mean"] - (1 - float(mask.double().mean()) / 255)) < 1e-9
    shown = read_canvas(root.locator("[data-name=mixture]"))[..., :3]
    assert (shown.permute(2, 0, 1) - mine).abs().max() < 0.52
    sentence = root.locator(".mlw-sentence").inner_text()
    said = f"λ = {lam:.2f}: AutoMix scores {found['blockScore']:.1f}, your mask {found['score']:.1f}."
    assert sentence == f"After epoch {epoch}, {said}", sentence
    cells = {name: root.locator(f"[data-name={name}]").inner_text() for name in ("block-score", "yours-mean")}
    assert cells == {"block-score": f"{found['blockScore']:.1f}", "yours-mean": f"{found['mean']:.2f}"}
    label = root.locator("[data-name=label-own]").inner_text()
    assert label == f"{lam:.2f}", "both are judged by the λ asked"
    assert run_code_mask(text) == mask.flatten().tolist()
    if code:
        _, printed = run_code(text)
        assert printed.splitlines() == [
            f"AutoMix: mean {float(own.double().mean()):.3f}, score {score:.1f}",
            f"yours: mean {found['mean']:.3f}, score {my_score:.1f}",
        ]
    return found


def drive_mask_film(page: Any) -> None:
    """Scrub, play, ask for other λ, swap, paint, take the mask over, change the pair."""
    root, epochs = open_widget(page, "mask-film"), film_facts().epochs
    root.locator(".mlw-predict button").first.click()
    assert root.locator(".mlw-answer").inner_text().startswith("✓")
    scrub, lam, play = (root.locator(f"[data-name={name}]") for name in ("epoch", "lam", "play"))
    last = check_film(root, code=True)

    scrub.focus()  # epochs by keyboard
    page.keyboard.press("Home")
    assert epoch_of(root) == 0 and "before the first step" in scrub.get_attribute("aria-valuetext")
    first = check_film(root)
    assert abs(first["blockMean"] - 0.5) < 0.05 and first["score"] == last["score"]
    scrub.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert epoch_of(root) == epochs[2]
    check_film(root)
    scrub.scroll_into_view_if_needed()  # and by mouse
    box = scrub.bounding_box()
    page.mouse.click(box["x"] + 0.99 * box["width"], box["y"] + box["height"] / 2)
    assert epoch_of(root) == epochs[-1]
    assert check_film(root) == last

    play.evaluate(  # what stands there once the click is done, before any frame
        """(button, scrub) => button.addEventListener(
            "click", () => (button.dataset.begun = scrub.value), { once: true })""",
        scrub.element_handle(),
    )
    play.click()  # from the end it begins anew
    assert play.get_attribute("data-begun") == "0" and play.inner_text() == "Pause"
    page.wait_for_function("node => node.value === '2'", arg=scrub.element_handle())
    play.focus()
    page.keyboard.press("Enter")
    stopped = scrub.input_value()
    assert play.inner_text() == "Play"
    page.wait_for_timeout(1300)
    assert scrub.input_value() == stopped
    scrub.focus()
    page.keyboard.press("End")

    lam.focus()  # λ
    page.keyboard.press("Home")
    low = check_film(root)["blockMean"]
    lam.focus()
    page.keyboard.press("End")
    assert check_film(root)["blockMean"] > low
    lam.fill("0.37")
    check_film(root, code=True)
    assert "yours" in root.locator("[data-name=means]").get_attribute("aria-label")

    mixture = read_canvas(root.locator("[data-name=mixture]"))  # the same from the partner's side
    before = facts(root)
    root.locator("[data-name=swap]").click()
    assert lam.input_value() == "0.63"
    assert (read_canvas(root.locator("[data-name=mixture]")).int() - mixture.int()).abs().max() <= 1
    after = check_film(root, code=True)
    assert abs(after["score"] - before["score"]) < 1e-9 and abs(after["mean"] - 1 + before["mean"]) < 1e-9

    root.locator("[data-name=clear]").click()  # painting
    assert check_film(root)["mean"] == 1
    assert "too far from" in root.locator("[data-name=distance]").inner_text()
    paint_line(page, root, (4, 20), (27, 20))
    assert bool((painted(root)[18:23, 4:28] == 255).all())
    check_film(root)
    easel = root.locator("[data-name=easel]")
    easel.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+Space")
    assert not painted(root)[21, 27]
    check_film(root)
    root.locator("[data-name=take]").click()
    taken = check_film(root)
    assert abs(taken["mean"] - taken["blockMean"]) < 1 / 255
    assert abs(taken["score"] - taken["blockScore"]) < 2
    root.locator("[data-name=undo]").click()
    assert not painted(root)[21, 27]

    pair = root.locator("[data-name=pair]")
    for name in pair.locator("option").all_inner_texts():
        pair.select_option(name)
        check_film(root)
