"""A reader at the loss ledger: by mouse and by keyboard, on any page that holds it."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import expect

from mixlearn.methods.mixskd import TERMS
from mixlearn.page.ledger import PARTS, VALUES, WAYS, arrows, learning
from tests.browser.drive import copied, open_widget, run_code

NAMES = {part: f"the {part}" for part in PARTS} | {"teacher": "the self-teacher"}
DRAWN = """nodes => nodes.map(node => {
    const { place } = node.dataset, own = node.getBoundingClientRect(), near = 3;
    const at = node.closest("svg").querySelector(`.mlw-place[data-place="${place}"] rect`);
    const box = at.getBoundingClientRect();
    return { ...node.dataset, flows: Boolean(node.querySelector(".mlw-flow")),
        stops: Boolean(node.querySelector(".mlw-value-only") && node.querySelector(".mlw-stop")),
        touches: own.width > 0 && own.left < box.right + near && own.right > box.left - near
            && own.top < box.bottom + near && own.bottom > box.top - near }; })"""
CELLS = "nodes => nodes.map(node => ({ ...node.dataset, text: node.textContent }))"


def pressed(root: Any, name: str) -> bool:
    found: str = root.locator(f"button[data-name={name}]").get_attribute("aria-pressed")
    return found == "true"


def chosen(root: Any) -> tuple[list[str], dict[str, bool]]:
    """The terms that are on, and how they are used."""
    on = [term for term in TERMS if pressed(root, term)]
    return on, {name: pressed(root, name) for name in ("adversarial", "critics_learn")}


def way_of(on: list[str], adversarial: bool, critics_learn: bool) -> str | None:
    """The run of the book that has these settings."""
    off = tuple(term for term in TERMS if term not in on)
    known = {((), False, True): "mixskd", ((), True, True): "adversarial"}
    known |= {((term,), False, True): f"no-{term}" for term in TERMS}
    return (known | {(("mixed",), False, False): "released"}).get((off, adversarial, critics_learn))


def check_arrows(root: Any, on: list[str], found: dict[str, Any]) -> None:
    """Each arrow that autograd has is drawn, and no other; faint where another term is looked at."""
    chosen = root.locator(".mlw-term[aria-pressed=true]")
    selected = chosen.get_attribute("data-term") if chosen.count() else ""
    drawn = root.locator(".mlw-arrow[data-place]").evaluate_all(DRAWN)
    for arrow in drawn:
        assert arrow["touches"], arrow
        assert arrow["flows"] == (arrow["state"] == "gradient"), arrow
        assert arrow["stops"] == (arrow["state"] == "detached" or arrow["held"] == "true"), arrow
    shown = {
        (a["term"], a["place"]): (a["state"], int(a["sign"]), a["held"] == "true", a["faint"] == "true")
        for a in drawn
    }
    assert len(shown) == len(drawn)
    assert shown == {
        (term, place): (*found[term][place], bool(selected) and term != selected)
        for term in on
        for place in VALUES
        if found[term][place].state != "none"
    }


def check_ledger(root: Any, code: bool = False) -> tuple[list[str], dict[str, bool]]:
    """Arrows, parts, table, sentence and code are what autograd says of the terms that are on."""
    on, options = chosen(root)
    found, taught = arrows(**options), learning(on, **options)
    check_arrows(root, on, found)
    numbers = {part: [str(TERMS.index(term) + 1) for term in terms] for part, terms in taught.items()}
    boxes = root.locator(".mlw-part").evaluate_all(CELLS)
    assert {box["part"]: box["taught"].split() for box in boxes} == numbers
    for box in boxes:
        assert ("nothing" in box["text"]) == (not numbers[box["part"]]), box

    cells = root.locator("[data-name=ledger] td").evaluate_all(CELLS)
    assert len(cells) == len(TERMS) * len(PARTS)
    for cell in cells:
        state, sign, _ = found[cell["term"]][cell["part"]]
        assert (cell["state"], int(cell["sign"])) == (state, sign)
        learns = "turned" if sign < 0 else {"gradient": "yes", "detached": "stop", "none": "–"}[state]
        assert cell["text"] == (learns if state == "none" or cell["term"] in on else "off")
    idle = [NAMES[part] for part in PARTS if not taught[part]]
    sentence = root.locator(".mlw-sentence").inner_text()
    off = [term for term in TERMS if term not in on]
    assert sentence.startswith("All six terms:" if not off else "Without" if on else "No term is on: nothing")
    assert all(term in sentence for term in off) or not on
    assert all(name in sentence for name in idle) or not on
    assert sentence.endswith("nothing learns." if not on else "nothing." if idle else "every part learns.")

    way, rows = way_of(on, **options), root.locator("[data-name=effects] tbody tr")
    assert rows.evaluate_all("nodes => nodes.map(node => node.dataset.way)") == list(WAYS)
    current = rows.locator("xpath=self::*[@aria-current='true']").evaluate_all(
        "nodes => nodes.map(n => n.dataset.way)"
    )
    assert current == ([way] if way else [])
    measured = root.locator("[data-name=measured]").inner_text()
    if way is None:
        assert "not trained" in measured
    else:
        cell = root.locator(f"[data-way={way}] td").first.inner_text()
        assert ("not measured" in measured) if cell == "not measured yet" else (cell in measured)

    text = copied(root)
    for term in off:
        assert not on or f'"{term}",' in text.split("ablate=")[1].splitlines()[0]
    assert ("adversarial=True" in text) == (options["adversarial"] and bool(on))
    if code:
        _, printed = run_code(text)
        assert dict(line.split(" ", 1) for line in printed.splitlines()) == {
            part: "learns" if terms else "learns nothing" for part, terms in taught.items()
        }
    return on, options


def drive_loss_ledger(page: Any) -> None:
    """Switch terms off and on, turn the critics' gradients, take the presets, look at single terms."""
    root = open_widget(page, "loss-ledger")
    root.locator(".mlw-predict button").nth(1).click()
    assert root.locator(".mlw-answer").inner_text().startswith("✓")
    button = {
        name: root.locator(f"button[data-name={name}]")
        for name in (*TERMS, "adversarial", "critics_learn", "published", "released")
    }
    button["published"].click()
    assert check_ledger(root) == (list(TERMS), {"adversarial": False, "critics_learn": True})

    button["mixed"].click()  # by mouse: nobody teaches the teacher
    on, _ = check_ledger(root)
    assert "mixed" not in on and root.locator("[data-part=teacher].mlw-idle").count() == 1
    said = root.locator(".mlw-sentence").inner_text()
    assert said == "Without mixed: the self-teacher learns nothing."
    expect(root.locator("[aria-live=polite]")).to_have_text(said)
    assert root.locator(".mlw-arrow[data-term=mixed]").count() == 0
    button["released"].click()
    assert pressed(root, "released") and not pressed(root, "published")
    on, options = check_ledger(root)
    assert "mixed" not in on and not options["critics_learn"]

    button["critics_learn"].focus()  # by keyboard
    page.keyboard.press("Space")
    assert not pressed(root, "released")
    button["mixed"].focus()
    page.keyboard.press("Enter")
    assert pressed(root, "published")
    button["adversarial"].focus()
    page.keyboard.press("Space")
    check_ledger(root)
    assert root.locator(".mlw-turned[data-term=critic]").count() == 2
    assert root.locator("[data-name=ledger] td[data-sign='-1']").count() == 2

    node = {term: root.locator(f".mlw-term[data-term={term}]") for term in TERMS}  # one term alone
    node["teacher"].click()
    about = root.locator("[data-name=about]").inner_text()
    expect(root.locator("[aria-live=polite]")).to_have_text(about)
    check_ledger(root)
    assert about.endswith("It uses, but does not teach, the branches and the self-teacher.")
    assert root.locator(".mlw-arrow[data-faint=false][data-state=detached]").count() == 4
    node["critic"].focus()
    page.keyboard.press("Enter")
    about = root.locator("[data-name=about]").inner_text()
    assert about.endswith("Turned, its gradient goes to the backbone and the branches.")
    assert node["teacher"].get_attribute("aria-pressed") == "false"
    check_ledger(root)
    node["critic"].focus()
    page.keyboard.press("Space")
    assert root.locator(".mlw-term[aria-pressed=true]").count() == 0
    button["adversarial"].click()

    for term in TERMS:  # each alone, then none
        for other in TERMS:
            if pressed(root, other) != (other == term):
                button[other].click()
        assert check_ledger(root)[0] == [term]
    button[TERMS[-1]].click()
    assert check_ledger(root)[0] == []
    assert run_code(copied(root))[1] == ""
    button["published"].click()
    check_ledger(root)


def state_of(root: Any) -> dict[str, Any]:
    """What the page shows as chosen, by the traits' names."""
    on, options = chosen(root)
    found = root.locator(".mlw-term[aria-pressed=true]")
    selected = found.get_attribute("data-term") if found.count() else ""
    return json.loads(json.dumps({term: term in on for term in TERMS} | options | {"selected": selected}))
