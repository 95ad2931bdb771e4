"""An exercise: its solution and small inputs; text and wrong answers come from `exercises.md`."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import cached_property, lru_cache, update_wrapper
from pathlib import Path
from typing import Any

import torch

from mixlearn.course.run import Request, Seed

Cases = list[tuple[Any, ...]]
Samples = dict[str, Any]  # of statistics: tensors, or numbers where there is one value


@lru_cache(maxsize=2)
def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _sections() -> dict[str, str]:
    """What `exercises.md` says of each exercise."""
    parts = _file("exercises.md").split("\n## ")[1:]
    return {name: rest for name, _, rest in (part.partition("\n") for part in parts)}


def explained(exercise: str, name: str | None) -> str:
    """What a mistake means, by `mistakes.txt`; nothing where it has no name."""
    known = dict(line.split(": ", 1) for line in _file("mistakes.txt").splitlines() if ": " in line)
    return known.get(f"{exercise}/{name}", known.get(str(name), ""))


class Exercise:
    """One function to be written: its text, level, points and the chapter that it belongs to.

    Args:
        solution: the reference.
        inputs: makes argument tuples from a generator, the smallest first.
        wanted: positions of the arguments for which gradients are compared.
        observe: of answers that draw, the statistics of one result, given the arguments and the result.
        draws: how many results are observed for each input.
        slack: by how much a statistic may be off without being wrong: roundings of another kind.
    """

    def __init__(
        self,
        solution: Callable[..., Any],
        inputs: Callable[[torch.Generator], Cases],
        wanted: tuple[int, ...] = (),
        observe: Callable[..., Samples] | None = None,
        draws: int = 0,
        slack: dict[str, float] | None = None,
    ) -> None:
        self.name, self.solution, self.inputs, self.wanted = solution.__name__, solution, inputs, wanted
        self.observe, self.draws, self.slack = observe, draws, slack or {}
        head, _, rest = _sections()[self.name].partition("\n\n")
        facts = dict(line.split(": ", 1) for line in head.splitlines())
        self.chapter, self.level, self.points = (int(facts[key]) for key in ("chapter", "level", "points"))
        self.hint, self.results = facts["hint"], [one for one in facts.get("results", "").split(", ") if one]
        text, _, self._wrong = rest.partition("\n### ")
        self.text = solution.__doc__ = text.strip()
        update_wrapper(self, solution)

    def __call__(self, *args: Any) -> Any:
        return self.solution(*args)

    @cached_property
    def mistakes(self) -> dict[str, Callable[..., Any]]:
        """The wrong answers that have a name."""
        head, _, lines = self._wrong.partition("\n")
        entries = (line.split(": ", 1) for line in lines.splitlines() if line)
        return {name: _edited(self.solution, how, head) for name, how in entries}

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
        doc = textwrap.indent(f'"""{self.text}\n"""', "    ", lambda line: bool(line.strip()))
        return f"{self.signature}:\n{doc}\n    raise NotImplementedError\n"

    def __repr__(self) -> str:
        head = f"{self.name}: chapter {self.chapter}, level {self.level}, {self.points} points"
        return f"{head}\n\n{self.signature}\n\n{self.text}"

    def cases(self, seed: int) -> Cases:
        """Small inputs: argument tuples, in which marks stand for generators and networks."""
        return self.inputs(torch.Generator().manual_seed(seed))

    def requests(self, seed: int) -> list[Request]:
        """The calls that decide. Of an answer that draws the first is made twice, to see it repeated."""
        if self.observe is None:
            return [Request(case, self.wanted) for case in self.cases(seed)]
        drawn = []
        for case in self.cases(seed):
            for k in range(self.draws):
                seeded = (Seed(7919 * seed + k) if isinstance(one, Seed) else one for one in case)
                drawn.append(Request(tuple(seeded)))
        return [drawn[0], *drawn]


def written(inputs: Callable[[torch.Generator], Cases], **options: Any) -> Callable[..., Exercise]:
    """Make an exercise of the solution below it."""
    return lambda solution: Exercise(solution, inputs, **options)


def _edited(solution: Callable[..., Any], how: str, parameters: str) -> Callable[..., Any]:
    """A wrong answer: the solution with edits `old => new ;; …`, or `= expression` in its place."""
    if how.startswith("= "):
        body = f"    return {how[2:]}"
    else:
        source = textwrap.dedent(inspect.getsource(solution))
        first = ast.parse(source).body[0].body[0].lineno  # type: ignore[attr-defined]
        body = "\n".join(source.splitlines()[first - 1 :])
        for old, new in (edit.split(" => ") for edit in how.split(" ;; ")):
            if old not in body:
                raise ValueError(f"{solution.__name__} has no {old!r} to edit")
            body = body.replace(old, new)
        parameters = " ".join(inspect.signature(solution).parameters)
    space = dict(vars(inspect.getmodule(solution)))
    exec(compile(f"def wrong({', '.join(parameters.split())}):\n{body}", "<wrong answer>", "exec"), space)
    return space["wrong"]
