"""Which loss term of MixSKD teaches what: the arrows of the loss ledger, as autograd has them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from mixlearn.methods.mixskd import TERMS
from mixlearn.page.ledger_net import PARTS, VALUES, Slopes, TinyNet

ROUNDING, NEAR = 0.02, 0.2  # slopes that rounding alone may give; how near those are that agree


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


@cache
def arrows(*, adversarial: bool = False, critics_learn: bool = True) -> dict[str, dict[str, Arrow]]:
    """Who learns from which term of MixSKD: by autograd, on a tiny network with drawn weights.

    Each place is moved a little: a term that changes depends on it. Autograd then says whether a gradient
    comes back, and whether it is the slope that the move has shown: it is not where a part is stopped.

    Args:
        adversarial, critics_learn: as for `mixlearn.learners.MixSKD`.

    Returns:
        For each term an `Arrow` by each of `VALUES` and `PARTS`.

    >>> arrows()["teacher"]["teacher on mixed"]
    Arrow(state='detached', sign=0, held=False)
    >>> arrows(adversarial=True)["critic"]["backbone"]
    Arrow(state='gradient', sign=-1, held=False)
    """
    moved, plain, found = _moved(), _autograd(False, True), _autograd(adversarial, critics_learn)
    return {
        term: {
            place: _arrow(moved[term][place], plain[term][place], found[term][place], place in VALUES)
            for place in (*VALUES, *PARTS)
        }
        for term in TERMS
    }


def learning(
    on: Sequence[str] = TERMS, *, adversarial: bool = False, critics_learn: bool = True
) -> dict[str, tuple[str, ...]]:
    """The terms that give gradient to each part. A part with none learns nothing.

    Args:
        on: the terms that are added up.
        adversarial, critics_learn: as for `mixlearn.learners.MixSKD`.

    Raises:
        ValueError: a term that there is not.

    >>> learning(("labels", "teacher"))["teacher"]
    ()
    """
    if unknown := [term for term in on if term not in TERMS]:
        raise ValueError(f"terms are {', '.join(TERMS)}, got {unknown[0]!r}")
    found = arrows(adversarial=adversarial, critics_learn=critics_learn)
    return {
        part: tuple(term for term in TERMS if term in on and found[term][part].state == "gradient")
        for part in PARTS
    }


def _arrow(moved: float, plain: float, found: float, value: bool) -> Arrow:
    """From the slope that a move shows, and those of autograd, not adversarial and as asked."""
    if not found:
        return Arrow("detached" if abs(moved) > ROUNDING else "none", 0, False)
    stopped = value and abs(abs(found) - abs(moved)) > NEAR * abs(moved)
    return Arrow("gradient", -1 if found * plain < 0 else 1, stopped)


@cache
def _moved() -> Slopes:
    return TinyNet().moved()


@cache
def _autograd(adversarial: bool, critics_learn: bool) -> Slopes:
    return TinyNet(critics_learn).autograd(adversarial)
