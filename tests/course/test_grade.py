"""Twenty notebooks: right, wrong and hostile. A correct table, no harm done, in good time."""

import csv
import json
import sys
import time

import pytest

from mixlearn import course
from mixlearn.course.__main__ import main
from mixlearn.course.grade import grade

HEAD = "import os, sys, torch\n%matplotlib inline\n!pip list"
MIXUP = """
def mixup(images, targets, lam, partner):
    w = lam.view(-1, 1, 1, 1)
    return w * images + (1 - w) * images[partner], weighed(lam[:, None], targets, partner)
"""
HELPER = "SHARE = 1\n\ndef weighed(w, t, p):\n    return SHARE * w * t + (1 - w) * t[p]"
CUTMIX = """
def cutmix(images, targets, box, partner):
    x0, y0, x1, y1 = box
    out = images.clone()
    out[:, :, y0:y1, x0:x1] = images[partner][:, :, y0:y1, x0:x1]
    return out, weighed(1 - (x1 - x0) * (y1 - y0) / out[0, 0].numel(), targets, partner)
"""
BODIES = {  # of mixup, by what it does, and what the table says
    "endless": ("while True: pass", "never-returns"),
    "huge": ("torch.ones(2**34)", "raises"),
    "large": ("return torch.ones(2**23), targets", "wrong-type"),
    "deleting": ("import shutil; shutil.rmtree('{out}'); shutil.rmtree('{folder}')", "raises"),
    "deleting-in-c": ("import ctypes; ctypes.CDLL(None).system(b'rm -rf {folder} {out}')", None),
    "reading": ("print(open('{folder}/right.ipynb').read())", "raises"),
    "answers": (
        "from mixlearn.course.solutions import mixup as answer; return answer(images, targets, lam, partner)",
        "raises",
    ),
    "source": ("return open({package!r}).read()", "raises"),
    "socket": ("import socket; socket.create_connection(('127.0.0.1', 80))", "raises"),
    "child": ("import subprocess; subprocess.run(['sleep', '60'])", "raises"),
    "leaving": ("os._exit(0)", "process-ended"),
    "crash": ("import ctypes; ctypes.string_at(0)", "process-ended"),
    "printing": ("print('x' * 10**8)", "nothing-returned"),
    "forging": (
        '[os.write(k, b\'[[1], null, "", "", -1, ""]\\n\' * 9) for k in range(3, 40) if k in open_files()]',
        None,
    ),
}
OPEN = "def open_files():\n    return [int(k) for k in os.listdir('/proc/self/fd')]"


def notebook(*cells):
    made = [{"cell_type": "code", "source": one, "metadata": {}, "outputs": []} for one in cells]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The table by notebook, the pages' text, the folder, and the seconds it took."""
    folder, out = (tmp_path_factory.mktemp(name) for name in ("hand", "grades"))
    (out / "before.txt").write_text("kept")
    package = course.__file__.replace("__init__.py", "solutions.py")
    sheets = {
        "right": notebook(
            HEAD, "for k in range(10**9): pass", HELPER, MIXUP, "course.check('mixup', mixup)", CUTMIX
        ),
        "wrong": notebook(
            HEAD,
            HELPER.replace("(1 - w) * t[p]", "(1 - w) * t"),
            MIXUP,
            CUTMIX.replace("y0:y1, x0", "x0:x1, y0"),
        ),
        "stub": notebook(HEAD, course.exercise("mixup").stub, course.exercise("cutmix").stub),
        "syntax": notebook(HEAD, HELPER, "def mixup(images:", CUTMIX),
        "=formula": notebook(HEAD, HELPER, MIXUP, CUTMIX),
        "damaged": notebook(HEAD, MIXUP)[:-9],
        "empty": "",
    }
    for name, (body, _) in BODIES.items():
        line = body.format(folder=folder, out=out, package=package) if "{" in body else body
        sheets[name] = notebook(
            HEAD, OPEN, HELPER, f"def mixup(images, targets, lam, partner):\n    {line}\n", CUTMIX
        )
    for name, text in sheets.items():
        (folder / f"{name}.ipynb").write_text(text)
    start = time.monotonic()
    results = grade(folder, out, seed=5, jobs=2, seconds=15)
    spent = time.monotonic() - start
    with (out / "grades.csv").open(encoding="utf-8") as file:
        table = {row["notebook"]: row for row in csv.DictReader(file)}
    assert sorted(path.stem for path in folder.iterdir()) == sorted(sheets)
    assert (out / "before.txt").read_text() == "kept"
    pages = {path.stem.partition("-")[2]: path.read_text() for path in (out / "pages").iterdir()}
    return table, pages, results, spent


def test_twenty_notebooks_are_graded_in_time(graded):
    table, pages, results, spent = graded
    assert len(table) == len(pages) == len(results) >= 20 and spent < 180


def test_right_and_wrong_answers(graded):
    table = graded[0]
    assert (
        (table["right"]["points"], table["right"]["of"]) == ("4", "4") == (table["'=formula"]["points"], "4")
    )
    assert table["stub"]["mixup: mistake"] == "not-written" and table["stub"]["points"] == "0"
    assert table["syntax"]["mixup: mistake"] == "not-found" and table["syntax"]["points"] == "2"
    assert table["wrong"]["mixup: mistake"] == "labels-not-mixed" and table["wrong"]["cutmix"] == "0"
    assert "no notebook" in table["damaged"]["note"] and "no notebook" in table["empty"]["note"]


@pytest.mark.parametrize("name", BODIES)
def test_hostile_answers_earn_nothing_and_cost_nothing_else(graded, name):
    row, mistake = graded[0][name], BODIES[name][1]
    assert row["mixup"] == "0" and row["mixup: mistake"]
    assert (
        row["cutmix"] == "2" or name == "forging"
    )  # whoever writes on the pipe spoils what comes after, too
    assert mistake in (None, row["mixup: mistake"])


def test_pages_are_plain_and_say_what_protected(graded):
    _, pages, results, _ = graded
    assert "4 of 4 points" in pages["right"] and "Graded with:" in pages["right"]
    if sys.platform == "linux" and results[-1].held:
        assert "no network" in pages["right"]


def test_the_command(tmp_path, capsys):
    assert main(["grade", str(tmp_path)]) == 1 and "no notebook" in capsys.readouterr().err
    assert main(["text", "cutmix"]) == 0 and "def cutmix(images: Tensor" in capsys.readouterr().out
