"""Coursework: functions to write, and checks that name the mistake.

>>> import torch
>>> from mixlearn import course
>>> def mixup(images, targets, lam, partner):
...     share = lam.view(-1, 1, 1, 1)
...     return share * images + (1 - share) * images[partner], targets
>>> verdict = course.check("mixup", mixup)
>>> verdict.passed, verdict.mistake
(False, 'labels-not-mixed')
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mixlearn.course import images, networks
from mixlearn.course.exercise import Exercise, explained
from mixlearn.course.judge import Verdict, judge
from mixlearn.course.run import Outcome, Request, accepts, perform, perform_all, timed

__all__ = ["Exercise", "Verdict", "check", "exercise", "exercises"]

_ALL: dict[str, Exercise] = {
    one.name: one for room in (images, networks) for one in vars(room).values() if isinstance(one, Exercise)
}


def exercises() -> list[str]:
    """The names of all exercises, chapter by chapter.

    >>> exercises()[:3]
    ['sample_lam', 'soft_labels', 'mixup']
    """
    return list(_ALL)


def exercise(name: str) -> Exercise:
    """One exercise: its text, signature, chapter, level and points.

    Raises:
        ValueError: there is none of this name.

    >>> exercise("mixup").signature
    'def mixup(images: Tensor, targets: Tensor, lam: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]'
    """
    if name not in _ALL:
        close = difflib.get_close_matches(str(name), _ALL, 1)
        guess = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no exercise is named {name!r}{guess} There are {', '.join(_ALL)}")
    return _ALL[name]


def check(name: str, answer: Callable[..., Any], *, seed: int = 0, seconds: float = 1.5) -> Verdict:
    """Compare a function with what its exercise asks for, on small inputs, and name the mistake.

    Args:
        name: of the exercise, such as "cutmix"; `exercises()` lists them.
        answer: your function. It is called with positional arguments, and never trusted: what it raises,
            prints or changes becomes part of the verdict.
        seed: of the inputs.
        seconds: that all calls together may take.

    Returns:
        A `Verdict`, which prints itself.

    Raises:
        ValueError: there is no such exercise.
        TypeError: the answer is no function.

    >>> check("mixup", lambda images, targets: images).mistake
    'wrong-parameters'
    """
    task = exercise(name)
    if not callable(answer):
        way = f"give the function itself, without brackets: check({name!r}, {name})"
        raise TypeError(f"answer must be a function, got {type(answer).__name__}; {way}")
    if given := accepts(answer, len(task.parameters)):
        message = f"Expected {task.signature}, got parameters {given}.\n{explained(name, 'wrong-parameters')}"
        return Verdict(name, False, "wrong-parameters", message, 0, task.points)
    notes = []

    def call(requests: list[Request]) -> list[Outcome]:
        perform(task.solution, requests[0])  # what torch loads at first use is not the answer's time
        outcomes: list[Outcome] = []
        runs_on, printed = timed(lambda: perform_all(answer, requests, outcomes), seconds)
        if printed:
            notes.append(f"Your function also printed: {printed[:200]!r}")
        done = outcomes[: len(requests)]
        return (
            done if len(done) == len(requests) else [*done, late(len(done), len(requests), seconds, runs_on)]
        )

    verdict = judge(task, call, seed)
    return replace(verdict, message="\n".join([verdict.message, *notes]))


def late(done: int, count: int, seconds: float, runs_on: bool) -> Outcome:
    """What is said of an answer whose time was over after some of its calls."""
    slow = done > count // 10
    text = f"{done} of {count} calls were done after {seconds:g} seconds."
    rest = " Python cannot stop it: restart the kernel." if runs_on else ""
    more = f" On a slow machine check(…, seconds={4 * seconds:g}) waits longer." if slow else ""
    return Outcome(error="too-slow" if slow else "never-returns", text=text + rest + more)
