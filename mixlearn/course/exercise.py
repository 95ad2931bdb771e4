"""An exercise: its solution and what `exercises.md` says of it: the text, small inputs and wrong answers."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from mixlearn.course import solutions
from mixlearn.course.inputs import LAWS, calls, sections


def explained(exercise: str, name: str | None) -> str:
    """What a mistake means, by `mistakes.txt`; nothing where it has no name."""
    lines = Path(__file__).with_name("mistakes.txt").read_text(encoding="utf-8").splitlines()
    known = dict(line.split(": ", 1) for line in lines if ": " in line)
    return known.get(f"{exercise}/{name}", known.get(str(name), ""))


class Exercise:
    """One function to be written: its text, level, points and the chapter that it belongs to.

    `cases(seed)` makes small inputs, tuples of arguments, the simplest first; `requests(seed)` those of all
    calls that decide. `wanted` are the positions of arguments for which gradients are compared. Of answers
    that draw, `draws` results are observed for each case, `observe` gives their statistics, and `slack` is by
    how much a statistic may be off without being wrong: roundings of another kind.
    """

    def __init__(self, name: str, section: str) -> None:
        self.name, self.solution = name, vars(solutions)[name]
        head, _, rest = section.partition("\n\n")
        text, _, self._wrong = rest.partition("\n### ")
        self.text = text.strip()
        facts = dict(line.split(": ", 1) for line in head.splitlines())
        self.chapter, self.level, self.points = (int(facts[key]) for key in ("chapter", "level", "points"))
        self.hint, self._bugs = facts["hint"], facts.get("repair", "")
        self.results, learning = (re.findall(r"\w+", facts.get(key, "")) for key in ("results", "gradients"))
        self.parameters = list(inspect.signature(self.solution).parameters)
        self.wanted = [self.parameters.index(one) for one in learning]
        self.observe, self.draws, self.slack = LAWS.get(name, (None, 0, {}))
        self.cases, self.requests = partial(calls, name), partial(calls, name, draws=self.draws)
        self.signature = f"def {name}{inspect.signature(self.solution)}".replace("'", "")
        doc = textwrap.indent(f'"""{self.text}\n"""', "    ")
        self.stub = f"{self.signature}:\n{doc}\n    raise NotImplementedError\n"

    def __call__(self, *args: Any) -> Any:
        return self.solution(*args)

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
            if old not in body:
                raise ValueError(f"{self.name} has no {old!r} to edit")
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


ALL = {name: Exercise(name, section) for name, section in sections().items()}
