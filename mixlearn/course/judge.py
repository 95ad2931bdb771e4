"""From what a function did to a verdict.

An answer that agrees with the solution passes, whatever its code. Otherwise the wrong answer that agrees with
it on all inputs names the mistake. Answers that draw are compared by samples of some statistics: they agree
unless their distribution functions are further apart than chance allows once in 10¹⁰ times.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from itertools import islice, starmap, zip_longest
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from mixlearn.course.exercise import Exercise, explained
from mixlearn.course.inputs import Samples
from mixlearn.course.run import Outcome, perform

TOLERANCE = 2e-4  # relative, and absolute in units of the largest value
FLOATS = (torch.float32, torch.float64)
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
NAMED = ("never-returns", "too-slow", "process-ended", "unreadable", "input-changed", "global-generator")
# P(D > d) ≤ e exp(−2 d² n m / (n + m)) for any law (Wei and Dudley 2012): 24 comparisons, less than 4e-9.
CHANCE = 1e-10  # of a false alarm in one comparison of samples, with 2 in place of e


@dataclass(frozen=True)
class Verdict:
    """What `check` found; it prints itself.

    Args:
        exercise: its name.
        passed: whether the answer is right.
        mistake: the short, stable name of the mistake; None if there is none, or none that is known.
        message: what was seen on which small input, what was expected, and a hint.
        points: that the answer earns.
        worth: the points of a right answer.
        inputs: the arguments of the call that the message is about, by name.
    """

    exercise: str
    passed: bool
    mistake: str | None
    message: str
    points: int
    worth: int
    further: tuple[str, ...] = ()
    rows: Mapping[str, list[Tensor]] = field(default_factory=dict, repr=False, compare=False)
    inputs: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    _asked: list[None] = field(default_factory=list, repr=False, compare=False)

    def hints(self) -> None:
        """Print the hints so far; each call adds one, as long as there are more."""
        self._asked.append(None)
        print(*self.further[: len(self._asked)], sep="\n")

    def picture(self) -> Any:
        """A figure of the images, masks, boxes or matrices: what was given, yours and what was expected.

        Raises:
            ImportError: matplotlib, which draws it, is not installed.
            ValueError: there is nothing to be drawn.
        """
        if not self.rows:
            raise ValueError(f"there is nothing to draw: {self.exercise} or your result has no images")
        try:
            pyplot = import_module("matplotlib.pyplot")
        except ImportError as missing:
            raise ImportError("a verdict's picture needs matplotlib: pip install matplotlib") from missing
        panels = torch.cat([one.flatten() for row in self.rows.values() for one in row])
        low, high = panels[panels.isfinite()].aminmax()
        figure, axes = pyplot.subplots(len(self.rows), 4, squeeze=False, layout="constrained")
        for places, (title, row) in zip(axes, self.rows.items(), strict=True):
            places[0].set_title(title, loc="left")
            for place, panel in zip_longest(places, row):
                place.set(xticks=[], yticks=[], visible=panel is not None)
                if panel is not None:
                    place.imshow(((panel - low) / (high - low)).numpy(), cmap="gray", vmin=0, vmax=1)
        pyplot.close(figure)  # a notebook would show it twice
        return figure

    @property
    def state(self) -> str:
        """Right, or the mistake."""
        return "right" if self.passed else self.mistake or "a mistake without a name"

    def __repr__(self) -> str:
        head = "right" if self.passed else f"not yet right ({self.state})"
        more = f"\nFirst `v = _`, then `v.hints()` tells more{', `v.picture()` shows it' * bool(self.rows)}; "
        more = f"{more}`v.inputs` are the arguments." * bool(self.further)
        return f"{self.exercise}: {head}, {self.points} of {self.worth} points\n{self.message}{more}"

    def _repr_html_(self) -> str:
        colour = "#1a7f37" if self.passed else "#b35900"
        head, _, rest = repr(self).partition("\n")
        style = f"border-left: 4px solid {colour}; padding-left: 8px; white-space: pre-wrap"
        return f'<div style="{style}"><b>{html.escape(head)}</b><br>{html.escape(rest)}</div>'


def judge(exercise: Exercise, outcomes: list[Outcome], seed: int = 0) -> Verdict:
    """The verdict on the outcomes of `exercise.requests(seed)`; if some are missing, the last tells why."""
    trial = _Trial(exercise, outcomes, seed)
    fault = trial.conduct() or (trial.by_law() if exercise.observe else trial.by_value())
    rows = trial.rows(fault or Fault(None, ""))
    if fault is None:
        worth = exercise.points
        return Verdict(exercise.name, True, None, "All inputs agree.", worth, worth, (), rows)
    further = (exercise.hint, f"Print what each line of yours gives in {exercise.name}(**v.inputs).")
    given = zip(exercise.parameters, next(islice(exercise.requests(seed), fault.at, None)), strict=True)
    return replace(unjudged(exercise, *fault[:2]), further=further, rows=rows, inputs=dict(given))


def unjudged(exercise: Exercise, mistake: str | None, seen: str = "") -> Verdict:
    """The verdict on an answer with this mistake."""
    message = f"{seen}\n{explained(exercise.name, mistake)}".strip()
    return Verdict(exercise.name, False, mistake, message, 0, exercise.points)


class Fault(NamedTuple):
    """What is wrong: the mistake, if it has a name, what was seen, at which call and in which result."""

    mistake: str | None
    seen: str
    at: int = 0
    part: int = 0
    factor: float = 0  # of the whole result to what was expected, if it is one number


class _Trial:
    """The calls of an exercise and what an answer did."""

    def __init__(self, exercise: Exercise, outcomes: list[Outcome], seed: int) -> None:
        self.exercise, self.outcomes, self.seed = exercise, outcomes, seed
        self.given, self.cases = list(exercise.requests(seed)), exercise.cases(seed)

    def fault(self, mistake: str | None, seen: str, at: int, part: int = 0) -> Fault:
        """A fault, with the input of its call in words."""
        pairs = zip(self.exercise.parameters, self.given[at], strict=True)
        words = ", ".join(f"{name} = {_show(one)}" for name, one in pairs)
        return Fault(mistake and mistake.partition("#")[0], f"With {words}{seen}", at, part)  # `name#2`

    def conduct(self) -> Fault | None:
        """Mistakes not about the result: nothing written, out of time, inputs changed, other draws."""
        if (first := self.outcomes[0]).error in ("not-found", "wrong-parameters"):
            return Fault(first.error, f"Expected {self.exercise.signature}: {first.text}")
        kinds = {one.error or type(one.value) for one in self.outcomes[:3]}
        if kinds <= {"NotImplementedError", type(None)}:
            none = "NotImplementedError" in kinds
            return Fault("not-written" if none else "nothing-returned", "There is no result.")
        named = ((k, one) for k, one in enumerate(self.outcomes) if one.error in NAMED)
        return next((self.fault(one.error, f", {one.text}", k) for k, one in named), None)

    def unlike(self, got: Outcome, want: Outcome, values: bool = True) -> list[Fault]:
        """All differences from the outcome that was wanted; values alone give them no name."""
        if got.error or want.error:
            raised = Fault("raises", f"your function raised {got.error}: {got.text}")
            alike = (one.error + one.text.partition(" (line ")[0] for one in (got, want))
            return [raised] if len({*alike}) > 1 else []
        faults = _apart(got.value, want.value, [f"`{one}`" for one in self.exercise.results], values)
        if faults or not want.beside:
            return faults
        if got.beside is None:
            return [Fault("no-gradient", "the result has no gradient.", part=-1)]
        names = [f"the gradient of `{self.exercise.parameters[k]}`" for k in self.exercise.wanted]
        other = "wrong-gradient" if names else None
        faults = _apart(got.beside, want.beside, names or ["the new weight"])
        return [Fault(one.mistake or other, one.seen, part=-1) for one in faults]

    def by_value(self) -> Fault | None:
        """The first result that differs. A wrong answer that gives it too, at least there, names it."""
        right = self.done(self.exercise.solution)
        if not (found := self.beside(self.outcomes, right)):
            return None
        worst = mistake, seen, at, part, factor = min(found, key=lambda one: one.part < 0)  # values first
        for name, how in [*self.exercise.mistakes.items(), *self.exercise.together]:
            theirs = self.done(how)
            off = {one.part for one in self.beside(self.outcomes, theirs)}
            if not off:
                return self.fault(name, f", {worst[1]}", at, part)
            partly = mistake is None and part >= 0 and part not in off
            if partly and not (off - {-1}) & {one.part for one in self.beside(theirs, right)}:
                mistake, seen = name, f"{seen} (Another result may be wrong too.)"
        factors = [one.factor for one in found if one.part == part]
        alike = len(factors) == len(right) and max(factors) - min(factors) < TOLERANCE * abs(factor)
        if alike and mistake is None:
            seen += f" It is {factor:.4g} times the expected one, in every call."
        return self.fault(mistake, f", {seen}", at, part)

    def done(self, how: Callable[..., Any]) -> list[Outcome]:
        return [perform(how, one, self.exercise.wanted) for one in self.exercise.requests(self.seed)]

    def beside(self, these: list[Outcome], those: list[Outcome]) -> list[Fault]:
        pairs = enumerate(zip(these, those, strict=True))
        return [one._replace(at=k) for k, pair in pairs for one in self.unlike(*pair)]

    def by_law(self) -> Fault | None:
        """The statistic that is furthest from its law; the wrong answer of the same law names the mistake."""
        exercise, count, draws = self.exercise, len(self.cases), self.exercise.draws
        examples = [Outcome(exercise.solution(*one)) for one in self.cases]
        for k, outcome in enumerate(self.outcomes):
            for fault in self.unlike(outcome, examples[k % count], values=False):
                return self.fault(fault.mistake, f", {fault.seen}", k)
        values = [one.value for one in self.outcomes]
        if any(starmap(_apart, zip(values[:count], values[count : 2 * count], strict=True))):
            return self.fault("not-repeatable", " in the same state, two results differ.", 0)
        observed = _observed(exercise, values)
        wanted = _sampled(exercise, exercise.solution, 2 * draws)
        worst, at, name = self.furthest(observed, wanted, exact=True)
        if worst <= 1:
            return None
        scores = [(1.0, "")]
        for wrong, how in [*exercise.mistakes.items(), *exercise.together]:
            if self.furthest(observed, _sampled(exercise, how, draws // 4))[0] < 0.7:
                scores.append((self.furthest(observed, _sampled(exercise, how, draws))[0], wrong))
        mine, theirs = (_range(one[at][name]) for one in (observed, wanted))
        return self.fault(min(scores)[1] or None, f": {name} is {mine}, expected {theirs}.", at)

    def furthest(self, a: list[Samples], b: list[Samples], exact: bool = False) -> tuple[float, int, str]:
        """The statistic whose samples are furthest apart, by `apart`; its case and name."""
        pairs, slack = enumerate(zip(a, b, strict=True)), self.exercise.slack
        found = ((apart(x[n], y[n], slack.get(n, 1e-5), exact), k, n) for k, (x, y) in pairs for n in y)
        return max(found, key=lambda one: one[0])

    def rows(self, fault: Fault) -> dict[str, list[Tensor]]:
        """What a picture shows: up to four images of a call, or draws; nothing where there are none."""
        count, named = len(self.cases), dict(zip(self.exercise.parameters, self.given[fault.at], strict=True))
        calls = range(fault.at + count, len(self.outcomes), count)[:4] if self.exercise.draws else [fault.at]
        shown = {
            "images": [] if fault.part else [named.get("images")],
            "yours": [self.outcomes[k].value for k in calls],
            "expected": [self.exercise.solution(*self.given[k]) for k in calls],
        }
        size = named["saliency"].shape if "saliency" in named else (named.get("height"), named.get("width"))
        of = (fault.part, size if "x0" in self.exercise.results else None)
        rows = {name: [x for one in some for x in _panels(one, *of)][:4] for name, some in shown.items()}
        return {name: row for name, row in rows.items() if row} if rows["yours"] and rows["expected"] else {}


def tensor_of(value: Any) -> Tensor | None:
    """Numbers, tensors and lists of them as one tensor; None for anything else."""
    try:
        parts = [torch.as_tensor(one) for one in value] if isinstance(value, (list, tuple)) else []
        return torch.stack(parts) if parts else torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _apart(got: Any, want: Any, names: Sequence[str] = (), values: bool = True) -> list[Fault]:
    """All differences of two results, or of their forms alone, and in which of their parts they are."""
    if isinstance(want, Mapping):
        if not isinstance(got, Mapping) or set(got) != set(want):
            return [Fault("wrong-type", f"expected {_show(want)}, got {_show(got, 0)}.")]
        got, want, names = [got[k] for k in want], list(want.values()), [f"`{k}`" for k in want]
    elif not isinstance(want, (list, tuple)):
        got, want = [got], [want]
    elif isinstance(got, Tensor) and got.dim() == 1 and not isinstance(want[0], Tensor):
        got = list(got)  # a box as one tensor
    if not isinstance(got, list) or len(got) != len(want):
        words = f" ({', '.join(names)})" if names else ""
        seen = f"expected {len(want)} results{words}, got {_show(got, 0)}."
        return [Fault("wrong-type", seen, part=n) for n in range(len(want))]
    triples = zip(got, map(torch.as_tensor, want), names or ["the result"] * len(want), strict=True)
    faults = (_difference(*one, values) for one in triples)
    return [one._replace(part=n) for n, one in enumerate(faults) if one]


def _difference(given: Any, want: Tensor, at: str, values: bool) -> Fault | None:
    """How a result differs from a tensor, in its form or, if asked for, in its values."""
    if (got := tensor_of(given)) is None:
        return Fault("wrong-type", f"expected numbers in {at}, got {_show(given)}.")
    kinds, words = (FLOATS, "float32 or float64") if want.is_floating_point() else (WHOLE, "whole numbers")
    if got.dtype not in kinds and type(given) is not int:
        return Fault("wrong-dtype", f"expected {at} as {words}, got {got.dtype}.")
    if got.device != want.device:
        return Fault("wrong-device", f"{at} is on {got.device}, the input on {want.device}.")
    if got.shape != want.shape:
        return Fault("wrong-shape", f"expected {at} as {_show(want, 0)}, got {_show(got, 0)}.")
    if not got.isfinite().all() and want.isfinite().all():
        return Fault("not-finite", f"{at} holds NaN or infinity.")
    if not values:
        return None
    mine, theirs = got.detach().double(), want.detach().double()
    large = max([1e-3, *theirs[theirs.isfinite()].abs().tolist()])
    off = ~torch.isclose(mine, theirs, rtol=TOLERANCE, atol=TOLERANCE * large, equal_nan=True)
    if not off.any():
        return None
    factor = float((mine * theirs).sum() / theirs.square().sum().clamp(min=1e-12))
    factor *= bool(torch.allclose(mine, factor * theirs, TOLERANCE, TOLERANCE * large))
    if want.numel() <= 8:
        return Fault(None, f"expected {at} = {_show(want)}, got {_show(got)}.", factor=factor)
    place = tuple(off.nonzero()[0].tolist())
    where = f"{at}[{', '.join(map(str, place))}]"
    seen = f"expected {where} = {_show(float(want[place]))}, got {_show(float(got[place]))}."
    return Fault(None, seen, factor=factor)


def _show(value: Any, most: int = 8) -> str:
    """A value in a few words; tensors of up to `most` numbers by all of them."""
    if isinstance(value, Tensor):
        if value.numel() > most or value.is_meta:
            return f"a tensor {tuple(value.shape)}" if value.dim() else "a scalar tensor"
        return re.sub(r"-?\d+\.\d*(e-?\d+)?", lambda one: _show(float(one[0])), str(value.tolist()))
    if isinstance(value, (int, float)):
        return f"{value + 0:.4g}"
    if isinstance(value, Mapping):
        return f"a dict of {', '.join(map(str, value))}"
    if isinstance(value, list):
        return f"{len(value)} results"
    known = {Generator: "a generator", nn.Sequential: "a linear network", torch.optim.SGD: "SGD"}
    return value if isinstance(value, str) else known.get(type(value), type(value).__name__)


def _observed(exercise: Exercise, values: list[Any]) -> list[Samples]:
    """For each case, each statistic of all its calls but the first, in double precision."""
    found, cases = [], exercise.cases(0)
    for k, case in enumerate(cases):
        some = values[k + len(cases) :: len(cases)]
        parts = zip(*some, strict=True) if exercise.results else [some]
        stacks = [torch.stack([torch.as_tensor(one).double() for one in part]) for part in parts]
        found.append(exercise.observe(case, *stacks))  # type: ignore[misc]
    return found


@cache
def _sampled(exercise: Exercise, how: Callable[..., Any], draws: int) -> list[Samples]:
    """The same of a function of ours, with seeds of their own; the cases are those of every seed."""
    return _observed(exercise, [how(*one) for one in exercise.inputs(2**40, draws)])


def _range(values: Tensor) -> str:
    low, mean, high = (f"{float(one):.3g}" for one in (values.min(), values.mean(), values.max()))
    return low if low == high else f"{low} to {high}, {mean} on average"


def apart(one: Tensor, other: Tensor, slack: float, exact: bool = False) -> float:
    """How far two samples are apart beyond a shift of `slack`, in units of what chance allows.

    The Kolmogorov–Smirnov distance. `exact`: where the other sample is one number, no deviation is allowed.
    """
    if exact and float(other.max() - other.min()) <= 1e-6:
        return 1e6 * float((one - other[0]).abs().max() > slack)
    a, b, gaps = one.sort().values, other.sort().values, []
    for low, high in ((a, b), (b, a)):  # by how much one distribution function is above the other
        share = torch.arange(1, len(low) + 1) / len(low)
        gaps.append((share - torch.searchsorted(high, low + slack, right=True) / len(high)).max())
    return float(max(gaps)) / math.sqrt(math.log(2 / CHANCE) / 2 * (1 / len(a) + 1 / len(b)))


def _panels(value: Any, part: int, size: Any) -> list[Tensor]:
    """A result as images (H, W) or (H, W, 3): a batch, the patches of one, a matrix, a box in its image."""
    if size and (box := tensor_of(value)) is not None and box.shape == (4,):  # a margin for what hangs over
        y, x = torch.meshgrid(*(torch.arange(-(n // 2), n + n // 2) for n in size), indexing="ij")
        pairs = (0, 0, size[1], size[0]), box.tolist()
        image, inside = ((y >= y0) & (y < y1) & (x >= x0) & (x < x1) for x0, y0, x1, y1 in pairs)
        return [0.4 * image + 0.6 * inside]
    value = value[part] if isinstance(value, (list, tuple)) and len(value) > part else value
    if not isinstance(value, Tensor) or value.is_meta or value.dim() not in (2, 4, 5):
        return []
    value = value[0] if value.dim() == 5 else value[None, None] if value.dim() == 2 else value
    pixels = value.detach().double().movedim(1, 3)
    return list(pixels if pixels.shape[3] == 3 else pixels.mean(3))
