"""From what a function did to a verdict.

An answer that agrees with the solution passes, whatever its code. Otherwise the wrong answer that agrees with
it on all inputs names the mistake. Answers that draw are compared by samples of some statistics: they agree
unless their distribution functions are further apart than chance allows once in 10¹⁰ times.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mixlearn.course.exercise import Cases, Exercise, Samples, explained
from mixlearn.course.run import Net, Odd, Outcome, Request, Seed, Sgd, perform

Call = Callable[[list[Request]], list[Outcome]]
TOLERANCE = 2e-4  # relative, and absolute in units of the largest value
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
CHANCE = 1e-10  # of a false alarm in one comparison of samples


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
    """

    exercise: str
    passed: bool
    mistake: str | None
    message: str
    points: int
    worth: int
    further: tuple[str, ...] = ()
    _asked: list[None] = field(default_factory=list, repr=False, compare=False)

    def hints(self) -> list[str]:
        """The hints so far; each call adds one, as long as there are more."""
        self._asked.append(None)
        return list(self.further[: len(self._asked)])

    def __repr__(self) -> str:
        head = "right" if self.passed else f"not yet right ({self.mistake or 'a mistake without a name'})"
        more = "\n`hints()` tells more." if self.further and not self.passed else ""
        return f"{self.exercise}: {head}, {self.points} of {self.worth} points\n{self.message}{more}"

    def _repr_html_(self) -> str:
        colour = "#1a7f37" if self.passed else "#b35900"
        head, _, rest = repr(self).partition("\n")
        inner = f"<b>{html.escape(head)}</b><br>{html.escape(rest)}"
        style = f"border-left: 4px solid {colour}; padding-left: 8px; white-space: pre-wrap"
        return f'<div style="{style}">{inner}</div>'


def judge(exercise: Exercise, call: Call, seed: int = 0) -> Verdict:
    """The verdict on a function that `call` calls, once for each request.

    `call` may give back fewer outcomes than it was asked for: the last one then tells why.
    """
    requests = exercise.requests(seed)
    outcomes = call(requests)
    fault = _conduct(exercise, requests, outcomes)
    if fault is None and exercise.observe is None:
        fault = _by_value(exercise, requests, outcomes)
    elif fault is None:
        fault = _by_law(exercise, requests, outcomes, seed)
    if fault is None:
        return Verdict(exercise.name, True, None, "All inputs agree.", exercise.points, exercise.points)
    name, seen = fault
    example = exercise.text.partition(">>>")[2]
    further = (exercise.hint, f"Work this example by hand, then with your function: >>>{example}")
    message = f"{seen}\n{explained(exercise.name, name)}".strip()
    return Verdict(exercise.name, False, name, message, 0, exercise.points, further)


Fault = tuple[str | None, str]  # the mistake's name, and what was seen


def _conduct(exercise: Exercise, requests: list[Request], outcomes: list[Outcome]) -> Fault | None:
    """Mistakes that are not about the result: errors that no wrong answer has, inputs changed, draws."""
    last, shown = outcomes[-1], describe(exercise, requests[len(outcomes) - 1])
    if all(o.error == "NotImplementedError" or not (o.error or _given(o)) for o in outcomes[:3]):
        return "not-written", "This function is not yet written."
    if len(outcomes) < len(requests):
        return last.error, f"{shown}, {last.text}"
    for request, outcome in zip(requests, outcomes, strict=True):
        if outcome.changed >= 0:
            seen = f"{describe(exercise, request)}, `{exercise.parameters[outcome.changed]}` was changed."
            return "input-changed", seen
    if last.drew:
        return "global-generator", f"{last.drew} global generator was used."
    return None


def _given(outcome: Outcome) -> bool:
    value = outcome.value.get("returned", 0) if isinstance(outcome.value, dict) else outcome.value
    return not (value is None or value is ... or value == Odd("ellipsis"))


def _raised(exercise: Exercise, request: Request, outcome: Outcome) -> Fault:
    return "raises", f"{describe(exercise, request)}, your function raised {outcome.error}: {outcome.text}"


