"""Coursework: functions to write, and checks that name the mistake."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mixlearn.course.exercise import ALL, Exercise
from mixlearn.course.judge import Verdict, judge
from mixlearn.course.run import Outcome, perform, perform_all, timed

__all__ = ["Exercise", "Sheet", "Verdict", "check", "exercise", "exercises"]

_KIND = "mixlearn score sheet, version 1"


def exercises() -> list[str]:
    """The names of all exercises, chapter by chapter.

    >>> exercises()[:3]
    ['sample_lam', 'soft_labels', 'mixup']
    """
    return list(ALL)


def exercise(name: str) -> Exercise:
    """One exercise: its text, signature, chapter, level and points.

    Raises:
        ValueError: there is none of this name.

    >>> exercise("mixup").signature
    'def mixup(images: Tensor, targets: Tensor, lam: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]'
    """
    if name not in ALL:
        close = difflib.get_close_matches(str(name), ALL, 1)
        guess = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no exercise is named {name!r}{guess} There are {', '.join(ALL)}")
    return ALL[name]


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

    >>> verdict = check("mixup", lambda images, targets, lam, partner: (images, targets))
    >>> verdict.passed, verdict.mistake
    (False, 'nothing-mixed')
    """
    task = exercise(name)
    if not callable(answer):
        raise TypeError(f"answer must be a function, without brackets; got {type(answer).__name__}")
    requests = partial(task.requests, seed)
    perform(task.solution, next(requests()))  # what torch loads at first use is not the answer's time
    outcomes: list[Outcome] = []
    runs_on, printed = timed(lambda: outcomes.extend(perform_all(answer, requests, task.wanted)), seconds)
    done, count = list(outcomes), len(list(requests()))
    if len(done) < count:
        slow = len(done) > count // 10
        text = f"{len(done)} of {count} calls were done after {seconds:g} seconds."
        text += " Python cannot stop it: restart the kernel." if runs_on else ""
        text += f" On a slow machine check(…, seconds={4 * seconds:g}) waits longer." if slow else ""
        done.append(Outcome(error="too-slow" if slow else "never-returns", text=text))
    verdict = judge(task, done, seed)
    note = f"\nYour function also printed: {printed[:200]!r}" if printed else ""
    return replace(verdict, message=verdict.message + note)


class Sheet:
    """The score sheet of a student's hand-in notebook; it prints itself as a table.

    >>> sheet = Sheet("Ada")
    >>> verdict = sheet.check("mixup", exercise("mixup").solution)
    >>> sheet.answer("ex-mixup-hand", "My answer.")
    ex-mixup-hand: kept
    >>> sheet
    Ada: 2 of 2 points, 1 of 1 questions answered
    mixup          2 of 2  right
    ex-mixup-hand          answered
    """

    def __init__(self, student: str = "") -> None:
        self.student = student
        self.verdicts: dict[str, Verdict] = {}
        self.answers: dict[str, str] = {}

    def check(self, name: str, answer: Callable[..., Any], **options: Any) -> Verdict:
        """As `course.check`; the last verdict on each exercise counts."""
        verdict = self.verdicts[name] = check(name, answer, **options)
        return verdict

    def answer(self, label: str, text: str) -> None:
        """Keep an answer in words, which its reader, not the sheet, judges."""
        self.answers[label] = text.strip()
        print(f"{label}: {'kept' if text.strip() else 'not yet written'}")

    @property
    def points(self) -> tuple[int, int]:
        """All points earned, and all that the exercises checked so far are worth."""
        verdicts = self.verdicts.values()
        return sum(one.points for one in verdicts), sum(one.worth for one in verdicts)

    def __repr__(self) -> str:
        rows = [(k, f"{one.points} of {one.worth}", one.state) for k, one in self.verdicts.items()]
        rows += [(k, "", "answered" if text else "not-written") for k, text in self.answers.items()]
        first, second = (max(len(row[k]) for row in [("", ""), *rows]) for k in (0, 1))
        answered = f"{sum(map(bool, self.answers.values()))} of {len(self.answers)} questions answered"
        marks = [f"{self.points[0]} of {self.points[1]} points"] * bool(self.verdicts)
        title = f"{self.student or 'Score sheet'}: {', '.join([*marks, answered])}"
        return "\n".join([title, *(f"{a:{first}}  {b:{second}}  {c}" for a, b, c in rows)])

    def save(self, path: Path | str) -> None:
        """Write the sheet as JSON; an older sheet is replaced.

        Raises:
            FileExistsError: a file of this name is no score sheet.
        """
        path, (points, of) = Path(path), self.points
        if path.exists() and _KIND.encode() not in path.read_bytes():
            raise FileExistsError(f"{path} is no score sheet: choose another name")
        whole = {"kind": _KIND, "mixlearn": vars(sys.modules["mixlearn"])["__version__"]}
        whole |= {"student": self.student, "points": points, "of": of, "answers": self.answers}
        keys = {"passed": "passed", "mistake": "mistake", "points": "points", "of": "worth"}
        rows = self.verdicts.items()
        whole["exercises"] = {name: {k: getattr(one, v) for k, v in keys.items()} for name, one in rows}
        path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{path}: {points} of {of} points")
