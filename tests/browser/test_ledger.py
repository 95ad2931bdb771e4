"""The loss ledger on a bare page, offline, by mouse and keyboard, light and dark, wide and narrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mixlearn as ml
from mixlearn.page.ledger import WAYS, Effect
from mixlearn.train.records import interval
from tests.browser.alone import OpenPage, bare, with_kernel
from tests.browser.drive_ledger import check_ledger, state_of

WORDS = """nodes => nodes.map(node => {
    const box = node.getBoundingClientRect(), svg = node.ownerSVGElement;
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    return [node.textContent, box.left, box.top, box.right, box.bottom,
        scale * parseFloat(getComputedStyle(node).fontSize)]; })"""
INSIDE = """nodes => nodes.map(node => {
    const box = node.querySelector("rect").getBoundingClientRect();
    const words = [...node.querySelectorAll("text")].map(text => text.getBoundingClientRect());
    return words.every(own => own.left >= box.left && own.right <= box.right) ? "" : node.textContent; })"""


@pytest.fixture(scope="module")
def ledger() -> Any:
    return ml.widgets.loss_ledger()


def test_the_code_trains_what_the_page_says(tmp_path: Path, open_page: OpenPage) -> None:
    ledgers = [
        ml.widgets.loss_ledger(("labels", "mixed", "branches", "teacher"), adversarial=True),
        ml.widgets.loss_ledger(("mixed",), critics_learn=False),  # as released
    ]
    with open_page(bare(tmp_path, *ledgers)) as page:
        roots = page.locator("[id^=mixlearn-loss-ledger][data-ready]")
        roots.nth(1).wait_for()
        idle = [roots.nth(k).locator(".mlw-idle[data-part]").count() for k in range(2)]
        assert idle == [2, 2]  # the heads and the self-teacher; the self-teacher and the critics
        for k in range(2):
            check_ledger(roots.nth(k), code=True)


@pytest.mark.parametrize("width", [340, 390, 1280])
def test_no_words_of_the_graph_overlap_or_are_small(
    tmp_path: Path, open_page: OpenPage, ledger: Any, width: int
) -> None:
    with open_page(bare(tmp_path, ledger), width=width) as page:
        page.wait_for_selector("[data-ready]")
        words = page.locator(".mlw-graph text").evaluate_all(WORDS)
        assert len(words) > 30 and min(size for *_, size in words) > 10.5
        for i, (one, left, top, right, bottom, _) in enumerate(words):
            for other, *box, _ in words[i + 1 :]:
                across, down = min(right, box[2]) - max(left, box[0]), min(bottom, box[3]) - max(top, box[1])
                assert across <= 0 or down <= 2, (one, other)
        inside = page.locator(".mlw-term, .mlw-part, .mlw-place").evaluate_all(INSIDE)
        assert inside == [""] * 22


def test_what_was_measured_stands_in_the_table(tmp_path: Path, open_page: OpenPage) -> None:
    made: dict[str, Effect | None] = {
        way: Effect(interval([0.8, 0.81, 0.8 + k / 100]), interval([-k / 100, -0.02, 0.0]) if k else None)
        for k, way in enumerate(WAYS)
    }
    made["no-critic"] = None
    with open_page(bare(tmp_path, ml.widgets.loss_ledger(("labels",), effects=made))) as page:
        page.wait_for_selector("[data-ready]")
        root = page.locator("[id^=mixlearn-loss-ledger]")
        for way, effect in made.items():
            cells = root.locator(f"[data-way={way}] td").all_inner_texts()
            if effect is None:
                assert cells == ["not measured yet"]
            else:
                assert cells == [effect.accuracy.percent(), effect.gain.percent() if effect.gain else ""]
        effect = made["no-labels"]
        assert effect is not None and effect.gain is not None
        assert root.locator("[data-name=measured]").inner_text() == (
            f"Measured: accuracy {effect.accuracy.percent()} %, {effect.gain.percent()} points against the "
            "whole method."
        )
        check_ledger(root)
        root.locator("button[data-name=labels]").click()
        root.locator("button[data-name=critic]").click()
        assert root.locator("[data-name=measured]").inner_text() == "Its accuracy is not measured yet."
        check_ledger(root)


def test_the_graph_follows_the_width(tmp_path: Path, open_page: OpenPage, ledger: Any) -> None:
    with open_page(bare(tmp_path, ledger), width=1280) as page:
        page.wait_for_selector("[data-ready]")
        graph = page.locator(".mlw-graph")
        assert graph.get_by_text("squared distance").count() == 1
        page.set_viewport_size({"width": 390, "height": 800})
        graph.get_by_text("distance", exact=True).wait_for()
        assert graph.get_by_text("squared distance").count() == 0
        check_ledger(page.locator("[id^=mixlearn-loss-ledger]"))


def test_a_kernel_and_the_page_agree(tmp_path: Path, open_page: OpenPage, ledger: Any) -> None:
    """The module with a model that notes what it is sent, as a kernel would have it."""
    with open_page(bare(tmp_path)) as page:
        with_kernel(page, "loss_ledger", ledger)
        root = page.locator("#mixlearn-kernel")
        changes = (("mixed", False), ("adversarial", True), ("critics_learn", False), ("selected", "critic"))
        for key, value in changes:  # what a kernel sets
            page.evaluate("([key, value]) => model.set(key, value)", [key, value])
            assert state_of(root)[key] == value
            check_ledger(root)
        root.locator("button[data-name=published]").click()
        assert page.evaluate("sent.length") == 1, "a preset is sent as one"
        assert page.evaluate("sent.at(-1)").items() >= state_of(root).items()
        root.locator("button[data-name=features]").click()
        root.locator(".mlw-term[data-term=branches]").click()
        sent = page.evaluate("sent.at(-1)")
        assert (sent["features"], sent["selected"]) == (False, "branches")
        assert sent.items() >= state_of(root).items()
        assert page.troubles == []