# ---------------------------------------------------------------------------------- answers that do not draw
def _by_value(exercise: Exercise, requests: list[Request], outcomes: list[Outcome]) -> Fault | None:
    expected = [perform(exercise.solution, one) for one in requests]
    found = [unlike(*pair, exercise.results) for pair in zip(outcomes, expected, strict=True)]
    k = next((k for k, one in enumerate(found) if one), None)
    if k is None:
        return None
    first = found[k]
    assert first is not None
    seen = f"{describe(exercise, requests[k])}, {first.text}"
    for name, how in exercise.mistakes.items():
        theirs = (perform(how, one) for one in requests)
        if all(unlike(o, t, ()) is None for o, t in zip(outcomes, theirs, strict=False)):
            return name, seen
    if outcomes[k].error:
        return _raised(exercise, requests[k], outcomes[k])
    named = _in_part(exercise, requests, outcomes, expected) if first.kind == "value" else None
    if named:
        return named, f"{seen} (Another result may be wrong too.)"
    return (None if first.kind == "value" else first.kind), seen


def _in_part(
    exercise: Exercise, requests: list[Request], outcomes: list[Outcome], expected: list[Outcome]
) -> str | None:
    """Of several results the first that is wrong may agree with a wrong answer, though others do not."""
    got, want = ([_leaves(one.value) for one in each] for each in (outcomes, expected))
    differs = [
        n for n in range(len(want[0])) if any(_apart(g[n], w[n], "") for g, w in zip(got, want, strict=True))
    ]
    if len(want[0]) < 2 or not differs:
        return None
    for name, how in exercise.mistakes.items():
        theirs = [_leaves(perform(how, one).value) for one in requests]
        if all(not _apart(g[differs[0]], t[differs[0]], "") for g, t in zip(got, theirs, strict=True)):
            return name
    return None


def _leaves(value: Any) -> list[Any]:
    """The results one after the other; where they are not as many as expected, no part is named."""
    values = (
        value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else None
    )
    return [value] if values is None else [leaf for one in values for leaf in _leaves(one)]


class Unlike(NamedTuple):
    """The first difference between two results."""

    kind: str
    text: str


def unlike(got: Outcome, want: Outcome, parts: Sequence[str]) -> Unlike | None:
    """How an outcome differs from the one that was wanted, if it does."""
    if got.error or want.error:
        return None if got.error == want.error else Unlike("raises", f"{got.error or 'no error'}: {got.text}")
    found = _apart(got.value, want.value, "", parts)
    if found or want.gradients is None:
        return found
    if got.gradients is None:
        return Unlike("no-gradient", "the result has no gradient.")
    for one, other in zip(got.gradients, want.gradients, strict=True):
        if found := _apart(one, other, "the gradient"):
            return Unlike("wrong-gradient" if found.kind == "value" else found.kind, found.text)
    return None


def _apart(got: Any, want: Any, at: str, parts: Sequence[str] = ()) -> Unlike | None:
    if isinstance(want, Mapping):
        if not isinstance(got, Mapping) or set(got) != set(want):
            names = f"a dict of {', '.join(want)}"
            return Unlike("wrong-type", f"expected {names}, got {_kind(got)}{at and ' in ' + at}.")
        pairs = [(got[name], want[name], f"`{name}`", parts) for name in want]
        return next(filter(None, (_apart(*pair) for pair in pairs)), None)
    if isinstance(want, (list, tuple)):
        if isinstance(got, Tensor) and got.dim() == 1 and not any(isinstance(one, Tensor) for one in want):
            got = list(got)  # a box as one tensor
        if not isinstance(got, (list, tuple)) or len(got) != len(want):
            names = f"{len(want)} results{f' ({chr(44).join(parts)})' if parts else ''}".replace(",", ", ")
            return Unlike("wrong-type", f"expected {names}, got {_kind(got)}.")
        names_of = [f"`{part}`" for part in parts] or [f"result {k + 1}" for k in range(len(want))]
        triples = zip(got, want, names_of, strict=True)
        return next(filter(None, (_apart(*triple) for triple in triples)), None)
    return _apart_tensors(got, torch.as_tensor(want), at or "the result")


