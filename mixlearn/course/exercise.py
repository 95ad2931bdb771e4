"""An exercise: its solution and what `exercises.md` says of it: the text, small inputs and wrong answers."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from mixlearn.course import solutions
from mixlearn.course.inputs import LAWS, SECTIONS, Samples, calls


def explained(exercise: str, name: str | None) -> str:
    """What a mistake means, by `mistakes.txt`; nothing where it has no name."""
    lines = Path(__file__).with_name("mistakes.txt").read_text(encoding="utf-8").splitlines()
    known = dict(line.split(": ", 1) for line in lines if ": " in line)
    return known.get(f"{exercise}/{name}", known.get(str(name), ""))


@dataclass(eq=False, repr=False)
class Exercise:
    """One function to be written: its name, text, signature, stub, level, points and chapter."""

    solution: Callable[..., Any]
    inputs: Callable[
        [int, int], Iterator[tuple[Any, ...]]
    ]  # arguments from a seed and `draws`, simplest first
    wanted: tuple[int, ...] = ()  # the arguments whose gradients are compared; by default those of the text
    observe: Callable[..., Samples] | None = None  # of answers that draw, the statistics of all results
    draws: int = 0  # how many results are observed for each input
    slack: Mapping[str, float] = field(default_factory=dict)  # of statistics: roundings of another kind
    signature = stub = ""  # the first line without its colon; the function to be filled in, as source text
    parameters = list[str]()

    def __post_init__(self) -> None:
        self.name = name = self.solution.__name__
        head, _, rest = SECTIONS[name].partition("\n\n")
        text, _, self._wrong = rest.partition("\n### ")
        self.text = text.strip()
        facts = dict(line.split(": ", 1) for line in head.splitlines())
        self.chapter, self.level, self.points = (int(facts[key]) for key in ("chapter", "level", "points"))
        self.hint, self._bugs = facts["hint"], facts.get("repair", "")
        self.results, learning = (re.findall(r"\w+", facts.get(key, "")) for key in ("results", "gradients"))
        self.parameters = list(inspect.signature(self.solution).parameters)
        self.wanted = self.wanted or tuple(map(self.parameters.index, learning))
        self.signature = f"def {name}{inspect.signature(self.solution)}".replace("'", "")
        doc = textwrap.indent(f'"""{self.text}\n"""', "    ")
        self.stub = f"{self.signature}:\n{doc}\n    raise NotImplementedError\n"

    @cached_property
    def mistakes(self) -> dict[str, Callable[..., Any]]:
        """The wrong answers that have a name: the solution with edits, or `= expression` in its place."""
        head, *lines = self._wrong.strip().splitlines()
        found = {}
        for name, how in (line.split(": ", 1) for line in lines):
            whole, space = how.startswith("= "), dict(vars(solutions))
            names, body = (
                (head.split(), f" return {how[2:]}") if whole else (self.parameters, self._body(how))
            )
            exec(f"def wrong({', '.join(names)}):\n{body}", space)
            found[name] = space["wrong"]
        return found

    def _body(self, how: str) -> str:
        """The lines of the solution below its head, with edits `old => new ;; …`."""
        body = inspect.getsource(self.solution).partition(":\n")[2].rstrip()
        for old, new in (edit.split(" => ") for edit in how.split(" ;; ")):
            body = body.replace(old, new)
        return body

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


ALL = {n: Exercise(getattr(solutions, n), partial(calls, n), (), *LAWS.get(n, ())) for n in SECTIONS}
