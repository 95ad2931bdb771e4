"""The loss ledger: which loss term of MixSKD teaches what, and what leaving it out has cost."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from torch import Tensor, nn

from mixlearn.methods.mixskd import TERMS, MixSKD
from mixlearn.page.host import ASSETS
from mixlearn.page.tables import SEEDS
from mixlearn.page.widget import one_of, widget
from mixlearn.train.records import Interval, load, names

VALUES = (
    "clean logits",
    *("interpolated maps", "mixed maps"),
    *("interpolated branch logits", "mixed branch logits"),
    *("interpolated own logits", "mixed own logits"),
    *("teacher on interpolated", "teacher on mixed"),
)
PARTS = ("backbone", "branches", "heads", "teacher", "critics")
WHOLE = "mixskd"
RECORD = "mixskd-fashion-{}"  # name of a record, by the way to train
WAYS = (WHOLE, *(f"no-{term}" for term in TERMS), "adversarial", "released")
FILE = ASSETS / "ledger.json"  # written by data/make_ledger.py


class Arrow(NamedTuple):
    """What passes between a loss term and a place: one of `VALUES` or of `PARTS`.

    `state` is "none" where the term does not depend on the place, "gradient" where it teaches it, and
    "detached" where it uses the value and no gradient comes back. `sign` is 1 for a gradient, −1 for one that
    `adversarial` has turned, else 0. `held` is true for values that a term teaches and, in another of its
    summands, takes as a target held fixed.
    """

    state: str
    sign: int
    held: bool


class Effect(NamedTuple):
    """The `accuracy` of a way to train; `gain`: its difference to the whole method, seed by seed."""

    accuracy: Interval
    gain: Interval | None


def parts_of(net: Any, learner: MixSKD) -> dict[str, list[Tensor]]:
    """The weights of a network and of MixSKD's learner, by the part that they belong to.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> {part: len(weights) for part, weights in parts_of(net, ml.learners.MixSKD(net)).items()}
    {'backbone': 27, 'branches': 27, 'heads': 6, 'teacher': 3, 'critics': 12}
    """

    def split(module: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
        named: list[tuple[str, Tensor]] = list(module.named_parameters())
        heads = [weight for name, weight in named if ".head." in f".{name}"]
        return [weight for name, weight in named if ".head." not in f".{name}"], heads

    (backbone, own), (branches, others) = split(net), split(learner.side)
    weights: list[list[Tensor]] = [backbone, branches, [*own, *others]]
    weights += [list(learner.teacher.parameters()), list(learner.critics.parameters())]
    return dict(zip(PARTS, weights, strict=True))


@cache
def _table() -> dict[str, dict[str, dict[str, list[Any]]]]:
    """By "01" for not adversarial and critics that learn: the arrows that there are, by term and place."""
    table: dict[str, dict[str, dict[str, list[Any]]]] = json.loads(FILE.read_text(encoding="utf-8"))
    return table


def arrows(*, adversarial: bool = False, critics_learn: bool = True) -> dict[str, dict[str, Arrow]]:
    """Who learns from which term of MixSKD: by autograd, on a tiny network with random weights.

    `data/make_ledger.py` made the table: a term that changes when a place is moved a little depends on it;
    autograd shows whether a gradient comes back, and whether part of it is stopped.

    Args:
        adversarial, critics_learn: as for `mixlearn.learners.MixSKD`.

    Returns:
        For each term an `Arrow` by each of `VALUES` and `PARTS`.

    >>> arrows()["teacher"]["teacher on mixed"]
    Arrow(state='detached', sign=0, held=False)
    >>> arrows(adversarial=True)["critic"]["backbone"]
    Arrow(state='gradient', sign=-1, held=False)
    """
    rows, none = _table()[f"{bool(adversarial):d}{bool(critics_learn):d}"], ("none", 0, False)
    return {
        term: {place: Arrow(*rows[term].get(place, none)) for place in (*VALUES, *PARTS)} for term in TERMS
    }


def learning(
    on: Sequence[str] = TERMS, *, adversarial: bool = False, critics_learn: bool = True
) -> dict[str, tuple[str, ...]]:
    """The terms that give gradient to each part. A part with none learns nothing.

    Args:
        on: the terms that are added up.
        adversarial, critics_learn: as for `mixlearn.learners.MixSKD`.

    >>> learning(("labels", "teacher"))["teacher"]
    ()
    """
    _check_terms(on)
    table = arrows(adversarial=adversarial, critics_learn=critics_learn)
    return {
        part: tuple(term for term in TERMS if term in on and table[term][part].state == "gradient")
        for part in PARTS
    }


def effects(where: str | os.PathLike[str] | None = None) -> dict[str, Effect | None]:
    """The measured accuracy of MixSKD, whole, without each of its terms, adversarial and as released.

    Args:
        where: another folder of records than the book's.

    Returns:
        An `Effect` by each of `WAYS`; None where there is no record of three seeds yet. The gain is None for
        the whole method itself, and where other seeds were run.

    >>> list(effects())[:3]
    ['mixskd', 'no-labels', 'no-mixed']
    """
    known = set(names(where))
    records = {way: load(name, where) for way in WAYS if (name := RECORD.format(way)) in known}
    records = {way: record for way, record in records.items() if len(record.runs) >= SEEDS}
    whole = records.get(WHOLE)
    measured: dict[str, Effect | None] = dict.fromkeys(WAYS)
    for way, record in records.items():
        alike = whole is not None and way != WHOLE and whole.seeds == record.seeds
        measured[way] = Effect(record.measured("accuracy"), record.gain(whole) if whole and alike else None)
    return measured


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
        effects: as `mixlearn.page.ledger.effects` gives them; None reads the records.

    Returns:
        A widget with a trait of each term's name ("labels", "mixed" …: whether it is on), and `adversarial`,
        `critics_learn` and `selected`.

    >>> ledger = loss_ledger(ablate=("mixed",), critics_learn=False)
    >>> ledger.labels, ledger.mixed, ledger.alt
    (True, False, 'Loss ledger of MixSKD without mixed: the self-teacher and the critics learn nothing')
    """
    if isinstance(ablate, str):
        raise TypeError(f"ablate must be a sequence of terms, got the string {ablate!r}; write ({ablate!r},)")
    _check_terms((*ablate, *([selected] if selected else [])))
    measured = _recorded() if effects is None else effects
    if unknown := [way for way in measured if way not in WAYS]:
        raise ValueError(f"effects are of {', '.join(WAYS)}, got {unknown[0]!r}")
    on = [term for term in TERMS if term not in ablate]
    state = {
        **{term: term in on for term in TERMS},
        "adversarial": bool(adversarial),
        "critics_learn": bool(critics_learn),
        "selected": selected,
        "arrows": _table(),
        "effects": [_effect(way, measured.get(way)) for way in WAYS],
        "measured_on": _setting() if effects is None and measured[WHOLE] is not None else "",
    }
    without = f" without {_listed(list(ablate))}" if ablate else ""
    words = f"Loss ledger of MixSKD{without}: {_idle(on, adversarial, critics_learn)}"
    rule = one_of(("", *TERMS))
    selects = {"selected": lambda _, term: rule(_, term) and f"{one_of(TERMS)(_, term)}, or empty"}
    return widget("loss_ledger", state, "", words, selects)