def tensor_of(value: Any) -> Tensor | None:
    """Numbers, tensors and lists of them as one tensor; None for anything else."""
    if isinstance(value, Tensor):
        return value
    try:
        if isinstance(value, (list, tuple)) and value and any(isinstance(one, Tensor) for one in value):
            return torch.stack([torch.as_tensor(one) for one in value])
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _tensors(value: Any) -> Any:
    """A result as tensors, whatever form it has."""
    return [tensor_of(one) for one in value] if isinstance(value, (list, tuple)) else tensor_of(value)


def _apart_tensors(given: Any, want: Tensor, at: str) -> Unlike | None:
    got = None if isinstance(given, Odd) else tensor_of(given)
    if got is None:
        return Unlike("wrong-type", f"expected numbers in {at}, got {_kind(given)}.")
    if got.device != want.device:
        return Unlike("wrong-device", f"{at} is on {got.device}, the input on {want.device}.")
    if got.shape != want.shape:
        return Unlike("wrong-shape", f"expected {at} of shape {_shape(want)}, got {_shape(got)}.")
    floats = (torch.float32, torch.float64)
    number = isinstance(given, (int, float)) and not isinstance(given, bool)
    if want.is_floating_point() and not (got.dtype in floats or number):
        return Unlike("wrong-dtype", f"expected {at} as float32 or float64, got {got.dtype}.")
    if not want.is_floating_point() and got.dtype not in WHOLE:
        return Unlike("wrong-dtype", f"expected {at} as whole numbers, got {got.dtype}.")
    mine, theirs = got.detach().double(), want.detach().double()
    if not bool(mine.isfinite().all()) and bool(theirs.isfinite().all()):
        return Unlike("not-finite", f"{at} holds NaN or infinity.")
    large = float(theirs[theirs.isfinite()].abs().max()) if theirs.isfinite().any() else 1.0
    off = ~torch.isclose(mine, theirs, rtol=TOLERANCE, atol=TOLERANCE * max(large, 1e-3), equal_nan=True)
    if not bool(off.any()):
        return None
    if want.numel() <= 8:
        return Unlike("value", f"expected {at} = {_show(want)}, got {_show(got)}.")
    place = tuple(int(k) for k in off.nonzero()[0])
    where = f"{at}[{', '.join(map(str, place))}]"
    return Unlike("value", f"expected {where} = {float(want[place]):.4g}, got {float(got[place]):.4g}.")


def _kind(value: Any) -> str:
    if isinstance(value, Odd):
        return value.name
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, Mapping):
        return f"a dict of {', '.join(map(str, value))}"
    return f"a tensor {_shape(value)}" if isinstance(value, Tensor) else type(value).__name__


def _shape(value: Tensor) -> str:
    return str(tuple(value.shape)) if value.dim() else "() (a scalar)"


def _show(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, Tensor):
        if value.numel() > 8:
            return f"a tensor {_shape(value)}"
        rounded = [float(f"{one:.4g}") if isinstance(one, float) else one for one in value.flatten().tolist()]
        return str(rounded if value.dim() else rounded[0])
    marks = {Seed: "a generator", Net: "a linear network", Sgd: "SGD"}
    if type(value) in marks:
        return marks[type(value)]
    return f"a dict of {', '.join(value)}" if isinstance(value, Mapping) else f"{value:.4g}"


def describe(exercise: Exercise, request: Request) -> str:
    """The input of one call, in words."""
    pairs = zip(exercise.parameters, request.arguments, strict=True)
    return "With " + ", ".join(f"{name} = {_show(one)}" for name, one in pairs)


