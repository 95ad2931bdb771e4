"""An exercise: its solution and what `exercises.md` says of it: the text, small inputs and wrong answers."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial, update_wrapper
from pathlib import Path
from typing import Any

from mixlearn.course import solutions
from mixlearn.course.inputs import LAWS, Samples, calls, sections


def explained(exercise: str, name: str | None) -> str:
    """What a mistake means, by `mistakes.txt`; nothing where it has no name."""
    lines = Path(__file__).with_name("mistakes.txt").read_text(encoding="utf-8").splitlines()
    known = dict(line.split(": ", 1) for line in lines if ": " in line)
    return known.get(f"{exercise}/{name}", known.get(str(name), ""))


@dataclass(eq=False, repr=False)
class Exercise:
    """One function to be written: its text, level, points and the chapter that it belongs to.

    Args:
        solution: the reference.
        inputs: makes the arguments of all calls from a seed and `draws`, the simplest first.
        wanted: positions of the arguments for which gradients are compared; by default those of the text.
        observe: of answers that draw, the statistics of one result, given the arguments and the result.
        draws: how many results are observed for each input.
        slack: by how much a statistic may be off without being wrong: roundings of another kind.
    """

    solution: Callable[..., Any]
    inputs: Callable[[int, int], Iterator[tuple[Any, ...]]]
    wanted: tuple[int, ...] = ()
    observe: Callable[..., Samples] | None = None
    draws: int = 0
    slack: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = self.solution.__name__
        head, _, rest = sections()[self.name].partition("\n\n")
        facts = dict(line.split(": ", 1) for line in head.splitlines())
        self.chapter, self.level, self.points = (int(facts[key]) for key in ("chapter", "level", "points"))
        self.hint, self._bugs = facts["hint"], facts.get("repair", "")
        self.results, learning = (re.findall(r"\w+", facts.get(key, "")) for key in ("results", "gradients"))
        self.wanted = self.wanted or tuple(map(self.parameters.index, learning))
        text, _, self._wrong = rest.partition("\n### ")
        self.text = self.solution.__doc__ = text.strip()
        update_wrapper(self, self.solution)

    def __call__(self, *args: Any) -> Any:
        return self.solution(*args)

    @cached_property
    def mistakes(self) -> dict[str, Callable[..., Any]]:
        """The wrong answers that have a name: the solution with edits, or `= expression` in its place."""
        head, *lines = self._wrong.strip().splitlines()
        found = {}
        for name, how in (line.split(": ", 1) for line in lines):
            if how.startswith("= "):
                found[name] = eval(f"lambda {head.replace(' ', ', ')}: {how[2:]}", vars(solutions))
            else:
                space = dict(vars(solutions))
                exec(f"def wrong({', '.join(self.parameters)}):\n{self._body(how)}", space)
                found[name] = space["wrong"]
        return found

    def _body(self, how: str) -> str:
        """The lines of the solution below its head, with edits `old => new ;; …`."""
        body = inspect.getsource(self.solution).partition(":\n")[2].rstrip()
        for old, new in (edit.split(" => ") for edit in how.split(" ;; ")):
            if old not in body:
                raise ValueError(f"{self.name} has no {old!r} to edit")
            body = body.replace(old, new)
        return body

    @property
    def parameters(self) -> list[str]:
        """The names of its parameters."""
        return list(inspect.signature(self.solution).parameters)

    @property
    def signature(self) -> str:
        """The first line of the function, without the colon."""
        return f"def {self.name}{inspect.signature(self.solution)}".replace("'", "")

    @property
    def stub(self) -> str:
        """The function to be filled in, as source text."""
        doc = textwrap.indent(f'"""{self.text}\n"""', "    ")
        return f"{self.signature}:\n{doc}\n    raise NotImplementedError\n"

    @property
    def repair(self) -> str:
        """The function with bugs to be found, below a line that raises; empty where it has none."""
        body = re.sub(r"^ +pass\n", "", self._body(self._bugs), flags=re.M) if self._bugs else ""
        line = "  # delete this line once you have read the others"
        return body and f"{self.stub.rstrip()}{line}\n{body}\n"

    def __repr__(self) -> str:
        head = f"{self.name}: chapter {self.chapter}, level {self.level}, {self.points} points"
        return f"{head}\n\n{self.signature}\n\n{self.text}"

    def cases(self, seed: int) -> list[tuple[Any, ...]]:
        """Small inputs: argument tuples, the simplest first."""
        return list(self.inputs(seed, 0))

    def requests(self, seed: int) -> Iterator[tuple[Any, ...]]:
        """The arguments of all calls that decide; those of answers that draw begin with all cases twice."""
        return self.inputs(seed, self.draws)


ALL = {
    name: Exercise(getattr(solutions, name), partial(calls, name), (), *LAWS.get(name, ()))
    for name in sections()
}
