"""The grader: a folder of hand-in notebooks → `grades.csv` and a page for each student.

    python -m mixlearn.course grade FOLDER

**What runs where.** This process holds the answers, makes the inputs from a secret seed and judges. A
second one, started from `run.py` alone, imports torch once and forks a child for each notebook. The child
executes the definitions that the exercises need (functions, imports, constants; not the experiments
around them), then gets inputs and sends back what its functions return, as plain numbers. A notebook can
therefore forge nothing but return values, which is what an honest one does too: no verdict crosses the
pipe.

**What a child cannot do,** where Linux allows user namespaces: reach the network, see or signal another
process, write anywhere but in an empty folder of 64 MB that ends with it, read the package, the hand-ins
or the grades. Memory, time and the size of a result are limited everywhere, and Python's own sockets,
subprocesses and writes are refused by an audit hook. Each page says which protections held.

**What is not protected against.** An answer that was copied from the package or from a friend is a right
answer. Other files that your account may read can be read, but not sent anywhere. Without namespaces the
audit hook is a fence and no wall, as code in C gets around it: grade strangers' notebooks in a container
then. A fault of the system's kernel is beyond all this.
"""

from __future__ import annotations

import contextlib
import csv
import html
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mixlearn import course
from mixlearn.course import run
from mixlearn.course.exercise import Exercise, explained
from mixlearn.course.judge import Verdict, judge
from mixlearn.course.run import Outcome, Request

MEMORY = 2**31  # bytes that a notebook may add to what torch takes
SECONDS = 10.0  # for the calls of one exercise
TOGETHER = 60.0  # for all of a notebook
LONGEST = 2**25  # bytes of one message


@dataclass
class Result:
    """A graded notebook: its verdicts by exercise, a note where it could not be read, what protected us."""

    notebook: Path
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    note: str = ""
    held: list[str] = field(default_factory=list)

    @property
    def points(self) -> int:
        """All points together."""
        return sum(one.points for one in self.verdicts.values())