_recorded = effects


def _check_terms(terms: Sequence[str]) -> None:
    if unknown := [term for term in terms if term not in TERMS]:
        raise ValueError(f"terms are {', '.join(TERMS)}, got {unknown[0]!r}")


def _effect(way: str, effect: Effect | None) -> dict[str, str]:
    """A measured way to train in words, in hundredths; empty where nothing was measured."""
    if effect is None:
        return {"way": way, "accuracy": "", "gain": ""}
    plus = "+" if effect.gain is not None and effect.gain.mean > 0 else ""
    gain = "" if effect.gain is None else plus + effect.gain.percent()
    gain = gain.replace("+0.0 ", "0.0 ").replace("−0.0 ", "0.0 ")
    return {"way": way, "accuracy": effect.accuracy.percent(), "gain": gain}


def _setting() -> str:
    """What the records were trained on, in words."""
    record = load(RECORD.format(WHOLE))
    s = record.settings
    trained = f"{s['images']} images, {s['network']}, {s['epochs']} epochs"
    return f"Fashion-MNIST, {trained}, {len(record.runs)} seeds"


def _idle(on: Sequence[str], adversarial: bool, critics_learn: bool) -> str:
    """Which parts learn nothing, in words."""
    if not on:
        return "no term is on"
    taught = learning(on, adversarial=adversarial, critics_learn=critics_learn)
    idle = ["the self-teacher" if part == "teacher" else f"the {part}" for part in PARTS if not taught[part]]
    if not idle:
        return "every part learns"
    one = len(idle) == 1 and idle[0] in ("the backbone", "the self-teacher")
    return f"{_listed(idle)} {'learns' if one else 'learn'} nothing"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
