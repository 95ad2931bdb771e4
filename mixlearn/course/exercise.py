"""An exercise: its solution and what `exercises.md` says of it: the text, small inputs and wrong answers."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path
from typing import Any

from mixlearn.course import solutions
from mixlearn.course.inputs import LAWS, SECTIONS, calls


def explained(exercise: str, name: str | None) -> str:
    """What a mistake means, by `mistakes.txt`; nothing where it has no name."""
    lines = Path(__file__).with_name("mistakes.txt").read_text(encoding="utf-8").splitlines()
    known = dict(line.split(": ", 1) for line in lines if ": " in line)
    return known.get(f"{exercise}/{name}", known.get(str(name), ""))


class Exercise:
    """One function to be written: its name, text, signature, stub, level, points and chapter."""

    def __init__(self, name: str) -> None:
        self.name, self.solution = name, getattr(solutions, name)
        self.inputs = partial(calls, name)  # from a seed and `draws`, simplest first
        self.observe, self.draws, self.slack = LAWS.get(name, (None, 0, {}))  # of answers that draw
        head, _, rest = SECTIONS[name].partition("\n\n")
        self.text, _, wrong = (one.strip() for one in rest.partition("\n### "))
        names, *lines = wrong.splitlines()
        self._names, self._edits = names.split(), dict(line.split(": ", 1) for line in lines)
        facts = dict(line.split(": ", 1) for line in head.splitlines())
        self.chapter, self.level, self.points = (int(facts[key]) for key in ("chapter", "level", "points"))
        lists = (re.findall("[^, ][^,]*", facts.get(key, "")) for key in ("results", "gradients", "repair"))
        self.hint, (self.results, learning, self.bugs) = facts["hint"], lists
        self.parameters = list(inspect.signature(self.solution).parameters)
        self.wanted = tuple(map(self.parameters.index, learning))  # whose gradients are compared
        self.signature = f"def {name}{inspect.signature(self.solution)}".replace("'", "")
        doc = textwrap.indent(f'"""{self.text}\n"""\nraise NotImplementedError\n', "    ")
        self.stub = f"{self.signature}:\n{doc}"

    @cached_property
    def mistakes(self) -> dict[str, Callable[..., Any]]:
        """The wrong answers that have a name: the solution with edits, or `= expression` in its place."""
        return {name: self._made(name) for name in self._edits}

    @cached_property
    def together(self) -> list[tuple[str, Callable[..., Any]]]:
        """Two or three bugs of what is to be repaired at once, with the first one's name."""
        return [(some[0], self._made(*some)) for k in (2, 3) for some in combinations(self.bugs, k)]

    def _made(self, *bugs: str) -> Callable[..., Any]:
        names = self._names if self._edits[bugs[0]][0] == "=" else self.parameters
        space = dict(vars(solutions))
        exec(f"def wrong({', '.join(names)}):\n{self._body(*bugs)}", space)
        return space["wrong"]

    def _body(self, *bugs: str) -> str:
        """The lines of the solution below its head, with edits `old => new ;; …`, or `= expression`."""
        body = inspect.getsource(self.solution).partition(":\n")[2].rstrip()
        for how in map(self._edits.__getitem__, bugs):
            for old, new in (edit.split(" => ") for edit in how.split(" ;; ") if how[0] != "="):
                body = body.replace(old, new)
            body = f" return {how[2:]}" if how[0] == "=" else body
        return body

    @property
    def repair(self) -> str:
        """The function with bugs to be found, below a line that raises; empty where it has none."""
        body = re.sub(r"^ +pass\n", "", self._body(*self.bugs), flags=re.M)
        line = "  # delete this line once you have read the others"
        return f"{self.stub.rstrip()}{line}\n{body}\n" * bool(self.bugs)

    def __repr__(self) -> str:
        head = f"{self.name}: chapter {self.chapter}, level {self.level}, {self.points} points"
        return f"{head}\n\n{self.signature}\n\n{self.text}"

    def cases(self, seed: int) -> list[tuple[Any, ...]]:
        """Small inputs: argument tuples, the simplest first."""
        return list(self.inputs(seed, 0))

    def requests(self, seed: int) -> Iterator[tuple[Any, ...]]:
        """The arguments of all calls that decide; those of answers that draw begin with all cases twice."""
        return self.inputs(seed, self.draws)


ALL = {name: Exercise(name) for name in SECTIONS}