def grade(
    folder: Path | str,
    out: Path | str | None = None,
    names: Sequence[str] | None = None,
    *,
    seed: int | None = None,
    jobs: int | None = None,
    seconds: float = SECONDS,
) -> list[Result]:
    """Grade every notebook below a folder; write `grades.csv` and the folder `pages`.

    Args:
        folder: holds the notebooks (.ipynb), in it or in folders of it.
        out: where the results go; None takes `grades` beside the folder.
        names: the exercises that count; None takes all that some notebook of the folder defines.
        seed: of the inputs; None draws a secret one.
        jobs: how many notebooks at a time; None takes one for each processor.
        seconds: for the calls of one exercise.

    Raises:
        ValueError: there is no such folder, no notebook in it, or no such exercise.
        OSError: the system has no `fork`: grade on Linux or macOS.
    """
    folder = Path(folder).resolve()
    found = sorted(p for p in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    if not found:
        raise ValueError(f"no notebook (.ipynb) in {folder}")
    if not hasattr(os, "fork"):
        raise OSError(
            "the grader needs os.fork, which this system lacks: use Linux, macOS, WSL or a container"
        )
    cells = {path: _cells(path) for path in found}
    text = "\n".join(source for one in cells.values() if isinstance(one, list) for source in one)
    counted = [n for n in course.exercises() if re.search(rf"\bdef {n}\(|^{n} *=", text, re.M)]
    tasks = {name: course.exercise(name) for name in (counted if names is None else names)}
    out = folder.parent / "grades" if out is None else Path(out).resolve()
    seed = secrets.randbelow(2**31) if seed is None else seed
    with _Nursery([folder, out]) as nursery, ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        work = [pool.submit(_graded, p, cells[p], tasks, nursery, seed, seconds) for p in found]
        results = [one.result() for one in work]
    _write(results, tasks, out)
    return results


def _cells(path: Path) -> list[str] | str:
    """The sources of a notebook's code cells, or what is wrong with the file."""
    try:
        if path.is_symlink() or path.stat().st_size > 2**24:
            return "the file is a link, or larger than 16 MB"
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = [one["source"] for one in cells if one["cell_type"] == "code"]
        return ["".join(one) for one in sources]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"this is no notebook: {type(error).__name__}"


class _Nursery:
    """The process that imports torch once and makes a child for each notebook."""

    def __init__(self, hide: list[Path]) -> None:
        package = Path(run.__file__).resolve().parents[1]
        around = [package.parent / name for name in ("book", "tests")]  # of a checkout
        known = [package, *hide, *(one for one in around if (package.parent / "pyproject.toml").is_file())]
        self.room = tempfile.mkdtemp(prefix="graded-")
        hidden = [str(one) for one in known if one.is_dir() and not sys.prefix.startswith(f"{one}/")]
        path = [one for one in sys.path if one and Path(one).exists()]
        config = {"path": path, "hide": hidden, "room": self.room, "memory": MEMORY, "seconds": int(TOGETHER)}
        self.control, theirs = socket.socketpair()
        clean = {"PATH": os.defpath, "HOME": self.room, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-I", str(run.__file__), json.dumps(config)]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, stdin=theirs.fileno(), env=clean, cwd=self.room, **quiet)
        theirs.close()
        self.lock = threading.Lock()

    def __enter__(self) -> _Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            os.rmdir(self.room)

    def child(self) -> tuple[socket.socket, int]:
        """A socket to a fresh child, and its number."""
        ours, theirs = socket.socketpair()
        with self.lock, theirs:
            socket.send_fds(self.control, [b"+"], [theirs.fileno()])
            return ours, int(self.control.recv(16, socket.MSG_WAITALL) or 0)


class _Child:
    """A confined process that has loaded one notebook."""

    def __init__(
        self, nursery: _Nursery, cells: list[str], tasks: dict[str, Exercise], seconds: float
    ) -> None:
        self.line, self.pid = nursery.child()
        self.rest, self.until = b"", time.monotonic() + seconds
        self.say({"cells": cells, "names": {name: len(one.parameters) for name, one in tasks.items()}})
        self.held, self.found = self.hear(), self.hear()

    def say(self, what: Any) -> None:
        self.line.settimeout(max(self.until - time.monotonic(), 0.01))
        self.line.sendall(json.dumps(what).encode() + b"\n")

    def hear(self) -> Any:
        """The next message. It raises where none comes in time, or what comes is none."""
        while b"\n" not in self.rest:
            self.line.settimeout(max(self.until - time.monotonic(), 0.01))
            more = self.line.recv(2**20)
            if not more:
                raise EOFError
            self.rest += more
            if len(self.rest) > LONGEST:
                raise ValueError("too long")
        text, _, self.rest = self.rest.partition(b"\n")
        return json.loads(text)

    def end(self) -> None:
        self.line.close()
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    def call(self, name: str, seconds: float, requests: list[Request]) -> list[Outcome]:
        """The outcomes of one exercise; where the child is lost, the last tells how."""
        outcomes: list[Outcome] = []
        self.until = time.monotonic() + seconds
        try:
            self.say({"name": name, "requests": [[run.pack(part) for part in one] for one in requests]})
            while len(outcomes) < len(requests):
                outcomes.append(_outcome(self.hear()))
            return outcomes
        except Exception as error:
            return [*outcomes, Outcome(error=_lost(error), text=f"after {len(outcomes)} calls.")]


def _lost(error: Exception) -> str:
    """The name of what was heard in place of an answer."""
    if isinstance(error, TimeoutError):
        return "never-returns"
    return "process-ended" if isinstance(error, (EOFError, OSError)) else "unreadable"


def _outcome(message: Any) -> Outcome:
    value, gradients, error, text, changed, drew = map(run.unpack, message)
    if not all(isinstance(one, str) for one in (error, text, drew)) or type(changed) is not int:
        raise ValueError("no outcome")
    return Outcome(value, gradients, error, text, changed, drew)


def _graded(
    path: Path,
    cells: list[str] | str,
    tasks: dict[str, Exercise],
    nursery: _Nursery,
    seed: int,
    seconds: float,
) -> Result:
    """One notebook. A child that is lost is replaced, and the next exercise goes on."""
    result, start = Result(path), time.monotonic()
    if isinstance(cells, str):
        result.note = cells
        return result
    child: _Child | None = None
    for name, task in tasks.items():
        if time.monotonic() - start > TOGETHER:
            result.verdicts[name] = _without(task, "not-run")
            continue
        try:
            child = child or _Child(nursery, cells, tasks, seconds)
            result.held = [str(one) for one in child.held]
            kind, _, rest = str(child.found[name]).partition(": ")
            if kind:
                result.verdicts[name] = _without(task, kind, rest)
                continue
            verdict = judge(task, partial(child.call, name, seconds), seed)
        except Exception as error:  # whatever a hostile child makes us read
            verdict = _without(task, _lost(error), "while its cells were loaded")
        result.verdicts[name] = verdict
        if verdict.mistake in ("never-returns", "process-ended", "unreadable") and child:
            child.end()
            child = None
    if child:
        child.end()
    return result


def _without(task: Exercise, mistake: str, seen: str = "") -> Verdict:
    message = f"{seen}\n{explained(task.name, mistake)}".strip()
    return Verdict(task.name, False, mistake, message, 0, task.points)


# ------------------------------------------------------------------------------------------- tables and pages
def _write(results: list[Result], tasks: dict[str, Exercise], out: Path) -> None:
    pages = out / "pages"
    pages.mkdir(parents=True, exist_ok=True)
    of = sum(one.points for one in tasks.values())
    with (out / "grades.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["notebook", "points", "of", "note", *tasks, *(f"{name}: mistake" for name in tasks)])
        for k, result in enumerate(results):
            verdicts = [result.verdicts.get(name) for name in tasks]
            points = [one.points if one else 0 for one in verdicts]
            mistakes = ["" if not one or one.passed else one.mistake or "unnamed" for one in verdicts]
            name = result.notebook.stem
            safe = f"'{name}" if name[:1] in "=+-@\t\r" else name  # which a spreadsheet would compute
            table.writerow([safe, result.points, of, result.note, *points, *mistakes])
            page = re.sub(r"[^\w-]+", "-", name)[:80]
            (pages / f"{k + 1:03}-{page}.html").write_text(_page(result, of), encoding="utf-8")


def _page(result: Result, of: int) -> str:
    """One student's page, without scripts; whatever comes from the notebook is escaped."""
    title = html.escape(f"{result.notebook.stem}: {result.points} of {of} points")
    rows = "\n".join(one._repr_html_() for one in result.verdicts.values())
    note = f"<p>{html.escape(result.note)}</p>" if result.note else ""
    held = html.escape(", ".join(result.held) or "limits of memory and time, and Python's audit hook alone")
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    style = "<style>body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto}div{margin:1em 0}</style>"
    return f"{head}{style}<h1>{title}</h1>{note}\n{rows}\n<p><small>Graded with: {held}.</small></p></html>\n"
