"""The loss ledger: the graph of MixSKD's terms, who learns from each, and what leaving it out has cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mixlearn.methods.mixskd import TERMS
from mixlearn.page.ledger import arrows, learning
from mixlearn.page.ledger_effects import RECORD, WAYS, WHOLE, Effect
from mixlearn.page.ledger_effects import effects as recorded
from mixlearn.page.ledger_net import PARTS
from mixlearn.page.widget_live import widget
from mixlearn.train.records import load


def loss_ledger(
    ablate: Sequence[str] = (),
    *,
    adversarial: bool = False,
    critics_learn: bool = True,
    selected: str = "",
    effects: Mapping[str, Effect | None] | None = None,
) -> Any:
    """Switch MixSKD's terms on and off: which arrows carry gradient, and which part learns nothing.

    The arrows come from autograd on a tiny network, `mixlearn.page.ledger.arrows`; the effects come from the
    run records of chapter 6. Where there is no record yet, the page says so.

    Args:
        ablate: terms that are off to begin with.
        adversarial, critics_learn: as for `mixlearn.learners.MixSKD`, to begin with. The released
            CIFAR script is `ablate=("mixed",), critics_learn=False`; that it also halves the critics' term
            changes no arrow.
        selected: a term whose arrows alone are shown to begin with; "" shows those of all terms.
        effects: as `mixlearn.page.ledger_effects.effects` gives them; None reads the records.

    Returns:
        A widget with a trait of each term's name ("labels", "mixed" …: whether it is on), and `adversarial`,
        `critics_learn` and `selected`.

    Raises:
        TypeError: `ablate` is a string.
        ValueError: a term or a way to train that there is not.

    >>> ledger = loss_ledger(ablate=("mixed",), critics_learn=False)
    >>> ledger.labels, ledger.mixed, ledger.alt
    (True, False, 'Loss ledger of MixSKD without mixed: the self-teacher and the critics learn nothing')
    """
    if isinstance(ablate, str):
        raise TypeError(f"ablate must be a sequence of terms, got the string {ablate!r}; write ({ablate!r},)")
    for term in (*ablate, *([selected] if selected else [])):
        if term not in TERMS:
            raise ValueError(f"terms are {', '.join(TERMS)}, got {term!r}")
    measured = recorded() if effects is None else effects
    if unknown := [way for way in measured if way not in WAYS]:
        raise ValueError(f"effects are of {', '.join(WAYS)}, got {unknown[0]!r}")
    on = [term for term in TERMS if term not in ablate]
    state = {
        **{term: term in on for term in TERMS},
        "adversarial": bool(adversarial),
        "critics_learn": bool(critics_learn),
        "selected": selected,
        "arrows": {f"{a:d}{c:d}": _told(bool(a), bool(c)) for a in (0, 1) for c in (0, 1)},
        "effects": [_effect(way, measured.get(way)) for way in WAYS],
        "measured_on": _setting() if effects is None and measured[WHOLE] is not None else "",
    }
    words = f"Loss ledger of MixSKD{_without(ablate)}: {_idle(on, adversarial, critics_learn)}"
    return widget("loss_ledger", state, "", words)


def _told(adversarial: bool, critics_learn: bool) -> dict[str, dict[str, list[Any]]]:
    """The arrows that there are, as the page reads them."""
    found = arrows(adversarial=adversarial, critics_learn=critics_learn)
    return {
        term: {place: list(arrow) for place, arrow in row.items() if arrow.state != "none"}
        for term, row in found.items()
    }


def _effect(way: str, effect: Effect | None) -> dict[str, str]:
    """A measured way to train in words, in hundredths; empty where nothing was measured."""
    if effect is None:
        return {"way": way, "accuracy": "", "gain": ""}
    gain = "" if effect.gain is None else effect.gain.percent()
    plus = "+" if effect.gain is not None and effect.gain.mean > 0 else ""
    return {"way": way, "accuracy": effect.accuracy.percent(), "gain": plus + gain}


def _setting() -> str:
    """What the records were trained on, in words."""
    record = load(RECORD.format(WHOLE))
    said = record.settings
    return (
        f"Fashion-MNIST, {said['images']} images, {said['network']}, {said['epochs']} epochs, "
        f"{len(record.runs)} seeds"
    )


def _without(ablate: Sequence[str]) -> str:
    return f" without {_listed(list(ablate))}" if ablate else ""


def _idle(on: Sequence[str], adversarial: bool, critics_learn: bool) -> str:
    """Which parts learn nothing, in words."""
    if not on:
        return "no term is on"
    found = learning(on, adversarial=adversarial, critics_learn=critics_learn)
    names = ["the self-teacher" if part == "teacher" else f"the {part}" for part in PARTS if not found[part]]
    if not names:
        return "every part learns"
    one = len(names) == 1 and names[0] in ("the backbone", "the self-teacher")
    return f"{_listed(names)} {'learns' if one else 'learn'} nothing"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