# ----------------------------------------------------------------------------------------- answers that draw
def _by_law(exercise: Exercise, requests: list[Request], outcomes: list[Outcome], seed: int) -> Fault | None:
    for request, outcome in zip(requests, outcomes, strict=True):
        if outcome.error:
            return _raised(exercise, request, outcome)
    cases, step = exercise.cases(seed), max(exercise.draws // 5, 1)
    for request, outcome in list(zip(requests, outcomes, strict=True))[::step]:
        found = _apart(outcome.value, perform(exercise.solution, request).value, "", exercise.results)
        if found and found.kind != "value":
            return found.kind, f"{describe(exercise, request)}, {found.text}"
    if _apart(outcomes[0].value, outcomes[1].value, ""):
        return "not-repeatable", f"{describe(exercise, requests[0])} in the same state, two results differ."
    observed = _observed(exercise, cases, [_tensors(one.value) for one in outcomes[1:]], exercise.draws)
    wanted = _sampled(exercise, exercise.solution, cases, seed, 2 * exercise.draws)
    for case, seen in zip(cases, observed, strict=True):
        if not all(bool(one.isfinite().all()) for one in seen.values()):
            return "not-finite", f"{describe(exercise, Request(case))}, the result holds NaN or infinity."
    worst, at, name = furthest(observed, wanted, exercise.slack, exact=True)
    if worst <= 1:
        return None
    mine, theirs = observed[at][name], wanted[at][name]
    text = f"{describe(exercise, Request(cases[at]))}: {name} is {_range(mine)}, expected {_range(theirs)}."
    scores = [(1.0, "")]
    for wrong, how in exercise.mistakes.items():
        for draws in (20, exercise.draws):  # most are ruled out by a few draws
            distance = furthest(observed, _sampled(exercise, how, cases, seed, draws), exercise.slack)[0]
            if distance > 1:
                break
        scores.append((distance, wrong))
    return min(scores)[1] or None, text


def _sampled(
    exercise: Exercise, how: Callable[..., Any], cases: Cases, seed: int, draws: int
) -> list[Samples]:
    """Samples of the statistics of a function of ours, from other seeds than those of the answer."""
    values = []
    for case in cases:
        for k in range(draws):
            source = torch.Generator().manual_seed(104_729 * seed + k + 1)
            values.append(how(*(source if isinstance(one, Seed) else one for one in case)))
    return _observed(exercise, cases, values, draws)


def _observed(exercise: Exercise, cases: Cases, values: list[Any], draws: int) -> list[Samples]:
    """For each case, each statistic over all its draws."""
    assert exercise.observe is not None
    found = []
    for k, case in enumerate(cases):
        each = [exercise.observe(case, one) for one in values[k * draws : (k + 1) * draws]]
        found.append({name: _stacked([one[name] for one in each]) for name in each[0]})
    return found


def _stacked(values: list[Any]) -> Tensor:
    """Numbers, or tensors of any shape, as one long vector."""
    if isinstance(values[0], Tensor):
        return torch.cat([one.flatten().double() for one in values])
    return torch.tensor(values, dtype=torch.float64)


def furthest(
    some: list[Samples], others: list[Samples], slack: Mapping[str, float], exact: bool = False
) -> tuple[float, int, str]:
    """The statistic whose samples are furthest apart, in units of what chance allows; its case and name."""
    found = [
        (apart(one[name], other[name], slack.get(name, 1e-5), exact), -k, name)
        for k, (one, other) in enumerate(zip(some, others, strict=True))
        for name in other
    ]
    worst, k, name = max(found)
    return worst, -k, name


def apart(one: Tensor, other: Tensor, slack: float, exact: bool = False) -> float:
    """How far two samples are apart beyond a shift of `slack`, in units of what chance allows.

    The Kolmogorov–Smirnov distance. `exact`: where the other sample is one number, no deviation is allowed.
    """
    if exact and float(other.max() - other.min()) <= 1e-6:
        return 1e6 * float((one - other[0]).abs().max() > slack)
    a, b = one.sort().values, other.sort().values
    gaps = [_above(a, b, slack), _above(b, a, slack)]
    return max(gaps) / math.sqrt(math.log(2 / CHANCE) / 2 * (1 / len(a) + 1 / len(b)))


def _above(a: Tensor, b: Tensor, slack: float) -> float:
    """The most by which the distribution function of a is above that of b moved to the left by `slack`."""
    share = torch.arange(1, len(a) + 1) / len(a)
    return float((share - torch.searchsorted(b, a + slack, right=True) / len(b)).max())


def _range(values: Tensor) -> str:
    low, mean, high = (f"{float(one):.3g}" for one in (values.min(), values.mean(), values.max()))
    return low if low == high else f"{low} to {high}, {mean} on average"
