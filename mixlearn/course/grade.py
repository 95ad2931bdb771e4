"""The grader: a folder of hand-in notebooks → `grades.csv` and a page for each student.

    python -m mixlearn.course grade FOLDER

This process holds the answers and judges. Another, started from `run.py` alone, imports torch once and forks
a child for each exercise of a notebook. The child executes the definitions that the function needs, not the
experiments around them, makes the inputs from a secret seed and sends back what the function returns, as
plain data: no verdict crosses the pipe. `run._confined` says what it gives up. Without user namespaces
that is a fence and no wall, so grade strangers' notebooks in a container then. Each page says what held.
"""

import contextlib
import csv
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
from collections.abc import Sequence
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

SECONDS = 10.0  # for the calls of one exercise
LONGEST = 2**26  # bytes of one message


@dataclass
class Result:
    """A notebook: its code cells or a note why it could not be read, its verdicts, what protected us."""

    notebook: Path
    cells: list[str] = field(default_factory=list)
    note: str = ""
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)


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
    package = Path(run.__file__).resolve().parents[1]
    hide = [folder, out, package, package.parent / "book", package.parent / "tests"]  # as a checkout has them
    hidden = [str(one) for one in hide if one.is_dir() and not sys.prefix.startswith(f"{one}/")]
    config = {"hide": hidden, "memory": 2**31, "cpu": int(seconds) + 5, "inputs": inputs.__file__}
    config["path"] = [one for one in sys.path if one and Path(one).exists()]
    with tempfile.TemporaryDirectory(prefix="graded-") as room, _server(room, config) as process:
        try:
            with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
                list(pool.map(lambda one: _grade(one, tasks, f"{room}/door", seed, seconds), results))
        finally:
            process.kill()
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


def _server(room: str, config: dict[str, Any]) -> subprocess.Popen[bytes]:
    """A process that imports torch once and makes a child for each connection to `door` in a folder."""
    clean = {"PATH": os.defpath, "HOME": room, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-I", str(run.__file__), json.dumps({**config, "room": room})]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(f"{room}/door")
        door.listen()
        return subprocess.Popen(command, stdin=door.fileno(), env=clean, cwd=room, **quiet)


def _grade(result: Result, tasks: dict[str, Exercise], door: str, seed: int, seconds: float) -> None:
    """One notebook, each of its exercises in a child of its own."""
    for name, task in ({} if result.note else tasks).items():
        try:
            result.verdicts[name] = _tried(result, task, door, seed, seconds)
        except Exception:  # whatever a hostile child makes us read
            result.verdicts[name] = unjudged(task, "unreadable")


def _tried(result: Result, task: Exercise, door: str, seed: int, seconds: float) -> Verdict:
    """The verdict on one exercise; where the child is lost, the last outcome tells how."""
    asked = {k: getattr(task, k) for k in ("name", "wanted", "draws")} | {"cells": result.cells, "seed": seed}
    outcomes: list[Outcome] = []
    with socket.socket(socket.AF_UNIX) as line, Connection(os.dup(line.fileno())) as stream:
        line.connect(door)
        pid, result.held = json.loads(stream.recv_bytes(LONGEST))
        until = time.monotonic() + seconds  # after torch has been loaded
        timer = Timer(seconds, line.shutdown, [socket.SHUT_RDWR])
        timer.start()
        try:
            stream.send_bytes(json.dumps(asked).encode())
            for _ in task.requests(seed):
                outcomes.append(Outcome(**run.unpack(json.loads(stream.recv_bytes(LONGEST)))))
        except Exception as error:
            ended = "process-ended" if isinstance(error, (EOFError, OSError)) else "unreadable"
            lost = "never-returns" if time.monotonic() >= until else ended
            outcomes.append(Outcome(error=lost, text=f"after {len(outcomes)} calls."))
        finally:
            timer.cancel()
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
    return judge(task, outcomes, seed)


def _write(results: list[Result], tasks: dict[str, Exercise], out: Path) -> None:
    """The table, and a page of plain text for each notebook."""
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
            table.writerow([safe, sum(points), of, one.note, *points, *mistakes])
            held = ", ".join(one.held) or "limits of memory and time, and Python's audit hook alone"
            parts = [f"{name}: {sum(points)} of {of} points", one.note, *map(repr, one.verdicts.values())]
            page = "\n\n".join([*parts, f"Graded with: {held}.\n"])
            plain = re.sub(r"[^\w-]+", "-", name)[:80]
            (out / "pages" / f"{k:03}-{plain}.txt").write_text(page, encoding="utf-8")
