"""The grader: a folder of hand-in notebooks → `grades.csv` and a page for each student.

    python -m mixlearn.course grade FOLDER

This process holds the answers and judges. Another, started from `run.py` alone, imports torch once and forks
a child for each exercise of a notebook. The child executes the definitions that the function needs, not the
experiments around them, makes the inputs from a secret seed and sends back what the function returns, as
plain data: no verdict crosses the pipe. `_confined` of `run.py` says what a child gives up. Where Linux allows
no user namespaces this is a fence and no wall, as code in C gets around an audit hook: grade strangers'
notebooks in a container then. Each page says which protections held.
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
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Timer
from typing import Any

from mixlearn import course
from mixlearn.course import inputs, run
from mixlearn.course.exercise import Exercise
from mixlearn.course.judge import Verdict, judge, unjudged
from mixlearn.course.run import Outcome

MEMORY = 2**31  # bytes that a notebook may add to what torch takes
SECONDS = 10.0  # for the calls of one exercise
TOGETHER = 60.0  # for all of a notebook
LONGEST = 2**26  # bytes of one message


@dataclass
class Result:
    """A notebook: its code cells or a note why it could not be read, its verdicts, what protected us."""

    notebook: Path
    cells: list[str] = field(default_factory=list)
    note: str = ""
    verdicts: dict[str, Verdict] = field(default_factory=dict)
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
    """Grade every notebook below a folder; write `grades.csv` and the folder `pages`. `main` has the options.

    Raises:
        ValueError: there is no such folder, no notebook in it, or no such exercise.
        OSError: the system has no `fork`: grade on Linux or macOS.
    """
    folder = Path(folder).resolve()
    found = sorted(p for p in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    if not found:
        raise ValueError(f"no notebook (.ipynb) in {folder}")
    if not hasattr(os, "fork"):
        raise OSError("this system has no os.fork, which the grader needs: use Linux, macOS or a container")
    results = [_read(path) for path in found]
    text = "\n".join(source for one in results for source in one.cells)
    counted = [n for n in course.exercises() if re.search(rf"\bdef {n}\(|^{n} *=", text, re.M)]
    tasks = {name: course.exercise(name) for name in (counted if names is None else names)}
    out = folder.parent / "grades" if out is None else Path(out).resolve()
    seed = secrets.randbelow(2**31) if seed is None else seed
    with _server([folder, out]) as door, ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        list(pool.map(lambda one: _grade(one, tasks, door, seed, seconds), results))
    _write(results, tasks, out)
    return results


def _read(path: Path) -> Result:
    try:
        if path.is_symlink() or path.stat().st_size > 2**24:
            return Result(path, note="the file is a link, or larger than 16 MB")
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return Result(path, ["".join(one["source"]) for one in cells if one["cell_type"] == "code"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return Result(path, note=f"this is no notebook: {type(error).__name__}")


@contextlib.contextmanager
def _server(hide: list[Path]) -> Iterator[str]:
    """A process that imports torch once and makes a child for each connection; yields the socket's path."""
    package = Path(run.__file__).resolve().parents[1]
    hide = [*hide, package, package.parent / "book", package.parent / "tests"]  # as a checkout has them
    hidden = [str(one) for one in hide if one.is_dir() and not sys.prefix.startswith(f"{one}/")]
    with tempfile.TemporaryDirectory(prefix="graded-") as room, socket.socket(socket.AF_UNIX) as door:
        door.bind(f"{room}/door")
        door.listen()
        config = {"hide": hidden, "room": room, "memory": MEMORY, "seconds": int(TOGETHER)}
        config |= {"path": [one for one in sys.path if one and Path(one).exists()], "inputs": inputs.__file__}
        clean = {"PATH": os.defpath, "HOME": room, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-I", str(run.__file__), json.dumps(config)]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, stdin=door.fileno(), env=clean, cwd=room, **quiet) as process:
            door.close()
            try:
                yield f"{room}/door"
            finally:
                process.kill()


def _grade(result: Result, tasks: dict[str, Exercise], door: str, seed: int, seconds: float) -> None:
    """One notebook, each of its exercises in a child of its own."""
    until = time.monotonic() + TOGETHER
    for name, task in ({} if result.note else tasks).items():
        try:
            left = min(seconds, until - time.monotonic())
            found = _tried(result, task, door, seed, left) if left > 0 else unjudged(task, "not-run")
        except Exception:  # whatever a hostile child makes us read
            found = unjudged(task, "unreadable")
        result.verdicts[name] = found


def _tried(result: Result, task: Exercise, door: str, seed: int, seconds: float) -> Verdict:
    """The verdict on one exercise; where the child is lost, the last outcome tells how."""
    asked = {"cells": result.cells, "name": task.name, "wanted": task.wanted}
    asked |= {"seed": seed, "draws": task.draws}
    outcomes: list[Outcome] = []
    with socket.socket(socket.AF_UNIX) as line, Connection(os.dup(line.fileno())) as stream:

        def hear() -> Any:
            return run.unpack(json.loads(stream.recv_bytes(LONGEST)))

        line.connect(door)
        pid, until = int(hear()), time.monotonic() + seconds  # after torch has been loaded
        timer = Timer(seconds, line.shutdown, [socket.SHUT_RDWR])
        timer.start()
        try:
            result.held = hear()
            stream.send_bytes(json.dumps(asked).encode())
            for _ in task.requests(seed):
                outcomes.append(one := Outcome(**hear()))
                assert [*map(type, (one.error, one.text, one.changed, one.drew))] == [str, str, int, str]
        except Exception as error:
            ended = "process-ended" if isinstance(error, (EOFError, OSError)) else "unreadable"
            lost = "never-returns" if time.monotonic() >= until else ended
            outcomes.append(Outcome(error=lost, text=f"after {len(outcomes)} calls."))
        finally:
            timer.cancel()
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
    return judge(task, outcomes, seed)


# ------------------------------------------------------------------------------------------- tables and pages
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<body style="font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto"><h1>{title}</h1><p>{note}</p>
{rows}<p><small>Graded with: {held}.</small></p></body></html>
"""


def _write(results: list[Result], tasks: dict[str, Exercise], out: Path) -> None:
    """The table, and a page without scripts for each notebook; whatever comes from one is escaped."""
    (out / "pages").mkdir(parents=True, exist_ok=True)
    of = sum(one.points for one in tasks.values())
    with (out / "grades.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["notebook", "points", "of", "note", *tasks, *(f"{name}: mistake" for name in tasks)])
        for k, one in enumerate(results, 1):
            verdicts, name = [one.verdicts.get(task) for task in tasks], one.notebook.stem
            mistakes = ["" if not v or v.passed else v.mistake or "unnamed" for v in verdicts]
            safe = f"'{name}" if name[:1] in "=+-@\t\r" else name  # which a spreadsheet would compute
            points = [v.points if v else 0 for v in verdicts]
            table.writerow([safe, one.points, of, one.note, *points, *mistakes])
            held = ", ".join(one.held) or "limits of memory and time, and Python's audit hook alone"
            words = {"title": f"{name}: {one.points} of {of} points", "note": one.note, "held": held}
            rows = "\n".join(v._repr_html_() for v in one.verdicts.values())
            page = PAGE.format(rows=rows, **{key: html.escape(text) for key, text in words.items()})
            plain = re.sub(r"[^\w-]+", "-", name)[:80]
            (out / "pages" / f"{k:03}-{plain}.html").write_text(page, encoding="utf-8")
